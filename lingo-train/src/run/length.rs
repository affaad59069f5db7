//! How long a run is, in optimizer steps.

use super::RunError;
use crate::config::TrainConfig;

/// The steps of a run, and how they fall into rounds that each end with an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) total_steps: u64,
    /// Batches a step.
    pub(super) accumulation: usize,
    pub(super) batches_an_epoch: usize,
    /// The steps after which dev is evaluated, ascending; the last one ends the run.
    pub(super) evaluations: Vec<u64>,
    /// Batches at the end of the last epoch that do not fill a step.
    pub(super) left_out: usize,
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
        let (total_steps, left_out) = match train.max_steps as u64 {
            most if most > 0 && most < steps => (most, 0),
            _ => (steps, batches % accumulation),
        };
        let due: Vec<u64> = match train.eval_every as u64 {
            // The last step that lies within each epoch.
            0 => (1..=train.epochs)
                .map(|epoch| (epoch.saturating_mul(batches_an_epoch) / accumulation) as u64)
                .take_while(|step| *step < total_steps)
                .filter(|step| *step > 0)
                .collect(),
            every => (1..)
                .map(|n| n * every)
                .take_while(|step| *step < total_steps)
                .collect(),
        };
        let mut evaluations: Vec<u64> = due.into_iter().chain([total_steps]).collect();
        evaluations.dedup();
        Ok(Self {
            total_steps,
            accumulation,
            batches_an_epoch,
            evaluations,
            left_out,
        })
    }

    /// The batches after which dev is evaluated, ascending.
    pub(super) fn round_ends(&self) -> Vec<usize> {
        let batches = |step: &u64| *step as usize * self.accumulation;
        self.evaluations.iter().map(batches).collect()
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
        assert_eq!(length.total_steps, 3065);
        assert_eq!(length.evaluations, [613, 1226, 1839, 2452, 3065]);
    }

    #[test]
    fn under_accumulation_evaluations_stay_with_the_epochs() {
        // 13 batches an epoch, 65 in all: 16 steps of 4, and one batch over.
        let length = length(|train| train.gradient_accumulation = 4, 100).unwrap();
        assert_eq!(length.evaluations, [3, 6, 9, 13, 16]);
        assert_eq!(length.round_ends(), [12, 24, 36, 52, 64]);
        assert_eq!(length.left_out, 1);
    }

    #[test]
    fn steps_longer_than_an_epoch_are_evaluated_once_each() {
        // 2 batches an epoch, 10 in all: 3 steps of 3.
        let length = length(|train| train.gradient_accumulation = 3, 16).unwrap();
        assert_eq!(length.evaluations, [1, 2, 3]);
    }

    #[test]
    fn evaluations_come_every_n_steps_and_at_the_end() {
        let every = |n| {
            length(|train| train.eval_every = n, 100)
                .unwrap()
                .evaluations
        };
        assert_eq!(every(30), [30, 60, 65]);
        assert_eq!(every(13), [13, 26, 39, 52, 65]);
        assert_eq!(every(1000), [65]);
    }

    #[test]
    fn at_most_as_many_steps_as_asked_for_and_at_least_one() {
        let most = |n| length(|train| train.max_steps = n, 100).unwrap();
        assert_eq!(most(7).evaluations, [7]);
        assert_eq!(most(13).evaluations, [13]);
        assert_eq!(most(700).total_steps, 65);
        assert!(length(|train| train.gradient_accumulation = 9, 8).is_err());
    }
}
