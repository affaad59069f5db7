//! Checkpoints: the whole state of a run behind one optimizer step, in a folder that is complete or not there.
//!
//! `checkpoint/step-N` holds the trained tensors with what rank control remembers (`model.bpk`), the optimizer
//! (`optimizer.bpk`), and `state.mpk`: what the logs have counted, how long their files were, checksums of all, and
//! what the run follows from. Training hands out a [`Snapshot`]; the log saves it once it has recorded the same step.

mod error;
mod find;
mod kept;
mod lock;
mod origin;
mod state;

use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;

pub use error::CheckpointError;
pub use find::{Found, find};
pub use kept::Checkpoints;
pub use lock::{LOCK_FILE, RunLock};
pub use origin::{MAY_DIFFER, Origin, OriginError};
pub use state::{Counts, SavedState};

/// The folder of a run that holds its checkpoints.
pub const FOLDER: &str = "checkpoint";

const MODEL: &str = "model.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.mpk";

/// The state of training behind an optimizer step.
#[derive(Debug)]
pub struct Snapshot {
    /// Optimizer steps taken.
    pub step: u64,
    /// Seconds spent in them.
    pub train_secs: f64,
    /// What is trained, and what rank control remembers.
    pub model: ModuleRecord,
    /// The optimizer.
    pub optimizer: OptimizerRecord,
}

/// The folder of the checkpoint behind `step`.
fn name(step: u64) -> String {
    format!("step-{step}")
}

/// The step that a checkpoint's folder is named after.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}
