//! The one kind of adaptable matrix: a linear layer and, where a run adapts it, a low-rank correction.

use std::cell::OnceCell;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{FloatDType, Tensor};

use super::Noise;
use super::precision::linear;
use crate::adapter::LowRank;

/// A pretrained linear layer with an optional low-rank correction of its output.
#[derive(Module, Debug)]
pub struct Projection {
    /// The pretrained layer, weight `[d_input, d_output]`.
    pub base: Linear,
    /// The trained correction.
    pub adapter: Option<LowRank>,
}

/// What one or several projections are applied to. Adapters that share an input share its dropout mask.
#[derive(Debug)]
pub struct Input<'a, const D: usize> {
    dims: [usize; D],
    rows: Tensor<2>,
    noise: &'a Noise,
    dropped: OnceCell<Dropped>,
}

#[derive(Clone, Debug)]
struct Dropped {
    probability: f64,
    rows: Tensor<2>,
    kept: f64,
}

impl<'a, const D: usize> Input<'a, D> {
    /// An input `[.., d_input]`; its dropout is drawn from `noise`.
    pub fn new(x: Tensor<D>, noise: &'a Noise) -> Self {
        let dims = x.dims();
        let rows = dims[..D - 1].iter().product::<usize>();
        Self {
            dims,
            // One product over all rows: in a batch of products the weight would be packed once a sequence.
            rows: x.reshape([rows, dims[D - 1]]),
            noise,
            dropped: OnceCell::new(),
        }
    }

    /// The rows after dropout `[N, d_input]`, yet to be multiplied with the number beside them.
    fn dropped(&self, probability: f64) -> (Tensor<2>, f64) {
        let drop = || {
            let (rows, kept) = self.noise.zero(self.rows.clone(), probability);
            Dropped {
                probability,
                rows,
                kept,
            }
        };
        let dropped = self.dropped.get_or_init(drop);
        match dropped.probability == probability {
            true => (dropped.rows.clone(), dropped.kept),
            false => self.noise.zero(self.rows.clone(), probability),
        }
    }
}

impl Projection {
    /// A projection without adapter.
    pub fn new(base: Linear) -> Self {
        Self {
            base,
            adapter: None,
        }
    }

    /// `[d_input, d_output]`.
    pub fn dims(&self) -> [usize; 2] {
        self.base.weight.dims()
    }

    /// Adds the correction to the layer's matrix, and has none from then on.
    pub fn merge(&mut self) {
        if let Some(adapter) = self.adapter.take() {
            let weight = self.base.weight.val();
            let own = weight.dtype();
            let merged = weight.cast(FloatDType::F32) + adapter.product().transpose();
            let weight = merged.cast(own);
            self.base.weight = Param::from_tensor(weight).set_require_grad(false);
        }
    }

    /// Applies the layer and its correction, on activations: W0 + ΔW is never formed.
    ///
    /// # Shapes
    /// `[.., d_input]` to `[.., d_output]`.
    pub fn forward<const D: usize>(&self, input: &Input<'_, D>) -> Tensor<D> {
        let y = linear(&self.base, input.rows.clone()); // [N, d_output]
        let y = match &self.adapter {
            Some(adapter) => {
                let (x, scale) = input.dropped(adapter.dropout());
                y + adapter.forward(x, scale)
            }
            None => y,
        };
        let mut dims = input.dims;
        dims[D - 1] = self.dims()[1];
        y.reshape(dims)
    }
}
