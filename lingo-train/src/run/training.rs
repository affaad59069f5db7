//! A run from its first step to its result.

use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use burn::train::logger::InMemoryMetricLogger;
use burn::train::renderer::MetricsRenderer;
use burn::train::{Interrupter, Learner, LearningResult, SupervisedTraining};
use lingo_core::models::Classifier;
use lingo_core::rank::{BudgetSchedule, RankController};

use super::chosen::{adapter_parameters, manifest, model_checkpoint, restore, save};
use super::plan::Plan;
use super::{Run, RunError};
use crate::checkpoint::{AtomicCheckpointer, Health, KeepBestAndLast};
use crate::config::Method;
use crate::data::{EvalLoader, Objective};
use crate::evaluate::{self, EvaluateError};
use crate::record::{
    Evaluation, EvaluationLog, Ledger, RecordError, RecordFiles, RunRecord, SharedLedger, TrainLog,
    lock, write_atomically, write_label_table,
};
use crate::result::{RunResult, peak_memory_mib};
use crate::saved::Manifest;
use crate::schedule::WarmupLinear;
use crate::step::{Clock, Trainee};
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
    /// Shows progress.
    pub renderer: Box<dyn MetricsRenderer>,
    /// Stops training.
    pub interrupter: Interrupter,
}

impl Run {
    /// Trains, selects on dev, and scores test once. The run folder holds everything afterwards.
    ///
    /// # Errors
    /// If training fails or is stopped, or something cannot be written; what was written before is kept.
    pub fn train(self, surroundings: Surroundings) -> Result<RunResult, RunError> {
        let training = Training::open(self.plan, &self.classifier, &self.ranks, &surroundings)?;
        let mut record = training.record()?;
        let (dir, ledger) = (training.dir.clone(), training.ledger.clone());
        record.write(&dir)?;
        let outcome = training.finish(self.classifier, self.ranks, surroundings);
        record.end(&lock(&ledger).state, &outcome);
        let written = record.write(&dir);
        let result = outcome?;
        written?;
        Ok(result)
    }
}

/// A run under way: what outlives the model that is given to the learner.
struct Training {
    plan: Plan,
    schedule: Option<BudgetSchedule>,
    dir: PathBuf,
    device_name: String,
    ledger: SharedLedger,
    workers: Workers,
    clock: Clock,
}

/// The evaluation that was chosen, its model, and what was saved of it.
struct Chosen {
    evaluation: Evaluation,
    trainee: Trainee,
    manifest: Manifest,
}

impl Training {
    /// Writes the resolved configuration and opens the files that grow.
    fn open(
        plan: Plan,
        classifier: &Classifier,
        ranks: &Option<RankController>,
        surroundings: &Surroundings,
    ) -> Result<Self, RunError> {
        let dir = surroundings.dir.clone();
        let config = plan.config.to_toml()?;
        write_atomically(&dir.join("config.toml"), config.as_bytes())?;
        let checkpoints = dir.join("checkpoint");
        std::fs::create_dir_all(&checkpoints).map_err(|source| RecordError {
            path: checkpoints,
            source,
        })?;
        let schedule = ranks.as_ref().map(|ranks| ranks.config().schedule);
        let adapters = classifier.adapters().into_iter();
        let matrices: Vec<String> = match schedule {
            Some(_) => adapters.map(|(path, _)| path).collect(),
            None => Vec::new(),
        };
        let ledger = Ledger::new(
            RecordFiles::create(&dir, &matrices)?,
            surroundings.interrupter.clone(),
            plan.config.train.select_by,
            schedule.map_or(0, |schedule| schedule.final_step()),
            schedule.map(|schedule| schedule.initial()),
        );
        Ok(Self {
            workers: plan.workers(&surroundings.compute)?,
            plan,
            schedule,
            dir,
            device_name: surroundings.device_name.clone(),
            ledger,
            clock: Clock::default(),
        })
    }

    /// What is known of the run before it begins.
    fn record(&self) -> Result<RunRecord, RunError> {
        let plan = &self.plan;
        RunRecord::begin(
            &plan.config,
            &plan.model_files,
            &self.device_name,
            self.workers.count(),
            plan.flops.reference,
        )
    }

    /// From the first step to the result.
    fn finish(
        self,
        classifier: Classifier,
        ranks: Option<RankController>,
        surroundings: Surroundings,
    ) -> Result<RunResult, RunError> {
        let outcome = self.learn(classifier, ranks, surroundings)?;
        let chosen = self.save(outcome)?;
        self.score(chosen)
    }

    fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// The best evaluation whose checkpoint was saved.
    fn best(&self) -> Option<Evaluation> {
        let checkpoints = self.checkpoints();
        let ledger = lock(&self.ledger);
        ledger
            .best(|evaluation| model_checkpoint(&checkpoints).holds(evaluation.round))
            .cloned()
    }

    /// What must be known to use an adapter of this moment.
    fn manifest(&self) -> Manifest {
        let steps = lock(&self.ledger).state.steps;
        manifest(&self.plan, steps)
    }

    /// Trains: one of Burn's epochs is one round of steps with an evaluation.
    fn learn(
        &self,
        classifier: Classifier,
        ranks: Option<RankController>,
        surroundings: Surroundings,
    ) -> Result<LearningResult<Trainee>, RunError> {
        let plan = &self.plan;
        let (train, task, length) = (&plan.config.train, &plan.task, &plan.length);
        let dev = EvalLoader::new(task.dev.clone(), train.eval_batch_size, task.text.pad);
        let health = Health::default();
        let checkpoints = self.checkpoints();
        let mut training =
            SupervisedTraining::new(&self.dir, Arc::new(plan.batches()), Arc::new(dev))
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
                .with_custom_checkpointers(
                    AtomicCheckpointer::new(&checkpoints, "model", &health),
                    AtomicCheckpointer::new(&checkpoints, "optimizer", &health),
                    AtomicCheckpointer::new(&checkpoints, "scheduler", &health),
                )
                .with_checkpointing_strategy(KeepBestAndLast::new(self.ledger.clone()))
                .with_interrupter(surroundings.interrupter)
                .renderer(surroundings.renderer)
                .num_epochs(length.evaluations.len());
        if length.accumulation > 1 {
            training = training.grads_accumulation(length.accumulation);
        }
        let (peak, warmup) = (train.learning_rate, train.warmup_ratio);
        let rate = WarmupLinear::new(peak, warmup, length.total_steps);
        let step = plan.step(&surroundings.compute);
        let (workers, clock) = (self.workers.clone(), self.clock.clone());
        let trainee = Trainee::new(classifier, ranks, step, workers, clock);
        // Takes the best checkpoint where the trainer is lost. Under full fine-tuning it would be a second model.
        let spare = (plan.config.adapter.method != Method::Full).then(|| trainee.clone());
        let learner = Learner::new(trainee, plan.optimizer(), rate);
        // A device that runs out of memory panics in the backend.
        catch_unwind(AssertUnwindSafe(|| training.launch(learner))).map_err(|panic| {
            if let (Some(spare), Some(best)) = (spare, self.best()) {
                // The panic is what is reported, whether or not this succeeds.
                let _ = restore(
                    &self.checkpoints(),
                    spare,
                    &self.dir,
                    &self.manifest(),
                    best,
                );
            }
            let (message, dir) = (panic_message(panic.as_ref()), self.dir.clone());
            match message.starts_with(KILLED) {
                true => RunError::Killed { dir },
                false => RunError::Device { message, dir },
            }
        })
    }

    /// Saves the last and the best adapter, whatever has happened; the first thing that went wrong is the one to
    /// report.
    fn save(&self, outcome: LearningResult<Trainee>) -> Result<Chosen, RunError> {
        let manifest = self.manifest();
        let trainee = outcome.model;
        let last = save(&self.dir.join("last"), &trainee, manifest.clone());
        let best = self.best();
        let best =
            best.map(|best| restore(&self.checkpoints(), trainee, &self.dir, &manifest, best));
        let (steps, total_steps) = (manifest.steps, self.plan.length.total_steps);
        if let Some(failure) = lock(&self.ledger).failure.take() {
            return Err(failure.into());
        }
        if let Some(source) = outcome.error {
            let dir = self.dir.clone();
            return Err(RunError::Training { steps, dir, source });
        }
        let last = last?;
        let Some(best) = best.filter(|_| outcome.interrupted.is_none() && steps == total_steps)
        else {
            return Err(RunError::Interrupted {
                steps,
                total_steps,
                adapter: self.dir.join("last"),
            });
        };
        let (evaluation, trainee, manifest) = best?;
        if let Some(schedule) = self.schedule {
            let (expected, found) = (schedule.target(), last.ranks.values().sum());
            if found != expected {
                return Err(RunError::RanksDidNotMove {
                    expected,
                    found,
                    method: self.plan.config.adapter.method.name(),
                });
            }
        }
        Ok(Chosen {
            evaluation,
            trainee,
            manifest,
        })
    }

    /// Scores test, once, and writes the result.
    fn score(self, chosen: Chosen) -> Result<RunResult, RunError> {
        let (train, task) = (&self.plan.config.train, &self.plan.task);
        let (classifier, manifest) = (&chosen.trainee.trained.classifier, chosen.manifest);
        let test = EvalLoader::new(task.test.clone(), train.eval_batch_size, task.text.pad);
        let logits = evaluate::logits(classifier, &test, &self.workers, &|| {})?;
        let train_secs = self.clock.elapsed_secs();
        let labels = task.test.iter().map(|sample| sample.label.as_ref());
        let mut test =
            evaluate::score(&logits, &task.objective, labels).map_err(EvaluateError::from)?;
        let mut dev = chosen.evaluation.scores;
        if let Objective::Labels(_) = task.objective {
            // A table of their own, so that the result stays readable.
            let [dev, test] = [&mut dev, &mut test].map(|scores| take(&mut scores.labels));
            let splits = [("dev", &dev[..]), ("test", &test[..])];
            write_label_table(&self.dir.join("labels.csv"), &splits)?;
        }
        let state = &lock(&self.ledger).state;
        let result = RunResult {
            test,
            dev,
            chosen_step: chosen.evaluation.step,
            selected_by: train.select_by,
            method: self.plan.config.adapter.method,
            trainable_parameters: self.plan.trainable_parameters,
            adapter_parameters_final: adapter_parameters(classifier, &manifest),
            total_parameters: self.plan.total_parameters,
            steps: state.steps,
            steps_skipped: state.skipped,
            steps_overflowed: state.overflowed,
            tokens: state.tokens,
            flops: state.flops,
            flops_reference: self.plan.flops.reference,
            train_secs,
            tokens_per_sec: state.tokens as f64 / train_secs,
            peak_memory_mib: peak_memory_mib(),
            active_ranks: self.schedule.map(|_| manifest.ranks.values().sum()),
            ranks_returned: self.schedule.map(|_| state.returned),
            device: self.device_name,
            workers: self.workers.count(),
            seed: self.plan.config.seed,
            version: manifest.version,
        };
        write_atomically(&self.dir.join("result.json"), &result.to_json())?;
        Ok(result)
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_owned()
}
