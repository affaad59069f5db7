//! Why pretraining cannot start or does not end as it should.

use std::path::PathBuf;

use lingo_core::weights::WeightError;

use super::documents::CorpusError;
use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::record::RecordError;
use crate::stop::StopCause;

/// Why pretraining cannot start or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The training text is too short for a step, or the validation text for a prediction.
    #[error(
        "{} has {tokens} tokens, which are {blocks} blocks of {context} tokens (pretrain.context_tokens); a step takes \
         pretrain.batch_size = {batch_size} of them: give more text, or lower one of the two",
        path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Tokens of its stream.
        tokens: usize,
        /// Whole blocks of them.
        blocks: usize,
        /// Tokens of a block.
        context: usize,
        /// Blocks of a step.
        batch_size: usize,
    },
    /// The validation text has nothing to predict.
    #[error("{} has a single token: there is nothing to predict; give more text", path.display())]
    NothingToPredict {
        /// The file.
        path: PathBuf,
    },
    /// Blocks are longer than the model's longest input.
    #[error(
        "pretrain.context_tokens = {asked} is more than the model takes: max_position_embeddings is {longest} in its \
         config.json"
    )]
    Context {
        /// As asked for.
        asked: usize,
        /// What the model takes.
        longest: usize,
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
    /// A checkpoint cannot be saved or gone on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tensors of a checkpoint do not fit the run.
    #[error("the checkpoint does not fit this run: {0}")]
    Unfit(burn::store::RecordError),
    /// The resolved configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model cannot be written.
    #[error(transparent)]
    Export(Box<dyn std::error::Error + Send + Sync>),
    /// Too many steps in a row changed nothing.
    #[error(
        "the loss or the gradients of {skipped} steps in a row, up to step {step}, were not finite: training has \
         diverged. These steps changed nothing; lower pretrain.learning_rate. pretrain.max_skipped_steps = {skipped} \
         allows no more"
    )]
    Diverged {
        /// Steps in a row that were skipped.
        skipped: u64,
        /// The last of them.
        step: u64,
    },
    /// The backend gave up in the middle of a step.
    #[error(
        "the device failed: {message}; {} keeps what was written before, and `lingo pretrain --resume` goes on from it",
        dir.display()
    )]
    Device {
        /// What the backend says.
        message: String,
        /// The run folder.
        dir: PathBuf,
    },
    /// Training was stopped by the user.
    #[error(
        "stopped after {steps} of {total_steps} steps; {}",
        match steps {
            0 => "there is nothing to go on from, start it again with --overwrite".to_owned(),
            _ => format!("go on with `lingo pretrain --resume {}`", dir.display()),
        }
    )]
    Interrupted {
        /// Who asked for it.
        cause: StopCause,
        /// Steps taken.
        steps: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// The run folder.
        dir: PathBuf,
    },
}
