//! Saving adapters: the newest, and the chosen one from its checkpoint.

use std::path::Path;

use burn::module::Module;
use lingo_core::models::Classifier;
use lingo_core::rank::RankController;

use super::RunError;
use super::adapters::low_rank;
use super::plan::Plan;
use crate::checkpoint::Checkpoints;
use crate::record::Evaluation;
use crate::saved::{self, Manifest, SavedError};
use crate::step::Trainee;

/// What must be known to use an adapter saved after `steps` steps; its ranks are filled in on saving.
pub(super) fn manifest(plan: &Plan, steps: u64) -> Manifest {
    let (config, task) = (&plan.config, &plan.task);
    Manifest {
        format: saved::FORMAT,
        model: config.model.clone(),
        model_type: plan.network.model_type().to_owned(),
        base_weights: plan.base_weights.clone(),
        base_tokens: plan.base_tokens.clone(),
        method: config.adapter.method,
        objective: task.objective.clone(),
        tokenizer: task.text.layout.kind,
        prefix: task.text.layout.prompt.prefix.clone(),
        suffix: task.text.layout.prompt.suffix.clone(),
        max_tokens: task.text.max_tokens,
        restricted: task.text.vocabulary.is_some(),
        scale: low_rank(&config.adapter).scale(),
        precision: config.train.precision,
        ranks: Default::default(),
        steps,
        seed: config.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Loads the checkpoint of an evaluation and saves its adapter as the best one.
pub(super) fn restore(
    checkpoints: &Checkpoints,
    trainee: Trainee,
    dir: &Path,
    (manifest, brought): (&Manifest, &[String]),
    best: Evaluation,
) -> Result<(Evaluation, Trainee, Manifest), RunError> {
    let step = best.step;
    let failed = |reason: String| RunError::Restore { step, reason };
    let record = checkpoints
        .model(step)
        .map_err(|error| failed(error.to_string()))?;
    let chosen = trainee
        .try_load_record(record)
        .map_err(|error| failed(error.to_string()))?
        .valid();
    let manifest = Manifest {
        steps: best.step,
        ..manifest.clone()
    };
    let manifest = save(&dir.join("best"), &chosen, manifest, brought)?;
    Ok((best, chosen, manifest))
}

/// Saves what survives of the adapters: under rank control, once the ranks are fixed, the survivors alone.
pub(super) fn save(
    dir: &Path,
    trainee: &Trainee,
    manifest: Manifest,
    brought: &[String],
) -> Result<Manifest, SavedError> {
    let ranks = trainee.trained.ranks.as_ref();
    let fixed = |ranks: &&RankController| manifest.steps >= ranks.config().schedule.final_step();
    let survivors = ranks.filter(fixed).map(RankController::survivors);
    let classifier = &trainee.trained.classifier;
    saved::save(dir, classifier, survivors.as_deref(), brought, manifest)
}

/// Scalars of the adapters as saved.
pub(super) fn adapter_parameters(classifier: &Classifier, manifest: &Manifest) -> usize {
    let adapters = classifier.adapters().into_iter();
    adapters
        .map(|(path, adapter)| {
            let of_one_rank = adapter.num_params() / adapter.rank();
            of_one_rank * manifest.ranks.get(&path).copied().unwrap_or(0)
        })
        .sum()
}
