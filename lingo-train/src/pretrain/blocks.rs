//! A stream of tokens in blocks of equal length, without padding.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::TokenBatch;

use super::token_stream::TokenStream;
use crate::data::{Permutation, permutation_key};

/// Sets the order of blocks apart from other uses of the seed.
const OF_BLOCKS: u64 = 0x626C_6F63_6B73;

/// Rows of one length, each with the tokens that follow its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// B and T.
    pub shape: [usize; 2],
    /// Row-major [B, T].
    pub inputs: Vec<i32>,
    /// The token that follows each, row-major [B, T].
    pub targets: Vec<i32>,
}

impl Block {
    /// Tokens that are predicted.
    pub fn tokens(&self) -> usize {
        self.targets.len()
    }

    /// The inputs as a model takes them.
    pub fn to_tokens(&self, device: &Device) -> TokenBatch {
        let data = TensorData::new(self.inputs.clone(), self.shape);
        TokenBatch {
            ids: Tensor::<2, Int>::from_data(data, device), // [B, T]
            lengths: vec![self.shape[1]; self.shape[0]],
        }
    }

    /// In at most `parts` parts of nearly the same number of rows, each with the numbers of its rows.
    pub fn split(&self, parts: usize) -> Vec<(Range<usize>, Block)> {
        let [rows, width] = self.shape;
        let of_part = rows.div_ceil(parts.max(1)).max(1);
        (0..rows)
            .step_by(of_part)
            .map(|start| {
                let range = start..rows.min(start + of_part);
                let values = range.start * width..range.end * width;
                let part = Block {
                    shape: [range.len(), width],
                    inputs: self.inputs[values.clone()].to_vec(),
                    targets: self.targets[values].to_vec(),
                };
                (range, part)
            })
            .collect()
    }
}

/// A stream cut into blocks: number `i` predicts the tokens from `i · T + 1` to `(i + 1) · T`.
#[derive(Clone, Debug)]
pub struct Blocks {
    ids: Vec<i32>,
    context: usize,
}

impl Blocks {
    /// Cuts a stream into blocks of `context` tokens.
    ///
    /// # Panics
    /// If `context` is 0.
    pub fn new(stream: &TokenStream, context: usize) -> Self {
        assert!(context > 0, "blocks have tokens");
        Self {
            // Ids are rows of an embedding table, whose count fits i32 many times over.
            ids: stream.ids.iter().map(|id| id.cast_signed()).collect(),
            context,
        }
    }

    /// Tokens of the stream that are predicted: all but the first.
    pub fn targets(&self) -> usize {
        self.ids.len().saturating_sub(1)
    }

    /// Whole blocks.
    pub fn whole(&self) -> usize {
        self.targets() / self.context
    }

    /// Batch number `batch` of an epoch of `batches`, each of `rows` whole blocks, in the epoch's own order.
    pub fn shuffled(&self, seed: u64, epoch: usize, batch: usize, rows: usize) -> Block {
        let key = permutation_key(seed, OF_BLOCKS, epoch as u64);
        let order = Permutation::new(self.whole(), key);
        let starts = (batch * rows..(batch + 1) * rows).map(|place| order.at(place) * self.context);
        self.gather(starts, self.context)
    }

    /// Every predicted token once, in the stream's order: whole blocks, `rows` at a time, then the rest.
    pub fn all(&self, rows: usize) -> impl Iterator<Item = Block> {
        let context = self.context;
        let whole = (0..self.whole()).step_by(rows).map(move |first| {
            let blocks = first..self.whole().min(first + rows);
            self.gather(blocks.map(|block| block * context), context)
        });
        let done = self.whole() * context;
        let rest = self.targets() - done;
        whole.chain((rest > 0).then(|| self.gather(std::iter::once(done), rest)))
    }

    fn gather(&self, starts: impl Iterator<Item = usize>, width: usize) -> Block {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for start in starts {
            inputs.extend_from_slice(&self.ids[start..start + width]);
            targets.extend_from_slice(&self.ids[start + 1..start + width + 1]);
            rows += 1;
        }
        Block {
            shape: [rows, width],
            inputs,
            targets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(tokens: u32, context: usize) -> Blocks {
        let stream = TokenStream {
            ids: (0..tokens).collect(),
            bytes: 0,
        };
        Blocks::new(&stream, context)
    }

    #[test]
    fn an_evaluation_predicts_each_token_but_the_first_once_and_in_order() {
        for tokens in [2, 5, 21, 22, 23, 60] {
            let blocks = blocks(tokens, 4);
            let all: Vec<Block> = blocks.all(3).collect();
            let targets: Vec<i32> = all.iter().flat_map(|b| b.targets.clone()).collect();
            assert_eq!(targets, (1..tokens.cast_signed()).collect::<Vec<_>>());
            for block in all {
                assert_eq!(block.inputs.len(), block.shape.iter().product::<usize>());
                let follows = block.inputs.iter().map(|id| id + 1);
                assert!(follows.eq(block.targets.iter().copied()));
            }
        }
    }

    #[test]
    fn an_epoch_has_each_block_once_in_an_order_of_its_own() {
        let blocks = blocks(12 * 5 + 3, 5);
        assert_eq!(blocks.whole(), 12);
        let epoch = |seed, epoch| -> Vec<i32> {
            let batches = (0..4).map(|batch| blocks.shuffled(seed, epoch, batch, 3));
            let rows = batches.flat_map(|batch| batch.inputs);
            rows.step_by(5).collect()
        };
        let first = epoch(1, 0);
        assert_eq!(first, epoch(1, 0));
        assert_ne!(first, epoch(1, 1));
        assert_ne!(first, epoch(2, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..12).map(|block| block * 5).collect::<Vec<_>>());
    }

    #[test]
    fn parts_hold_all_rows_in_order() {
        let block = blocks(41, 8).shuffled(3, 0, 0, 5);
        for parts in [1, 2, 3, 9] {
            let split = block.split(parts);
            assert!(split.len() <= parts);
            let inputs: Vec<i32> = split.iter().flat_map(|(_, p)| p.inputs.clone()).collect();
            let rows: Vec<usize> = split.into_iter().flat_map(|(rows, _)| rows).collect();
            assert_eq!((inputs, rows), (block.inputs.clone(), (0..5).collect()));
        }
    }
}
