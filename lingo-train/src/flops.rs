//! FLOPs of a run, and the unit in which runs of different models share an axis.

use burn::tensor::Device;
use lingo_core::flops::{Flops, StepFlops};
use lingo_core::models::opt::OptConfig;
use lingo_core::models::{Classifier, ModelConfig};
use lingo_core::nn::Activation;

use crate::config::{AdapterConfig, RunConfig};
use crate::run::{RunError, adapt};

/// Base pairs that a token of OPT's holds: 1.88 to 1.93 on five tasks of GUE, of 70 to 500 bp.
const BP_PER_TOKEN: f64 = 1.91;
/// OPT's tokens of the paper's prompt: `</s>`, nine of the prefix (its last blank joins the DNA), four of the suffix.
const PROMPT_TOKENS: f64 = 14.0;

/// What turns batches into FLOPs, and FLOPs into steps that compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlopsMeter {
    /// Of a batch of this run, by its shape.
    pub of_batch: Flops,
    /// FLOPs of one adjusted step.
    pub reference: f64,
}

impl FlopsMeter {
    /// How many reference steps so many FLOPs make.
    pub fn adjusted_step(&self, flops: f64) -> f64 {
        flops / self.reference
    }
}

/// FLOPs of one step of OPT-125M under adaptive rank sampling, with default adapters and the paper's prompt, over as
/// many sequences of `bp` base pairs, in the mean, as a step of `config` has. It depends on task and batch alone, so
/// that all models and methods on a task have the same.
///
/// # Errors
/// If the model's shape cannot be made, which is a mistake of ours.
pub fn reference_step(
    config: &RunConfig,
    bp: f64,
    classes: usize,
    device: &Device,
) -> Result<f64, RunError> {
    let train = &config.train;
    if train.flops_reference > 0.0 {
        return Ok(train.flops_reference);
    }
    let step = of_step(&opt_125m(), &AdapterConfig::default(), classes, device)?;
    let sequences = train.batch_size * train.gradient_accumulation;
    let tokens = PROMPT_TOKENS + bp / BP_PER_TOKEN;
    Ok(step.total().of_mean(sequences as f64, tokens))
}

/// FLOPs of a training step from shapes alone.
///
/// # Errors
/// If a target names nothing.
pub fn of_step(
    model: &ModelConfig,
    adapter: &AdapterConfig,
    classes: usize,
    device: &Device,
) -> Result<StepFlops, RunError> {
    // What is trained asks for gradients, which only a device with gradients can tell.
    let classifier = Classifier::of_shapes(model, classes, &device.clone().autodiff())?;
    let (classifier, _) = adapt(classifier, model, adapter, 0)?;
    Ok(StepFlops::of(&classifier, &**model))
}

fn opt_125m() -> ModelConfig {
    ModelConfig::Opt(OptConfig {
        vocab_size: 50_272,
        hidden_size: 768,
        word_embed_proj_dim: 768,
        ffn_dim: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        max_position_embeddings: 2048,
        do_layer_norm_before: true,
        activation: Activation::Relu,
        dropout: 0.1,
        attention_dropout: 0.0,
        pad_token_id: 1,
    })
}
