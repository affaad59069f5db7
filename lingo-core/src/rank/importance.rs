//! Importance of weights (LINGO eq. 1 to 3; AdaLoRA, Zhang et al. 2023, eq. 8 to 10).

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// Which average the uncertainty is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// |I − Ī of the step before|: LINGO.
    FromPreviousAverage,
    /// |I − Ī of this step|: AdaLoRA.
    FromCurrentAverage,
}

/// How fast the averages forget, and what the uncertainty is measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// β1, of the sensitivity.
    pub beta1: f64,
    /// β2, of the uncertainty.
    pub beta2: f64,
    /// The reference of the uncertainty.
    pub deviation: Deviation,
}

/// The moving averages of one tensor's sensitivity, Ī, and uncertainty, Ū: of the tensor's shape, zero at first.
#[derive(Module, Debug)]
pub struct Averages<const D: usize> {
    /// Ī.
    pub sensitivity: Param<Tensor<D>>,
    /// Ū.
    pub uncertainty: Param<Tensor<D>>,
}

impl<const D: usize> Averages<D> {
    /// Averages of a tensor of `shape` before the first step.
    pub fn new(shape: [usize; D], device: &Device) -> Self {
        let zeros = || Tensor::zeros(shape, device);
        Self {
            sensitivity: constant(zeros()),
            uncertainty: constant(zeros()),
        }
    }

    /// Takes in I = |w · ∂L/∂w|, with the weight as it stood when the gradient was taken.
    pub fn observe(&mut self, weight: Tensor<D>, gradient: Tensor<D>, smoothing: &Smoothing) {
        let Smoothing {
            beta1,
            beta2,
            deviation,
        } = *smoothing;
        let sensitivity = (weight * gradient).abs();
        let previous = self.sensitivity.val().inner();
        let current = previous.clone() * beta1 + sensitivity.clone() * (1.0 - beta1);
        let reference = match deviation {
            Deviation::FromPreviousAverage => previous,
            Deviation::FromCurrentAverage => current.clone(),
        };
        let uncertainty = self.uncertainty.val().inner() * beta2
            + (sensitivity - reference).abs() * (1.0 - beta2);
        self.sensitivity = constant_like(&self.sensitivity, current);
        self.uncertainty = constant_like(&self.uncertainty, uncertainty);
    }

    /// s = Ī · Ū, of the tensor's shape.
    pub fn score(&self) -> Tensor<D> {
        self.sensitivity.val().inner() * self.uncertainty.val().inner()
    }
}

/// A parameter that is stored with the model and never trained.
pub(super) fn constant<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), value.set_require_grad(false))
}

/// The same parameter with another value.
pub(super) fn constant_like<const D: usize>(
    param: &Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    Param::initialized(param.id, value.set_require_grad(false))
}
