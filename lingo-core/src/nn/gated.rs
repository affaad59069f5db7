//! SwiGLU (Shazeer 2020), written for a gradient tape that keeps little.

use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{FloatDType, Tensor};

use super::precision::in_f32;

/// `silu(gate) ∘ up`.
///
/// Recorded operation by operation, the tape would keep gate, its sigmoid, silu and `up` until the backward pass. Only
/// the two derivatives are needed there, silu(gate) and silu'(gate) ∘ up, and they are kept instead: half the memory of
/// what is the largest tensor of a layer.
///
/// # Shapes
/// `[.., F]` both, and the result.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if !gate.is_autodiff() {
        return in_f32(gate, silu) * up;
    }
    let (x, own) = (gate.clone().inner(), gate.dtype());
    let (silu, slope) = {
        let x = x.clone().cast(FloatDType::F32);
        let sigma = sigmoid(x.clone());
        let silu = x * sigma.clone();
        // σ + silu · (1 − σ)
        let slope = sigma.clone() + silu.clone() - silu.clone() * sigma;
        let slope = slope * up.clone().inner().cast(FloatDType::F32);
        (silu.cast(own), slope.cast(own))
    };
    // The difference is zero, and carries the gradient.
    up * Tensor::from_inner(silu) + (gate - Tensor::from_inner(x)) * Tensor::from_inner(slope)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    #[test]
    fn values_are_those_of_the_plain_product_and_gradients_those_of_the_recorded_one() {
        let device = Device::flex();
        device.seed(5);
        let draw = || Tensor::<2>::random([7, 33], Distribution::Normal(0.0, 3.0), &device);
        let (gate, up, weight) = (draw(), draw(), draw());
        let plain = silu(gate.clone()) * up.clone();
        assert_eq!(
            swiglu(gate.clone(), up.clone()).into_data(),
            plain.clone().into_data()
        );

        let recorded = |x: &Tensor<2>| Tensor::from_inner(x.clone()).require_grad();
        let run = |f: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
            let (gate, up) = (recorded(&gate), recorded(&up));
            let y = f(gate.clone(), up.clone());
            let weighted = y.clone() * Tensor::from_inner(weight.clone());
            let gradients = weighted.sum().backward();
            let of = |x: &Tensor<2>| x.grad(&gradients).unwrap().into_data();
            (y.inner().into_data(), of(&gate), of(&up))
        };
        let (value, of_gate, of_up) = run(swiglu);
        let (_, expected_gate, expected_up) = run(|gate, up| silu(gate) * up);
        assert_eq!(value, plain.into_data());
        let tolerance = Tolerance::absolute(1e-5);
        of_gate.assert_approx_eq::<f32>(&expected_gate, tolerance);
        of_up.assert_approx_eq::<f32>(&expected_up, tolerance);
    }
}
