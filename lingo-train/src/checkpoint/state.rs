//! `state.mpk`: all of a checkpoint but tensors, and what its tensors must be like.

use std::fs::File;
use std::io;
use std::path::Path;

use blake3::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CheckpointError, MODEL, OPTIMIZER, Origin, STATE};
use crate::record::{LogLengths, RunState};

/// The version of the format that is written, and the only one that is read.
pub(super) const FORMAT: u32 = 1;

/// What the logs of a run have counted, which its checkpoints hold.
pub trait Counts: Clone + Serialize + DeserializeOwned {
    /// Optimizer steps taken.
    fn steps(&self) -> u64;
}

impl Counts for RunState {
    fn steps(&self) -> u64 {
        self.steps
    }
}

/// A checkpoint without its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedState<S = RunState> {
    /// What the run follows from.
    pub origin: Origin,
    /// What the logs have counted.
    pub run: S,
    /// The step of the best evaluation so far.
    pub best: Option<u64>,
    /// How long the logs were.
    pub logs: LogLengths,
    /// Seconds spent in training steps.
    pub train_secs: f64,
    pub(super) model: Part,
    pub(super) optimizer: Part,
}

/// Who wrote a state, and how: read before all else.
#[derive(Serialize, Deserialize)]
struct Writer {
    format: u32,
    version: String,
}

/// A file of a checkpoint, as it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    bytes: u64,
    blake3: String,
}

impl Part {
    /// A file as it is.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(Self {
            bytes: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Whether the file is still as it was written.
    fn check(&self, path: &Path) -> Result<(), CheckpointError> {
        let found = Self::of(path).map_err(|source| CheckpointError::Read {
            path: path.to_owned(),
            source,
        })?;
        let problem = if found.bytes != self.bytes {
            format!("has {} bytes, {} were written", found.bytes, self.bytes)
        } else if found.blake3 != self.blake3 {
            "is damaged: its checksum is not the one it was written with".to_owned()
        } else {
            return Ok(());
        };
        let path = path.to_owned();
        Err(CheckpointError::Damaged { path, problem })
    }
}

impl<S: Counts> SavedState<S> {
    /// The state as a file's content: a checksum of the rest, who wrote it, and the state.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let writer = Writer {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut rest = rmp_serde::to_vec_named(&writer).map_err(io::Error::other)?;
        rest.extend(rmp_serde::to_vec_named(self).map_err(io::Error::other)?);
        Ok([blake3::hash(&rest).as_bytes().as_slice(), &rest].concat())
    }

    /// Reads the state of the checkpoint in `dir`.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or another version wrote it.
    pub(super) fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let path = dir.join(STATE);
        let bytes = std::fs::read(&path).map_err(|source| CheckpointError::Read {
            path: path.clone(),
            source,
        })?;
        let damaged = |problem: &str| CheckpointError::Damaged {
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let (checksum, mut rest) = bytes
            .split_first_chunk::<32>()
            .ok_or_else(|| damaged("is not complete"))?;
        if blake3::hash(rest) != Hash::from_bytes(*checksum) {
            return Err(damaged(
                "is damaged: its checksum is not the one it was written with",
            ));
        }
        let writer: Writer =
            rmp_serde::from_read(&mut rest).map_err(|error| damaged(&format!(": {error}")))?;
        if writer.format != FORMAT {
            return Err(CheckpointError::Format {
                path: path.clone(),
                version: writer.version,
                found: writer.format,
                expected: FORMAT,
            });
        }
        rmp_serde::from_read(rest).map_err(|error| damaged(&format!(": {error}")))
    }

    /// Whether the tensors in `dir` are those that were saved with this state.
    pub(super) fn check_tensors(&self, dir: &Path) -> Result<(), CheckpointError> {
        self.model.check(&dir.join(MODEL))?;
        self.optimizer.check(&dir.join(OPTIMIZER))
    }

    /// Whether the trained tensors alone are.
    pub(super) fn check_model(&self, dir: &Path) -> Result<(), CheckpointError> {
        self.model.check(&dir.join(MODEL))
    }
}
