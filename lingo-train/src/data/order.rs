//! The order in which samples are put into batches: computed where it is needed, never held as a whole.

use super::permutation::{Permutation, key};
use super::samples::Samples;
use super::store::StoreError;

/// Batches that are sorted by length together: enough that lengths within a batch are nearly equal, few enough that
/// the order stays random.
const POOL: usize = 50;

/// Tokens with padding to tokens without, above which batches are grouped by length.
const MOST_PADDING: f64 = 1.1;

/// What keys are drawn for.
const OF_SAMPLES: u64 = 1;
const OF_BATCHES: u64 = 2;

/// The batches of training epochs, as indices of samples: shuffled, and where that would pad by more than a tenth,
/// grouped by length within pools of batches, whose batches are shuffled. Every sample occurs once an epoch; one batch may
/// be short.
///
/// Grouping has a price: a sequence's number of tokens tells of its composition, so that the samples of a batch are
/// alike and its gradient is noisier. Sequences of one length in bp, whose tokens differ by a few, stay in random order.
///
/// The order depends on the samples' lengths, the seed and the epoch alone, and takes the memory of one pool.
#[derive(Debug)]
pub(super) struct EpochOrder {
    samples: Samples,
    batch_size: usize,
    seed: u64,
    grouped: bool,
}

impl EpochOrder {
    /// The order of the samples in batches of `batch_size`.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub(super) fn new(samples: Samples, batch_size: usize, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch holds at least one sample");
        let batch_size = batch_size.min(samples.len().max(1));
        Self {
            grouped: samples.lengths().padding(batch_size) > MOST_PADDING,
            samples,
            batch_size,
            seed,
        }
    }

    /// Batches in an epoch.
    pub(super) fn batches(&self) -> usize {
        self.samples.len().div_ceil(self.batch_size)
    }

    /// The number of the pool that batch number `batch` of an epoch is in, and its place there.
    pub(super) fn pool_of(batch: usize) -> (usize, usize) {
        (batch / POOL, batch % POOL)
    }

    /// The batches of a pool of an epoch.
    ///
    /// # Errors
    /// If the length of a sample cannot be read.
    pub(super) fn pool(&self, epoch: usize, pool: usize) -> Result<Vec<Vec<usize>>, StoreError> {
        let of_pool = POOL * self.batch_size;
        let positions = pool * of_pool..((pool + 1) * of_pool).min(self.samples.len());
        let samples = key(self.seed, OF_SAMPLES, epoch as u64);
        let shuffled = Permutation::new(self.samples.len(), samples);
        let mut indices: Vec<usize> = positions.map(|position| shuffled.at(position)).collect();
        if !self.grouped {
            return Ok(indices
                .chunks(self.batch_size)
                .map(<[usize]>::to_vec)
                .collect());
        }
        let lengths = indices.iter().map(|index| self.samples.tokens(*index));
        let lengths = lengths.collect::<Result<Vec<usize>, _>>()?;
        let mut by_length: Vec<usize> = (0..indices.len()).collect();
        // Stable, so that equal lengths stay in random order.
        by_length.sort_by_key(|place| lengths[*place]);
        indices = by_length.into_iter().map(|place| indices[place]).collect();
        let batches: Vec<&[usize]> = indices.chunks(self.batch_size).collect();
        let of_batches = key(samples, OF_BATCHES, pool as u64);
        let shuffled = Permutation::new(batches.len(), of_batches);
        let batches = (0..batches.len()).map(|place| batches[shuffled.at(place)].to_vec());
        Ok(batches.collect())
    }
}

/// The batches of an evaluation: by length, the longest first, so that memory peaks at once.
///
/// # Errors
/// If the length of a sample cannot be read.
///
/// # Panics
/// If `batch_size` is 0.
pub(super) fn evaluation(
    samples: &Samples,
    batch_size: usize,
) -> Result<Vec<Vec<usize>>, StoreError> {
    assert!(batch_size > 0, "a batch holds at least one sample");
    let lengths = samples.all_tokens().collect::<Result<Vec<usize>, _>>()?;
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    Ok(order.chunks(batch_size).map(<[usize]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::batch::tests::Draws;
    use super::super::tokenize::Sample;
    use super::*;

    fn of_lengths(lengths: &[usize]) -> Samples {
        let sample = |length: &usize| Sample {
            ids: vec![0; *length],
            label: None,
        };
        lengths.iter().map(sample).collect::<Vec<_>>().into()
    }

    fn lengths(count: usize) -> Vec<usize> {
        let mut draws = Draws::new(5);
        (0..count).map(|_| 20 + draws.below(100)).collect()
    }

    fn epoch(lengths: &[usize], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let order = EpochOrder::new(of_lengths(lengths), batch_size, seed);
        let pools = order.batches().div_ceil(POOL);
        let batches = (0..pools).flat_map(|pool| order.pool(epoch, pool).unwrap());
        batches.collect()
    }

    fn sorted(batches: &[Vec<usize>]) -> Vec<usize> {
        let mut all = batches.concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn an_epoch_holds_each_sample_once_and_at_most_one_short_batch() {
        for (count, size) in [(1, 8), (8, 8), (1003, 8), (50, 1), (5, 100)] {
            let plan = epoch(&lengths(count), size, 42, 3);
            assert_eq!(sorted(&plan), (0..count).collect::<Vec<_>>());
            assert_eq!(plan.len(), count.div_ceil(size));
            assert!(plan.iter().filter(|batch| batch.len() < size).count() <= 1);
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone() {
        let lengths = lengths(200);
        let plan = epoch(&lengths, 8, 42, 0);
        assert_eq!(plan, epoch(&lengths, 8, 42, 0));
        assert_ne!(plan, epoch(&lengths, 8, 42, 1));
        assert_ne!(plan, epoch(&lengths, 8, 43, 0));
    }

    #[test]
    fn batches_are_of_similar_length_but_come_in_no_order_of_it() {
        let lengths = lengths(4000);
        let plan = epoch(&lengths, 8, 42, 0);
        let longest = |batch: &Vec<usize>| batch.iter().map(|i| lengths[*i]).max().unwrap();
        let padded: usize = plan.iter().map(|batch| batch.len() * longest(batch)).sum();
        let real: usize = lengths.iter().sum();
        assert!(padded < real * 103 / 100, "{padded} of {real}");
        let longest: Vec<usize> = plan.iter().map(longest).collect();
        let rises = longest.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((200..300).contains(&rises), "{rises} of {}", longest.len());
    }

    #[test]
    fn samples_of_nearly_equal_length_are_left_in_random_order() {
        let mut draws = Draws::new(7);
        // As 70 bp become 41 to 56 tokens, some 50 in the mean.
        let lengths: Vec<usize> = (0..4000)
            .map(|_| 46 + (0..4).map(|_| draws.below(3)).sum::<usize>())
            .collect();
        let variance = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
        };
        let plan = epoch(&lengths, 8, 42, 0);
        let means: Vec<f64> = plan
            .iter()
            .map(|batch| batch.iter().map(|i| lengths[*i] as f64).sum::<f64>() / 8.0)
            .collect();
        let single: Vec<f64> = lengths.iter().map(|length| *length as f64).collect();
        // 1 for independent draws, with a standard deviation of √(2 / 500) over 500 batches.
        let inflation = variance(&means) * 8.0 / variance(&single);
        assert!((0.75..1.25).contains(&inflation), "{inflation}");
    }

    #[test]
    fn an_evaluation_runs_from_the_longest_to_the_shortest() {
        let plan = evaluation(&of_lengths(&[3, 9, 5, 9, 1]), 2).unwrap();
        assert_eq!(plan, [vec![1, 3], vec![2, 0], vec![4]]);
    }
}
