//! Saving checkpoints, and which of them are kept.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::store::{ModuleRecord, RecordError};

use super::state::Part;
use super::{CheckpointError, Counts, MODEL, OPTIMIZER, Origin, STATE, SavedState, Snapshot, name};
use crate::record::{LogLengths, RunState, sync_folder, write_atomically};

/// The checkpoints of a run: the two newest, and for each of them that of the best evaluation it knows of. Older
/// ones go once a newer one is whole; where saving fails, nothing goes.
#[derive(Debug)]
pub struct Checkpoints<S = RunState> {
    dir: PathBuf,
    origin: Origin,
    /// Step and best step of those that are there, by step.
    kept: Vec<(u64, Option<u64>)>,
    newest: Option<SavedState<S>>,
}

impl<S: Counts> Checkpoints<S> {
    /// The checkpoints of a run that begins, in the folder `dir`, which exists.
    pub fn new(dir: PathBuf, origin: Origin) -> Self {
        Self {
            dir,
            origin,
            kept: Vec::new(),
            newest: None,
        }
    }

    /// The checkpoints of a run that goes on from `newest`; `kept` are all that are whole, by step.
    pub(super) fn going_on(
        dir: PathBuf,
        origin: Origin,
        kept: Vec<(u64, Option<u64>)>,
        newest: SavedState<S>,
    ) -> Self {
        Self {
            dir,
            origin,
            kept,
            newest: Some(newest),
        }
    }

    /// Saves the state behind a step, as the logs have it too.
    ///
    /// # Errors
    /// If something cannot be written; the checkpoints before are then untouched.
    pub fn save(
        &mut self,
        snapshot: Snapshot,
        run: &S,
        best: Option<u64>,
        logs: LogLengths,
    ) -> Result<(), CheckpointError> {
        let step = snapshot.step;
        let path = self.path(step);
        let partial = path.with_extension("partial");
        let saved = self
            .write(&partial, snapshot, run, best, logs)
            .and_then(|state| {
                let placed = fs::rename(&partial, &path).and_then(|()| sync_folder(&self.dir));
                placed.map_err(|source| save_error(&path, source))?;
                Ok(state)
            })
            .inspect_err(|_| {
                // Half a checkpoint is of no use, and the disk may be full. The error is what is reported.
                let _ = fs::remove_dir_all(&partial);
            })?;
        self.newest = Some(saved);
        self.kept.push((step, best));
        self.tidy();
        Ok(())
    }

    fn write(
        &self,
        partial: &Path,
        snapshot: Snapshot,
        run: &S,
        best: Option<u64>,
        logs: LogLengths,
    ) -> Result<SavedState<S>, CheckpointError> {
        let failed = |source| save_error(partial, source);
        fs::create_dir(partial).map_err(failed)?;
        let Snapshot {
            train_secs,
            model,
            optimizer,
            ..
        } = snapshot;
        let state = SavedState {
            origin: self.origin.clone(),
            run: run.clone(),
            best,
            logs,
            train_secs,
            model: tensors(&partial.join(MODEL), |path| model.save(path))?,
            optimizer: tensors(&partial.join(OPTIMIZER), |path| optimizer.save(path))?,
        };
        let content = state.to_bytes().map_err(failed)?;
        write_atomically(&partial.join(STATE), &content)?;
        Ok(state)
    }

    /// Adds to the newest checkpoint what an evaluation behind the same step has brought.
    ///
    /// # Errors
    /// If it cannot be written; the checkpoint is then as it was.
    pub fn evaluated(
        &mut self,
        run: &S,
        best: Option<u64>,
        logs: LogLengths,
    ) -> Result<(), CheckpointError> {
        let newest = self
            .newest
            .take()
            .filter(|newest| newest.run.steps() == run.steps());
        let Some(newest) = newest else {
            return Ok(());
        };
        let (run, path) = (run.clone(), self.path(run.steps()));
        let state = SavedState {
            run,
            best,
            logs,
            ..newest
        };
        let content = state
            .to_bytes()
            .map_err(|source| save_error(&path, source))?;
        write_atomically(&path.join(STATE), &content)?;
        if let Some(kept) = self.kept.last_mut() {
            kept.1 = best;
        }
        self.newest = Some(state);
        self.tidy();
        Ok(())
    }

    /// The trained tensors behind a step, if they are there as they were saved.
    ///
    /// # Errors
    /// If not.
    pub fn model(&self, step: u64) -> Result<ModuleRecord, CheckpointError> {
        let dir = self.path(step);
        SavedState::<S>::read(&dir)?.check_model(&dir)?;
        let path = dir.join(MODEL);
        ModuleRecord::load(&path).map_err(|source| CheckpointError::Tensors { path, source })
    }

    /// Whether there is a checkpoint behind this step.
    pub fn hold(&self, step: u64) -> bool {
        self.kept.iter().any(|(kept, _)| *kept == step)
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir.join(name(step))
    }

    /// Removes what is kept no longer.
    fn tidy(&mut self) {
        let stay = staying(&self.kept);
        let go: Vec<u64> = self.kept.iter().map(|kept| kept.0).collect();
        for step in go.into_iter().filter(|step| !stay.contains(step)) {
            remove(&self.path(step));
        }
        self.kept.retain(|(step, _)| stay.contains(step));
    }
}

/// The steps of the two newest of these checkpoints, and of the best evaluations that they know of.
fn staying(kept: &[(u64, Option<u64>)]) -> BTreeSet<u64> {
    let newest = kept.iter().rev().take(2);
    newest
        .flat_map(|(step, best)| [Some(*step), *best])
        .flatten()
        .collect()
}

/// Removes a checkpoint. One that cannot be removed takes room, which is no reason to end a run.
pub(super) fn remove(path: &Path) {
    // What has no state any more is none, however much of it is left.
    let _ = fs::remove_file(path.join(STATE));
    let _ = fs::remove_dir_all(path);
}

/// Saves a record and syncs it.
fn tensors(
    path: &Path,
    save: impl FnOnce(&Path) -> Result<(), RecordError>,
) -> Result<Part, CheckpointError> {
    save(path).map_err(|source| CheckpointError::SaveTensors {
        path: path.to_owned(),
        source,
    })?;
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced
        .and_then(|()| Part::of(path))
        .map_err(|source| save_error(path, source))
}

fn save_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Save {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
