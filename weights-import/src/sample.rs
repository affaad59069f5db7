//! Which numbers of a checkpoint are sampled. They are few, so that a model of any size is told at no cost.

use lingo_core::weights::WeightSample;

use crate::checkpoint::Checkpoint;
use crate::tensors::{Role, Stored};

/// Matrices of a sample.
const MATRICES: usize = 8;
/// Numbers of each.
const NUMBERS: usize = 8;

impl Checkpoint {
    /// Some numbers of matrices from the first layer to the last, as the network has them, whatever the files hold. What
    /// cannot be read is left out: whoever loads the model will hear of it.
    pub fn sample(&self) -> WeightSample {
        let (tensors, files) = self.stored_tensors();
        let is_of_layer = |name: &str| {
            let mut parts = name.split('.');
            parts.any(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mut matrices: Vec<&Stored> = tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Used && is_of_layer(&tensor.name))
            .filter(|tensor| tensor.shape.len() == 2)
            .collect();
        matrices.sort_by(|a, b| a.name.cmp(&b.name));
        let Some(last) = matrices.len().checked_sub(1) else {
            return WeightSample::default();
        };
        let chosen = (0..MATRICES).map(|index| matrices[index * last / (MATRICES - 1)]);
        let numbers = |matrix: &Stored| {
            let row = u32::try_from(matrix.shape[0] / 2).ok()?;
            let row = matrix.read_rows(files, &[row]).ok()?;
            Some((matrix.name.clone(), row.iter().take(NUMBERS).collect()))
        };
        chosen.filter_map(numbers).collect()
    }
}
