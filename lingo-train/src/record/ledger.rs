//! What is known of a run while it runs: shared by the logs, early stopping and the report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::train::Interrupter;

use super::files::{RecordError, RecordFiles};
use super::state::{Evaluation, RunState};
use crate::checkpoint::{CheckpointError, Checkpoints, Snapshot};
use crate::metric::{MetricError, MetricName};
use crate::stopping::Stopping;

/// What decides how a run is selected from, and when it ends before its last step.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The metric that selects.
    pub select_by: MetricName,
    /// The step from which on evaluations count.
    pub eligible_from: u64,
    /// When no more training is needed.
    pub stopping: Stopping,
    /// Steps in a row that may be skipped because something was not finite; 0 for any number.
    pub max_skipped_steps: u64,
}

/// The state of a run, and what it is written to.
pub struct Ledger {
    files: RecordFiles,
    checkpoints: Checkpoints,
    interrupter: Interrupter,
    rules: Rules,
    /// What was done so far.
    pub state: RunState,
    /// What stopped training from within the logs.
    pub failure: Option<LedgerError>,
}

/// What ends a run from within its logs.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The state cannot be saved.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An evaluation gave nothing that can be scored.
    #[error("evaluation on dev: {0}")]
    Metric(#[from] MetricError),
    /// Too many steps in a row changed nothing.
    #[error(
        "the loss or the gradients of {skipped} steps in a row, up to step {step}, were not finite: training has \
         diverged. These steps changed nothing, so that the weights are those of step {}; lower train.learning_rate \
         or set train.max_grad_norm = 1. train.max_skipped_steps = {skipped} allows no more",
        step - skipped
    )]
    Diverged {
        /// Steps in a row that were skipped.
        skipped: u64,
        /// The last of them.
        step: u64,
    },
    /// An allocation of ranks was due and did not come.
    #[error(
        "an allocation of ranks was due at step {step} and did not happen: rank control does not run, and what is \
         trained is not what adapter.method says; this is a fault of lingo, please report it"
    )]
    NoAllocation {
        /// The step.
        step: u64,
    },
}

/// A [`Ledger`] in several hands.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// The ledger, whoever has failed while holding it.
pub fn lock(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A ledger that goes on from `state`; what fails stops training through `interrupter`.
    pub fn new(
        files: RecordFiles,
        checkpoints: Checkpoints,
        interrupter: Interrupter,
        rules: Rules,
        state: RunState,
    ) -> SharedLedger {
        Arc::new(Mutex::new(Self {
            files,
            checkpoints,
            interrupter,
            rules,
            state,
            failure: None,
        }))
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Whether an evaluation at the present step may be chosen.
    pub fn eligible(&self) -> bool {
        self.state.steps >= self.rules.eligible_from
    }

    /// The best eligible evaluation so far among those that `counts` admits; of equals, the first. One whose metric
    /// is undefined is only better than none.
    pub fn best(&self, counts: impl Fn(&Evaluation) -> bool) -> Option<&Evaluation> {
        let by = self.rules.select_by;
        let value = |e: &Evaluation| e.scores.get(by).unwrap_or(f64::NAN);
        let eligible = self.state.evaluations.iter();
        let eligible = eligible.filter(|e| e.eligible && counts(e));
        eligible.reduce(|best, e| match by.is_better(value(e), value(best)) {
            true => e,
            false => best,
        })
    }

    /// Whether early stopping ends the run behind the last evaluation.
    pub fn stops_early(&self) -> bool {
        let stopping = self.rules.stopping;
        let eligible = self.state.evaluations.iter().filter(|e| e.eligible);
        stopping.is_due(eligible.map(|e| e.scores.get(stopping.metric).unwrap_or(f64::NAN)))
    }

    /// Counts a step that changed something, or nothing; too many of the latter in a row stop training.
    pub(super) fn count_step(&mut self, finite: bool) {
        let state = &mut self.state;
        state.steps += 1;
        if finite {
            state.skipped_in_a_row = 0;
            return;
        }
        state.skipped += 1;
        state.skipped_in_a_row += 1;
        let (skipped, step) = (state.skipped_in_a_row, state.steps);
        if skipped == self.rules.max_skipped_steps {
            self.fail(LedgerError::Diverged { skipped, step });
        }
    }

    /// Saves the state behind the present step.
    pub(super) fn save(&mut self, snapshot: Snapshot) {
        self.checkpoint(|checkpoints, run, best, logs| checkpoints.save(snapshot, run, best, logs));
    }

    /// Records an evaluation behind the present step, and adds it to the checkpoint there.
    pub(super) fn evaluated(&mut self, evaluation: Evaluation) {
        self.write(|files| files.evaluation(&evaluation));
        self.state.evaluations.push(evaluation);
        self.checkpoint(Checkpoints::evaluated);
    }

    fn checkpoint(
        &mut self,
        save: impl FnOnce(
            &mut Checkpoints,
            &RunState,
            Option<u64>,
            super::LogLengths,
        ) -> Result<(), CheckpointError>,
    ) {
        if self.failure.is_some() {
            return;
        }
        // One whose checkpoint was lost can no longer be chosen.
        let is_held = |evaluation: &Evaluation| self.checkpoints.hold(evaluation.step);
        let best = self.best(is_held).map(|best| best.step);
        let saved = match self.files.sync() {
            Ok(logs) => save(&mut self.checkpoints, &self.state, best, logs).map_err(Into::into),
            Err(error) => Err(LedgerError::from(error)),
        };
        if let Err(error) = saved {
            self.fail(error);
        }
    }

    /// Writes to the record; on the first failure training is told to stop.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut RecordFiles) -> Result<(), RecordError>,
    ) {
        if self.failure.is_none()
            && let Err(failure) = write(&mut self.files)
        {
            self.fail(failure.into());
        }
    }

    /// Tells training to stop; the first failure is kept.
    pub(super) fn fail(&mut self, failure: LedgerError) {
        self.interrupter.stop(Some(&failure.to_string()));
        self.failure.get_or_insert(failure);
    }
}

#[cfg(test)]
mod tests;
