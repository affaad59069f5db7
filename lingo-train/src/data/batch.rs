//! Samples side by side.

use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::TokenBatch;

use super::label::Label;
use super::tokenize::Sample;

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
    /// Puts samples, which stand at `indices` in the data, into a batch, the only one of its step.
    pub fn collate(number: u64, samples: Vec<Sample>, indices: Vec<usize>, pad: u32) -> Self {
        let lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(samples.len() * width);
        for sample in &samples {
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
        let labels: Option<Vec<Label>> = samples.into_iter().map(|sample| sample.label).collect();
        let labels = labels.unwrap_or_default();
        Self {
            number,
            ids,
            shape: [indices.len(), width],
            lengths,
            known_in_step: labels.iter().map(Label::known).sum(),
            labels,
            indices,
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

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Random test data.
    pub(crate) struct Draws(ChaCha8Rng);

    impl Draws {
        pub(crate) fn new(seed: u64) -> Self {
            Self(ChaCha8Rng::seed_from_u64(seed))
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            // Not quite uniform, which tests do not mind.
            (self.0.next_u64() % bound as u64) as usize
        }

        pub(crate) fn sequence(&mut self, letters: &str, length: usize) -> String {
            let letters = letters.as_bytes();
            (0..length)
                .map(|_| char::from(letters[self.below(letters.len())]))
                .collect()
        }
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
        let of = |indices: &[usize]| -> Vec<Sample> {
            indices
                .iter()
                .map(|index| samples[*index].clone())
                .collect()
        };
        let batch = Batch::collate(0, of(&[1, 0]), vec![1, 0], 1);
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
        assert!(
            Batch::collate(0, of(&[0, 2]), vec![0, 2], 1)
                .labels
                .is_empty()
        );
    }

    #[test]
    fn a_batch_becomes_a_tensor_of_its_ids() {
        let sample = |ids: &[u32]| Sample {
            ids: ids.to_vec(),
            label: None,
        };
        let batch = Batch::collate(0, vec![sample(&[2, 50_000]), sample(&[2])], vec![0, 1], 1);
        let tokens = batch.to_tokens(&Device::flex());
        assert_eq!(tokens.ids.dims(), [2, 2]);
        assert_eq!(tokens.lengths, [2, 1]);
        let ids: Vec<i64> = tokens.ids.into_data().iter::<i64>().collect();
        assert_eq!(ids, [2, 50_000, 2, 1]);
    }
}
