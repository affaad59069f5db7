//! One run from a loaded model to its result: the file to read first.

mod adapters;
mod chosen;
mod error;
mod length;
mod summary;
mod training;

use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use lingo_core::adapter::target::{Match, match_targets};
use lingo_core::models::{Backbone, Classifier, Pretrained};
use lingo_core::rank::RankController;

use adapters::{low_rank, rank_control};
pub use error::RunError;
use length::Length;
pub use training::Surroundings;

use crate::bench::{self, Speed};
use crate::config::{Method, RunConfig};
use crate::data::{Rounds, Sample};
use crate::step::{Clock, StepConfig, Trainee};
use crate::task::Task;
use crate::workers::{Compute, Workers};

/// Adam's ε in the paper; Burn's own default is larger.
const EPSILON: f32 = 1e-8;

/// A run that is ready to train.
pub struct Run {
    config: RunConfig,
    task: Task,
    model_type: &'static str,
    classifier: Classifier,
    ranks: Option<RankController>,
    matches: Vec<Match>,
    paths: Vec<String>,
    length: Length,
    total_parameters: usize,
    trainable_parameters: usize,
}

impl Run {
    /// Puts adapters and a new head on `backbone`, which was loaded with the task's rows of the token table onto an
    /// autodiff device.
    ///
    /// # Errors
    /// If a target names nothing, the metric that selects is undefined on dev, or there is no step to train or
    /// prune in.
    pub fn prepare(
        config: RunConfig,
        task: Task,
        model_type: &'static str,
        backbone: Pretrained,
    ) -> Result<Self, RunError> {
        let length = Length::new(&config.train, task.train.len())?;
        let metric = config.train.select_by;
        if metric.needs_two_labels() && same_label(&task.dev) {
            return Err(RunError::UndefinedSelection { metric });
        }
        let mut classifier = Classifier::with_new_head(backbone, task.classes, config.seed);
        let total_parameters = classifier.num_params();
        let paths = classifier.projection_paths();
        let mut matches = Vec::new();
        if config.adapter.method == Method::Full {
            classifier = classifier.set_require_grad(true);
        } else {
            let names = classifier.backbone.paper_names();
            matches = match_targets(&paths, names, &config.adapter.targets)?;
            let mut targets: Vec<usize> = matches.iter().flat_map(|m| m.indices.clone()).collect();
            targets.sort_unstable();
            classifier.attach(&targets, &low_rank(&config), config.seed);
        }
        let ranks = rank_control(&config, &classifier, length.total_steps)?;
        let trainable_parameters = match config.adapter.method {
            Method::Full => total_parameters,
            _ => classifier.adapter_parameters() + classifier.score.num_params(),
        };
        Ok(Self {
            config,
            task,
            model_type,
            classifier,
            ranks,
            matches,
            paths,
            length,
            total_parameters,
            trainable_parameters,
        })
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.length.total_steps
    }

    /// Measures training steps, each of one batch, instead of training.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn bench(
        mut self,
        compute: Compute,
        warmup: usize,
        steps: usize,
    ) -> Result<Speed, RunError> {
        self.length.accumulation = 1;
        self.length.evaluations = vec![self.length.total_steps];
        let workers = self.workers(compute)?;
        let (batches, optimizer) = (self.batches(), self.optimizer());
        let (step, rate) = (self.step_config(compute), self.config.train.learning_rate);
        let trainee = Trainee::new(self.classifier, self.ranks, step, workers, Clock::default());
        Ok(bench::measure(
            trainee, optimizer, rate, &batches, warmup, steps,
        ))
    }

    fn batches(&self) -> Rounds {
        Rounds::new(
            self.task.train.clone(),
            self.config.train.batch_size,
            self.task.text.pad,
            self.config.seed,
            self.length.round_ends(),
        )
    }

    fn optimizer(&self) -> ModuleOptimizer {
        AdamWConfig::new()
            .with_epsilon(EPSILON)
            .with_weight_decay(self.config.train.weight_decay as f32)
            .init()
    }

    fn step_config(&self, compute: Compute) -> StepConfig {
        StepConfig {
            seed: self.config.seed,
            masks: compute.masks(),
            orthogonality: self.config.adapter.orthogonality,
            accumulation: self.length.accumulation,
            max_grad_norm: self.config.train.max_grad_norm,
        }
    }

    fn workers(&self, compute: Compute) -> Result<Workers, RunError> {
        let parts = match self.config.adapter.method {
            // Each part has gradients of its own, here as large as the model.
            Method::Full => 1,
            _ => self.config.train.batch_size,
        };
        Ok(Workers::new(compute, parts)?)
    }
}

fn same_label(samples: &[Sample]) -> bool {
    samples
        .windows(2)
        .all(|pair| pair[0].label == pair[1].label)
}
