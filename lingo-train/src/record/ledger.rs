//! What is known of a run while it runs: shared by the logs, the checkpoint strategy and the report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{RecordError, RecordFiles};
use super::state::{Evaluation, RunState};
use crate::metric::{MetricError, MetricName};
use burn::train::Interrupter;

/// The state of a run, and what it is written to.
pub struct Ledger {
    files: RecordFiles,
    interrupter: Interrupter,
    select_by: MetricName,
    eligible_from: u64,
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
    /// An evaluation gave nothing that can be scored.
    #[error("evaluation on dev: {0}")]
    Metric(#[from] MetricError),
}

/// A [`Ledger`] in several hands.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// The ledger, whoever has failed while holding it.
pub fn lock(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A ledger before the first step; evaluations count for selection by `select_by` from step `eligible_from` on.
    /// A failure to write stops training through `interrupter`.
    pub fn new(
        files: RecordFiles,
        interrupter: Interrupter,
        select_by: MetricName,
        eligible_from: u64,
        active: Option<usize>,
    ) -> SharedLedger {
        Arc::new(Mutex::new(Self {
            files,
            interrupter,
            select_by,
            eligible_from,
            state: RunState {
                active,
                ..RunState::default()
            },
            failure: None,
        }))
    }

    /// Whether an evaluation at the present step may be chosen.
    pub fn eligible(&self) -> bool {
        self.state.steps >= self.eligible_from
    }

    /// The best eligible evaluation so far among those that `counts` admits; of equals, the first. One whose metric
    /// is undefined is only better than none.
    pub fn best(&self, counts: impl Fn(&Evaluation) -> bool) -> Option<&Evaluation> {
        let value = |e: &Evaluation| e.scores.get(self.select_by).unwrap_or(f64::NAN);
        let eligible = self
            .state
            .evaluations
            .iter()
            .filter(|e| e.eligible && counts(e));
        eligible.reduce(
            |best, e| match self.select_by.is_better(value(e), value(best)) {
                true => e,
                false => best,
            },
        )
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metric::Scores;

    fn ledger(select_by: MetricName, evaluations: &[(f64, bool)]) -> SharedLedger {
        let dir = tempfile::tempdir().unwrap();
        let files = RecordFiles::create(dir.path(), &[]).unwrap();
        let ledger = Ledger::new(files, Interrupter::new(), select_by, 0, None);
        let of = |(i, (value, eligible)): (usize, &(f64, bool))| Evaluation {
            round: i + 1,
            step: i as u64,
            elapsed_secs: 0.0,
            flops: 0.0,
            flops_adjusted_step: 0.0,
            eligible: *eligible,
            scores: Scores {
                mcc: *value,
                loss: *value,
                ..Scores::from_logits(&[0.0, 0.0], 2, &[0]).unwrap()
            },
        };
        lock(&ledger).state.evaluations = evaluations.iter().enumerate().map(of).collect();
        ledger
    }

    #[test]
    fn the_best_is_eligible_the_first_of_equals_and_in_the_metrics_own_direction() {
        let evaluations = [
            (0.9, false),
            (0.3, true),
            (0.5, true),
            (0.5, true),
            (0.1, true),
        ];
        let best = |select_by, counts: fn(&Evaluation) -> bool| {
            let ledger = ledger(select_by, &evaluations);
            lock(&ledger).best(counts).map(|best| best.round)
        };
        assert_eq!(best(MetricName::Mcc, |_| true), Some(3));
        assert_eq!(best(MetricName::Loss, |_| true), Some(5));
        // One that has no checkpoint cannot be restored.
        assert_eq!(best(MetricName::Mcc, |e| e.round != 3), Some(4));
        assert_eq!(best(MetricName::Mcc, |_| false), None);
        // One class alone has no AUROC: undefined, which is better than nothing.
        assert_eq!(best(MetricName::Auroc, |_| true), Some(2));
    }
}
