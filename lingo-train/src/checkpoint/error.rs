//! Why a checkpoint cannot be saved or gone on from.

use std::io;
use std::path::PathBuf;

use burn::store::RecordError;

use crate::record;

/// Why a checkpoint cannot be saved or gone on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A part of a checkpoint cannot be written.
    #[error("cannot save the checkpoint {}: {source}; the ones before it are kept", path.display())]
    Save {
        /// The checkpoint.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Tensors cannot be written.
    #[error("cannot save the checkpoint {}: {source}; the ones before it are kept", path.display())]
    SaveTensors {
        /// The file.
        path: PathBuf,
        /// What Burn says.
        source: RecordError,
    },
    /// Tensors cannot be read.
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What Burn says.
        source: RecordError,
    },
    /// The folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in a checkpoint is not as it was written.
    #[error("{} {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No checkpoint can be gone on from.
    #[error(
        "{} holds no whole checkpoint to go on from{}; start the run anew with `lingo train {} --overwrite`",
        dir.display(),
        list(damaged),
        dir.join("config.toml").display()
    )]
    None {
        /// The run folder.
        dir: PathBuf,
        /// What is wrong with those that are there.
        damaged: Vec<String>,
    },
    /// Another version of lingo wrote it, in another form.
    #[error(
        "{}: lingo {version} wrote this checkpoint, in format {found}; this version reads {expected}: resume with \
         that version, or start the run anew with --overwrite",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version that wrote it.
        version: String,
        /// Its format.
        found: u32,
        /// The one that can be read.
        expected: u32,
    },
    /// The run would not be the one that was begun.
    #[error(
        "{} cannot be resumed, its run would not be the one that was begun:{}",
        dir.display(),
        list(differences)
    )]
    Differs {
        /// The run folder.
        dir: PathBuf,
        /// Each difference.
        differences: Vec<String>,
    },
    /// The run folder cannot be taken.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process is at work in the run folder.
    #[error("{} is in use by another lingo; wait for it or stop it first", dir.display())]
    InUse {
        /// The run folder.
        dir: PathBuf,
    },
    /// A log cannot be continued.
    #[error(transparent)]
    Record(#[from] record::RecordError),
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
