//! Numbers of 16 bits.

use burn::tensor::TensorData;
use half::{bf16, f16};

/// A number of 16 bits.
pub(crate) trait Half: burn::tensor::Element {
    /// The nearest one.
    fn round(number: f32) -> Self;
}

impl Half for bf16 {
    fn round(number: f32) -> Self {
        Self::from_f32(number)
    }
}

impl Half for f16 {
    fn round(number: f32) -> Self {
        Self::from_f32(number)
    }
}

/// f32 numbers, rounded.
pub(crate) fn half_of<T: Half>(data: TensorData) -> TensorData {
    let numbers: Vec<T> = data.iter::<f32>().map(T::round).collect();
    TensorData::new(numbers, data.shape().clone())
}
