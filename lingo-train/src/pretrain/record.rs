//! What a pretraining run has done, and what it came to.

use std::f64::consts::LN_2;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run::{Counted, Unigram};
use crate::checkpoint::Counts;
use crate::record::{FileRecord, LogLengths, Opening, RecordError, Table, Versions};

/// Everything that the logs have counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainState {
    /// Optimizer steps taken.
    pub steps: u64,
    /// Of those, steps that changed nothing because loss or gradients were not finite.
    pub skipped: u64,
    /// Of those, the ones since the last step that did change something.
    pub skipped_in_a_row: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// All evaluations.
    pub validations: Vec<Validation>,
}

impl Counts for PretrainState {
    fn steps(&self) -> u64 {
        self.steps
    }
}

impl PretrainState {
    /// The evaluation with the lowest loss; of equals, the first.
    pub fn best(&self) -> Option<&Validation> {
        let known = self.validations.iter().filter(|v| v.loss.is_finite());
        known.reduce(|best, v| if v.loss < best.loss { v } else { best })
    }
}

/// An evaluation on the validation text; a row of `metrics.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Optimizer steps before it.
    pub step: u64,
    /// Tokens trained on before it.
    pub tokens: u64,
    /// Seconds of training before it.
    pub elapsed_secs: f64,
    /// Mean of -log p over the tokens, in nats.
    pub loss: f64,
    /// `exp` of it: perplexity per token.
    pub perplexity: f64,
    /// -log₂ p of all tokens, boundaries of documents included, by the bytes of the text.
    pub bits_per_byte: f64,
}

/// Bits a byte of a text of `bytes` bytes whose `tokens` tokens cost `loss` nats each.
pub(super) fn bits_per_byte(loss: f64, tokens: usize, bytes: usize) -> f64 {
    loss * tokens as f64 / LN_2 / bytes as f64
}

/// A row of `train.csv`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TrainRow {
    pub(super) step: u64,
    /// Mean over the tokens of its blocks.
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    pub(super) grad_norm: f64,
}

/// The growing files.
pub(super) struct PretrainFiles {
    train: Table,
    metrics: Table,
}

impl PretrainFiles {
    pub(super) fn open(dir: &Path, opening: &Opening<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            train: Table::open(dir.join("train.csv"), opening)?,
            metrics: Table::open(dir.join("metrics.csv"), opening)?,
        })
    }

    pub(super) fn train(&mut self, row: &TrainRow) -> Result<(), RecordError> {
        self.train.serialize(row)
    }

    pub(super) fn validation(&mut self, row: &Validation) -> Result<(), RecordError> {
        self.metrics.serialize(row)
    }

    pub(super) fn sync(&self) -> Result<LogLengths, RecordError> {
        [self.train.sync(), self.metrics.sync()]
            .into_iter()
            .collect()
    }
}

/// What a run came to: `result.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PretrainResult {
    /// The evaluation with the lowest loss, whose model was saved.
    pub best: Validation,
    /// A model of the tokens' frequencies in the training text, on the same validation tokens.
    pub unigram: Unigram,
    /// Numbers that are trained.
    pub parameters: usize,
    /// Entries of the token table.
    pub vocabulary: usize,
    /// Tokens of a block.
    pub context_tokens: usize,
    /// The training text.
    pub train: Counted,
    /// The validation text.
    pub valid: Counted,
    /// Optimizer steps.
    pub steps: u64,
    /// Of those, steps that changed nothing because loss or gradients were not finite.
    pub steps_skipped: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds in training steps, evaluations not counted.
    pub train_secs: f64,
    /// Tokens trained on a second of `train_secs`.
    pub tokens_per_sec: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// The files that were read.
    pub files: Vec<FileRecord>,
    /// What the software was.
    pub versions: Versions,
    /// The device as asked for.
    pub device: String,
    /// Threads that shared each batch.
    pub workers: usize,
    /// The seed.
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(step: u64, loss: f64) -> Validation {
        Validation {
            step,
            tokens: 0,
            elapsed_secs: 0.0,
            loss,
            perplexity: loss.exp(),
            bits_per_byte: loss,
        }
    }

    #[test]
    fn the_first_of_the_lowest_losses_is_the_best_and_no_number_is_none() {
        let losses = [f64::NAN, 3.0, 2.0, 2.0, 2.5];
        let mut state = PretrainState::default();
        assert_eq!(state.best(), None);
        state.validations = (1..).zip(losses).map(|(i, l)| validation(i, l)).collect();
        assert_eq!(state.best().map(|best| best.step), Some(3));
    }

    #[test]
    fn uniform_bytes_cost_eight_bits_each() {
        assert!((bits_per_byte(256_f64.ln(), 100, 100) - 8.0).abs() < 1e-12);
        assert!((bits_per_byte(256_f64.ln(), 100, 400) - 2.0).abs() < 1e-12);
    }
}
