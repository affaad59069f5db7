//! Which numbers of a checkpoint are sampled. They are few, so that a model of any size is told at no cost.

use lingo_core::weights::WeightSample;

use crate::checkpoint::Checkpoint;
use crate::hf::keys::TOKEN_TABLES;
use crate::mapped::MappedFile;
use crate::tensors::{Role, Stored};

/// Matrices of the layers in a sample.
const MATRICES: usize = 8;
/// Numbers of each tensor.
const NUMBERS: usize = 8;

impl Checkpoint {
    /// Some numbers of matrices from the first layer to the last, of the token table and of two norms, as the network has
    /// them, whatever the files hold. What cannot be read is left out: whoever loads the model will hear of it.
    pub fn sample(&self) -> WeightSample {
        let (tensors, files) = self.stored_tensors();
        let used = tensors.iter().filter(|tensor| tensor.role == Role::Used);
        let mut used: Vec<&Stored> = used.collect();
        used.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |wanted: fn(&Stored) -> bool| -> Vec<&Stored> {
            let found = used.iter().copied();
            found.filter(|tensor| wanted(tensor)).collect()
        };
        let matrices = of(|tensor| is_of_layer(&tensor.name) && tensor.shape.len() == 2);
        let gains = of(|tensor| tensor.shape.len() == 1 && tensor.name.ends_with(".weight"));
        let tables = of(|tensor| TOKEN_TABLES.contains(&&*tensor.name));
        let layers = (0..MATRICES).filter_map(|index| matrices.get(spread(index, matrices.len())));
        let layers = layers.map(|tensor| (*tensor, middle_row(tensor, files)));
        let norms = gains.first().into_iter().chain(gains.last());
        let norms = norms.map(|tensor| (*tensor, start(tensor, files)));
        let tables = tables.iter();
        let tables = tables.map(|tensor| (*tensor, diagonal(tensor, files)));
        let all = layers.chain(norms).chain(tables);
        all.filter_map(|(tensor, numbers)| Some((tensor.name.clone(), numbers?)))
            .collect()
    }
}

/// Whether a tensor belongs to a numbered layer.
fn is_of_layer(name: &str) -> bool {
    let mut parts = name.split('.');
    parts.any(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The place of one of [`MATRICES`] or [`NUMBERS`] among `count`, from the first to the last.
fn spread(index: usize, count: usize) -> usize {
    const { assert!(MATRICES == NUMBERS) };
    index * count.saturating_sub(1) / (MATRICES - 1)
}

fn middle_row(matrix: &Stored, files: &[MappedFile]) -> Option<Vec<f32>> {
    let row = u32::try_from(matrix.shape[0] / 2).ok()?;
    let row = matrix.read_rows(files, &[row]).ok()?;
    Some(row.iter().take(NUMBERS).collect())
}

fn start(vector: &Stored, files: &[MappedFile]) -> Option<Vec<f32>> {
    let numbers = vector.read(files).ok()?;
    Some(numbers.iter().take(NUMBERS).collect())
}

/// A number each of rows from the first to the last: a single one may be that of a token which no training has seen.
fn diagonal(table: &Stored, files: &[MappedFile]) -> Option<Vec<f32>> {
    let &[height, width] = table.shape.as_slice() else {
        return None;
    };
    let rows: Result<Vec<u32>, _> = (0..NUMBERS)
        .map(|index| u32::try_from(spread(index, height)))
        .collect();
    let rows = table.read_rows(files, &rows.ok()?).ok()?;
    let rows: Vec<f32> = rows.iter().collect();
    let numbers = rows.chunks_exact(width.max(1)).enumerate();
    Some(
        numbers
            .map(|(index, row)| row[spread(index, width)])
            .collect(),
    )
}
