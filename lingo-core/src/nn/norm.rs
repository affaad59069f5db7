//! Normalisation over the width of a token, always computed in f32.

use burn::nn::{LayerNorm, RmsNorm};
use burn::tensor::Tensor;

use super::precision::in_f32;

/// Layer normalisation with gain and bias.
///
/// # Shapes
/// `[B, T, D]` to `[B, T, D]`.
pub fn layer_norm(norm: &LayerNorm, x: Tensor<3>) -> Tensor<3> {
    in_f32(x, |x| norm.forward(x))
}

/// Root-mean-square normalisation (Zhang, Sennrich 2019), `x · gamma / √(mean(x²) + ε)`, as `norm.forward(x)` but
/// written for a short gradient tape: the reciprocal root is taken on the small tensor, so that no full-size division is
/// recorded.
///
/// # Shapes
/// `[B, T, D]` to `[B, T, D]`.
pub fn rms_norm(norm: &RmsNorm, x: Tensor<3>) -> Tensor<3> {
    in_f32(x, |x| {
        let mean_square = x.clone().square().mean_dim(2); // [B, T, 1]
        let reciprocal = (mean_square + norm.epsilon).sqrt().recip();
        x * reciprocal * norm.gamma.val().unsqueeze()
    })
}
