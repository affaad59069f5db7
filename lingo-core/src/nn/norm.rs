//! Root-mean-square normalisation (Zhang, Sennrich 2019), written for a short gradient tape.

use burn::nn::RmsNorm;
use burn::tensor::Tensor;

/// `x · gamma / √(mean(x²) + ε)` over the last dimension, as `norm.forward(x)`; the reciprocal root is taken on the
/// small tensor, so that no full-size division is recorded.
///
/// # Shapes
/// `[B, T, D]` to `[B, T, D]`.
pub fn rms_norm(norm: &RmsNorm, x: Tensor<3>) -> Tensor<3> {
    let mean_square = x.clone().square().mean_dim(2); // [B, T, 1]
    let reciprocal = (mean_square + norm.epsilon).sqrt().recip();
    x * reciprocal * norm.gamma.val().unsqueeze()
}
