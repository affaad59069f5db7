//! One run from a loaded model to its result: the file to read first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::optim::{AdamWConfig, LearningRate, ModuleOptimizer};
use burn::tensor::Device;
use burn::train::checkpoint::Checkpointer;
use burn::train::logger::InMemoryMetricLogger;
use burn::train::renderer::MetricsRenderer;
use burn::train::{Interrupter, Learner, SupervisedTraining};
use lingo_core::adapter::target::{Match, UnmatchedTarget, match_targets};
use lingo_core::adapter::{LowRank, LowRankConfig};
use lingo_core::models::{Backbone, Classifier, Pretrained};
use lingo_core::nn::noise::MaskSource;
use lingo_core::rank::schedule::NoRoom;
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};

use crate::bench::{self, Speed};
use crate::checkpoint::{AtomicCheckpointer, KeepBestAndLast};
use crate::config::{ConfigError, Method, RunConfig};
use crate::data::{EvalLoader, Rounds};
use crate::evaluate::{self, EvaluateError};
use crate::record::{
    EvaluationLog, Ledger, RecordError, RecordFiles, TrainLog, lock, write_atomically,
};
use crate::result::{RunResult, peak_memory_mib};
use crate::saved::{self, Manifest, SavedError};
use crate::schedule::WarmupLinear;
use crate::step::{Clock, StepConfig, Trainee};
use crate::task::Task;
use crate::workers::Workers;

/// Adam's ε in the paper; Burn's own default is larger.
const EPSILON: f32 = 1e-8;

/// Why a run cannot start or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A target names no matrix.
    #[error("adapter.targets: {0}")]
    Target(#[from] UnmatchedTarget),
    /// The rank schedule has no room.
    #[error(transparent)]
    Schedule(#[from] NoRoom),
    /// The data has fewer batches than one optimizer step needs.
    #[error(
        "{batches} batches of train.batch_size = {batch_size} do not fill one step of \
         train.gradient_accumulation = {accumulation}; lower one of the two"
    )]
    NoSteps {
        /// Batches of the whole run.
        batches: usize,
        /// Sequences a batch.
        batch_size: usize,
        /// Batches a step.
        accumulation: usize,
    },
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The resolved configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The adapter cannot be written or read.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// Training failed.
    #[error("training failed after {steps} steps: {source}; the last checkpoint in {} is whole", dir.display())]
    Training {
        /// Optimizer steps taken.
        steps: u64,
        /// The run folder.
        dir: PathBuf,
        /// What the trainer says.
        source: Arc<burn::train::TrainingError>,
    },
    /// Training was stopped by the user.
    #[error(
        "stopped after {steps} of {total_steps} steps; the adapter as it was is in {}",
        adapter.display()
    )]
    Interrupted {
        /// Optimizer steps taken.
        steps: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// Where the unfinished adapter was saved.
        adapter: PathBuf,
    },
    /// Rank control did not do what the method says.
    #[error(
        "the ranks were to fall to {expected} but {found} are left: rank control did not run, and what was trained \
         is not {method}"
    )]
    RanksDidNotMove {
        /// n · bT.
        expected: usize,
        /// Triplets alive.
        found: usize,
        /// The method's name.
        method: &'static str,
    },
    /// An evaluation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A checkpoint cannot be read back.
    #[error("cannot read back the checkpoint of evaluation {round}: {reason}")]
    Restore {
        /// The evaluation.
        round: usize,
        /// What is wrong.
        reason: String,
    },
}

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

/// How long a run is, in optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    total_steps: u64,
    steps_a_round: u64,
    steps_an_epoch: u64,
    accumulation: usize,
}

impl Length {
    fn new(config: &RunConfig, samples: usize) -> Result<Self, RunError> {
        let train = &config.train;
        let accumulation = train.gradient_accumulation;
        let batches_an_epoch = samples.div_ceil(train.batch_size);
        let batches = batches_an_epoch * train.epochs;
        let steps = (batches / accumulation) as u64;
        if steps == 0 {
            return Err(RunError::NoSteps {
                batches,
                batch_size: train.batch_size,
                accumulation,
            });
        }
        let total_steps = match train.max_steps as u64 {
            0 => steps,
            most => steps.min(most),
        };
        let steps_an_epoch = batches_an_epoch.div_ceil(accumulation) as u64;
        let steps_a_round = match train.eval_every as u64 {
            0 => steps_an_epoch,
            every => every,
        };
        Ok(Self {
            total_steps,
            steps_a_round: steps_a_round.min(total_steps),
            steps_an_epoch,
            accumulation,
        })
    }

    fn rounds(&self) -> usize {
        self.total_steps.div_ceil(self.steps_a_round) as usize
    }

    fn batches(&self, steps: u64) -> usize {
        steps as usize * self.accumulation
    }
}

/// How a device is made use of.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Where dropout masks are drawn on it.
    pub masks: MaskSource,
    /// Threads that share a batch: one, unless the device is the host itself.
    pub workers: Workers,
}

/// What surrounds a run.
pub struct Surroundings {
    /// How the device is made use of.
    pub compute: Compute,
    /// What `result.json` calls the device.
    pub device_name: String,
    /// The run folder, which exists.
    pub dir: PathBuf,
    /// Shows progress; Burn's own choice, without.
    pub renderer: Option<Box<dyn MetricsRenderer>>,
    /// Stops training.
    pub interrupter: Interrupter,
}

impl Run {
    /// Puts adapters and a new head on `backbone`, which was loaded with the task's rows of the token table onto an
    /// autodiff device.
    ///
    /// # Errors
    /// If a target names nothing, or there is no step to train or prune in.
    pub fn prepare(
        config: RunConfig,
        task: Task,
        model_type: &'static str,
        backbone: Pretrained,
    ) -> Result<Self, RunError> {
        let length = Length::new(&config, task.train.len())?;
        let (seed, adapter) = (config.seed, &config.adapter);
        let mut classifier = Classifier::with_new_head(backbone, task.classes, seed);
        let total_parameters = classifier.num_params();
        let paths = classifier.projection_paths();
        let mut matches = Vec::new();
        let mut ranks = None;
        match adapter.method {
            Method::Full => classifier = classifier.set_require_grad(true),
            method => {
                let names = classifier.backbone.paper_names();
                matches = match_targets(&paths, names, &adapter.targets)?;
                let mut targets: Vec<usize> =
                    matches.iter().flat_map(|m| m.indices.clone()).collect();
                targets.sort_unstable();
                let low_rank = low_rank_config(&config);
                classifier.attach(&targets, &low_rank, seed);
                if let Some(policy) = policy(method, adapter.p) {
                    let schedule = BudgetSchedule::new(
                        targets.len(),
                        [adapter.initial_rank, adapter.target_rank],
                        adapter.warmup_steps as u64,
                        adapter.final_ratio,
                        adapter.interval as u64,
                        length.total_steps,
                    )?;
                    let rank_config = RankConfig {
                        policy,
                        schedule,
                        beta1: adapter.beta1,
                        beta2: adapter.beta2,
                        seed,
                    };
                    let adapters = classifier.adapters();
                    let adapters: Vec<&LowRank> = adapters.iter().map(|(_, a)| *a).collect();
                    let device = classifier.score.weight.device();
                    ranks = Some(RankController::new(rank_config, &adapters, &device));
                }
            }
        }
        let trainable_parameters = match adapter.method {
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

    fn batches(&self) -> Rounds {
        Rounds::new(
            self.task.train.clone(),
            self.config.train.batch_size,
            self.task.text.pad,
            self.config.seed,
            self.length.batches(self.length.total_steps),
            self.length.batches(self.length.steps_a_round),
        )
    }

    fn optimizer(&self) -> ModuleOptimizer {
        AdamWConfig::new()
            .with_epsilon(EPSILON)
            .with_weight_decay(self.config.train.weight_decay as f32)
            .init()
    }

    fn step_config(&self, masks: MaskSource) -> StepConfig {
        StepConfig {
            seed: self.config.seed,
            masks,
            orthogonality: self.config.adapter.orthogonality,
            accumulation: self.length.accumulation,
            max_grad_norm: self.config.train.max_grad_norm,
        }
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.length.total_steps
    }

    /// Measures training steps instead of training.
    pub fn bench(mut self, compute: Compute, warmup: usize, steps: usize) -> Speed {
        self.length.steps_a_round = self.length.total_steps;
        let (batches, optimizer) = (self.batches(), self.optimizer());
        let (step, rate) = (
            self.step_config(compute.masks),
            self.config.train.learning_rate,
        );
        let trainee = Trainee::new(
            self.classifier,
            self.ranks,
            step,
            compute.workers,
            Clock::default(),
        );
        bench::measure(trainee, optimizer, rate, &batches, warmup, steps)
    }

    /// Trains, selects on dev, and looks at test once. The run folder holds everything afterwards.
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
        let (config, task, length) = (&self.config, &self.task, self.length);
        write_atomically(&dir.join("config.toml"), config.to_toml()?.as_bytes())?;
        let checkpoints = dir.join("checkpoint");
        std::fs::create_dir_all(&checkpoints).map_err(|source| RecordError {
            path: checkpoints.clone(),
            source,
        })?;

        let schedule = self.ranks.as_ref().map(|ranks| ranks.config().schedule);
        let adapted: Vec<String> = match schedule {
            Some(_) => self
                .classifier
                .adapters()
                .into_iter()
                .map(|(path, _)| path)
                .collect(),
            None => Vec::new(),
        };
        let ledger = Ledger::new(
            RecordFiles::create(&dir, &adapted)?,
            interrupter.clone(),
            config.train.select_by,
            schedule.map_or(0, |schedule| schedule.final_step()),
            schedule.map(|schedule| schedule.initial()),
        );

        let clock = Clock::default();
        let test = EvalLoader::new(
            task.test.clone(),
            config.train.eval_batch_size,
            task.text.pad,
        );
        let train = self.batches();
        let optimizer = self.optimizer();
        let step = self.step_config(compute.masks);
        let peak: LearningRate = config.train.learning_rate;
        let rate = WarmupLinear::new(peak, config.train.warmup_ratio, length.total_steps);
        let trainee = Trainee::new(
            self.classifier,
            self.ranks,
            step,
            compute.workers.clone(),
            clock.clone(),
        );
        let device = trainee.trained.classifier.score.weight.device();
        let dev = EvalLoader::new(
            task.dev.clone(),
            config.train.eval_batch_size,
            task.text.pad,
        );

        let model_checkpoints = || AtomicCheckpointer::new(&checkpoints, "model");
        let mut training = SupervisedTraining::new(&dir, Arc::new(train), Arc::new(dev))
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
                model_checkpoints(),
                AtomicCheckpointer::new(&checkpoints, "optimizer"),
                AtomicCheckpointer::new(&checkpoints, "scheduler"),
            )
            .with_checkpointing_strategy(KeepBestAndLast::new(ledger.clone()))
            .with_interrupter(interrupter)
            .num_epochs(length.rounds());
        if length.accumulation > 1 {
            training = training.grads_accumulation(length.accumulation);
        }
        if let Some(renderer) = renderer {
            training = training.renderer(renderer);
        }
        let outcome = training.launch(Learner::new(trainee, optimizer, rate));

        let mut ledger = lock(&ledger);
        if let Some(failure) = ledger.failure.take() {
            return Err(failure.into());
        }
        let (steps, trainee) = (ledger.steps, outcome.model);
        let manifest = Manifest {
            format: saved::format(),
            model: config.model.clone(),
            model_type: self.model_type.to_owned(),
            method: config.adapter.method,
            classes: task.classes,
            prefix: config.prompt.prefix.clone(),
            suffix: config.prompt.suffix.clone(),
            max_tokens: task.text.max_tokens,
            restricted: task.text.vocabulary.is_some(),
            scale: low_rank_config(config).scale(),
            ranks: Default::default(),
            steps,
            seed: config.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let last = save(&dir.join("last"), &trainee, manifest.clone())?;
        if let Some(source) = outcome.error {
            return Err(RunError::Training { steps, dir, source });
        }
        if outcome.interrupted.is_some() || steps < length.total_steps {
            return Err(RunError::Interrupted {
                steps,
                total_steps: length.total_steps,
                adapter: dir.join("last"),
            });
        }
        if let Some(schedule) = schedule {
            let found = last.ranks.values().sum();
            if found != schedule.target() {
                return Err(RunError::RanksDidNotMove {
                    expected: schedule.target(),
                    found,
                    method: config.adapter.method.name(),
                });
            }
        }

        let Some(best) = ledger.best().cloned() else {
            // Each round ends with an evaluation, and the last one is always eligible.
            unreachable!("a finished run has an eligible evaluation");
        };
        let restore = |reason: String| RunError::Restore {
            round: best.round,
            reason,
        };
        let record = model_checkpoints()
            .restore(best.round)
            .map_err(|error| restore(error.to_string()))?;
        let chosen = trainee
            .try_load_record(record)
            .map_err(|error| restore(error.to_string()))?
            .valid();
        let manifest = Manifest {
            steps: best.step,
            ..manifest
        };
        let manifest = save(&dir.join("best"), &chosen, manifest)?;
        let logits = evaluate::logits(&chosen.trained.classifier, &test, &compute.workers, &|| {})?;
        let test = evaluate::score(&logits, task.classes, &task.test)?;

        let train_secs = clock.elapsed_secs();
        let result = RunResult {
            test,
            dev: best.scores.clone(),
            chosen_step: best.step,
            selected_by: config.train.select_by,
            method: config.adapter.method,
            trainable_parameters: self.trainable_parameters,
            adapter_parameters_final: adapter_parameters(&chosen, &manifest),
            total_parameters: self.total_parameters,
            steps,
            steps_skipped: ledger.skipped,
            tokens: ledger.tokens,
            train_secs,
            tokens_per_sec: ledger.tokens as f64 / train_secs,
            peak_memory_mib: peak_memory_mib(),
            active_ranks: schedule.map(|_| manifest.ranks.values().sum()),
            ranks_returned: schedule.map(|_| ledger.returned),
            device: device_name,
            backend_device: format!("{:?}", Device::inner(device)),
            seed: config.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        write_atomically(&dir.join("result.json"), &result.to_json())?;
        Ok(result)
    }
}

fn low_rank_config(config: &RunConfig) -> LowRankConfig {
    let adapter = &config.adapter;
    let singular_values = policy(adapter.method, adapter.p).is_some();
    LowRankConfig {
        rank: if singular_values {
            adapter.initial_rank
        } else {
            adapter.rank
        },
        alpha: adapter.alpha,
        dropout: adapter.dropout,
        singular_values,
    }
}

fn policy(method: Method, p: f64) -> Option<RankPolicy> {
    match method {
        Method::Full | Method::Lora => None,
        Method::AdaLora => Some(RankPolicy::AdaLora),
        Method::AdaptiveRankSampling => Some(RankPolicy::AdaptiveRankSampling { p }),
    }
}

/// Saves what survives of the adapters: under rank control, once the ranks are fixed, the survivors alone.
fn save(dir: &Path, trainee: &Trainee, manifest: Manifest) -> Result<Manifest, SavedError> {
    let survivors = trainee
        .trained
        .ranks
        .as_ref()
        .filter(|ranks| manifest.steps >= ranks.config().schedule.final_step())
        .map(RankController::survivors);
    saved::save(
        dir,
        &trainee.trained.classifier,
        survivors.as_deref(),
        manifest,
    )
}

/// Scalars of the adapters as saved.
fn adapter_parameters(trainee: &Trainee, manifest: &Manifest) -> usize {
    let adapters = trainee.trained.classifier.adapters();
    adapters
        .iter()
        .map(|(path, adapter)| {
            let of_one_rank = adapter.num_params() / adapter.rank();
            of_one_rank * manifest.ranks.get(path).copied().unwrap_or(0)
        })
        .sum()
}

/// What is trained and for how long, for the user to read before it starts.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.task)?;
        let method = self.config.adapter.method;
        writeln!(f, "method      {}", method.name())?;
        for found in &self.matches {
            let first = found
                .indices
                .first()
                .map_or("", |i| self.paths[*i].as_str());
            writeln!(
                f,
                "            {:<10} {:>4} matrices, the first {first}",
                found.pattern,
                found.indices.len(),
            )?;
        }
        let share = 100.0 * self.trainable_parameters as f64 / self.total_parameters as f64;
        writeln!(
            f,
            "parameters  {} trainable of {} loaded ({share:.2} %)",
            self.trainable_parameters, self.total_parameters
        )?;
        let length = &self.length;
        write!(
            f,
            "steps       {}, {} an epoch, an evaluation every {}",
            length.total_steps, length.steps_an_epoch, length.steps_a_round
        )?;
        if let Some(ranks) = &self.ranks {
            let schedule = &ranks.config().schedule;
            write!(
                f,
                "\nranks       {} to {}, fixed from step {} on",
                schedule.initial(),
                schedule.target(),
                schedule.final_step(),
            )?;
            match schedule.gradual_allocations() {
                0 => write!(
                    f,
                    "\nnote        no multiple of adapter.interval = {} comes before that step: only the last \
                     allocation prunes",
                    self.config.adapter.interval
                )?,
                count => write!(f, ", {count} allocations before")?,
            }
        }
        Ok(())
    }
}
