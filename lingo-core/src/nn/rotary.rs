//! Rotary positions (Su et al. 2021), in the layout of Hugging Face: the two halves of a head, not interleaved.

use burn::tensor::{Device, Tensor, TensorData};

use super::precision::in_f32;

/// Cosines and sines for positions `0..T` of a head of width `K`.
#[derive(Clone, Debug)]
pub struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// Tables for `tokens` positions: frequency `i` of `head_width / 2` turns by `theta^(-2i / head_width)` a
    /// position.
    pub fn new(tokens: usize, head_width: usize, theta: f64, device: &Device) -> Self {
        let half = head_width / 2;
        let angles: Vec<f64> = (0..tokens)
            .flat_map(|position| {
                (0..half)
                    .map(move |i| position as f64 * theta.powf(-2.0 * i as f64 / head_width as f64))
            })
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|a| f(*a) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, tokens, half]), device)
        };
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
        }
    }

    /// Turns queries or keys, in f32.
    ///
    /// # Shapes
    /// `[B, H, T, K]` to `[B, H, T, K]`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        in_f32(x, |x| self.turned(x))
    }

    fn turned(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let mut halves = x.split(half, 3).into_iter(); // 2 x [B, H, T, K/2]
        let (Some(first), Some(second)) = (halves.next(), halves.next()) else {
            unreachable!("a head has two halves");
        };
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        Tensor::cat(
            vec![
                first.clone() * cos.clone() - second.clone() * sin.clone(),
                second * cos + first * sin,
            ],
            3,
        ) // [B, H, T, K]
    }
}
