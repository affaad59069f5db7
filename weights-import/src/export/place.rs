//! Where the folder goes, and the temporary one that becomes it.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::ExportError;

/// Checks that `out` is free or, with `overwrite`, is a folder of none but the files `written`.
///
/// # Errors
/// If something is there that is not to be replaced.
pub fn check(
    source: &Path,
    out: &Path,
    overwrite: bool,
    written: &[&str],
) -> Result<(), ExportError> {
    if std::fs::symlink_metadata(out).is_err() {
        return Ok(());
    }
    let path = out.to_owned();
    // A source on the hub is nowhere yet.
    if let (Ok(from), Ok(to)) = (source.canonicalize(), out.canonicalize())
        && from.starts_with(&to)
    {
        return Err(ExportError::Source { path });
    }
    if out.is_symlink() || !out.is_dir() {
        return Err(ExportError::NoFolder { path });
    }
    if !overwrite {
        return Err(ExportError::Exists { path });
    }
    for entry in std::fs::read_dir(out).map_err(ExportError::io(out))? {
        let name = entry.map_err(ExportError::io(out))?.file_name();
        if !written.iter().any(|written| name == *written) {
            return Err(ExportError::Foreign {
                path,
                name: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

/// A folder beside the final one; it vanishes unless it is moved there.
pub struct Workshop {
    folder: TempDir,
    /// Held as long as the process lives, so that what others have left can be told.
    _lock: Option<File>,
}

impl Workshop {
    /// Makes it, and removes those that were left by processes which were stopped on their way to the same place.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn beside(out: &Path) -> Result<Self, ExportError> {
        let parent = parent(out);
        std::fs::create_dir_all(&parent).map_err(ExportError::io(&parent))?;
        remove_left(&parent, out);
        let folder = temporary(&parent, out)?;
        let lock = lock(folder.path());
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it the final folder; what was there is removed after.
    ///
    /// # Errors
    /// If it cannot be moved; what was there is there again.
    pub fn move_to(self, out: &Path) -> Result<(), ExportError> {
        let old = match out.exists() {
            true => {
                let old = temporary(&parent(out), out)?;
                std::fs::rename(out, old.path().join(OLD)).map_err(ExportError::io(out))?;
                Some(old)
            }
            false => None,
        };
        if let Err(source) = std::fs::rename(self.folder.path(), out) {
            if let Some(old) = old {
                // Both may fail for one reason; the first one is told.
                let _ = std::fs::rename(old.path().join(OLD), out);
            }
            return Err(ExportError::io(out)(source));
        }
        // It is no longer where it would be removed.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// What was in the place before, in a temporary folder.
const OLD: &str = "old";

/// Takes a folder, if nobody else has it; no file system must know how.
fn lock(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.try_lock().is_ok().then_some(folder)
}

/// Removes temporary folders for a place that nobody works in any more. Whether or not one can be removed: it takes room,
/// which is no reason not to go on. The only copy of what was in the place stays.
fn remove_left(parent: &Path, out: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    let prefix = prefix(out);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(&*prefix));
        let is_ours = random.is_some_and(|random| random.len() == RANDOM);
        let folder = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_last_copy = folder.join(OLD).exists() && !out.exists();
        if is_ours && is_folder && !is_last_copy && lock(&folder).is_some() {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Letters that tell temporary folders for a place apart.
const RANDOM: usize = 6;

/// How the names of temporary folders for a place begin.
fn prefix(out: &Path) -> String {
    let name = out.file_name().unwrap_or_default();
    format!(".lingo-{}-", name.to_string_lossy())
}

fn temporary(parent: &Path, out: &Path) -> Result<TempDir, ExportError> {
    let mut builder = Builder::new();
    let prefix = prefix(out);
    builder.prefix(&prefix).rand_bytes(RANDOM);
    // As any other folder, for others to read: temporary ones are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(parent).map_err(ExportError::io(parent))
}

fn parent(out: &Path) -> PathBuf {
    match out.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// As a process leaves it that is killed.
    fn left(workshop: Workshop) {
        let Workshop { folder, _lock } = workshop;
        let _ = folder.keep();
    }

    #[test]
    fn what_a_process_has_left_goes_when_the_next_one_comes_to_the_same_place() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        left(Workshop::beside(&out).unwrap());
        left(Workshop::beside(&folder.path().join("out-2")).unwrap());
        std::fs::create_dir(folder.path().join(".lingo-out-of-reach")).unwrap();
        std::fs::write(folder.path().join(".lingo-out-abcdef"), "a file").unwrap();
        assert_eq!(names(folder.path()).len(), 4);
        // One that is at work, too, is left alone.
        let first = Workshop::beside(&out).unwrap();
        let second = Workshop::beside(&out).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir());
        second.move_to(&out).unwrap();
        drop(first);
        let left = names(folder.path());
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(left[0].starts_with(".lingo-out-2-"), "{left:?}");
        assert_eq!(left[1..3], [".lingo-out-abcdef", ".lingo-out-of-reach"]);
        assert_eq!(left[3], "out");
    }

    #[test]
    fn the_last_copy_of_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let workshop = Workshop::beside(&out).unwrap();
        std::fs::create_dir(workshop.path().join(OLD)).unwrap();
        left(workshop);
        Workshop::beside(&out).unwrap().move_to(&out).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        // Now it is of no use.
        drop(Workshop::beside(&out).unwrap());
        assert_eq!(names(folder.path()), ["out"]);
    }
}
