//! Batches, and the order in which samples are put into them.

use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::TokenBatch;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::label::Label;
use super::tokenize::Sample;

/// Batches that are sorted by length together: enough that lengths within a batch are nearly equal, few enough that
/// the order stays random.
const POOL: usize = 50;

/// Tokens with padding to tokens without, above which batches are grouped by length.
const MOST_PADDING: f64 = 1.1;

/// Samples side by side on the host, padded at the right to the longest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where it stands in the stream of training batches, or in its evaluation.
    pub number: u64,
    /// Token ids, row-major [B, T].
    pub ids: Vec<i32>,
    /// B and T.
    pub shape: [usize; 2],
    /// Real tokens of each row.
    pub lengths: Vec<usize>,
    /// What is known of each row; empty unless every sample has a label.
    pub labels: Vec<Label>,
    /// Where each row stands in the data.
    pub indices: Vec<usize>,
    /// How much is known of all batches of its optimizer step, as [`known`](Self::known) counts.
    pub known_in_step: usize,
}

impl Batch {
    /// Puts the samples at `indices` into a batch, the only one of its step.
    ///
    /// # Panics
    /// If an index is out of bounds.
    pub fn collate(number: u64, samples: &[Sample], indices: &[usize], pad: u32) -> Self {
        let rows = || indices.iter().map(|index| &samples[*index]);
        let lengths: Vec<usize> = rows().map(|sample| sample.ids.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(indices.len() * width);
        for sample in rows() {
            let padding = std::iter::repeat_n(pad, width - sample.ids.len());
            // Ids are rows of an embedding table, whose count fits i32 many times over.
            ids.extend(
                sample
                    .ids
                    .iter()
                    .copied()
                    .chain(padding)
                    .map(u32::cast_signed),
            );
        }
        let labels: Option<Vec<Label>> = rows().map(|sample| sample.label.clone()).collect();
        let labels = labels.unwrap_or_default();
        Self {
            number,
            ids,
            shape: [indices.len(), width],
            lengths,
            known_in_step: labels.iter().map(Label::known).sum(),
            labels,
            indices: indices.to_vec(),
        }
    }

    /// The batch in at most `parts` parts of nearly the same number of samples, none empty, each as long as its
    /// longest sample.
    pub fn split(self, parts: usize) -> Vec<Batch> {
        let [rows, width] = self.shape;
        if parts < 2 || rows < 2 {
            return vec![self];
        }
        let of_part = rows.div_ceil(parts);
        (0..rows)
            .step_by(of_part)
            .map(|start| {
                let range = start..rows.min(start + of_part);
                let lengths = self.lengths[range.clone()].to_vec();
                let longest = lengths.iter().copied().max().unwrap_or(0);
                let rows = range
                    .clone()
                    .map(|row| &self.ids[row * width..row * width + longest]);
                Batch {
                    number: self.number,
                    ids: rows.flatten().copied().collect(),
                    shape: [range.len(), longest],
                    lengths,
                    labels: self.labels.get(range.clone()).unwrap_or_default().to_vec(),
                    indices: self.indices[range].to_vec(),
                    known_in_step: self.known_in_step,
                }
            })
            .collect()
    }

    /// Number of samples.
    pub fn size(&self) -> usize {
        self.shape[0]
    }

    /// How much is known of it: its examples, or the known labels of all of them.
    pub fn known(&self) -> usize {
        self.labels.iter().map(Label::known).sum()
    }

    /// Real tokens, padding left out.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The batch as the model takes it.
    pub fn to_tokens(&self, device: &Device) -> TokenBatch {
        let data = TensorData::new(self.ids.clone(), self.shape);
        TokenBatch {
            ids: Tensor::<2, Int>::from_data(data, device), // [B, T]
            lengths: self.lengths.clone(),
        }
    }
}

/// The batches of one training epoch, as indices of samples: shuffled, and where that would pad by more than a tenth,
/// grouped by length within pools of batches, and the batches shuffled. Every sample occurs once; one batch may be
/// short.
///
/// Grouping has a price: a sequence's number of tokens tells of its composition, so that the samples of a batch are
/// alike and its gradient is noisier. Sequences of one length in bp, whose tokens differ by a few, stay in random order.
///
/// The same arguments give the same plan on every platform.
///
/// # Panics
/// If `batch_size` is 0.
pub fn plan_epoch(lengths: &[usize], batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    assert!(batch_size > 0, "a batch holds at least one sample");
    let mut rng = epoch_rng(seed, epoch);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    shuffle(&mut order, &mut rng);
    let grouped = padded(lengths, &order, batch_size) as f64 > MOST_PADDING * real(lengths) as f64;
    if grouped {
        for pool in order.chunks_mut(batch_size * POOL) {
            // Stable, so that equal lengths stay in random order.
            pool.sort_by_key(|index| lengths[*index]);
        }
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    if grouped {
        shuffle(&mut batches, &mut rng);
    }
    batches
}

/// Tokens of all samples, padding not counted.
fn real(lengths: &[usize]) -> usize {
    lengths.iter().sum()
}

/// Tokens of all samples in batches of consecutive ones, padding included.
fn padded(lengths: &[usize], order: &[usize], batch_size: usize) -> usize {
    let of_batch = |batch: &[usize]| {
        let longest = batch.iter().map(|index| lengths[*index]).max();
        batch.len() * longest.unwrap_or(0)
    };
    order.chunks(batch_size).map(of_batch).sum()
}

/// The batches of an evaluation: by length, the longest first, so that memory peaks at once.
///
/// # Panics
/// If `batch_size` is 0.
pub fn plan_eval(lengths: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    assert!(batch_size > 0, "a batch holds at least one sample");
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    order.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

/// A generator of its own for each seed and epoch, apart from those that the seed drives elsewhere.
fn epoch_rng(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut key = *b"................order of batches";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Fisher and Yates, spelled out: a library's shuffle may draw differently in its next version.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A uniform draw below `bound`, by rejection.
fn below(bound: u64, rng: &mut ChaCha8Rng) -> u64 {
    let unbiased = u64::MAX - u64::MAX % bound;
    loop {
        let draw = rng.next_u64();
        if draw < unbiased {
            return draw % bound;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Random test data.
    pub(crate) struct Draws(ChaCha8Rng);

    impl Draws {
        pub(crate) fn new(seed: u64) -> Self {
            Self(ChaCha8Rng::seed_from_u64(seed))
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            below(bound as u64, &mut self.0) as usize
        }

        pub(crate) fn sequence(&mut self, letters: &str, length: usize) -> String {
            let letters = letters.as_bytes();
            (0..length)
                .map(|_| char::from(letters[self.below(letters.len())]))
                .collect()
        }
    }

    fn lengths(count: usize) -> Vec<usize> {
        let mut draws = Draws::new(5);
        (0..count).map(|_| 20 + draws.below(100)).collect()
    }

    fn sorted(batches: &[Vec<usize>]) -> Vec<usize> {
        let mut all = batches.concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn an_epoch_holds_each_sample_once_and_at_most_one_short_batch() {
        for (count, size) in [(0, 8), (1, 8), (8, 8), (1003, 8), (50, 1), (5, 100)] {
            let plan = plan_epoch(&lengths(count), size, 42, 3);
            assert_eq!(sorted(&plan), (0..count).collect::<Vec<_>>());
            assert_eq!(plan.len(), count.div_ceil(size));
            assert!(plan.iter().filter(|batch| batch.len() < size).count() <= 1);
        }
    }

    #[test]
    fn a_plan_depends_on_seed_and_epoch_alone() {
        let lengths = lengths(200);
        let plan = plan_epoch(&lengths, 8, 42, 0);
        assert_eq!(plan, plan_epoch(&lengths, 8, 42, 0));
        assert_ne!(plan, plan_epoch(&lengths, 8, 42, 1));
        assert_ne!(plan, plan_epoch(&lengths, 8, 43, 0));
    }

    #[test]
    fn batches_are_of_similar_length_but_come_in_no_order_of_it() {
        let lengths = lengths(4000);
        let plan = plan_epoch(&lengths, 8, 42, 0);
        let (padded, real) = (padded(&lengths, &plan.concat(), 8), real(&lengths));
        assert!(padded < real * 103 / 100, "{padded} of {real}");
        let longest: Vec<usize> = plan.iter().map(|batch| lengths[batch[0]]).collect();
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
        let plan = plan_epoch(&lengths, 8, 42, 0);
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
    fn every_sample_is_equally_likely_to_come_first() {
        let mut first = [0; 5];
        for epoch in 0..5000 {
            first[plan_epoch(&[9; 5], 1, 1, epoch)[0][0]] += 1;
        }
        // Four standard deviations of a binomial of 5000 draws with chance 1/5.
        assert!(
            first.iter().all(|count| (887..1113).contains(count)),
            "{first:?}"
        );
    }

    #[test]
    fn an_evaluation_runs_from_the_longest_to_the_shortest() {
        let plan = plan_eval(&[3, 9, 5, 9, 1], 2);
        assert_eq!(plan, [vec![1, 3], vec![2, 0], vec![4]]);
    }

    #[test]
    fn a_batch_is_padded_at_the_right_to_its_longest() {
        let sample = |ids: &[u32], label: Option<usize>| Sample {
            ids: ids.to_vec(),
            label: label.map(Label::Class),
        };
        let samples = [
            sample(&[2, 5, 6], Some(0)),
            sample(&[2], Some(1)),
            sample(&[2, 7], None),
        ];
        let batch = Batch::collate(0, &samples, &[1, 0], 1);
        assert_eq!(batch.ids, [2, 1, 1, 2, 5, 6]);
        assert_eq!((batch.shape, batch.size(), batch.tokens()), ([2, 3], 2, 4));
        assert_eq!(
            (batch.lengths, batch.labels, batch.indices),
            (
                vec![1, 3],
                vec![Label::Class(1), Label::Class(0)],
                vec![1, 0]
            )
        );
        assert!(Batch::collate(0, &samples, &[0, 2], 1).labels.is_empty());
    }

    #[test]
    fn a_batch_becomes_a_tensor_of_its_ids() {
        let sample = |ids: &[u32]| Sample {
            ids: ids.to_vec(),
            label: None,
        };
        let batch = Batch::collate(0, &[sample(&[2, 50_000]), sample(&[2])], &[0, 1], 1);
        let tokens = batch.to_tokens(&Device::flex());
        assert_eq!(tokens.ids.dims(), [2, 2]);
        assert_eq!(tokens.lengths, [2, 1]);
        let ids: Vec<i64> = tokens.ids.into_data().iter::<i64>().collect();
        assert_eq!(ids, [2, 50_000, 2, 1]);
    }
}
