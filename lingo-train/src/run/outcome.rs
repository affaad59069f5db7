//! What training has come to: adapters saved, the best one chosen, test scored.

use std::mem::take;

use burn::train::LearningResult;

use super::RunError;
use super::chosen::{adapter_parameters, manifest, restore, save};
use super::training::Training;
use crate::data::{EvalLoader, Objective};
use crate::evaluate::{self, EvaluateError};
use crate::record::{Evaluation, RunRecord, lock, write_atomically, write_label_table};
use crate::result::{RunResult, peak_memory_mib};
use crate::saved::Manifest;
use crate::step::Trainee;
use crate::stop::StopCause;

/// The evaluation that was chosen, its model, and what was saved of it.
pub(super) struct Chosen {
    evaluation: Evaluation,
    trainee: Trainee,
    manifest: Manifest,
}

impl Training {
    /// The best evaluation whose checkpoint was saved.
    fn best(&self) -> Option<Evaluation> {
        let ledger = lock(&self.ledger);
        let is_held = |evaluation: &Evaluation| ledger.checkpoints().hold(evaluation.step);
        ledger.best(is_held).cloned()
    }

    /// What must be known to use an adapter of this moment.
    fn manifest(&self) -> Manifest {
        let steps = lock(&self.ledger).state.steps;
        manifest(&self.plan, steps)
    }

    /// Saves the adapter of the best evaluation, if there is one, whose tensors `trainee` takes.
    pub(super) fn save_best(
        &self,
        trainee: Trainee,
    ) -> Option<Result<(Evaluation, Trainee, Manifest), RunError>> {
        let (best, manifest) = (self.best()?, self.manifest());
        let ledger = lock(&self.ledger);
        let checkpoints = ledger.checkpoints();
        Some(restore(
            checkpoints,
            trainee,
            &self.dir,
            (&manifest, &self.plan.brought),
            best,
        ))
    }

    /// Whether early stopping has ended the run before its last step.
    fn stopped_early(&self) -> bool {
        let ledger = lock(&self.ledger);
        ledger.state.steps < self.plan.length.total_steps && ledger.stops_early()
    }

    /// Whether there is nothing left to train and evaluate.
    fn is_complete(&self) -> bool {
        let evaluations = lock(&self.ledger).state.evaluations.len();
        evaluations == self.plan.length.evaluations.len() || self.stopped_early()
    }

    /// Saves the last and the best adapter, whatever has happened; the first thing that went wrong is the one to
    /// report.
    pub(super) fn save(&self, outcome: LearningResult<Trainee>) -> Result<Chosen, RunError> {
        let manifest = self.manifest();
        let trainee = outcome.model;
        let last = save(
            &self.dir.join("last"),
            &trainee,
            manifest.clone(),
            &self.plan.brought,
        );
        let best = self.save_best(trainee);
        let (steps, total_steps) = (manifest.steps, self.plan.length.total_steps);
        if let Some(failure) = lock(&self.ledger).failure.take() {
            return Err(failure.into());
        }
        if let Some(source) = outcome.error {
            let dir = self.dir.clone();
            return Err(RunError::Training { steps, dir, source });
        }
        let last = last?;
        let Some(best) = best.filter(|_| self.is_complete()) else {
            return Err(RunError::Interrupted {
                cause: self.stop.cause().unwrap_or(StopCause::Interrupt),
                steps,
                total_steps,
                dir: self.dir.clone(),
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
    pub(super) fn score(
        self,
        chosen: Chosen,
        record: &mut RunRecord,
    ) -> Result<RunResult, RunError> {
        let (train, task) = (&self.plan.config.train, &self.plan.task);
        let (classifier, manifest) = (&chosen.trainee.trained.classifier, chosen.manifest);
        let test = EvalLoader::new(task.test.clone(), train.eval_batch_size, task.text.pad)?;
        // Noted before it is looked at, whatever becomes of this process then.
        record.test_scored += 1;
        record.write(&self.dir)?;
        let logits = evaluate::logits(classifier, &test, &self.workers, &|| {})?;
        let train_secs = self.clock.elapsed_secs();
        let labels = task.test.labels().collect::<Result<Vec<_>, _>>()?;
        let labels = labels.iter().map(Option::as_ref);
        let mut test =
            evaluate::score(&logits, &task.objective, labels).map_err(EvaluateError::from)?;
        let mut dev = chosen.evaluation.scores;
        if let Objective::Labels(_) = task.objective {
            // A table of their own, so that the result stays readable.
            let [dev, test] = [&mut dev, &mut test].map(|scores| take(&mut scores.labels));
            let splits = [("dev", &dev[..]), ("test", &test[..])];
            write_label_table(&self.dir.join("labels.csv"), &splits)?;
        }
        let stopped_early = self.stopped_early();
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
            stopped_early,
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
