//! The folder that a run goes to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lingo_train::checkpoint::{LOCK_FILE, RunLock};

use crate::args::RunArgs;

/// The folder that is asked for, first on the command line, then in the run file; else one named after the run files.
pub fn run_folder(out: Option<&PathBuf>, dir: Option<&PathBuf>, run: &RunArgs) -> PathBuf {
    out.or(dir).cloned().unwrap_or_else(|| {
        let stems = run.files.iter().filter_map(|file| file.file_stem());
        let stems: Vec<_> = stems.map(|stem| stem.to_string_lossy()).collect();
        Path::new("runs").join(stems.join("-"))
    })
}

/// What a kind of run writes: nothing else is ever removed.
pub struct Written {
    /// Files.
    pub files: &'static [&'static str],
    /// Folders.
    pub folders: &'static [&'static str],
}

impl Written {
    /// Whether the run folder may be used; nothing is touched yet.
    pub fn check(&self, dir: &Path, overwrite: bool) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        let entries = std::fs::read_dir(dir)
            .with_context(|| format!("cannot use {} as run folder", dir.display()))?;
        let mut empty = true;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
            let (name, is_dir) = (entry.file_name(), entry.path().is_dir());
            if name == LOCK_FILE {
                continue;
            }
            let ours = if is_dir { self.folders } else { self.files };
            if !ours.iter().any(|ours| name == *ours) {
                bail!(
                    "{} exists and holds {}, which no run has written; choose another folder with --out",
                    dir.display(),
                    Path::new(&name).display()
                );
            }
            empty = false;
        }
        if !empty && !overwrite {
            bail!(
                "{} holds a run already; choose another folder with --out, or replace it with --overwrite",
                dir.display()
            );
        }
        Ok(())
    }

    /// Makes an empty run folder, and holds it. Another process may have made it since it was looked for.
    pub fn make(&self, dir: &Path, overwrite: bool, lock: Option<RunLock>) -> Result<RunLock> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let lock = match lock {
            Some(lock) => lock,
            None => RunLock::take(dir)?,
        };
        self.check(dir, overwrite)?;
        self.clear(dir)?;
        Ok(lock)
    }

    /// Empties a run folder, but for its lock; what is there has been checked to be a run.
    fn clear(&self, dir: &Path) -> Result<()> {
        let files = self.files.iter();
        let files = files.map(|name| std::fs::remove_file(dir.join(name)));
        let folders = self.folders.iter();
        let folders = folders.map(|name| std::fs::remove_dir_all(dir.join(name)));
        for removed in files.chain(folders) {
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot clear {}", dir.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Says so where a lock keeps nobody out.
pub fn warn_of_sharing(lock: &RunLock, dir: &Path) {
    if !lock.is_held() {
        note!(
            "note        {} is on a file system without locks: nothing keeps another process from writing there too",
            dir.display()
        );
    }
}
