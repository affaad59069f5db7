//! What a run came to: `result.json`.

use serde::{Deserialize, Serialize};

use crate::config::Method;
use crate::metric::{MetricName, Scores};

/// The result of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// Metrics on test, of the chosen evaluation's model.
    pub test: Scores,
    /// Metrics on dev, of the chosen evaluation.
    pub dev: Scores,
    /// Optimizer steps before the chosen evaluation.
    pub chosen_step: u64,
    /// The metric that chose it.
    pub selected_by: MetricName,
    /// How the model was adapted.
    pub method: Method,
    /// Trained scalars at the start, head included.
    pub trainable_parameters: usize,
    /// Scalars of the adapters' surviving ranks.
    pub adapter_parameters_final: usize,
    /// Scalars of the pretrained model as loaded, and the head.
    pub total_parameters: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Of those, steps that changed nothing because the gradients were not finite; overflow in f16 is not among them.
    pub steps_skipped: u64,
    /// Steps that changed nothing because gradients overflowed in f16, while the scale of the loss was found.
    #[serde(default)]
    pub steps_overflowed: u64,
    /// Whether early stopping ended the run before its last step.
    #[serde(default)]
    pub stopped_early: bool,
    /// Tokens trained on, padding not counted.
    pub tokens: u64,
    /// Floating-point operations of the training steps.
    pub flops: f64,
    /// Those of one FLOPs-adjusted step: OPT-125M under adaptive rank sampling, on this task.
    pub flops_reference: f64,
    /// Seconds in training steps, evaluations not counted.
    pub train_secs: f64,
    /// Tokens trained on a second of `train_secs`.
    pub tokens_per_sec: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// Surviving triplets, under rank control.
    pub active_ranks: Option<usize>,
    /// Triplets that came back after an allocation had pruned them, under rank control.
    pub ranks_returned: Option<usize>,
    /// The device as asked for.
    pub device: String,
    /// Threads that shared each batch.
    pub workers: usize,
    /// The seed.
    pub seed: u64,
    /// Version of lingo.
    pub version: String,
}

impl RunResult {
    /// The result as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain numbers and text: nothing in it can fail to serialise.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// Largest resident memory of this process so far in MiB; only Linux tells.
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Has [`peak_memory_mib`] tell of what comes from here on, where the system can: for another run of the same process.
pub fn restart_peak_memory() {
    // Elsewhere than on Linux nothing is told, and there is nothing to restart.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_back_is_no_longer_the_peak() {
        let before = peak_memory_mib().unwrap();
        // In a mapping of its own, which goes back to the system at once; read, so that it is really there.
        let block = vec![1_u8; 512 << 20];
        assert_eq!(
            block.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
            512 << 20
        );
        drop(block);
        let with_block = peak_memory_mib().unwrap();
        assert!(with_block > before + 256.0, "{before} {with_block}");
        restart_peak_memory();
        let after = peak_memory_mib().unwrap();
        assert!(after < with_block - 256.0, "{with_block} {after}");
    }
}
