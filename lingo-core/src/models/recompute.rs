//! Gradients in the memory of one layer: gradient checkpointing (Chen et al. 2016), a layer at a time.
//!
//! The forward pass keeps the input of each layer and no graph. On the way back each layer is computed again, with the
//! same masks, and the gradient of its output goes through its graph to its input. Burn's own checkpointing is no
//! alternative: it keeps every output until the graph is complete, and forgets operations that have an untracked operand.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};

use super::{Classifier, TokenBatch};
use crate::nn::Noise;

/// The value `[1]` of `loss`, a function of the logits `[B, C]`, without graph, and the gradients of `weight` times it
/// for all that is trained: what going back from `loss(classifier.forward(tokens, noise))` gives.
pub fn gradients(
    classifier: &Classifier,
    tokens: &TokenBatch,
    noise: &Noise,
    weight: f64,
    loss: impl FnOnce(Tensor<2>) -> Tensor<1>,
) -> (Tensor<1>, GradientsParams) {
    let device = classifier.device();
    // The same tensors outside of any graph.
    let plain = classifier.valid();
    let start = noise.mark(&device);
    let (mut x, context) = plain.backbone.embed(tokens, noise); // [B, T, D]
    let mut inputs = Vec::with_capacity(plain.backbone.depth());
    for index in 0..plain.backbone.depth() {
        let place = noise.mark(&device);
        inputs.push((place, x.clone()));
        x = plain.backbone.layer(index, x, &context, noise);
    }

    let backbone = &classifier.backbone;
    let mut collected = GradientsParams::new();
    let x = tracked(x);
    let hidden = backbone.finish(x.clone());
    let logits = classifier.head(hidden, &tokens.lengths, noise); // [B, C]
    let loss = loss(logits); // [1]
    let value = loss.clone().inner();
    let mut gradient = through(loss * weight, &x, classifier, &mut collected);

    noise.go_back(start, &device);
    let (embedded, context) = backbone.embed(tokens, noise);
    for (index, (place, input)) in inputs.into_iter().enumerate().rev() {
        noise.go_back(place, &device);
        let x = tracked(input);
        let y = backbone.layer(index, x.clone(), &context, noise);
        gradient = through(weighted(y, gradient), &x, classifier, &mut collected);
    }
    if embedded.is_tracked() {
        collect(
            weighted(embedded, gradient).backward(),
            classifier,
            &mut collected,
        );
    }
    (value, collected)
}

/// A value that asks for a gradient.
fn tracked(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_inner(x).require_grad()
}

/// A scalar `[1]` whose gradient for `y` is `gradient`.
fn weighted(y: Tensor<3>, gradient: Tensor<3>) -> Tensor<1> {
    (y * Tensor::from_inner(gradient)).sum()
}

/// Goes back from `scalar`: collects the gradients of parameters, and returns that of `x`.
fn through(
    scalar: Tensor<1>,
    x: &Tensor<3>,
    classifier: &Classifier,
    collected: &mut GradientsParams,
) -> Tensor<3> {
    let mut gradients = scalar.backward();
    let gradient = x.grad_remove(&mut gradients);
    collect(gradients, classifier, collected);
    gradient.unwrap_or_else(|| x.clone().inner().zeros_like())
}

/// Adds what `gradients` has for the classifier's parameters.
fn collect(gradients: Gradients, classifier: &Classifier, collected: &mut GradientsParams) {
    classifier.visit(&mut Collect {
        gradients,
        collected,
    });
}

struct Collect<'a> {
    gradients: Gradients,
    collected: &'a mut GradientsParams,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad_remove(&mut self.gradients) else {
            return;
        };
        let sum = match self.collected.remove::<D>(param.id) {
            Some(present) => present + gradient,
            None => gradient,
        };
        self.collected.register(param.id, sum);
    }
}
