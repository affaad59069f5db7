//! One process at a time in a run folder.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::CheckpointError;

/// Its file in the run folder, which is never removed: who holds it holds the folder.
pub const LOCK_FILE: &str = "lock";

/// A run folder in use, until it is dropped or the process ends, however it does.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
    is_held: bool,
}

impl RunLock {
    /// Takes the run folder, which exists.
    ///
    /// # Errors
    /// If another process has it, or nothing can be written there.
    pub fn take(run: &Path) -> Result<Self, CheckpointError> {
        let path = run.join(LOCK_FILE);
        let opened = File::options().create(true).append(true).open(&path);
        let failed = |source| CheckpointError::Lock { path, source };
        let file = match opened {
            Ok(file) => file,
            Err(source) => return Err(failed(source)),
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse {
                dir: run.to_owned(),
            }),
            // It is said, and better than no run.
            Err(TryLockError::Error(source)) if source.kind() != ErrorKind::Unsupported => {
                Err(failed(source))
            }
            locked => Ok(Self {
                _file: file,
                is_held: locked.is_ok(),
            }),
        }
    }

    /// Whether it keeps others out; some network file systems know no locks.
    pub fn is_held(&self) -> bool {
        self.is_held
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_folder_is_taken_once_at_a_time() {
        let run = tempfile::tempdir().unwrap();
        let lock = RunLock::take(run.path()).unwrap();
        assert!(lock.is_held());
        let error = RunLock::take(run.path()).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        drop(lock);
        RunLock::take(run.path()).unwrap();
    }
}
