//! The types of numbers that a network is stored and computes in.
//!
//! One rule holds everywhere: an operation computes in the type of its input, and its weights are converted to it where
//! they are of another. What the token embeddings give out therefore decides for the whole network. Three things are
//! computed in f32 whatever comes in, and give back the type that came in: norms, rotary positions and the softmax of
//! attention; the head, and the loss behind it, stay in f32. What is trained is stored in f32.

use burn::nn::Linear;
use burn::tensor::{FloatDType, Tensor, module};
use serde::{Deserialize, Serialize};

/// The type of the frozen weights and of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of f32, and 8 bits of precision.
    Bf16,
    /// 16 bits with 11 bits of precision, up to 65504: training scales the loss.
    F16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// As a run file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// The type of tensors.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }
}

/// Applies `f` in f32; the result is of `x`'s own type again.
pub fn in_f32<const D: usize, const E: usize>(
    x: Tensor<D>,
    f: impl FnOnce(Tensor<D>) -> Tensor<E>,
) -> Tensor<E> {
    let own = x.dtype();
    f(x.cast(FloatDType::F32)).cast(own)
}

/// Applies a linear layer in the type of `x`.
///
/// # Shapes
/// `[.., d_input]` to `[.., d_output]`.
pub fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    let own = x.dtype();
    let bias = layer.bias.as_ref().map(|bias| bias.val().cast(own));
    module::linear(x, layer.weight.val().cast(own), bias)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::module::Param;
    use burn::tensor::{DType, Device};

    use super::*;

    #[test]
    fn weights_follow_the_input_and_their_gradients_stay_in_f32() {
        let device = Device::flex().autodiff();
        let layer = Linear {
            weight: Param::from_tensor(Tensor::from_floats([[1.0, 2.0], [3.0, 4.0]], &device)),
            bias: Some(Param::from_tensor(Tensor::from_floats(
                [0.5, -0.5],
                &device,
            ))),
        };
        for precision in Precision::ALL {
            let x = Tensor::<2>::from_floats([[1.0, -1.0], [2.0, 0.5]], &device);
            let y = linear(&layer, x.cast(precision.dtype()));
            assert_eq!(y.dtype(), DType::from(precision.dtype()));
            let expected = [-1.5f32, -2.5, 4.0, 5.5];
            assert_eq!(y.to_data().iter::<f32>().collect::<Vec<_>>(), expected);
            let gradients = y.sum().backward();
            let of_weight = layer.weight.val().grad(&gradients).unwrap().into_data();
            // The sums over the rows of x.
            of_weight.assert_eq(&[[3.0f32, 3.0], [-0.5, -0.5]].into(), true);
        }
    }
}
