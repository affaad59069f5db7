//! `lingo bench`.

use anyhow::{Result, bail};

use super::train::{load_config, prepare};
use crate::args::BenchArgs;

/// Measures training steps and prints JSON.
pub fn run(args: &BenchArgs) -> Result<()> {
    let config = load_config(&args.run)?;
    let (run, selected) = prepare(config)?;
    note!("{run}");
    let asked = args.warmup + args.steps;
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
