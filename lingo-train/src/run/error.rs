//! Why a run cannot start or does not end as it should.

use std::path::PathBuf;
use std::sync::Arc;

use lingo_core::adapter::target::UnmatchedTarget;
use lingo_core::rank::schedule::NoRoom;
use lingo_core::weights::WeightError;

use crate::checkpoint::{CheckpointError, OriginError};
use crate::config::ConfigError;
use crate::data::StoreError;
use crate::evaluate::EvaluateError;
use crate::metric::MetricName;
use crate::record::{LedgerError, RecordError};
use crate::saved::SavedError;
use crate::stop::StopCause;

/// Why a run cannot start or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A target names no matrix.
    #[error("adapter.targets: {0}")]
    Target(#[from] UnmatchedTarget),
    /// The rank schedule has no room.
    #[error(transparent)]
    Schedule(#[from] NoRoom),
    /// The data has fewer batches than one optimizer step needs.
    #[error(
        "{batches} batches of train.batch_size = {batch_size} do not fill one step of \
         train.gradient_accumulation = {accumulation}; lower one of the two"
    )]
    NoSteps {
        /// Batches of the whole run.
        batches: usize,
        /// Sequences a batch.
        batch_size: usize,
        /// Batches a step.
        accumulation: usize,
    },
    /// The metric that selects is undefined on dev.
    #[error(
        "{key} = \"{metric}\" is undefined on dev, where all examples are alike; choose another metric, or \
         give dev examples of more than one class, or for and against a label"
    )]
    UndefinedMetric {
        /// What asks for it.
        key: &'static str,
        /// The metric.
        metric: MetricName,
    },
    /// A model cannot be made.
    #[error(transparent)]
    Model(#[from] WeightError),
    /// The system gives no more threads.
    #[error("cannot start a thread for each part of a batch: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A file that the run is made of cannot be read for its record.
    #[error("cannot read {} to note what it holds: {source}", path.display())]
    Unrecorded {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A checkpoint cannot be gone on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tensors of a checkpoint do not fit the run.
    #[error("the checkpoint does not fit this run: {0}")]
    Unfit(burn::store::RecordError),
    /// A log stopped training.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The resolved configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The adapter cannot be written or read.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// Training failed.
    #[error("training failed after {steps} steps: {source}; {} keeps what was written before", dir.display())]
    Training {
        /// Optimizer steps taken.
        steps: u64,
        /// The run folder.
        dir: PathBuf,
        /// What the trainer says.
        source: Arc<burn::train::TrainingError>,
    },
    /// The backend gave up in the middle of a step.
    #[error(
        "the device failed: {message}; {} keeps what was written before, and `lingo train --resume` goes on from it",
        dir.display()
    )]
    Device {
        /// What the backend says.
        message: String,
        /// The run folder.
        dir: PathBuf,
    },
    /// The user killed the run in the dashboard.
    #[error(
        "killed in the dashboard; {} keeps what was written before, and `lingo train --resume` goes on from it",
        dir.display()
    )]
    Killed {
        /// The run folder.
        dir: PathBuf,
    },
    /// Training was stopped by the user.
    #[error(
        "stopped after {steps} of {total_steps} steps; go on with `lingo train --resume {}`; the adapter as it was is \
         in {}",
        dir.display(),
        dir.join("last").display()
    )]
    Interrupted {
        /// Who asked for it.
        cause: StopCause,
        /// Optimizer steps taken.
        steps: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// The run folder.
        dir: PathBuf,
    },
    /// Rank control did not do what the method says.
    #[error(
        "the ranks were to fall to {expected} but {found} are left: rank control did not run, and what was trained \
         is not {method}"
    )]
    RanksDidNotMove {
        /// n · bT.
        expected: usize,
        /// Triplets alive.
        found: usize,
        /// The method's name.
        method: &'static str,
    },
    /// It cannot be told what the run follows from.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The tokens of a large file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An evaluation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A checkpoint cannot be read back.
    #[error("cannot read back the checkpoint of step {step}: {reason}")]
    Restore {
        /// The optimizer step.
        step: u64,
        /// What is wrong.
        reason: String,
    },
}
