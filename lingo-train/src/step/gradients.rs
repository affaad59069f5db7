//! The norm of all gradients together, and clipping by it.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// The gradients, and the norm of all of them together.
pub(crate) fn global_norm(
    module: &impl Module,
    gradients: GradientsParams,
) -> (GradientsParams, f64) {
    let mut squares = Squares {
        gradients,
        sums: Vec::new(),
    };
    module.visit(&mut squares);
    let norm = match squares.sums.is_empty() {
        true => 0.0,
        false => Tensor::cat(squares.sums, 0)
            .sum()
            .sqrt()
            .into_scalar::<f64>(),
    };
    (squares.gradients, norm)
}

/// Scales the gradients, whose norm is `norm`, down to `limit`; 0 for any norm.
pub(crate) fn clip(
    module: &impl Module,
    gradients: GradientsParams,
    norm: f64,
    limit: f64,
) -> GradientsParams {
    if limit == 0.0 || norm <= limit {
        return gradients;
    }
    scale(module, gradients, limit / norm)
}

/// Multiplies all gradients.
pub(super) fn scale(
    module: &impl Module,
    gradients: GradientsParams,
    factor: f64,
) -> GradientsParams {
    let mut scaled = Scale {
        factor,
        from: gradients,
        to: GradientsParams::new(),
    };
    module.visit(&mut scaled);
    scaled.to
}

struct Squares {
    gradients: GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            // Row by row first: one large sum is split among threads as it happens, and rounded accordingly.
            let rows = gradient.square().sum_dim(D - 1);
            self.sums.push(rows.sum());
        }
    }
}

struct Scale {
    factor: f64,
    from: GradientsParams,
    to: GradientsParams,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient * self.factor);
        }
    }
}
