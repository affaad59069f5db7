//! How long a run is, in optimizer steps.

use super::RunError;
use crate::config::TrainConfig;

/// The steps of a run, and how they fall into rounds that each end with an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) total_steps: u64,
    pub(super) steps_a_round: u64,
    pub(super) steps_an_epoch: u64,
    /// Batches a step.
    pub(super) accumulation: usize,
}

impl Length {
    /// The length of a run over `samples` samples.
    pub(super) fn new(train: &TrainConfig, samples: usize) -> Result<Self, RunError> {
        let accumulation = train.gradient_accumulation;
        let batches_an_epoch = samples.div_ceil(train.batch_size);
        let batches = batches_an_epoch.saturating_mul(train.epochs);
        let steps = (batches / accumulation) as u64;
        if steps == 0 {
            return Err(RunError::NoSteps {
                batches,
                batch_size: train.batch_size,
                accumulation,
            });
        }
        let total_steps = match train.max_steps as u64 {
            0 => steps,
            most => steps.min(most),
        };
        let steps_an_epoch = batches_an_epoch.div_ceil(accumulation) as u64;
        let steps_a_round = match train.eval_every as u64 {
            0 => steps_an_epoch,
            every => every,
        };
        Ok(Self {
            total_steps,
            steps_a_round: steps_a_round.min(total_steps),
            steps_an_epoch,
            accumulation,
        })
    }

    /// Evaluations of the whole run.
    pub(super) fn rounds(&self) -> usize {
        self.total_steps.div_ceil(self.steps_a_round) as usize
    }

    /// Batches of the whole run.
    pub(super) fn total_batches(&self) -> usize {
        self.total_steps as usize * self.accumulation
    }

    /// Batches between two evaluations.
    pub(super) fn batches_a_round(&self) -> usize {
        self.steps_a_round as usize * self.accumulation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn length(change: impl FnOnce(&mut TrainConfig), samples: usize) -> Result<Length, RunError> {
        let mut train = TrainConfig {
            epochs: 5,
            ..TrainConfig::default()
        };
        change(&mut train);
        Length::new(&train, samples)
    }

    #[test]
    fn the_papers_prom_tata_has_3065_steps_and_an_evaluation_every_epoch() {
        let length = length(|_| {}, 4904).unwrap();
        assert_eq!((length.total_steps, length.rounds()), (3065, 5));
    }

    #[test]
    fn accumulation_and_evaluation_every_n_steps_keep_rounds_whole() {
        let set = |train: &mut TrainConfig| {
            (train.gradient_accumulation, train.eval_every) = (4, 10);
        };
        // 13 batches an epoch, 65 in all: 16 steps of 4.
        let length = length(set, 100).unwrap();
        assert_eq!((length.total_steps, length.rounds()), (16, 2));
        assert_eq!((length.total_batches(), length.batches_a_round()), (64, 40));
    }

    #[test]
    fn at_most_as_many_steps_as_asked_for_and_at_least_one() {
        assert_eq!(
            length(|train| train.max_steps = 7, 100)
                .unwrap()
                .total_steps,
            7
        );
        assert_eq!(
            length(|train| train.max_steps = 700, 100)
                .unwrap()
                .total_steps,
            65
        );
        assert!(length(|train| train.gradient_accumulation = 9, 8).is_err());
    }
}
