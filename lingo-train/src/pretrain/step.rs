//! One step of pretraining, and the loss in evaluation.

use burn::module::Module as _;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use lingo_core::models::LanguageModel;
use lingo_core::nn::Noise;
use lingo_core::nn::noise::MaskSource;

use super::blocks::Block;
use crate::workers::Workers;

/// What dropout is drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) masks: MaskSource,
    pub(super) seed: u64,
}

/// The mean loss of a batch and its gradients.
pub(super) fn gradients(
    model: &LanguageModel,
    block: &Block,
    number: u64,
    draws: Draws,
    workers: &Workers,
) -> (f64, GradientsParams) {
    let device = model.device();
    let weight = 1.0 / block.tokens() as f64;
    let parts = block.split(workers.count()).into_iter();
    let parts = parts.map(|(rows, part)| {
        let noise = Noise::new(draws.masks, &device, draws.seed, number, rows);
        // A graph of its own for each part; the tensors are shared.
        (model.clone().fork(&device), part, noise)
    });
    let results = workers.run(parts.collect(), |(model, part, noise)| {
        let tokens = part.to_tokens(&model.device());
        model.gradients(&tokens, &part.targets, &noise, weight)
    });
    let mut accumulator = GradientsAccumulator::new();
    let mut losses = Vec::with_capacity(results.len());
    for result in results {
        accumulator.accumulate(model, result.gradients);
        losses.push(result.loss);
    }
    let loss = Tensor::cat(losses, 0).sum().into_scalar::<f64>() * weight;
    (loss, accumulator.grads())
}

/// The sum of -log p over a block's targets, in nats; of a model without autodiff.
pub(super) fn loss(model: &LanguageModel, block: &Block, workers: &Workers) -> f64 {
    let parts = block.split(workers.count());
    let losses = workers.run(parts, |(_, part)| {
        let tokens = part.to_tokens(&model.device());
        model.loss(&tokens, &part.targets).into_scalar::<f64>()
    });
    losses.into_iter().sum()
}
