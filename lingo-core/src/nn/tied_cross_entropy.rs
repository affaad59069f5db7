//! The loss of a language model whose output layer is its token table, with the gradients in closed form.
//!
//! With V tokens, the logits of a batch are V numbers a token: far more than all else that a small model computes. They are
//! made for some rows at a time and give loss and gradients at once, so that none of them is kept and no graph holds them.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

/// Rows whose logits are there at the same time: few enough for a processor's cache, and enough for products at full speed.
const ROWS_AT_ONCE: usize = 512;

/// What going back through the loss gives.
#[derive(Debug)]
pub struct Gradients {
    /// The sum of the losses `[1]`, without weight.
    pub loss: Tensor<1>,
    /// Of the hidden states, `[N, D]`.
    pub hidden: Tensor<2>,
    /// Of the table, `[V, D]`.
    pub table: Tensor<2>,
}

/// The sum `[1]` over the rows of `hidden` `[N, D]` of -log softmax(`hidden` · `table`ᵀ) at `targets`, of a `table`
/// `[V, D]`.
pub fn loss(hidden: &Tensor<2>, table: &Tensor<2>, targets: &[i32]) -> Tensor<1> {
    let losses = chunks(hidden, targets).map(|(hidden, targets)| {
        let (loss, _) = exponentials(hidden, table, targets);
        loss
    });
    Tensor::cat(losses.collect(), 0).sum()
}

/// The same with the gradients of `weight` times it; none of the tensors has a graph.
pub fn gradients(hidden: &Tensor<2>, table: &Tensor<2>, targets: &[i32], weight: f64) -> Gradients {
    let mut losses = Vec::new();
    let mut of_hidden = Vec::new();
    let mut of_table = table.zeros_like();
    for (hidden, targets) in chunks(hidden, targets) {
        let rows = targets.dims()[0];
        let (loss, Exponentials { values, sum }) =
            exponentials(hidden.clone(), table, targets.clone());
        losses.push(loss);
        // weight · (softmax - one at the target)
        let scale = sum.recip() * weight; // [n, 1]
        let ones = Tensor::full([rows, 1], -weight, &hidden.device());
        let of_logits = (values * scale).scatter(1, targets, ones, IndexingUpdateOp::Add); // [n, V]
        of_hidden.push(of_logits.clone().matmul(table.clone())); // [n, D]
        of_table = of_table + of_logits.transpose().matmul(hidden); // [V, D]
    }
    Gradients {
        loss: Tensor::cat(losses, 0).sum(),
        hidden: Tensor::cat(of_hidden, 0),
        table: of_table,
    }
}

/// Some rows of hidden states `[n, D]` at a time with their targets `[n, 1]`.
fn chunks(
    hidden: &Tensor<2>,
    targets: &[i32],
) -> impl Iterator<Item = (Tensor<2>, Tensor<2, Int>)> {
    let device = hidden.device();
    targets
        .chunks(ROWS_AT_ONCE)
        .enumerate()
        .map(move |(number, targets)| {
            let rows = targets.len();
            let data = TensorData::new(targets.to_vec(), [rows, 1]);
            (
                hidden.clone().narrow(0, number * ROWS_AT_ONCE, rows),
                Tensor::from_data(data, &device),
            )
        })
}

/// Of logits `[n, V]`.
struct Exponentials {
    /// `exp(logit - largest)`, `[n, V]`.
    values: Tensor<2>,
    /// Their sums, `[n, 1]`.
    sum: Tensor<2>,
}

/// The sum `[1]` of the rows' losses, and what it was made from.
fn exponentials(
    hidden: Tensor<2>,
    table: &Tensor<2>,
    targets: Tensor<2, Int>,
) -> (Tensor<1>, Exponentials) {
    let logits = hidden.matmul(table.clone().transpose()); // [n, V]
    let largest = logits.clone().max_dim(1); // [n, 1]
    let of_targets = logits.clone().gather(1, targets); // [n, 1]
    let values = (logits - largest.clone()).exp();
    let sum = values.clone().sum_dim(1);
    let loss = (sum.clone().log() + largest - of_targets).sum();
    (loss, Exponentials { values, sum })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::nn::loss::CrossEntropyLossConfig;
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn near(a: Tensor<2>, b: Tensor<2>) {
        let worst = (a - b.clone()).abs().max().into_scalar::<f64>();
        let size = b.abs().max().into_scalar::<f64>();
        assert!(worst <= 2e-6 * size, "{worst} of {size}");
    }

    #[test]
    fn loss_and_gradients_are_those_of_the_graph_however_many_rows_there_are() {
        let device = Device::flex().autodiff();
        for rows in [1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 7] {
            let draw = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
            let (hidden, table) = (draw([rows, 6]), draw([11, 6]));
            let (hidden, table) = (hidden.require_grad(), table.require_grad());
            let targets: Vec<i32> = (0..rows as i32).map(|row| row * 7 % 11).collect();

            let logits = hidden.clone().matmul(table.clone().transpose());
            let data = TensorData::new(targets.clone(), [rows]);
            let graph = CrossEntropyLossConfig::new()
                .init(&device)
                .forward(logits, Tensor::from_data(data, &device));
            let back = (graph.clone() * 3.0).backward();

            let (plain, plain_table) = (hidden.clone().inner(), table.clone().inner());
            let ours = gradients(&plain, &plain_table, &targets, 3.0 / rows as f64);
            near(ours.hidden, hidden.grad(&back).unwrap());
            near(ours.table, table.grad(&back).unwrap());
            let mean = ours.loss.into_scalar::<f64>() / rows as f64;
            let expected = graph.into_scalar::<f64>();
            assert!((mean - expected).abs() < 1e-6 * expected, "{mean}");
            let alone = loss(&plain, &plain_table, &targets).into_scalar::<f64>();
            assert!((alone / rows as f64 - expected).abs() < 1e-6 * expected);
        }
    }

    #[test]
    fn logits_far_beyond_what_exp_can_hold_are_no_trouble() {
        let device = Device::flex();
        let hidden = Tensor::<2>::from_floats([[1000.0]], &device);
        let table = Tensor::<2>::from_floats([[1.0], [0.9]], &device);
        let found = gradients(&hidden, &table, &[1], 1.0);
        assert_eq!(found.loss.into_scalar::<f32>(), 100.0);
        assert_eq!(found.table.into_data(), [[1000.0f32], [-1000.0]].into());
    }
}
