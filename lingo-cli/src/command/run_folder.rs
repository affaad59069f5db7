//! The folder that a run goes to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lingo_train::checkpoint::{Found, LOCK_FILE, RunLock};
use lingo_train::config::tidy;

use crate::args::RunArgs;

/// The folder that is asked for, first on the command line, then in the run file; else one named after the run files.
pub fn run_folder(out: Option<&PathBuf>, dir: Option<&PathBuf>, run: &RunArgs) -> PathBuf {
    out.or(dir).cloned().unwrap_or_else(|| {
        let stems = run.files.iter().filter_map(|file| file.file_stem());
        let stems: Vec<_> = stems.map(|stem| stem.to_string_lossy()).collect();
        Path::new("runs").join(stems.join("-"))
    })
}

/// Where a run begins; `F` is what a checkpoint of its kind is found as.
pub enum Start<F = Found> {
    /// At its first step, in a folder that is held if it was there.
    New {
        /// Whether a run that is there is replaced.
        overwrite: bool,
        /// The folder.
        lock: Option<RunLock>,
    },
    /// At a checkpoint, in a folder that is held.
    Found(Box<F>, RunLock),
}

/// The place of a run folder, as its resolved file has it, so that repeating the run does not write elsewhere.
pub fn place(dir: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(dir);
    let path = path.with_context(|| format!("cannot use {}", dir.display()))?;
    Ok(match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => tidy(parent.to_owned()).join(name),
        _ => path,
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
        let (mut empty, mut is_run) = (true, false);
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
            let (name, is_dir) = (entry.file_name(), entry.path().is_dir());
            if name == LOCK_FILE {
                is_run = true;
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
        if !empty && !is_run {
            bail!(
                "{} holds files of the names that a run writes, but there is no file {LOCK_FILE}, which every run leaves: \
                 whether they are a run's is not known; choose another folder with --out, or remove this one yourself",
                dir.display()
            );
        }
        if !empty && !overwrite {
            bail!(
                "{} holds a run already; choose another folder with --out, or replace it with --overwrite",
                dir.display()
            );
        }
        Ok(())
    }

    /// A run from its first step, in a folder that is checked to be free for it; `sources` are what it is made of.
    pub fn begin<F>(&self, dir: &Path, overwrite: bool, sources: &[&Path]) -> Result<Start<F>> {
        self.check(dir, overwrite)?;
        check_sources(dir, sources)?;
        // Taken at once where it is there; another is made once there is something to put into it.
        let lock = dir.is_dir().then(|| RunLock::take(dir)).transpose()?;
        Ok(Start::New { overwrite, lock })
    }

    /// Holds the folder of a run, empty if it is a new one, and gives the checkpoint to go on from if there is one.
    pub fn enter<F>(&self, dir: &Path, start: Start<F>) -> Result<(Option<F>, RunLock)> {
        let (found, lock) = match start {
            Start::Found(found, lock) => (Some(*found), lock),
            Start::New { overwrite, lock } => (None, self.make(dir, overwrite, lock)?),
        };
        if !lock.is_held() {
            note!(
                "note        {} is on a file system without locks: nothing keeps another process from writing there too",
                dir.display()
            );
        }
        Ok((found, lock))
    }

    /// Makes an empty run folder, and holds it. Another process may have made it since it was looked for.
    fn make(&self, dir: &Path, overwrite: bool, lock: Option<RunLock>) -> Result<RunLock> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let lock = match lock {
            Some(lock) => lock,
            None => {
                self.check(dir, overwrite)?;
                RunLock::take(dir)?
            }
        };
        self.check(dir, overwrite)?;
        self.clear(dir)?;
        Ok(lock)
    }

    /// Empties a run folder, but for its lock; what is there has been checked to be a run.
    pub fn clear(&self, dir: &Path) -> Result<()> {
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

/// Refuses to replace a folder that holds what the new run is made of.
fn check_sources(dir: &Path, sources: &[&Path]) -> Result<()> {
    let Ok(folder) = dir.canonicalize() else {
        return Ok(());
    };
    // A model of the hub is no path.
    let is_inside = |source: &&&Path| {
        let source = source.canonicalize();
        source.is_ok_and(|source| source.starts_with(&folder))
    };
    if let Some(source) = sources.iter().find(is_inside) {
        bail!(
            "{} is what the run is to be made of, and would be removed with {}; choose another folder with --out",
            source.display(),
            dir.display()
        );
    }
    Ok(())
}
