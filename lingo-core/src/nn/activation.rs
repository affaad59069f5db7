//! The non-linearities that pretrained checkpoints name in their configuration.

use burn::tensor::{Tensor, activation};

use super::precision::in_f32;

/// An element-wise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)` with the error function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `x · sigmoid(x)`.
    Silu,
}

impl Activation {
    /// Applies the function; the shape stays. Those that are made of several operations are computed in f32.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => activation::relu(x),
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => in_f32(x, activation::gelu_approximate),
            Self::Silu => in_f32(x, activation::silu),
        }
    }
}
