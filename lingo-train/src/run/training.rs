//! A run from its first step, or from where it was left, to its last.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module as _;
use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;
use burn::train::logger::InMemoryMetricLogger;
use burn::train::metric::store::EventStoreClient;
use burn::train::renderer::MetricsRenderer;
use burn::train::{
    EarlyStoppingStrategy, Interrupter, Learner, LearningResult, SupervisedTraining,
};
use lingo_core::models::Classifier;
use lingo_core::rank::{BudgetSchedule, RankController};

use super::plan::Plan;
use super::{Run, RunError};
use crate::checkpoint::{self, CheckpointError, Checkpoints, Found, Origin, RunLock};
use crate::config::Method;
use crate::data::EvalLoader;
use crate::record::{
    EvaluationLog, Ledger, RecordError, RecordFiles, Rules, RunRecord, RunState, SharedLedger,
    TrainLog, lock, write_atomically,
};
use crate::result::RunResult;
use crate::schedule::WarmupLinear;
use crate::step::{Clock, Saving, Trainee};
use crate::stop::StopRequest;
use crate::workers::{Compute, Workers};

/// How Burn's dashboard panics where its user asks for the run to be killed.
const KILLED: &str = "Killing training";

/// What surrounds a run.
pub struct Surroundings {
    /// How the device is made use of.
    pub compute: Compute,
    /// What `result.json` calls the device.
    pub device_name: String,
    /// The run folder, which exists.
    pub dir: PathBuf,
    /// The checkpoint in it to go on from, for a run that is resumed.
    pub resume: Option<Found>,
    /// Shows progress.
    pub renderer: Box<dyn MetricsRenderer>,
    /// Asks for a stop.
    pub stop: StopRequest,
    /// Keeps others out of the run folder.
    pub lock: RunLock,
}

impl Run {
    /// Trains, selects on dev, and scores test once. The run folder holds everything afterwards.
    ///
    /// # Errors
    /// If training fails or is stopped, or something cannot be written; what was written before is kept.
    pub fn train(self, mut surroundings: Surroundings) -> Result<RunResult, RunError> {
        let (classifier, ranks) = (self.classifier, self.ranks);
        let found = surroundings.resume.take();
        let tensors = found.as_ref().map(Found::tensors).transpose()?;
        let training = Training::open(self.plan, &classifier, &ranks, found, &surroundings)?;
        let mut record = training.record()?;
        let (dir, ledger) = (training.dir.clone(), training.ledger.clone());
        record.write(&dir)?;
        // A device that runs out of memory panics in the backend.
        let finish = || training.finish(classifier, ranks, tensors, surroundings, &mut record);
        let outcome = catch_unwind(AssertUnwindSafe(finish)).unwrap_or_else(|panic| {
            let (message, dir) = (panic_message(panic.as_ref()), dir.clone());
            Err(RunError::Device { message, dir })
        });
        record.end(&lock(&ledger).state, &outcome);
        let written = record.write(&dir);
        let result = outcome?;
        written?;
        Ok(result)
    }
}

/// A run under way: what outlives the model that is given to the learner.
pub(super) struct Training {
    pub(super) plan: Plan,
    pub(super) schedule: Option<BudgetSchedule>,
    pub(super) dir: PathBuf,
    pub(super) device_name: String,
    pub(super) ledger: SharedLedger,
    pub(super) workers: Workers,
    pub(super) clock: Clock,
    pub(super) stop: StopRequest,
    interrupter: Interrupter,
}

impl Training {
    /// Writes the resolved configuration and opens the files that grow: new ones, or as they were behind the
    /// checkpoint that was found.
    fn open(
        plan: Plan,
        classifier: &Classifier,
        ranks: &Option<RankController>,
        found: Option<Found>,
        surroundings: &Surroundings,
    ) -> Result<Self, RunError> {
        let (dir, device) = (surroundings.dir.clone(), &surroundings.device_name);
        let checkpoints = dir.join(checkpoint::FOLDER);
        let before = found.as_ref().map(|found| &found.state.origin);
        let workers = before.filter(|before| before.device == *device);
        let workers = plan.workers(&surroundings.compute, workers.map(|before| before.workers))?;
        if found.is_none() {
            let config = plan.config.to_toml()?;
            write_atomically(&dir.join("config.toml"), config.as_bytes())?;
            std::fs::create_dir_all(&checkpoints).map_err(|source| RecordError {
                path: checkpoints.clone(),
                source,
            })?;
        }
        let task = &plan.task;
        let splits = [&task.train, &task.dev, &task.test];
        let (network, workers_count) = (&plan.network, workers.count());
        let origin = Origin::new(
            &plan.config,
            splits,
            classifier,
            network,
            device,
            workers_count,
        )?;
        let differences = before.map_or(Vec::new(), |before| before.differences(&origin));
        if !differences.is_empty() {
            return Err(CheckpointError::Differs { dir, differences }.into());
        }

        let schedule = ranks.as_ref().map(|ranks| ranks.config().schedule);
        let interrupter = Interrupter::new();
        let rules = Rules {
            select_by: plan.config.train.select_by,
            eligible_from: schedule.map_or(0, |schedule| schedule.final_step()),
            stopping: plan.stopping(),
            max_skipped_steps: plan.config.train.max_skipped_steps as u64,
        };
        let train_secs = found.as_ref().map_or(0.0, |found| found.state.train_secs);
        let (files, checkpoints, state) = match found {
            Some(found) => {
                let state = found.state.run.clone();
                let files = RecordFiles::go_on(&dir, &found.state.logs)?;
                // Where things are may have changed.
                let config = plan.config.to_toml()?;
                write_atomically(&dir.join("config.toml"), config.as_bytes())?;
                (files, found.go_on(origin), state)
            }
            None => {
                let adapters = classifier.adapters().into_iter();
                let matrices: Vec<String> = match schedule {
                    Some(_) => adapters.map(|(path, _)| path).collect(),
                    None => Vec::new(),
                };
                let state = RunState {
                    active: schedule.map(|schedule| schedule.initial()),
                    ..RunState::default()
                };
                let files = RecordFiles::create(&dir, &matrices)?;
                (files, Checkpoints::new(checkpoints, origin), state)
            }
        };
        Ok(Self {
            ledger: Ledger::new(files, checkpoints, interrupter.clone(), rules, state),
            workers,
            plan,
            schedule,
            dir,
            device_name: device.clone(),
            clock: Clock::starting_at(train_secs),
            stop: surroundings.stop.clone(),
            interrupter,
        })
    }

    /// What is known of the run before it begins.
    fn record(&self) -> Result<RunRecord, RunError> {
        let plan = &self.plan;
        RunRecord::begin(
            &self.dir,
            &lock(&self.ledger).state,
            &plan.config,
            &plan.model_files,
            &self.device_name,
            self.workers.count(),
            plan.flops.reference,
        )
    }

    /// From the first step, or from the checkpoint's, to the result.
    fn finish(
        self,
        classifier: Classifier,
        ranks: Option<RankController>,
        tensors: Option<(ModuleRecord, OptimizerRecord)>,
        surroundings: Surroundings,
        record: &mut RunRecord,
    ) -> Result<RunResult, RunError> {
        let outcome = self.learn(classifier, ranks, tensors, surroundings)?;
        let chosen = self.save(outcome)?;
        self.score(chosen, record)
    }

    /// Trains: one of Burn's epochs is one round of steps with an evaluation.
    fn learn(
        &self,
        classifier: Classifier,
        ranks: Option<RankController>,
        tensors: Option<(ModuleRecord, OptimizerRecord)>,
        surroundings: Surroundings,
    ) -> Result<LearningResult<Trainee>, RunError> {
        let plan = &self.plan;
        let (train, task, length) = (&plan.config.train, &plan.task, &plan.length);
        let (steps, done, ended) = {
            let ledger = lock(&self.ledger);
            let state = &ledger.state;
            (state.steps, state.evaluations.len(), ledger.stops_early())
        };
        let batches = plan.batches();
        batches.seek(done, steps as usize * length.accumulation);
        let dev = EvalLoader::new(task.dev.clone(), train.eval_batch_size, task.text.pad)?;
        let mut training = SupervisedTraining::new(&self.dir, Arc::new(batches), Arc::new(dev))
            .with_application_logger(None)
            .with_metric_logger(InMemoryMetricLogger::new())
            .metric_train_numeric(TrainLog::new(
                self.ledger.clone(),
                self.schedule,
                plan.flops.of_batch,
            ))
            .metric_valid_numeric(EvaluationLog::new(
                self.ledger.clone(),
                self.clock.clone(),
                plan.flops,
                train.select_by,
                task.objective.clone(),
                task.dev.len(),
            ))
            .early_stopping(Patience(self.ledger.clone()))
            .with_interrupter(self.interrupter.clone())
            .renderer(surroundings.renderer)
            .num_epochs(if ended {
                done
            } else {
                length.evaluations.len()
            })
            .checkpoint(done);
        if length.accumulation > 1 {
            training = training.grads_accumulation(length.accumulation);
        }
        let (peak, warmup) = (train.learning_rate, train.warmup_ratio);
        let rate = WarmupLinear::new(peak, warmup, length.total_steps).behind(steps);
        let step = plan.step(&surroundings.compute);
        let (workers, clock) = (self.workers.clone(), self.clock.clone());
        let saving = Saving {
            every: train.checkpoint_every as u64,
            evaluations: length.evaluations.clone().into(),
            stop: self.stop.clone(),
            interrupter: self.interrupter.clone(),
        };
        let mut trainee =
            Trainee::new(classifier, ranks, step, workers, clock).with_saving(saving, steps);
        let mut optimizer = plan.optimizer();
        if let Some((model, of_optimizer)) = tensors {
            trainee = trainee.try_load_record(model).map_err(RunError::Unfit)?;
            optimizer = optimizer.load_record(of_optimizer);
        }
        // Takes the best checkpoint where the trainer is lost. Under full fine-tuning it would be a second model.
        let spare = (plan.config.adapter.method != Method::Full).then(|| trainee.clone());
        let learner = Learner::new(trainee, optimizer, rate);
        // A device that runs out of memory panics in the backend.
        catch_unwind(AssertUnwindSafe(|| training.launch(learner))).map_err(|panic| {
            // The panic is what is reported, whether or not this succeeds.
            let _ = spare.and_then(|spare| self.save_best(spare));
            let (message, dir) = (panic_message(panic.as_ref()), self.dir.clone());
            match message.starts_with(KILLED) {
                true => RunError::Killed { dir },
                false => RunError::Device { message, dir },
            }
        })
    }
}

/// Early stopping, as Burn's learner asks for it behind each evaluation.
#[derive(Clone)]
struct Patience(SharedLedger);

impl EarlyStoppingStrategy for Patience {
    fn should_stop(&mut self, _round: usize, _store: &EventStoreClient) -> bool {
        lock(&self.0).stops_early()
    }
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_owned()
}
