//! Where a model's pretrained tensors come from.
//!
//! A model asks for each of its tensors by its canonical name: Hugging Face's path without the wrappers
//! that differ between checkpoints (`model.`, `decoder.`), for example `layers.0.self_attn.q_proj.weight`.
//! Reading files, renaming and dequantising belong to the implementor.

mod sample;

use burn::tensor::TensorData;

pub use sample::WeightSample;

use crate::nn::Precision;

/// Why a tensor could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The checkpoint has no such tensor.
    #[error("the checkpoint has no tensor `{name}`; it is incomplete or of another architecture")]
    Missing {
        /// Canonical name of the tensor.
        name: String,
    },
    /// The tensor's shape is not the one that `config.json` implies.
    #[error("tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// Canonical name of the tensor.
        name: String,
        /// Shape in the checkpoint.
        found: Vec<usize>,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// The tensor is there but cannot be read.
    #[error("tensor `{name}`: {reason}")]
    Unreadable {
        /// Canonical name of the tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A provider of pretrained tensors.
pub trait WeightSource {
    /// Reads the whole tensor, row-major, as numbers of a type.
    ///
    /// # Errors
    /// If it is missing, of another shape, or unreadable.
    fn take_as(
        &mut self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError>;

    /// Reads the whole tensor as f32, row-major.
    ///
    /// # Errors
    /// As for [`take_as`](Self::take_as).
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, WeightError> {
        self.take_as(name, shape, Precision::F32)
    }

    /// Reads the given rows, in the given order, of a matrix of `shape`, without materialising the rest, as numbers of a
    /// type.
    ///
    /// # Errors
    /// As for [`take_as`](Self::take_as); a row outside the matrix is unreadable.
    fn take_rows_as(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        precision: Precision,
    ) -> Result<TensorData, WeightError>;

    /// As [`take_rows_as`](Self::take_rows_as), as f32.
    ///
    /// # Errors
    /// As for [`take_rows_as`](Self::take_rows_as).
    fn take_rows(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
    ) -> Result<TensorData, WeightError> {
        self.take_rows_as(name, shape, rows, Precision::F32)
    }

    /// Checks that the tensor is there in this shape, without reading it.
    ///
    /// # Errors
    /// If it is missing, or of another shape.
    fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), WeightError>;

    /// Whether the checkpoint holds the tensor, for those that are optional.
    fn has(&self, name: &str) -> bool;
}
