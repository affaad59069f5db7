//! The penalty that keeps P and Q near orthogonal: γ · mean over all P, Q of ‖PᵀP − I‖_F, ‖QQᵀ − I‖_F
//! (AdaLoRA, Zhang et al. 2023, eq. 4, with the mean over matrices).
//!
//! Its gradient is written out, which is far cheaper than recording it: with M = PᵀP − I,
//! ∂‖M‖_F / ∂P = 2 P M / ‖M‖_F; for Q likewise 2 M Q / ‖M‖_F with M = QQᵀ − I.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::LowRank;

/// Keeps the gradient finite where a factor is exactly orthogonal.
const TINY: f32 = 1e-12;

/// Adds the penalty's gradient to `gradients` and returns its value `[1]`, or nothing where γ is zero or no
/// adapter has singular values.
pub fn penalise(
    adapters: &[&LowRank],
    gamma: f64,
    gradients: &mut GradientsParams,
) -> Option<Tensor<1>> {
    let pruned: Vec<_> = adapters.iter().filter(|a| a.lambda.is_some()).collect();
    if gamma == 0.0 || pruned.is_empty() {
        return None;
    }
    let weight = gamma / (2 * pruned.len()) as f64;
    let mut norms = Vec::with_capacity(2 * pruned.len());
    for adapter in pruned {
        let p = adapter.p.val().inner(); // [d_output, R]
        let (deviation, norm) = deviation(p.clone().transpose().matmul(p.clone()));
        let gradient = p.matmul(deviation) * (norm.clone().recip() * (2.0 * weight)).unsqueeze();
        accumulate(gradients, &adapter.p, gradient);
        norms.push(norm);

        let q = adapter.q.val().inner(); // [R, d_input]
        let (deviation, norm) = self::deviation(q.clone().matmul(q.clone().transpose()));
        let gradient = deviation.matmul(q) * (norm.clone().recip() * (2.0 * weight)).unsqueeze();
        accumulate(gradients, &adapter.q, gradient);
        norms.push(norm);
    }
    Some(Tensor::cat(norms, 0).sum() * weight)
}

/// M = gram − I `[R, R]` and its Frobenius norm `[1]`.
fn deviation(gram: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let r = gram.dims()[0];
    let identity = Tensor::eye(r, &gram.device());
    let deviation = gram - identity;
    let norm = deviation.clone().square().sum().sqrt() + TINY;
    (deviation, norm)
}

fn accumulate(gradients: &mut GradientsParams, param: &Param<Tensor<2>>, gradient: Tensor<2>) {
    let sum = match gradients.remove::<2>(param.id) {
        Some(present) => present + gradient,
        None => gradient,
    };
    gradients.register(param.id, sum);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::adapter::LowRankConfig;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn value_and_gradient_equal_those_of_automatic_differentiation() {
        let device = Device::flex().autodiff();
        let config = LowRankConfig {
            rank: 3,
            alpha: 32.0,
            dropout: 0.0,
            singular_values: true,
        };
        let adapters = [
            config.init(1, "a", [7, 5], &device),
            config.init(1, "b", [4, 9], &device),
        ];
        let adapters: Vec<&LowRank> = adapters.iter().collect();
        let term = |gram: Tensor<2>| (gram - Tensor::eye(3, &device)).square().sum().sqrt();
        let terms = adapters
            .iter()
            .flat_map(|a| {
                let (p, q) = (a.p.val(), a.q.val());
                [
                    term(p.clone().transpose().matmul(p)),
                    term(q.clone().matmul(q.transpose())),
                ]
            })
            .collect();
        let expected = Tensor::cat(terms, 0).mean() * 0.5;
        let graph = expected.backward();

        let mut gradients = GradientsParams::new();
        let value = penalise(&adapters, 0.5, &mut gradients).unwrap();
        let tolerance = Tolerance::absolute(1e-6);
        value
            .into_data()
            .assert_approx_eq::<f32>(&expected.inner().into_data(), tolerance);
        for adapter in adapters {
            for param in [&adapter.p, &adapter.q] {
                let expected = param.val().grad(&graph).unwrap().into_data();
                gradients
                    .get::<2>(param.id)
                    .unwrap()
                    .into_data()
                    .assert_approx_eq::<f32>(&expected, tolerance);
            }
        }
        assert!(penalise(&[], 0.5, &mut gradients).is_none());
    }
}
