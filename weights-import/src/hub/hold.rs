//! One process at a time for a content.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks at a lock that another process holds.
const PAUSE: Duration = Duration::from_secs(1);

/// The right to fetch a content.
#[derive(Debug)]
pub(super) enum Hold {
    /// Other processes wait until it is dropped.
    Locked(#[expect(dead_code, reason = "it is locked until it is closed")] File),
    /// The file system has no locks: other processes may fetch it at the same time.
    Shared,
}

impl Hold {
    /// Waits for the right to fetch a content, as long as another process takes; `waiting` hears of it once.
    pub(super) fn take(blob: &Path, waiting: impl FnOnce(&Path)) -> io::Result<Self> {
        let path = beside(blob, "lock");
        let file = File::create(&path)?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self::Locked(file)),
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&path);
                    }
                    std::thread::sleep(PAUSE);
                }
                // Network file systems say so in various ways.
                Err(TryLockError::Error(_)) => return Ok(Self::Shared),
            }
        }
    }

    /// Where the content arrives: with others at work each needs its own.
    pub(super) fn part(&self, blob: &Path) -> PathBuf {
        match self {
            Self::Locked(_) => beside(blob, "part"),
            Self::Shared => beside(blob, &format!("{}.part", std::process::id())),
        }
    }
}

/// A file that belongs to a content.
fn beside(blob: &Path, extension: &str) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_locks_each_process_has_its_own_part() {
        let folder = tempfile::tempdir().unwrap();
        let blob = folder.path().join("tag");
        let held = Hold::take(&blob, |_| panic!("nobody else is there")).unwrap();
        assert_eq!(held.part(&blob), folder.path().join("tag.part"));
        let own = Hold::Shared.part(&blob);
        let id = std::process::id().to_string();
        assert!(own.to_str().unwrap().contains(&id), "{own:?}");
        assert!(own.starts_with(folder.path()));
    }
}
