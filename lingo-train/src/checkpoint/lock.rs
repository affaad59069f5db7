//! One process at a time in a run folder.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{CheckpointError, FOLDER};

/// A run folder in use, until it is dropped or the process ends, however it does.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the run folder, whose folder of checkpoints exists.
    ///
    /// # Errors
    /// If another process has it, or nothing can be written there.
    pub fn take(run: &Path) -> Result<Self, CheckpointError> {
        let path = run.join(FOLDER).join("lock");
        let opened = File::options().create(true).append(true).open(&path);
        let file = opened.map_err(|source| CheckpointError::Save { path, source })?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse {
                dir: run.to_owned(),
            }),
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                let path = run.join(FOLDER);
                Err(CheckpointError::Save {
                    path,
                    source: error,
                })
            }
            _ => Ok(Self { _file: file }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_folder_is_taken_once_at_a_time() {
        let run = tempfile::tempdir().unwrap();
        std::fs::create_dir(run.path().join(FOLDER)).unwrap();
        let lock = RunLock::take(run.path()).unwrap();
        let error = RunLock::take(run.path()).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        drop(lock);
        RunLock::take(run.path()).unwrap();
    }
}
