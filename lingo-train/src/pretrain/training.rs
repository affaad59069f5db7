//! A pretraining run from its first step, or from where it was left, to its last.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use burn::module::Module as _;
use burn::optim::ModuleOptimizer;
use burn::optim::lr_scheduler::LrScheduler as _;
use lingo_core::models::LanguageModel;

use super::record::{PretrainFiles, TrainRow, bits_per_byte};
use super::step::{self, Draws};
use super::surroundings::{MODEL_FOLDER, PretrainSurroundings, Progress};
use super::{PretrainError, PretrainResult, PretrainState, Pretraining, Validation};
use crate::checkpoint::{Checkpoints, Snapshot};
use crate::record::{FileRecord, RecordError, Versions, write_atomically};
use crate::result::peak_memory_mib;
use crate::run::panic_message;
use crate::saved::named_tensors;
use crate::schedule::WarmupLinear;
use crate::step::gradients::{clip, global_norm};
use crate::workers::Workers;

impl Pretraining {
    /// Trains, evaluates, and keeps the model of the best evaluation. The run folder holds everything afterwards.
    ///
    /// # Errors
    /// If it is stopped, diverges, or something cannot be written; what was written before is kept.
    pub fn train(
        self,
        mut surroundings: PretrainSurroundings<'_>,
    ) -> Result<PretrainResult, PretrainError> {
        let dir = surroundings.dir.clone();
        let found = surroundings.resume.take();
        let mut training = Training::open(self, found, surroundings)?;
        // A device that runs out of memory panics in the backend.
        let outcome = catch_unwind(AssertUnwindSafe(|| training.go()));
        outcome.unwrap_or_else(|panic| {
            let message = panic_message(panic.as_ref());
            Err(PretrainError::Device { message, dir })
        })
    }
}

/// A run under way.
pub(super) struct Training<'a> {
    pub(super) plan: Pretraining,
    pub(super) surroundings: PretrainSurroundings<'a>,
    pub(super) workers: Workers,
    pub(super) draws: Draws,
    pub(super) rate: WarmupLinear,
    pub(super) optimizer: ModuleOptimizer,
    pub(super) files: PretrainFiles,
    pub(super) checkpoints: Checkpoints<PretrainState>,
    pub(super) state: PretrainState,
    pub(super) train_secs: f64,
    pub(super) read: Vec<FileRecord>,
}

impl Training<'_> {
    /// To the last step.
    fn go(&mut self) -> Result<PretrainResult, PretrainError> {
        let total = self.plan.total_steps();
        loop {
            let step = self.state.steps;
            let newest = self.state.validations.last().map(|newest| newest.step);
            if self.plan.evaluates_behind(step) && newest != Some(step) {
                self.evaluate()?;
            }
            if step == total {
                return self.finish();
            }
            if let Some(cause) = self.surroundings.stop.cause() {
                return Err(PretrainError::Interrupted {
                    cause,
                    steps: step,
                    total_steps: total,
                    dir: self.surroundings.dir.clone(),
                });
            }
            self.step()?;
            let every = self.plan.config.pretrain.checkpoint_every as u64;
            let step = self.state.steps;
            let due = every > 0 && step.is_multiple_of(every);
            let asked = self.surroundings.stop.cause().is_some();
            if due || asked || self.plan.evaluates_behind(step) {
                self.checkpoint()?;
            }
        }
    }

    fn step(&mut self) -> Result<(), PretrainError> {
        let start = Instant::now();
        let settings = &self.plan.config.pretrain;
        let (number, of_epoch) = (self.state.steps, self.plan.epoch_steps());
        let (epoch, batch) = ((number / of_epoch) as usize, (number % of_epoch) as usize);
        let seed = self.plan.config.seed;
        let block = self
            .plan
            .train
            .shuffled(seed, epoch, batch, settings.batch_size);
        let model = &self.plan.model;
        let (loss, gradients) = step::gradients(model, &block, number, self.draws, &self.workers);
        let (gradients, norm) = global_norm(model, gradients);
        let rate = self.rate.step();
        let finite = loss.is_finite() && norm.is_finite();
        if finite {
            let gradients = clip(model, gradients, norm, settings.max_grad_norm);
            self.plan.model = self.optimizer.step(rate, model.clone(), gradients);
        }
        let secs = start.elapsed().as_secs_f64();
        self.train_secs += secs;
        let tokens_per_sec = block.tokens() as f64 / secs;
        let skipped = self.state.count(finite, block.tokens());
        let step = self.state.steps;
        self.files.train(&TrainRow {
            step,
            loss,
            learning_rate: rate,
            grad_norm: norm,
        })?;
        if skipped > 0 && skipped == self.plan.config.pretrain.max_skipped_steps as u64 {
            return Err(PretrainError::Diverged { skipped, step });
        }
        (self.surroundings.progress)(Progress::Step {
            step,
            total: self.plan.total_steps(),
            loss,
            tokens_per_sec,
        });
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), PretrainError> {
        let snapshot = Snapshot {
            step: self.state.steps,
            train_secs: self.train_secs,
            model: self.plan.model.clone().into_record(),
            optimizer: self.optimizer.to_record(),
        };
        let logs = self.files.sync()?;
        Ok(self.checkpoints.save(snapshot, &self.state, None, logs)?)
    }

    fn evaluate(&mut self) -> Result<(), PretrainError> {
        let model: LanguageModel = self.plan.model.valid();
        let (total, mut done, mut sum) = (self.plan.valid.targets(), 0, 0.0);
        for block in self.plan.valid.all(self.plan.config.pretrain.batch_size) {
            sum += step::loss(&model, &block, &self.workers);
            done += block.tokens();
            (self.surroundings.progress)(Progress::Evaluating { done, total });
        }
        let loss = sum / total as f64;
        let [_, valid] = self.plan.counted;
        let validation = Validation {
            step: self.state.steps,
            tokens: self.state.tokens,
            elapsed_secs: self.train_secs,
            loss,
            perplexity: loss.exp(),
            bits_per_byte: bits_per_byte(loss, total, valid.bytes),
        };
        self.state.validations.push(validation);
        if self.state.best().map(|best| best.step) == Some(validation.step) {
            let tensors = named_tensors(&model, &self.plan.network.head(), &|_| true);
            let folder = self.surroundings.dir.join(MODEL_FOLDER);
            (self.surroundings.save)(tensors, &folder).map_err(PretrainError::Export)?;
        }
        self.files.validation(&validation)?;
        let logs = self.files.sync()?;
        self.checkpoints.evaluated(&self.state, None, logs)?;
        (self.surroundings.progress)(Progress::Evaluated(validation));
        Ok(())
    }

    fn finish(&mut self) -> Result<PretrainResult, PretrainError> {
        let Some(best) = self.state.best().copied() else {
            // The last step is evaluated; its loss is no number.
            let (skipped, step) = (self.state.skipped, self.state.steps);
            return Err(PretrainError::Diverged { skipped, step });
        };
        let plan = &self.plan;
        let result = PretrainResult {
            best,
            unigram: plan.unigram,
            parameters: plan.parameters(),
            vocabulary: plan.vocabulary,
            context_tokens: plan.context,
            train: plan.counted[0],
            valid: plan.counted[1],
            steps: self.state.steps,
            steps_skipped: self.state.skipped,
            tokens: self.state.tokens,
            train_secs: self.train_secs,
            tokens_per_sec: self.state.tokens as f64 / self.train_secs,
            peak_memory_mib: peak_memory_mib(),
            files: std::mem::take(&mut self.read),
            versions: Versions::current(),
            device: self.surroundings.device_name.clone(),
            workers: self.workers.count(),
            seed: plan.config.seed,
        };
        let path = self.surroundings.dir.join("result.json");
        let json = serde_json::to_vec_pretty(&result).map_err(|source| RecordError {
            path: path.clone(),
            source: source.into(),
        })?;
        write_atomically(&path, &json)?;
        Ok(result)
    }
}

impl PretrainState {
    /// Counts a step that changed something, or nothing; how many of the latter there were in a row.
    fn count(&mut self, finite: bool, tokens: usize) -> u64 {
        self.steps += 1;
        self.tokens += tokens as u64;
        self.skipped += u64::from(!finite);
        self.skipped_in_a_row = match finite {
            true => 0,
            false => self.skipped_in_a_row + 1,
        };
        self.skipped_in_a_row
    }
}
