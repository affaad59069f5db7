//! `lingo bench`.

use std::time::Instant;

use anyhow::{Result, bail};
use lingo_train::bench::measure_loader;
use lingo_train::config::RunConfig;
use weights_import::Checkpoint;

use super::train::{Prepared, load_config, load_task, prepare};
use crate::args::BenchArgs;
use crate::hub::locate;
use crate::scorer::text;

/// Measures training steps and prints JSON.
pub fn run(args: &BenchArgs) -> Result<()> {
    let config = load_config(&args.run)?;
    if args.loader {
        return loader(&config);
    }
    let prepared = prepare(config)?;
    note!("{prepared}");
    let Prepared { run, selected, .. } = prepared;
    let asked = args.warmup.saturating_add(args.steps);
    if run.total_steps() < asked as u64 {
        bail!(
            "the run has {} steps, {asked} are to be measured; raise train.epochs or train.max_steps, or lower --steps",
            run.total_steps()
        );
    }
    let speed = run.bench(&selected.compute, args.warmup, args.steps)?;
    result!("{}", serde_json::to_string_pretty(&speed)?);
    Ok(())
}

/// Measures a pass through the training split and prints JSON.
fn loader(config: &RunConfig) -> Result<()> {
    let checkpoint = Checkpoint::open(&locate(&config.model)?.path)?;
    let start = Instant::now();
    let task = load_task(config, text(&checkpoint)?, &checkpoint)?;
    let ready_secs = start.elapsed().as_secs_f64();
    note!("{task}");
    let speed = measure_loader(&task, config, ready_secs)?;
    result!("{}", serde_json::to_string_pretty(&speed)?);
    Ok(())
}
