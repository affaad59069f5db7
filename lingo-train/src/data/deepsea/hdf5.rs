//! MATLAB 7.3: the variables of an HDF5 file, in pieces along its chunks so that each is decompressed once.

mod values;

use std::path::Path;

use hdf5_reader::{Dataset, Hdf5File, OpenOptions};

use super::error::MatError;
use super::intake::{Filling, Intake, Variable};
use values::Values;

/// Bytes of a variable that are read at a time, where its chunks allow that.
const PIECE_BYTES: usize = 32 << 20;
/// Bytes of the largest chunk that is read.
const MOST_CHUNK_BYTES: usize = 64 << 20;
/// Samples that are read at a time of a variable without chunks.
const UNCHUNKED_SAMPLES: usize = 1 << 16;

/// Takes the two variables in.
pub(super) fn read(path: &Path, file_bytes: u64, intake: &mut Intake<'_>) -> Result<(), MatError> {
    // Each chunk is asked for once: a cache would only take memory.
    let options = OpenOptions::default()
        .with_chunk_cache_bytes(0)
        .with_max_chunk_bytes(MOST_CHUNK_BYTES);
    let file = Hdf5File::open_with_options(path, options)?;
    if file.superblock().eof_address > file_bytes {
        return Err(MatError::CutOff);
    }
    let (_, names) = file.root_group()?.member_names()?;
    for name in names {
        let Some(kind) = intake.notice(&name) else {
            continue;
        };
        let dataset = file.dataset(&name)?;
        let values = Values::of(&name, dataset.dtype())?;
        // HDF5 has the slowest dimension first, MATLAB the fastest.
        let dims: Vec<u64> = dataset.shape().iter().rev().copied().collect();
        let variable = Variable::new(&name, kind, &dims, file_bytes)?;
        let mut filling = intake.begin(variable)?;
        take(&dataset, values, &mut filling)?;
        intake.end(filling);
    }
    Ok(())
}

fn take(dataset: &Dataset, values: Values, filling: &mut Filling) -> Result<(), MatError> {
    let (rows, samples) = (filling.variable.rows, filling.variable.samples);
    let width = filling.variable.width();
    let chunk = dataset.chunks().unwrap_or_default();
    let extent = |dim: Option<&u32>, whole: usize| dim.map_or(whole, |dim| *dim as usize).max(1);
    let chunk_rows = extent(chunk.first(), 1).min(rows);
    let chunk_samples = extent(chunk.last(), UNCHUNKED_SAMPLES).min(samples);
    let bytes = values.bytes() * width * chunk_rows * chunk_samples;
    let piece_samples = chunk_samples * (PIECE_BYTES / bytes).max(1);

    for first in (0..rows).step_by(chunk_rows) {
        let end = rows.min(first + chunk_rows);
        if !(first..end).any(|row| filling.wants(row)) {
            continue;
        }
        for start in (0..samples).step_by(piece_samples) {
            let count = piece_samples.min(samples - start);
            let mut ranges = vec![first..end, start..start + count];
            if dataset.ndim() == 3 {
                ranges.insert(1, 0..width);
            }
            let piece = values.read(dataset, ranges)?;
            for (row, values) in (first..end).zip(piece.chunks_exact(width * count)) {
                filling.put(row, start, values)?;
            }
        }
    }
    Ok(())
}
