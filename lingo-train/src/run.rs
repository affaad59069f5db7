//! One run from a loaded model to its result: the file to read first.

mod adapters;
mod chosen;
mod error;
mod length;
mod outcome;
mod plan;
mod summary;
mod training;

use std::path::PathBuf;

use burn::data::dataset::DatasetError;
use burn::module::Module;
use lingo_core::adapter::target::Match;
use lingo_core::flops::StepFlops;
use lingo_core::models::{Classifier, ModelConfig, Pretrained};
use lingo_core::rank::RankController;
use lingo_core::weights::WeightSample;

pub use adapters::adapt;
use adapters::rank_control;
pub use error::RunError;
use length::Length;
use plan::Plan;
pub use training::Surroundings;
pub(crate) use training::panic_message;

use crate::bench::{self, Speed};
use crate::config::{Method, PromptConfig, RunConfig};
use crate::data::all_alike;
use crate::evaluate::EvaluateError;
use crate::flops::{FlopsMeter, reference_step};
use crate::saved::{self, Saved};
use crate::step::{Clock, Trainee};
use crate::task::Task;
use crate::workers::Compute;

/// A run that is ready to train.
pub struct Run {
    plan: Plan,
    classifier: Classifier,
    ranks: Option<RankController>,
    matches: Vec<Match>,
    paths: Vec<String>,
}

impl Run {
    /// Puts adapters and a new head on `backbone`, a network of shape `model` that was loaded with the task's rows of
    /// the token table onto an autodiff device.
    ///
    /// # Errors
    /// If a target names nothing, the metric that selects is undefined on dev, or there is no step to train or
    /// prune in.
    pub fn prepare(
        mut config: RunConfig,
        task: Task,
        model: &ModelConfig,
        backbone: Pretrained,
    ) -> Result<Self, RunError> {
        let length = Length::new(&config.train, task.train.len())?;
        // What was left to the model is recorded as it came out.
        config.tokenizer.kind = Some(task.text.layout.kind);
        config.prompt = PromptConfig::from(&task.text.layout.prompt);
        let train = &config.train;
        let mut asked = vec![("train.select_by", train.select_by)];
        asked.extend((train.patience > 0).then_some(("train.stop_by", train.stop_by)));
        let known = task.dev.labels().collect::<Result<Vec<_>, _>>()?;
        let alike = all_alike(known.iter().flatten());
        let undefined = asked
            .into_iter()
            .find(|(_, metric)| alike && metric.needs_two_labels());
        if let Some((key, metric)) = undefined {
            return Err(RunError::UndefinedMetric { key, metric });
        }
        let outputs = task.objective.outputs();
        let classifier = Classifier::with_new_head(backbone, model.head(), outputs, config.seed);
        let total_parameters = classifier.num_params();
        let paths = classifier.projection_paths();
        let (mut classifier, matches) = adapt(classifier, model, &config.adapter, config.seed)?;
        let mut brought = Vec::new();
        if let Some(dir) = &config.adapter.from {
            let saved = Saved::open(&saved::folder_of(dir))?;
            saved.check_continues(&task, model.model_type())?;
            (classifier, brought) = saved.start(classifier)?;
        }
        let bp = task.report.bp as f64 / task.report.sequences as f64;
        let flops = FlopsMeter {
            of_batch: StepFlops::of(&classifier, &**model).total(),
            reference: reference_step(&config, bp, outputs, &classifier.device())?,
        };
        let ranks = rank_control(&config, &classifier, length.total_steps)?;
        let trainable_parameters = match config.adapter.method {
            Method::Full => total_parameters,
            _ => {
                let added = task.text.added * model.token_table()[1];
                classifier.adapter_parameters() + classifier.head_parameters() + added
            }
        };
        Ok(Self {
            plan: Plan {
                config,
                task,
                network: model.clone(),
                base_weights: WeightSample::default(),
                base_tokens: None,
                brought,
                model_files: Vec::new(),
                length,
                flops,
                total_parameters,
                trainable_parameters,
            },
            classifier,
            ranks,
            matches,
            paths,
        })
    }

    /// Notes the files that the pretrained model was read from, for the run's record.
    pub fn with_model_files(mut self, files: Vec<PathBuf>) -> Self {
        self.plan.model_files = files;
        self
    }

    /// Notes numbers of the pretrained weights, and what the tokenizer does, by which an adapter knows its model again.
    pub fn with_base(mut self, weights: WeightSample, tokens: Option<String>) -> Self {
        self.plan.base_weights = weights;
        self.plan.base_tokens = tokens;
        self
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.plan.length.total_steps
    }

    /// Measures training steps, each of one batch, instead of training.
    ///
    /// # Errors
    /// If the system gives no threads, or a batch cannot be read.
    pub fn bench(
        mut self,
        compute: &Compute,
        warmup: usize,
        steps: usize,
    ) -> Result<Speed, RunError> {
        let length = &mut self.plan.length;
        length.accumulation = 1;
        length.evaluations = vec![length.total_steps];
        let rate = self.plan.config.train.learning_rate;
        let (batches, optimizer) = (self.plan.batches(), self.plan.optimizer());
        let trainee = Trainee::new(
            self.classifier,
            self.ranks,
            self.plan.step(compute),
            self.plan.workers(compute, None)?,
            Clock::default(),
        );
        let flops = self.plan.flops.of_batch;
        let speed = bench::measure(trainee, optimizer, rate, &batches, flops, warmup, steps);
        let failed = |error: DatasetError| EvaluateError::Loader(error.to_string());
        Ok(speed.map_err(failed)?)
    }
}
