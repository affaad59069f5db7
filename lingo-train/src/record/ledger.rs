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

    /// The best eligible evaluation so far; of equals, the first. One whose metric is undefined is only better than
    /// none.
    pub fn best(&self) -> Option<&Evaluation> {
        let value = |e: &Evaluation| e.scores.get(self.select_by).unwrap_or(f64::NAN);
        let eligible = self.evaluations.iter().filter(|e| e.eligible);
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
