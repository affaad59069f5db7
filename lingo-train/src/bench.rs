//! How fast training steps are.

use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::optim::ModuleOptimizer;
use burn::train::TrainStep;
use serde::Serialize;

use crate::data::{Batch, Rounds};
use crate::result::peak_memory_mib;
use crate::step::Trainee;

/// The speed of training steps.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// Steps measured.
    pub steps: usize,
    /// Median seconds a step.
    pub step_secs_median: f64,
    /// Fastest step.
    pub step_secs_min: f64,
    /// Median seconds of a step spent behind the gradients: rank control and optimizer.
    pub update_secs_median: f64,
    /// Mean tokens of a batch, padding not counted.
    pub tokens_per_step: f64,
    /// Tokens trained on a second, by the median.
    pub tokens_per_sec: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
}

/// Takes `warmup` and then `steps` training steps, each of one batch.
pub fn measure(
    mut trainee: Trainee,
    mut optimizer: ModuleOptimizer,
    learning_rate: f64,
    batches: &Rounds,
    warmup: usize,
    steps: usize,
) -> Speed {
    let mut times = Vec::with_capacity(steps);
    let mut updates = Vec::with_capacity(steps);
    let mut tokens = 0;
    let stream: Vec<Batch> = batches.iter().flatten().take(warmup + steps).collect();
    for (number, batch) in stream.into_iter().enumerate() {
        let of_batch = batch.tokens();
        let start = Instant::now();
        let output = trainee.step(batch);
        let update = Instant::now();
        trainee = trainee.optimize(&mut optimizer, learning_rate.into(), output.grads);
        if number >= warmup {
            times.push(start.elapsed().as_secs_f64());
            updates.push(update.elapsed().as_secs_f64());
            tokens += of_batch;
        }
    }
    times.sort_by(f64::total_cmp);
    updates.sort_by(f64::total_cmp);
    let median = middle(&times);
    let tokens_per_step = tokens as f64 / times.len() as f64;
    Speed {
        steps: times.len(),
        step_secs_median: median,
        step_secs_min: times.first().copied().unwrap_or(f64::NAN),
        update_secs_median: middle(&updates),
        tokens_per_step,
        tokens_per_sec: tokens_per_step / median,
        peak_memory_mib: peak_memory_mib(),
    }
}

/// The median of sorted values.
fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
