//! Self-attention with grouped heads, causal or in both directions.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::Noise;
use super::precision::in_f32;

/// What is added to the attention scores: who may see whom, and a bias by distance.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    /// Each broadcasts to `[B, G, H/G · T, T]`.
    addends: Vec<Tensor<4>>,
}

impl AttentionMask {
    /// Each token sees itself and those before it: `[1, 1, group · T, T]`, for `group` query heads that share a key
    /// head.
    ///
    /// Sequences are padded on the right, so that no real token can see padding, and what padding positions compute
    /// is never read: no other mask is needed.
    pub fn causal(tokens: usize, group: usize, device: &Device) -> Self {
        let mut values = vec![0.0f32; group * tokens * tokens];
        for (row, line) in values.chunks_mut(tokens).enumerate() {
            line[row % tokens + 1..].fill(f32::MIN);
        }
        let data = TensorData::new(values, [1, 1, group * tokens, tokens]);
        Self {
            addends: vec![Tensor::from_data(data, device)],
        }
    }

    /// Every real token sees every real token: `[B, 1, 1, T]`, and nothing at all where no sequence is shorter.
    pub fn real_tokens(lengths: &[usize], tokens: usize, device: &Device) -> Self {
        if lengths.iter().all(|length| *length == tokens) {
            return Self {
                addends: Vec::new(),
            };
        }
        let mut values = vec![0.0f32; lengths.len() * tokens];
        for (line, length) in values.chunks_mut(tokens).zip(lengths) {
            line[*length..].fill(f32::MIN);
        }
        let data = TensorData::new(values, [lengths.len(), 1, 1, tokens]);
        Self {
            addends: vec![Tensor::from_data(data, device)],
        }
    }

    /// Adds ALiBi (Press et al. 2022) in its symmetric form, `-slope · |i - j|` for each of `heads`: `[1, H, T, T]`.
    pub fn with_alibi(mut self, heads: usize, tokens: usize, device: &Device) -> Self {
        let slopes = alibi_slopes(heads);
        let values: Vec<f32> = slopes
            .iter()
            .flat_map(|slope| {
                (0..tokens).flat_map(move |i| {
                    (0..tokens).map(move |j| (-slope * i.abs_diff(j) as f64) as f32)
                })
            })
            .collect();
        let data = TensorData::new(values, [1, heads, tokens, tokens]);
        self.addends.push(Tensor::from_data(data, device));
        self
    }
}

/// ALiBi's slopes: `2^(-8 i / n)` for `i` from 1 to `n`, a power of two. Other head counts take the slopes of the
/// power below them, then every other one, from the first, of the power above.
fn alibi_slopes(heads: usize) -> Vec<f64> {
    let of_power = |n: usize| (1..=n).map(move |i| (-8.0 * i as f64 / n as f64).exp2());
    if heads.is_power_of_two() {
        return of_power(heads).collect();
    }
    let above = heads.next_power_of_two();
    let below = above / 2;
    of_power(below)
        .chain(of_power(above).step_by(2).take(heads - below))
        .collect()
}

/// `softmax(q kᵀ + mask) v`, with queries already scaled; the softmax in f32.
///
/// # Shapes
/// - queries: `[B, H, T, K]`
/// - keys, values: `[B, G, T, K]`, where `G` divides `H` and query head `h` uses key head `h · G / H`
/// - output: `[B, T, H · K]`
pub fn attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    mask: &AttentionMask,
    dropout: f64,
    noise: &Noise,
) -> Tensor<3> {
    let [b, h, t, k] = queries.dims();
    let g = keys.dims()[1];
    let queries = queries.reshape([b, g, h / g * t, k]);
    let scores = queries.matmul(keys.swap_dims(2, 3)); // [B, G, H/G·T, T]
    let weights = in_f32(scores, |scores| {
        let addends = mask.addends.iter().cloned();
        softmax(addends.fold(scores, |scores, addend| scores + addend), 3)
    });
    let weights = noise.dropout(weights, dropout);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alibi_slopes_are_geometric_and_odd_head_counts_borrow_from_the_next_power() {
        assert_eq!(alibi_slopes(4), [0.25, 0.0625, 0.015_625, 0.003_906_25]);
        // Of 8: 1/2, 1/4, 1/8, ...; the first and the third.
        let six = [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125];
        assert_eq!(alibi_slopes(6), six);
        assert_eq!(alibi_slopes(1), [0.003_906_25]);
    }
}
