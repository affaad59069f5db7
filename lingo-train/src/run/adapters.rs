//! From a configuration to adapters and what controls their ranks.

use burn::module::Module;
use lingo_core::adapter::LowRankConfig;
use lingo_core::adapter::target::{Match, UnmatchedTarget, match_targets};
use lingo_core::models::{Classifier, ModelConfig};
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};

use super::RunError;
use crate::config::{AdapterConfig, Method, RunConfig};

/// Makes a classifier of architecture `model` trainable as a configuration says, with new adapters drawn from `seed`;
/// which matrices got them.
///
/// # Errors
/// If a target names nothing.
pub fn adapt(
    mut classifier: Classifier,
    model: &ModelConfig,
    adapter: &AdapterConfig,
    seed: u64,
) -> Result<(Classifier, Vec<Match>), UnmatchedTarget> {
    if adapter.method == Method::Full {
        return Ok((classifier.set_require_grad(true), Vec::new()));
    }
    let paths = classifier.projection_paths();
    let matches = match_targets(&paths, model.paper_names(), &adapter.targets)?;
    let mut targets: Vec<usize> = matches.iter().flat_map(|m| m.indices.clone()).collect();
    targets.sort_unstable();
    classifier.attach(&targets, &low_rank(adapter), seed);
    Ok((classifier, matches))
}

/// The adapters that a configuration asks for.
pub(super) fn low_rank(adapter: &AdapterConfig) -> LowRankConfig {
    let singular_values = policy(adapter).is_some();
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

fn policy(adapter: &AdapterConfig) -> Option<RankPolicy> {
    match adapter.method {
        Method::Full | Method::Lora => None,
        Method::AdaLora => Some(RankPolicy::AdaLora),
        Method::AdaptiveRankSampling => Some(RankPolicy::AdaptiveRankSampling { p: adapter.p }),
    }
}

/// Control of the adapters' ranks, where the method has one.
pub(super) fn rank_control(
    config: &RunConfig,
    classifier: &Classifier,
    total_steps: u64,
) -> Result<Option<RankController>, RunError> {
    let Some(policy) = policy(&config.adapter) else {
        return Ok(None);
    };
    let (adapter, adapters) = (&config.adapter, classifier.low_ranks());
    let schedule = BudgetSchedule::new(
        adapters.len(),
        [adapter.initial_rank, adapter.target_rank],
        adapter.warmup_steps as u64,
        adapter.final_ratio,
        adapter.interval as u64,
        total_steps,
    )?;
    let settings = RankConfig {
        policy,
        schedule,
        beta1: adapter.beta1,
        beta2: adapter.beta2,
        seed: config.seed,
    };
    let device = classifier.device();
    Ok(Some(RankController::new(settings, &adapters, &device)))
}
