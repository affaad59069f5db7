//! What a run has done so far: what its logs count, and a checkpoint keeps.

use serde::{Deserialize, Serialize};

use crate::metric::Scores;

/// Everything that the logs of a run have counted; the run folder's files follow from it and from the steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Optimizer steps taken.
    pub steps: u64,
    /// Of those, steps that changed nothing because the gradients were not finite.
    pub skipped: u64,
    /// Of those, the ones since the last step that did change something.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// Steps that changed nothing because gradients overflowed in f16, while the scale of the loss was found.
    #[serde(default)]
    pub overflowed: u64,
    /// Tokens trained on, padding not counted.
    pub tokens: u64,
    /// Floating-point operations of the training steps, evaluations not counted.
    pub flops: f64,
    /// Triplets that came back after an allocation had pruned them, over all allocations.
    pub returned: usize,
    /// Triplets alive after the newest allocation, under rank control.
    pub active: Option<usize>,
    /// All evaluations.
    pub evaluations: Vec<Evaluation>,
}

/// One evaluation on dev.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Its number, counted from 1.
    pub round: usize,
    /// Optimizer steps before it.
    pub step: u64,
    /// Seconds of training before it.
    pub elapsed_secs: f64,
    /// Floating-point operations of training before it.
    pub flops: f64,
    /// The same in steps of the reference, OPT-125M on this task.
    pub flops_adjusted_step: f64,
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
    flops: f64,
    flops_adjusted_step: f64,
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
            flops: self.flops,
            flops_adjusted_step: self.flops_adjusted_step,
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
