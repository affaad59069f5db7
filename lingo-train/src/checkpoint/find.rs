//! The newest checkpoint of a run folder that is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;

use super::kept::{Checkpoints, remove};
use super::{CheckpointError, Counts, FOLDER, MODEL, OPTIMIZER, Origin, SavedState, name, step_of};
use crate::record::RunState;

/// A checkpoint to go on from.
#[derive(Debug)]
pub struct Found<S = RunState> {
    /// The checkpoint without its tensors.
    pub state: SavedState<S>,
    /// What is wrong with newer ones.
    pub damaged: Vec<String>,
    /// What is wrong with those of evaluations that were the best: they can no longer be chosen.
    pub lost: Vec<String>,
    dir: std::path::PathBuf,
    /// Older ones, and what they know to be the best.
    older: Vec<(u64, Option<u64>)>,
}

/// Finds the newest checkpoint in a run folder that is whole; nothing is touched.
///
/// # Errors
/// If there is none, or another version of lingo wrote it.
pub fn find<S: Counts>(run: &Path) -> Result<Found<S>, CheckpointError> {
    let dir = run.join(FOLDER);
    let mut steps = steps_in(&dir).unwrap_or_default();
    steps.sort_unstable();
    let mut damaged = Vec::new();
    while let Some(step) = steps.pop() {
        match whole::<S>(run, &dir.join(name(step))) {
            Ok(state) => {
                let (older, lost) = older::<S>(&dir, steps, step, state.best);
                return Ok(Found {
                    state,
                    damaged,
                    lost,
                    dir,
                    older,
                });
            }
            Err(error @ CheckpointError::Format { .. }) => return Err(error),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    Err(CheckpointError::None {
        dir: run.to_owned(),
        damaged,
    })
}

/// Those of `steps` that are whole, with what they know to be the best, and what is wrong with those that the one behind
/// `newest` and they need for their best evaluations.
fn older<S: Counts>(
    dir: &Path,
    steps: Vec<u64>,
    newest: u64,
    best: Option<u64>,
) -> (Vec<(u64, Option<u64>)>, Vec<String>) {
    let read = |step: u64| -> Result<(u64, Option<u64>), CheckpointError> {
        let dir = dir.join(name(step));
        let state = SavedState::<S>::read(&dir)?;
        state.check_tensors(&dir)?;
        Ok((step, state.best))
    };
    let older: Vec<(u64, Option<u64>)> = steps
        .into_iter()
        .filter_map(|step| read(step).ok())
        .collect();
    let needed: BTreeSet<u64> = older
        .iter()
        .map(|(_, best)| *best)
        .chain([best])
        .flatten()
        .collect();
    let is_there = |step: u64| step == newest || older.iter().any(|(older, _)| *older == step);
    let missing = needed.into_iter().filter(|step| !is_there(*step));
    let lost = missing
        .filter_map(|step| read(step).err())
        .map(|error| error.to_string());
    let lost = lost.collect();
    (older, lost)
}

impl<S: Counts> Found<S> {
    /// The tensors of the checkpoint: of the model and of the optimizer.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn tensors(&self) -> Result<(ModuleRecord, OptimizerRecord), CheckpointError> {
        let dir = self.dir.join(name(self.state.run.steps()));
        let (model, optimizer) = (dir.join(MODEL), dir.join(OPTIMIZER));
        Ok((
            ModuleRecord::load(&model).map_err(|source| CheckpointError::Tensors {
                path: model,
                source,
            })?,
            OptimizerRecord::load(&optimizer).map_err(|source| CheckpointError::Tensors {
                path: optimizer,
                source,
            })?,
        ))
    }

    /// Removes what is no whole checkpoint, and goes on behind this one, as a run of this `origin`.
    pub fn go_on(self, origin: Origin) -> Checkpoints<S> {
        let step = self.state.run.steps();
        let is_kept = |name: &str| {
            step_of(name).is_some_and(|found| {
                found == step || self.older.iter().any(|(older, _)| *older == found)
            })
        };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("step-") && !is_kept(name))
            {
                remove(&entry.path());
            }
        }
        let mut kept = self.older;
        kept.push((step, self.state.best));
        Checkpoints::going_on(self.dir, origin, kept, self.state)
    }
}

fn steps_in(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut steps = Vec::new();
    for entry in fs::read_dir(dir)? {
        steps.extend(entry?.file_name().to_str().and_then(step_of));
    }
    Ok(steps)
}

/// The state of a checkpoint, all parts of which are as they were written, the logs of the run included.
fn whole<S: Counts>(run: &Path, dir: &Path) -> Result<SavedState<S>, CheckpointError> {
    let state = SavedState::read(dir)?;
    state.check_tensors(dir)?;
    match state.logs.missing(run) {
        Some(problem) => Err(CheckpointError::Damaged {
            path: dir.to_owned(),
            problem,
        }),
        None => Ok(state),
    }
}
