//! Tensors as they stand in the files.

mod halves;
mod read;

use std::ops::Range;

use burn::store::pytorch_reader;

use crate::encoding::Encoding;

pub(crate) use halves::{Half, half_of};

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A weight of the backbone.
    Used,
    /// The classification head, which a run may take or replace by its own.
    Head,
    /// Known and deliberately left alone, such as a language model's head.
    Ignored,
    /// The model has no place for it; [`check_complete`](crate::Checkpoint::check_complete) will complain.
    Unknown,
}

/// A line of the checkpoint's table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Canonical name.
    pub name: String,
    /// The key in the file.
    pub source: String,
    /// Element type, as the formats call it: `F32`, `BF16`, `Q4_1`.
    pub dtype: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// What the tensor is for.
    pub role: Role,
}

/// An element type as found.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    /// One that can be converted.
    Known(Encoding),
    /// Another, by name.
    Other(String),
}

impl Element {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Known(encoding) => encoding.name(),
            Self::Other(name) => name,
        }
    }
}

/// Where a tensor's bytes are.
#[derive(Debug)]
pub(crate) enum Place {
    /// A range of one of the mapped files.
    Mapped { file: usize, range: Range<usize> },
    /// Behind the PyTorch reader.
    Pytorch(pytorch_reader::Tensor),
}

/// The order of a matrix's rows in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// As in Hugging Face's checkpoints.
    Plain,
    /// Rows of each head interleaved, `0, K/2, 1, K/2 + 1, ...` where Hugging Face has `0, 1, ..., K - 1`:
    /// GGUF's order of a query or key projection.
    Interleaved {
        /// K, the rows of a head; even, and a divisor of the number of rows.
        head_dim: usize,
    },
}

impl RowOrder {
    /// Where the file has the row that Hugging Face numbers `row`.
    fn source(self, row: usize) -> usize {
        match self {
            Self::Plain => row,
            Self::Interleaved { head_dim } => {
                let (head, within) = (row / head_dim, row % head_dim);
                let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
                head * head_dim + 2 * pair + half
            }
        }
    }
}

/// A tensor in a checkpoint.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Canonical name.
    pub(crate) name: String,
    /// The key in the file.
    pub(crate) source: String,
    /// Shape, row-major.
    pub(crate) shape: Vec<usize>,
    /// Element type.
    pub(crate) element: Element,
    /// What it is for.
    pub(crate) role: Role,
    /// Where it is.
    pub(crate) place: Place,
    /// How its rows are ordered.
    pub(crate) rows: RowOrder,
}

impl Stored {
    /// The public description.
    pub(crate) fn info(&self) -> TensorInfo {
        TensorInfo {
            name: self.name.clone(),
            source: self.source.clone(),
            dtype: self.element.name().to_owned(),
            shape: self.shape.clone(),
            role: self.role,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::DType;
    use half::{bf16, f16};
    use lingo_core::nn::Precision;
    use lingo_core::weights::WeightSource as _;

    use super::*;

    /// Checks that tensors of 16 bits are those of 32, rounded.
    pub(crate) fn check_halves(checkpoint: &mut crate::Checkpoint) {
        for TensorInfo { name, shape, .. } in checkpoint.tensors() {
            let exact = checkpoint.take(&name, &shape).unwrap();
            let exact: Vec<f32> = exact.iter::<f32>().collect();
            let mut check = |precision, expected: Vec<f32>| {
                let found = checkpoint.take_as(&name, &shape, precision).unwrap();
                assert_eq!(found.dtype(), DType::from(precision.dtype()));
                assert_eq!(found.shape()[..], shape[..]);
                assert_eq!(found.iter::<f32>().collect::<Vec<_>>(), expected, "{name}");
                if let &[height, width] = shape.as_slice() {
                    let last = [height as u32 - 1];
                    let shape = [height, width];
                    let row = checkpoint.take_rows_as(&name, shape, &last, precision);
                    let row: Vec<f32> = row.unwrap().iter::<f32>().collect();
                    assert_eq!(row, expected[expected.len() - width..], "{name}");
                }
            };
            let rounded = |round: fn(f32) -> f32| exact.iter().map(|x| round(*x)).collect();
            check(Precision::Bf16, rounded(|x| bf16::from_f32(x).to_f32()));
            check(Precision::F16, rounded(|x| f16::from_f32(x).to_f32()));
        }
    }

    #[test]
    fn interleaved_rows_are_found_where_gguf_puts_them() {
        // What llama.cpp's conversion does to a head of 6 rows: reshape(2, 3).swapaxes(0, 1).
        let stored = [0, 3, 1, 4, 2, 5];
        let order = RowOrder::Interleaved { head_dim: 6 };
        for head in 0..3 {
            for (position, row) in stored.iter().enumerate() {
                assert_eq!(order.source(head * 6 + row), head * 6 + position);
            }
        }
    }
}
