//! The low-rank correction of one frozen matrix.

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};

use super::init::{normal, uniform};
use crate::nn::precision::in_f32;

/// Standard deviation of the initial P and Q where there is a Λ.
const FACTOR_STD: f64 = 0.02;

/// How corrections are parametrised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRankConfig {
    /// `R`, the number of triplets at the start.
    pub rank: usize,
    /// Numerator of the scale α / R.
    pub alpha: f64,
    /// Dropout of the correction's input, in training.
    pub dropout: f64,
    /// Whether there are singular values Λ (AdaLoRA and adaptive rank sampling) or not (LoRA).
    pub singular_values: bool,
}

/// ΔW x = (α / R) · P (λ ∘ (Q x)), or (α / R) · P (Q x) without singular values (LoRA: P is B and Q is A).
///
/// ```
/// use burn::tensor::Device;
/// use lingo_core::adapter::LowRankConfig;
///
/// let config = LowRankConfig {
///     rank: 4,
///     alpha: 32.0,
///     dropout: 0.0,
///     singular_values: true,
/// };
/// let correction = config.init(42, "layers.0.fc1", [16, 64], &Device::flex());
/// assert_eq!(correction.p.dims(), [64, 4]);
/// assert_eq!(correction.q.dims(), [4, 16]);
/// // λ is zero, and so is what is added to the matrix.
/// let product = correction.product(); // [d_output, d_input]
/// assert_eq!(product.dims(), [64, 16]);
/// assert_eq!(product.abs().max().into_scalar::<f32>(), 0.0);
/// ```
#[derive(Module, Debug)]
pub struct LowRank {
    /// Left vectors `[d_output, R]`.
    pub p: Param<Tensor<2>>,
    /// Right vectors `[R, d_input]`.
    pub q: Param<Tensor<2>>,
    /// Singular values `[R]`.
    pub lambda: Option<Param<Tensor<1>>>,
    scale: f64,
    dropout: f64,
}

impl LowRankConfig {
    /// A new correction of the matrix at `path`, equal to zero: P, Q ~ N(0, 0.02²) and λ = 0 with singular values,
    /// else Q ~ Kaiming uniform (a = √5) and P = 0.
    pub fn init(
        &self,
        seed: u64,
        path: &str,
        [d_input, d_output]: [usize; 2],
        device: &Device,
    ) -> LowRank {
        let r = self.rank;
        let (p_name, q_name) = (format!("{path}.P"), format!("{path}.Q"));
        let (p, q) = if self.singular_values {
            (
                Tensor::from_data(normal(seed, &p_name, [d_output, r], FACTOR_STD), device),
                Tensor::from_data(normal(seed, &q_name, [r, d_input], FACTOR_STD), device),
            )
        } else {
            // Kaiming: bound = √(6 / ((1 + a²) · fan_in)), a² = 5.
            let bound = (d_input as f64).powf(-0.5);
            (
                Tensor::zeros([d_output, r], device),
                Tensor::from_data(uniform(seed, &q_name, [r, d_input], bound), device),
            )
        };
        let lambda = self.singular_values.then(|| Tensor::zeros([r], device));
        LowRank::new(p, q, lambda, self.scale(), self.dropout)
    }

    /// α / R.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl LowRank {
    /// A correction from given factors: `p` `[d_output, R]`, `q` `[R, d_input]`, `lambda` `[R]`.
    pub fn new(
        p: Tensor<2>,
        q: Tensor<2>,
        lambda: Option<Tensor<1>>,
        scale: f64,
        dropout: f64,
    ) -> Self {
        Self {
            p: Param::from_tensor(p),
            q: Param::from_tensor(q),
            lambda: lambda.map(Param::from_tensor),
            scale,
            dropout,
        }
    }

    /// Makes this new correction the one of `p` `[d_output, r]`, `q` `[r, d_input]`, `lambda` `[r]` and `scale`, where
    /// r is at most `R`; further ranks stay as they are, without effect.
    pub fn start(&mut self, p: Tensor<2>, q: Tensor<2>, lambda: Option<Tensor<1>>, scale: f64) {
        let (r, ratio) = (q.dims()[0], scale / self.scale);
        let p = match (&mut self.lambda, lambda) {
            (Some(own), lambda) => {
                let lambda = lambda.unwrap_or_else(|| Tensor::ones([r], &p.device()));
                let first = 0..r;
                let values = own.val().inner().slice_assign([first], lambda * ratio);
                *own = Param::from_tensor(Tensor::from_inner(values));
                p
            }
            (None, Some(lambda)) => p * (lambda * ratio).unsqueeze(),
            (None, None) => p * ratio,
        };
        let [d_output, d_input] = [p.dims()[0], q.dims()[1]];
        let of_p = self.p.val().inner().slice_assign([0..d_output, 0..r], p);
        let of_q = self.q.val().inner().slice_assign([0..r, 0..d_input], q);
        self.p = Param::from_tensor(Tensor::from_inner(of_p));
        self.q = Param::from_tensor(Tensor::from_inner(of_q));
    }

    /// ΔW itself `[d_output, d_input]`, to be added to the matrix once and for all.
    pub fn product(&self) -> Tensor<2> {
        let p = match &self.lambda {
            Some(lambda) => self.p.val() * lambda.val().unsqueeze(), // [d_output, R]
            None => self.p.val(),
        };
        p.matmul(self.q.val()) * self.scale
    }

    /// `R`.
    pub fn rank(&self) -> usize {
        self.q.dims()[0]
    }

    /// What the products are multiplied with.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The chance that an element of the input is dropped, in training.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// The correction of the output, in the type of `x`; λ, which begins at zero, is applied in f32. `x` has been through
    /// dropout and is yet to be multiplied with `kept`.
    ///
    /// # Shapes
    /// `[N, d_input]` to `[N, d_output]`.
    pub fn forward(&self, x: Tensor<2>, kept: f64) -> Tensor<2> {
        let scale = self.scale * kept; // here, where the tensors are smallest
        let own = x.dtype();
        let u = linear(x, self.q.val().cast(own).transpose(), None); // [N, R]
        let u = match &self.lambda {
            Some(lambda) => in_f32(u, |u| u * (lambda.val() * scale).unsqueeze()),
            None => u * scale,
        };
        linear(u, self.p.val().cast(own).transpose(), None) // [N, d_output]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    fn config(singular_values: bool) -> LowRankConfig {
        LowRankConfig {
            rank: 4,
            alpha: 32.0,
            dropout: 0.05,
            singular_values,
        }
    }

    #[test]
    fn a_new_correction_is_zero_and_its_vectors_are_not() {
        let device = Device::flex();
        for singular_values in [false, true] {
            let adapter = config(singular_values).init(7, "layers.0.fc1", [6, 10], &device);
            let x = Tensor::<2>::ones([3, 6], &device);
            let y = adapter.forward(x, 1.0);
            assert_eq!(y.dims(), [3, 10]);
            assert_eq!(y.abs().sum().into_scalar::<f32>(), 0.0);
            assert!(adapter.q.val().abs().sum().into_scalar::<f32>() > 0.0);
        }
    }

    #[test]
    fn the_correction_equals_the_product_of_its_factors() {
        let device = Device::flex();
        let data = |name, shape| Tensor::<2>::from_data(normal(3, name, shape, 1.0), &device);
        let (p, q, x) = (data("p", [5, 2]), data("q", [2, 3]), data("x", [4, 3]));
        let lambda = Tensor::<1>::from_floats([0.5, -2.0], &device);
        let adapter = LowRank::new(p.clone(), q.clone(), Some(lambda.clone()), 8.0, 0.0);
        let delta = (p * lambda.unsqueeze()).matmul(q) * 8.0; // [5, 3]
        let expected = x.clone().matmul(delta.transpose());
        adapter
            .forward(x, 1.0)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}
