//! What is known of a run while it runs: shared by the logs, the checkpoint strategy and the report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::train::Interrupter;
use serde::Serialize;

use super::files::{RecordError, RecordFiles};
use crate::metric::{MetricError, MetricName, Scores};

/// One evaluation on dev.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Its number, counted from 1.
    pub round: usize,
    /// Optimizer steps before it.
    pub step: u64,
    /// Seconds of training before it.
    pub elapsed_secs: f64,
    /// Whether the ranks were fixed, so that it may be chosen.
    pub eligible: bool,
    /// The metrics.
    pub scores: Scores,
}

/// An [`Evaluation`] as a row.
#[derive(Serialize)]
pub(super) struct EvaluationLine {
    round: usize,
    step: u64,
    elapsed_secs: f64,
    eligible: bool,
    loss: f64,
    accuracy: f64,
    mcc: f64,
    f1: f64,
    precision: f64,
    recall: f64,
    auroc: Option<f64>,
    auprc: Option<f64>,
    brier: f64,
}

impl Evaluation {
    pub(super) fn line(&self) -> EvaluationLine {
        let scores = &self.scores;
        EvaluationLine {
            round: self.round,
            step: self.step,
            elapsed_secs: self.elapsed_secs,
            eligible: self.eligible,
            loss: scores.loss,
            accuracy: scores.accuracy,
            mcc: scores.mcc,
            f1: scores.f1,
            precision: scores.precision,
            recall: scores.recall,
            auroc: scores.auroc,
            auprc: scores.auprc,
            brier: scores.brier,
        }
    }
}

/// The state of a run.
pub struct Ledger {
    files: RecordFiles,
    interrupter: Interrupter,
    select_by: MetricName,
    eligible_from: u64,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Of those, steps that changed nothing because the gradients were not finite.
    pub skipped: u64,
    /// Tokens trained on, padding not counted.
    pub tokens: u64,
    /// All evaluations.
    pub evaluations: Vec<Evaluation>,
    /// Triplets that came back after an allocation had pruned them, over all allocations.
    pub returned: usize,
    /// Triplets alive after the newest allocation.
    pub active: Option<usize>,
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
            steps: 0,
            skipped: 0,
            tokens: 0,
            evaluations: Vec::new(),
            returned: 0,
            active,
            failure: None,
        }))
    }

    /// Whether an evaluation at the present step may be chosen.
    pub fn eligible(&self) -> bool {
        self.steps >= self.eligible_from
    }

    /// The best eligible evaluation so far among those that `counts` admits; of equals, the first. One whose metric
    /// is undefined is only better than none.
    pub fn best(&self, counts: impl Fn(&Evaluation) -> bool) -> Option<&Evaluation> {
        let value = |e: &Evaluation| e.scores.get(self.select_by).unwrap_or(f64::NAN);
        let eligible = self.evaluations.iter().filter(|e| e.eligible && counts(e));
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

    fn ledger(select_by: MetricName, evaluations: &[(f64, bool)]) -> SharedLedger {
        let dir = tempfile::tempdir().unwrap();
        let files = RecordFiles::create(dir.path(), &[]).unwrap();
        let ledger = Ledger::new(files, Interrupter::new(), select_by, 0, None);
        let of = |(i, (value, eligible)): (usize, &(f64, bool))| Evaluation {
            round: i + 1,
            step: i as u64,
            elapsed_secs: 0.0,
            eligible: *eligible,
            scores: Scores {
                mcc: *value,
                loss: *value,
                ..Scores::from_logits(&[0.0, 0.0], 2, &[0]).unwrap()
            },
        };
        lock(&ledger).evaluations = evaluations.iter().enumerate().map(of).collect();
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
