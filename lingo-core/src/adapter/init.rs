//! Initial values, drawn on the host from the run's seed and the tensor's name, so that every backend and every
//! set of targets starts alike.

use burn::tensor::TensorData;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

/// Values from N(0, `std`²).
///
/// # Panics
/// If `std` is negative or not finite.
pub fn normal<const D: usize>(seed: u64, name: &str, shape: [usize; D], std: f64) -> TensorData {
    match Normal::new(0.0, std) {
        Ok(distribution) => draw(seed, name, shape, distribution),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Values from U(-`bound`, `bound`).
///
/// # Panics
/// If `bound` is not positive and finite.
pub fn uniform<const D: usize>(seed: u64, name: &str, shape: [usize; D], bound: f64) -> TensorData {
    match Uniform::new(-bound, bound) {
        Ok(distribution) => draw(seed, name, shape, distribution),
        Err(error) => panic!("{name}: {error}"),
    }
}

fn draw<const D: usize>(
    seed: u64,
    name: &str,
    shape: [usize; D],
    distribution: impl Distribution<f64>,
) -> TensorData {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(fnv1a(name));
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| distribution.sample(&mut generator) as f32)
        .collect();
    TensorData::new(values, shape)
}

/// The 64-bit FNV-1a hash, stable over platforms and versions.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_name_and_have_the_asked_spread() {
        let draw = |seed, name| {
            normal(seed, name, [100, 100], 0.02)
                .iter::<f32>()
                .collect::<Vec<f32>>()
        };
        let values = draw(1, "a");
        assert_eq!(values, draw(1, "a"));
        assert_ne!(values, draw(1, "b"));
        assert_ne!(values, draw(2, "a"));
        let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        let std = (square / values.len() as f64).sqrt();
        assert!((std - 0.02).abs() < 0.001, "{std}");
    }
}
