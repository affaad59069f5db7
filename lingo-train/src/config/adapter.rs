//! The section `[adapter]` of a run file, with its defaults (the paper's).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[adapter]`: what is trained, and how ranks are given and taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterConfig {
    /// `adapter.method`: `full`, `lora`, `adalora` or `adaptive-rank-sampling`. Default `adaptive-rank-sampling`.
    pub method: Method,
    /// `adapter.targets`: the matrices to adapt, by the paper's names (`Wq Wk Wv Wo Wf1 Wf2`) or by suffixes of
    /// the checkpoint's own paths. Default `Wq Wk Wv Wf1 Wf2`.
    pub targets: Vec<String>,
    /// `adapter.from`: a run, or an adapter, to go on from; its ranks must fit into this run's. Default: none, adapters
    /// start without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// `adapter.alpha`: the update is scaled by alpha over the (initial) rank. Default 32.
    pub alpha: f64,
    /// `adapter.dropout`: on the adapter's input, in training. Default 0.05.
    pub dropout: f64,
    /// `adapter.rank`: rank of each matrix under `lora`. Default 8.
    pub rank: usize,
    /// `adapter.initial_rank`: b0, ranks a matrix at the start, under `adalora` and `adaptive-rank-sampling`.
    /// Default 12.
    pub initial_rank: usize,
    /// `adapter.target_rank`: bT, average of ranks a matrix at the end. Default 6.
    pub target_rank: usize,
    /// `adapter.warmup_steps`: t_i, optimizer steps before the budget begins to fall. Default 0.
    pub warmup_steps: usize,
    /// `adapter.final_ratio`: share of the steps, at the end, with the ranks fixed. Default 0.25.
    pub final_ratio: f64,
    /// `adapter.interval`: ΔT, optimizer steps from one allocation to the next. Default 100.
    pub interval: usize,
    /// `adapter.beta1`: decay of the averaged importance. Default 0.85.
    pub beta1: f64,
    /// `adapter.beta2`: decay of its averaged uncertainty. Default 0.85.
    pub beta2: f64,
    /// `adapter.p`: chance that adaptive rank sampling drops an important triplet, and that it lets a pruned one
    /// back. Default 0.05.
    pub p: f64,
    /// `adapter.orthogonality`: γ, weight of the penalty that keeps P and Q orthogonal. Default 0.5.
    pub orthogonality: f64,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            method: Method::AdaptiveRankSampling,
            targets: ["Wq", "Wk", "Wv", "Wf1", "Wf2"].map(String::from).to_vec(),
            from: None,
            alpha: 32.0,
            dropout: 0.05,
            rank: 8,
            initial_rank: 12,
            target_rank: 6,
            warmup_steps: 0,
            final_ratio: 0.25,
            interval: 100,
            beta1: 0.85,
            beta2: 0.85,
            p: 0.05,
            orthogonality: 0.5,
        }
    }
}

/// The alternatives of `adapter.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Every weight of the model.
    Full,
    /// A low-rank pair a matrix, of fixed rank.
    Lora,
    /// Triplets, the least important pruned to a falling budget.
    #[serde(rename = "adalora")]
    AdaLora,
    /// As AdaLoRA, with pruned triplets let back, and important ones dropped, at random.
    AdaptiveRankSampling,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 4] = [
        Method::Full,
        Method::Lora,
        Method::AdaLora,
        Method::AdaptiveRankSampling,
    ];

    /// Its name in run files.
    pub fn name(self) -> &'static str {
        match self {
            Method::Full => "full",
            Method::Lora => "lora",
            Method::AdaLora => "adalora",
            Method::AdaptiveRankSampling => "adaptive-rank-sampling",
        }
    }

    /// Whether a key of `[adapter]` changes anything under it.
    pub fn uses(self, key: &str) -> bool {
        let has_schedule = matches!(self, Method::AdaLora | Method::AdaptiveRankSampling);
        match key {
            "method" => true,
            "rank" => self == Method::Lora,
            "p" => self == Method::AdaptiveRankSampling,
            "initial_rank" | "target_rank" | "warmup_steps" | "final_ratio" | "interval"
            | "beta1" | "beta2" | "orthogonality" => has_schedule,
            _ => self != Method::Full,
        }
    }
}
