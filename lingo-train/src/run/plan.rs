//! What is known of a run before its first step, apart from the model.

use std::path::PathBuf;

use burn::optim::{AdamWConfig, ModuleOptimizer};
use lingo_core::models::ModelConfig;
use lingo_core::weights::WeightSample;

use super::RunError;
use super::length::Length;
use crate::config::{Method, RunConfig};
use crate::data::Rounds;
use crate::flops::FlopsMeter;
use crate::step::StepConfig;
use crate::stopping::Stopping;
use crate::task::Task;
use crate::workers::{Compute, Workers};

/// Adam's ε in the paper; Burn's own default is larger.
const EPSILON: f32 = 1e-8;

/// Bytes of the gradients of a whole model up to which several parts of a batch may have them at a time.
const LARGEST_GRADIENTS: usize = 64 << 20;

/// Settings, data and length of a run, and what follows from them.
pub(super) struct Plan {
    pub(super) config: RunConfig,
    pub(super) task: Task,
    /// The shape of the pretrained model.
    pub(super) network: ModelConfig,
    /// Numbers of the pretrained weights.
    pub(super) base_weights: WeightSample,
    /// What its tokenizer does.
    pub(super) base_tokens: Option<String>,
    /// Tensors beside the corrections that the adapter which training goes on from has brought: they are saved too.
    pub(super) brought: Vec<String>,
    /// The files of the pretrained model.
    pub(super) model_files: Vec<PathBuf>,
    pub(super) length: Length,
    pub(super) flops: FlopsMeter,
    pub(super) total_parameters: usize,
    pub(super) trainable_parameters: usize,
}

impl Plan {
    pub(super) fn batches(&self) -> Rounds {
        Rounds::new(
            self.task.train.clone(),
            self.config.train.batch_size,
            self.length.accumulation,
            self.task.text.pad,
            self.config.seed,
            self.length.round_ends(),
        )
    }

    pub(super) fn optimizer(&self) -> ModuleOptimizer {
        AdamWConfig::new()
            .with_epsilon(EPSILON)
            .with_weight_decay(self.config.train.weight_decay as f32)
            .init()
    }

    pub(super) fn step(&self, compute: &Compute) -> StepConfig {
        StepConfig {
            seed: self.config.seed,
            masks: compute.masks(),
            orthogonality: self.config.adapter.orthogonality,
            accumulation: self.length.accumulation,
            max_grad_norm: self.config.train.max_grad_norm,
            precision: self.config.train.precision,
            gradient_checkpointing: self.config.train.gradient_checkpointing,
        }
    }

    /// When patience is at its end.
    pub(super) fn stopping(&self) -> Stopping {
        let train = &self.config.train;
        Stopping {
            metric: train.stop_by,
            patience: train.patience,
            min_delta: train.min_delta,
        }
    }

    /// Workers for this run; as many as `before` in a run that goes on.
    pub(super) fn workers(
        &self,
        compute: &Compute,
        before: Option<usize>,
    ) -> Result<Workers, RunError> {
        if let (Compute::Host { threads }, Some(count)) = (compute, before) {
            return Ok(Workers::exactly(count, *threads)?);
        }
        let gradients = self.trainable_parameters * size_of::<f32>();
        let parts = match self.config.adapter.method {
            // Each part has gradients of its own, here as large as the model.
            Method::Full if gradients > LARGEST_GRADIENTS => 1,
            _ => self.config.train.batch_size,
        };
        Ok(Workers::new(compute, parts)?)
    }
}
