//! One run from a loaded model to its result: the file to read first.

mod adapters;
mod chosen;
mod error;
mod length;
mod summary;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::train::logger::InMemoryMetricLogger;
use burn::train::renderer::MetricsRenderer;
use burn::train::{Interrupter, Learner, LearningResult, SupervisedTraining};
use lingo_core::adapter::target::{Match, match_targets};
use lingo_core::models::{Backbone, Classifier, Pretrained};
use lingo_core::rank::RankController;

use adapters::{low_rank, rank_control};
use chosen::{adapter_parameters, manifest, restore, save};
pub use error::RunError;
use length::Length;

use crate::bench::{self, Speed};
use crate::checkpoint::{AtomicCheckpointer, Health, KeepBestAndLast};
use crate::config::{Method, RunConfig};
use crate::data::{EvalLoader, Rounds, Sample};
use crate::evaluate;
use crate::record::{
    EvaluationLog, Ledger, RecordError, RecordFiles, SharedLedger, TrainLog, lock, write_atomically,
};
use crate::result::{RunResult, peak_memory_mib};
use crate::schedule::WarmupLinear;
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

/// What surrounds a run.
pub struct Surroundings {
    /// How the device is made use of.
    pub compute: Compute,
    /// What `result.json` calls the device.
    pub device_name: String,
    /// The run folder, which exists.
    pub dir: PathBuf,
    /// Shows progress.
    pub renderer: Box<dyn MetricsRenderer>,
    /// Stops training.
    pub interrupter: Interrupter,
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

    /// Trains, selects on dev, and scores test once. The run folder holds everything afterwards.
    ///
    /// # Errors
    /// If training fails or is stopped, or something cannot be written; what was written before is kept.
    pub fn train(self, surroundings: Surroundings) -> Result<RunResult, RunError> {
        let Surroundings {
            compute,
            device_name,
            dir,
            renderer,
            interrupter,
        } = surroundings;
        let ledger = self.open_record(&dir, &interrupter)?;
        let checkpoints = dir.join("checkpoint");
        let workers = self.workers(compute)?;
        let clock = Clock::default();

        let (config, task, length) = (self.config.clone(), self.task.clone(), self.length);
        let schedule = self.ranks.as_ref().map(|ranks| ranks.config().schedule);
        let totals = (self.trainable_parameters, self.total_parameters);
        let model_type = self.model_type;

        let outcome = self.launch(
            &ledger,
            &checkpoints,
            compute,
            workers.clone(),
            clock.clone(),
            renderer,
            interrupter,
            &dir,
        )?;

        let mut ledger = lock(&ledger);
        let (steps, trainee) = (ledger.steps, outcome.model);
        let manifest = manifest(&config, &task, model_type, steps);
        // Saved whatever has happened; the first thing that went wrong is the one to report.
        let last = save(&dir.join("last"), &trainee, manifest.clone());
        let best = ledger.best().cloned();
        let best = best.map(|best| restore(&checkpoints, trainee, &dir, &manifest, best));
        if let Some(failure) = ledger.failure.take() {
            return Err(failure.into());
        }
        if let Some(source) = outcome.error {
            return Err(RunError::Training { steps, dir, source });
        }
        let (last, best) = (last?, best.transpose()?);
        let total_steps = length.total_steps;
        let stopped = outcome.interrupted.is_some() || steps < total_steps;
        let Some((best, chosen, manifest)) = best.filter(|_| !stopped) else {
            let adapter = dir.join("last");
            return Err(RunError::Interrupted {
                steps,
                total_steps,
                adapter,
            });
        };
        if let Some(schedule) = schedule {
            let (expected, found) = (schedule.target(), last.ranks.values().sum());
            let method = config.adapter.method.name();
            if found != expected {
                return Err(RunError::RanksDidNotMove {
                    expected,
                    found,
                    method,
                });
            }
        }

        let classifier = &chosen.trained.classifier;
        let loader = EvalLoader::new(
            task.test.clone(),
            config.train.eval_batch_size,
            task.text.pad,
        );
        let logits = evaluate::logits(classifier, &loader, &workers, &|| {})?;
        let train_secs = clock.elapsed_secs();
        let result = RunResult {
            test: evaluate::score(&logits, task.classes, &task.test)?,
            dev: best.scores,
            chosen_step: best.step,
            selected_by: config.train.select_by,
            method: config.adapter.method,
            trainable_parameters: totals.0,
            adapter_parameters_final: adapter_parameters(classifier, &manifest),
            total_parameters: totals.1,
            steps,
            steps_skipped: ledger.skipped,
            tokens: ledger.tokens,
            train_secs,
            tokens_per_sec: ledger.tokens as f64 / train_secs,
            peak_memory_mib: peak_memory_mib(),
            active_ranks: schedule.map(|_| manifest.ranks.values().sum()),
            ranks_returned: schedule.map(|_| ledger.returned),
            device: device_name,
            workers: workers.count(),
            seed: config.seed,
            version: manifest.version,
        };
        write_atomically(&dir.join("result.json"), &result.to_json())?;
        Ok(result)
    }

    /// Measures training steps instead of training.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn bench(
        mut self,
        compute: Compute,
        warmup: usize,
        steps: usize,
    ) -> Result<Speed, RunError> {
        self.length.steps_a_round = self.length.total_steps;
        let workers = self.workers(compute)?;
        let (batches, optimizer) = (self.batches(), self.optimizer());
        let (step, rate) = (self.step_config(compute), self.config.train.learning_rate);
        let trainee = Trainee::new(self.classifier, self.ranks, step, workers, Clock::default());
        Ok(bench::measure(
            trainee, optimizer, rate, &batches, warmup, steps,
        ))
    }

    /// Writes the resolved configuration and opens the files that grow.
    fn open_record(&self, dir: &Path, interrupter: &Interrupter) -> Result<SharedLedger, RunError> {
        let config = self.config.to_toml()?;
        write_atomically(&dir.join("config.toml"), config.as_bytes())?;
        let checkpoints = dir.join("checkpoint");
        std::fs::create_dir_all(&checkpoints).map_err(|source| RecordError {
            path: checkpoints,
            source,
        })?;
        let schedule = self.ranks.as_ref().map(|ranks| ranks.config().schedule);
        let adapters = self.classifier.adapters().into_iter();
        let matrices: Vec<String> = match schedule {
            Some(_) => adapters.map(|(path, _)| path).collect(),
            None => Vec::new(),
        };
        Ok(Ledger::new(
            RecordFiles::create(dir, &matrices)?,
            interrupter.clone(),
            self.config.train.select_by,
            schedule.map_or(0, |schedule| schedule.final_step()),
            schedule.map(|schedule| schedule.initial()),
        ))
    }

    /// Trains: one of Burn's epochs is one round of steps with an evaluation.
    #[allow(clippy::too_many_arguments)] // everything that Burn's trainer brings together
    fn launch(
        self,
        ledger: &SharedLedger,
        checkpoints: &Path,
        compute: Compute,
        workers: Workers,
        clock: Clock,
        renderer: Box<dyn MetricsRenderer>,
        interrupter: Interrupter,
        dir: &Path,
    ) -> Result<LearningResult<Trainee>, RunError> {
        let (config, task, length) = (&self.config, &self.task, self.length);
        let schedule = self.ranks.as_ref().map(|ranks| ranks.config().schedule);
        let dev = EvalLoader::new(
            task.dev.clone(),
            config.train.eval_batch_size,
            task.text.pad,
        );
        let health = Health::default();
        let mut training = SupervisedTraining::new(dir, Arc::new(self.batches()), Arc::new(dev))
            .with_application_logger(None)
            .with_metric_logger(InMemoryMetricLogger::new())
            .metric_train_numeric(TrainLog::new(ledger.clone(), schedule))
            .metric_valid_numeric(EvaluationLog::new(
                ledger.clone(),
                config.train.select_by,
                task.classes,
                task.dev.len(),
            ))
            .with_custom_checkpointers(
                AtomicCheckpointer::new(checkpoints, "model", &health),
                AtomicCheckpointer::new(checkpoints, "optimizer", &health),
                AtomicCheckpointer::new(checkpoints, "scheduler", &health),
            )
            .with_checkpointing_strategy(KeepBestAndLast::new(ledger.clone()))
            .with_interrupter(interrupter)
            .renderer(renderer)
            .num_epochs(length.rounds());
        if length.accumulation > 1 {
            training = training.grads_accumulation(length.accumulation);
        }
        let train = &config.train;
        let rate = WarmupLinear::new(train.learning_rate, train.warmup_ratio, length.total_steps);
        let (optimizer, step) = (self.optimizer(), self.step_config(compute));
        let trainee = Trainee::new(self.classifier, self.ranks, step, workers, clock);
        let learner = Learner::new(trainee, optimizer, rate);
        // A device that runs out of memory panics in the backend.
        catch_unwind(AssertUnwindSafe(|| training.launch(learner))).map_err(|panic| {
            RunError::Device {
                message: panic_message(panic.as_ref()),
                dir: dir.to_owned(),
            }
        })
    }

    fn batches(&self) -> Rounds {
        Rounds::new(
            self.task.train.clone(),
            self.config.train.batch_size,
            self.task.text.pad,
            self.config.seed,
            self.length.total_batches(),
            self.length.batches_a_round(),
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

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_owned()
}
