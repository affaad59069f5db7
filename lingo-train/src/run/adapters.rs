//! From a configuration to adapters and what controls their ranks.

use lingo_core::adapter::LowRankConfig;
use lingo_core::models::Classifier;
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};

use super::RunError;
use crate::config::{Method, RunConfig};

/// The adapters that a configuration asks for.
pub(super) fn low_rank(config: &RunConfig) -> LowRankConfig {
    let adapter = &config.adapter;
    let singular_values = policy(config).is_some();
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

fn policy(config: &RunConfig) -> Option<RankPolicy> {
    match config.adapter.method {
        Method::Full | Method::Lora => None,
        Method::AdaLora => Some(RankPolicy::AdaLora),
        Method::AdaptiveRankSampling => Some(RankPolicy::AdaptiveRankSampling {
            p: config.adapter.p,
        }),
    }
}

/// Control of the adapters' ranks, where the method has one.
pub(super) fn rank_control(
    config: &RunConfig,
    classifier: &Classifier,
    total_steps: u64,
) -> Result<Option<RankController>, RunError> {
    let Some(policy) = policy(config) else {
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
