//! Whether a model has all of its tensors.

use anyhow::{Context as _, Result};
use lingo_core::models::check;
use weights_import::Checkpoint;

use crate::device::select;

/// Checks that a checkpoint has the tensors that its configuration asks for, in their shapes, and no others. None is read.
///
/// # Errors
/// If one is missing, of another shape or unknown: the first is named, the others are counted.
pub fn check_whole(checkpoint: &mut Checkpoint) -> Result<()> {
    let device = select("cpu")?.device;
    let (config, outputs) = (checkpoint.config().clone(), checkpoint.classes());
    let path = checkpoint.path().display().to_string();
    check(&config, outputs, checkpoint, &device).context(path)?;
    Ok(checkpoint.check_complete()?)
}
