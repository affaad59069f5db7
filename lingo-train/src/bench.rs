//! How fast training steps are, and the reading of what they are given.

use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::data::dataset::DatasetError;
use burn::optim::ModuleOptimizer;
use burn::train::TrainStep;
use lingo_core::flops::Flops;
use serde::Serialize;

use crate::config::RunConfig;
use crate::data::{Batch, Rounds};
use crate::result::peak_memory_mib;
use crate::step::Trainee;
use crate::task::Task;

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
    /// Mean floating-point operations of a step, as a run counts them.
    pub flops_per_step: f64,
    /// Floating-point operations a second, by the median.
    pub flops_per_sec: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
}

/// Takes `warmup` and then `steps` training steps, each of one batch, of so many `flops`.
///
/// # Errors
/// If a batch cannot be read.
pub fn measure(
    mut trainee: Trainee,
    mut optimizer: ModuleOptimizer,
    learning_rate: f64,
    batches: &Rounds,
    flops: Flops,
    warmup: usize,
    steps: usize,
) -> Result<Speed, DatasetError> {
    let mut times = Vec::with_capacity(steps);
    let mut updates = Vec::with_capacity(steps);
    let (mut tokens, mut operations) = (0, 0.0);
    let stream = batches.iter().take(warmup + steps);
    let stream: Vec<Batch> = stream.collect::<Result<_, _>>()?;
    for (number, batch) in stream.into_iter().enumerate() {
        let (of_batch, shape) = (batch.tokens(), batch.shape);
        let start = Instant::now();
        let output = trainee.step(batch);
        let update = Instant::now();
        trainee = trainee.optimize(&mut optimizer, learning_rate.into(), output.grads);
        if number >= warmup {
            times.push(start.elapsed().as_secs_f64());
            updates.push(update.elapsed().as_secs_f64());
            tokens += of_batch;
            operations += flops.of_batch(shape) as f64;
        }
    }
    times.sort_by(f64::total_cmp);
    updates.sort_by(f64::total_cmp);
    let median = middle(&times);
    let measured = times.len() as f64;
    let (tokens_per_step, flops_per_step) = (tokens as f64 / measured, operations / measured);
    Ok(Speed {
        steps: times.len(),
        step_secs_median: median,
        step_secs_min: times.first().copied().unwrap_or(f64::NAN),
        update_secs_median: middle(&updates),
        tokens_per_step,
        tokens_per_sec: tokens_per_step / median,
        flops_per_step,
        flops_per_sec: flops_per_step / median,
        peak_memory_mib: peak_memory_mib(),
    })
}

/// The speed of reading a training split, without training.
#[derive(Clone, Debug, Serialize)]
pub struct LoaderSpeed {
    /// Sequences of the split.
    pub sequences: usize,
    /// Seconds until the first batch could be had: reading, tokenising and storing, or finding what is stored.
    pub ready_secs: f64,
    /// Seconds of one pass through all batches.
    pub pass_secs: f64,
    /// Sequences a second of it.
    pub sequences_per_sec: f64,
    /// Tokens of the pass, padding not counted.
    pub tokens: usize,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
}

/// Takes every batch of an epoch of `task`, which it took `ready_secs` to make ready.
///
/// # Errors
/// If a batch cannot be read.
pub fn measure_loader(
    task: &Task,
    config: &RunConfig,
    ready_secs: f64,
) -> Result<LoaderSpeed, DatasetError> {
    let (sequences, batch_size) = (task.train.len(), config.train.batch_size);
    let batches = Rounds::new(
        task.train.clone(),
        batch_size,
        1,
        task.text.pad,
        config.seed,
        vec![sequences.div_ceil(batch_size)],
    );
    let start = Instant::now();
    let mut tokens = 0;
    for batch in batches.iter() {
        tokens += batch?.tokens();
    }
    let pass_secs = start.elapsed().as_secs_f64();
    Ok(LoaderSpeed {
        sequences,
        ready_secs,
        pass_secs,
        sequences_per_sec: sequences as f64 / pass_secs,
        tokens,
        peak_memory_mib: peak_memory_mib(),
    })
}

/// The median of sorted values.
fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
