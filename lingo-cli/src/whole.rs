//! Whether a model has all of its tensors.

use anyhow::{Context as _, Result};
use burn::tensor::Device;
use lingo_core::models::check;
use weights_import::Checkpoint;

use crate::device::select;

/// Checks that a checkpoint has the tensors that its configuration asks for, and its own head's, in their shapes, and no
/// others. None is read.
///
/// # Errors
/// If one is missing, of another shape or unknown: the first is named, the others are counted.
pub fn check_whole(checkpoint: &mut Checkpoint) -> Result<()> {
    let device = select("cpu")?.device;
    let outputs = checkpoint.classes();
    check_tensors(checkpoint, outputs, &device)
}

/// The same of a model whose head has so many `outputs`, or which is used without a head of its own.
///
/// # Errors
/// As for [`check_whole`].
pub fn check_tensors(
    checkpoint: &mut Checkpoint,
    outputs: Option<usize>,
    device: &Device,
) -> Result<()> {
    let config = checkpoint.config().clone();
    let path = checkpoint.path().display().to_string();
    check(&config, outputs, checkpoint, device).context(path)?;
    Ok(checkpoint.check_complete()?)
}
