//! Dropout whose draws depend on the seed and the number of the batch alone.

use std::cell::Cell;
use std::ops::Range;

use burn::tensor::{Bool, Device, Distribution, Tensor, TensorData};

/// Where dropout masks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskSource {
    /// On the host, by a counter-based generator: fast where the device's memory is the host's, and the same on
    /// every such device.
    Host,
    /// By the device's own generator, reseeded for each batch.
    Device,
}

/// The randomness of one forward pass: off in evaluation, a numbered stream of masks in training.
#[derive(Debug)]
pub struct Noise {
    source: Option<MaskSource>,
    key: u64,
    rows: Range<usize>,
    drawn: Cell<u64>,
}

/// A place in a stream of masks, to draw the same ones again from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Noise {
    /// No noise: dropout is the identity.
    pub fn off() -> Self {
        Self {
            source: None,
            key: 0,
            rows: 0..0,
            drawn: Cell::new(0),
        }
    }

    /// The noise of the sequences `rows` of batch number `batch` in a run seeded with `seed`. On the host each
    /// sequence has draws of its own, whatever other sequences and padding stand beside it.
    pub fn new(
        source: MaskSource,
        device: &Device,
        seed: u64,
        batch: u64,
        rows: Range<usize>,
    ) -> Self {
        let key = mix(seed ^ mix(batch.wrapping_add(0x6C69_6E67_6F64_726F)));
        if source == MaskSource::Device {
            device.seed(key);
        }
        Self {
            source: Some(source),
            key,
            rows,
            drawn: Cell::new(0),
        }
    }

    /// Marks the place from which [`go_back`](Self::go_back) draws again. A device's generator cannot be read, so it
    /// is seeded here.
    pub fn mark(&self, device: &Device) -> Place {
        let place = Place(self.drawn.get());
        self.go_back(place, device);
        place
    }

    /// Draws from `place` on what was drawn from there before.
    pub fn go_back(&self, Place(drawn): Place, device: &Device) {
        self.drawn.set(drawn);
        if self.source == Some(MaskSource::Device) {
            device.seed(mix(self.key ^ mix(drawn)));
        }
    }

    /// Sets each element to zero with chance `probability`, and returns what the others are yet to be multiplied
    /// with, 1 / (1 - probability): often a smaller tensor further on can take it. The shape stays. Every call draws
    /// a mask of its own.
    ///
    /// # Panics
    /// If `x` does not hold the same number of elements for each sequence.
    pub fn zero<const D: usize>(&self, x: Tensor<D>, probability: f64) -> (Tensor<D>, f64) {
        let Some(source) = self.source.filter(|_| probability > 0.0) else {
            return (x, 1.0);
        };
        let device = x.device().inner();
        let shape = x.dims();
        let stream = self.drawn.get();
        self.drawn.set(stream + 1);
        let (mask, dropped): (Tensor<D, Bool>, f64) = match source {
            MaskSource::Host => {
                let threshold = threshold(probability);
                let key = mix(self.key ^ mix(stream));
                let mask = host_mask(key, &self.rows, shape.iter().product(), threshold);
                let mask = Tensor::from_data(TensorData::new(mask, shape), &device);
                (mask, f64::from(threshold) / 65536.0)
            }
            MaskSource::Device => {
                let uniform = Tensor::<D>::random(shape, Distribution::Default, &device);
                (uniform.lower_scalar(probability), probability)
            }
        };
        (x.mask_fill(mask, 0.0), 1.0 / (1.0 - dropped))
    }

    /// Sets each element to zero with chance `probability` and multiplies the others with 1 / (1 - probability).
    /// The shape stays. Every call draws a mask of its own.
    pub fn dropout<const D: usize>(&self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        match self.zero(x, probability) {
            (x, 1.0) => x,
            (x, scale) => x * scale,
        }
    }
}

/// A chance as a number of 65536ths: 16 random bits below it mean true.
fn threshold(probability: f64) -> u16 {
    (probability * 65536.0).round().clamp(1.0, 65535.0) as u16
}

/// A mask of `len` draws, as many for each of `rows`, each true with chance `threshold` / 65536.
fn host_mask(key: u64, rows: &Range<usize>, len: usize, threshold: u16) -> Vec<bool> {
    assert_eq!(len % rows.len(), 0, "as many elements for each sequence");
    let mut mask = vec![false; len];
    for (of_row, row) in mask.chunks_mut(len / rows.len()).zip(rows.clone()) {
        let mut counter = mix(key ^ mix(row as u64));
        let mut draw = || {
            counter = counter.wrapping_add(GOLDEN);
            let bits = finish(counter);
            [0, 16, 32, 48].map(|shift| ((bits >> shift) as u16) < threshold)
        };
        let (fours, rest) = of_row.as_chunks_mut::<4>();
        for four in fours {
            *four = draw();
        }
        rest.copy_from_slice(&draw()[..rest.len()]);
    }
    mask
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One output of SplitMix64 (Steele, Lea, Flood 2014) at state `z`.
fn mix(z: u64) -> u64 {
    finish(z.wrapping_add(GOLDEN))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(batch: u64, rows: Range<usize>) -> Noise {
        Noise::new(MaskSource::Host, &Device::flex(), 42, batch, rows)
    }

    #[test]
    fn dropout_drops_the_asked_share_and_keeps_the_mean() {
        let noise = noise(0, 0..3);
        for probability in [0.05, 0.1, 0.5] {
            let x = Tensor::<1>::ones([3 * 133_337], &Device::flex());
            let x: Vec<f32> = noise.dropout(x, probability).into_data().iter().collect();
            let count = x.len() as f64;
            let dropped = x.iter().filter(|v| **v == 0.0).count() as f64 / count;
            let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
            let error = 4.0 * (probability * (1.0 - probability) / count).sqrt();
            assert!((dropped - probability).abs() < error, "{dropped}");
            assert!((mean - 1.0).abs() < error / (1.0 - probability), "{mean}");
        }
    }

    #[test]
    fn each_call_draws_anew_and_a_batch_can_be_repeated() {
        let x = Tensor::<2>::ones([8, 64], &Device::flex());
        let draw = |noise: &Noise| noise.dropout(x.clone(), 0.5).into_data();
        let first_noise = noise(3, 0..8);
        let (first, second) = (draw(&first_noise), draw(&first_noise));
        assert_ne!(first, second);
        let again = noise(3, 0..8);
        assert_eq!(first, draw(&again));
        assert_eq!(second, draw(&again));
        assert_ne!(first, draw(&noise(4, 0..8)));
        assert_eq!(x.to_data(), draw(&Noise::off()));
    }

    #[test]
    fn draws_can_be_repeated_from_a_mark_wherever_they_are_made() {
        let device = Device::flex();
        for source in [MaskSource::Host, MaskSource::Device] {
            let noise = Noise::new(source, &device, 42, 3, 0..8);
            let draw = || {
                let x = Tensor::<2>::ones([8, 64], &device);
                noise.dropout(x, 0.5).into_data()
            };
            draw();
            let place = noise.mark(&device);
            let drawn = [draw(), draw()];
            assert_ne!(drawn[0], drawn[1]);
            noise.go_back(place, &device);
            assert_eq!([draw(), draw()], drawn);
        }
    }

    #[test]
    fn a_sequence_has_the_same_draws_in_whatever_part_it_stands() {
        let draw = |rows: Range<usize>, tokens: usize| {
            let x = Tensor::<3>::ones([rows.len(), tokens, 6], &Device::flex());
            noise(3, rows).dropout(x, 0.5)
        };
        let whole = draw(0..8, 10);
        let part = draw(5..8, 7);
        let same = whole.slice([5..8, 0..7]);
        assert_eq!(same.into_data(), part.into_data());
    }
}
