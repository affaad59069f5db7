//! Causal self-attention with grouped heads.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::Noise;

/// The additive mask of causal attention.
///
/// Sequences are padded on the right, so that no real token can see padding: no other mask is needed, and what
/// padding positions compute is never read.
#[derive(Clone, Debug)]
pub struct CausalMask {
    bias: Tensor<4>,
}

impl CausalMask {
    /// The mask for `tokens` positions, repeated for `group` query heads that share a key head:
    /// `[1, 1, group · T, T]`.
    pub fn new(tokens: usize, group: usize, device: &Device) -> Self {
        let mut values = vec![0.0f32; group * tokens * tokens];
        for (row, line) in values.chunks_mut(tokens).enumerate() {
            line[row % tokens + 1..].fill(f32::MIN);
        }
        let data = TensorData::new(values, [1, 1, group * tokens, tokens]);
        Self {
            bias: Tensor::from_data(data, device),
        }
    }
}

/// `softmax(q kᵀ + mask) v`, with queries already scaled.
///
/// # Shapes
/// - queries: `[B, H, T, K]`
/// - keys, values: `[B, G, T, K]`, where `G` divides `H` and query head `h` uses key head `h · G / H`
/// - output: `[B, T, H · K]`
pub fn causal_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    mask: &CausalMask,
    dropout: f64,
    noise: &Noise,
) -> Tensor<3> {
    let [b, h, t, k] = queries.dims();
    let g = keys.dims()[1];
    let queries = queries.reshape([b, g, h / g * t, k]);
    let scores = queries.matmul(keys.swap_dims(2, 3)) + mask.bias.clone(); // [B, G, H/G·T, T]
    let weights = noise.dropout(softmax(scores, 3), dropout);
    weights
        .matmul(values) // [B, G, H/G·T, K]
        .reshape([b, h, t, k])
        .swap_dims(1, 2)
        .reshape([b, t, h * k])
}

/// Splits the last dimension into heads: `[B, T, H·K]` to `[B, H, T, K]`.
pub fn split_heads(x: Tensor<3>, head_width: usize) -> Tensor<4> {
    let [b, t, d] = x.dims();
    x.reshape([b, t, d / head_width, head_width])
        .swap_dims(1, 2)
}
