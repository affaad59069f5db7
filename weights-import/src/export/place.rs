//! Where the folder goes, and the temporary one that becomes it.

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
}

impl Workshop {
    /// Makes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn beside(out: &Path) -> Result<Self, ExportError> {
        let folder = temporary(out)?;
        Ok(Self { folder })
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
                let old = temporary(out)?;
                let aside = old.path().join("old");
                std::fs::rename(out, aside).map_err(ExportError::io(out))?;
                Some(old)
            }
            false => None,
        };
        if let Err(source) = std::fs::rename(self.folder.path(), out) {
            if let Some(old) = old {
                // Both may fail for one reason; the first one is told.
                let _ = std::fs::rename(old.path().join("old"), out);
            }
            return Err(ExportError::io(out)(source));
        }
        // It is no longer where it would be removed.
        let _ = self.folder.keep();
        Ok(())
    }
}

fn temporary(out: &Path) -> Result<TempDir, ExportError> {
    let mut builder = Builder::new();
    builder.prefix(".lingo-");
    // As any other folder, for others to read: temporary ones are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let parent = parent(out);
    std::fs::create_dir_all(&parent).map_err(ExportError::io(&parent))?;
    builder
        .tempdir_in(&parent)
        .map_err(ExportError::io(&parent))
}

fn parent(out: &Path) -> PathBuf {
    match out.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
