//! `lingo train --resume`: what to go on with.

use std::path::Path;

use anyhow::{Result, bail};
use lingo_train::checkpoint::{Found, MAY_DIFFER, RunLock, find};
use lingo_train::config::RunConfig;

use super::{load_config, refuse_pretraining};
use crate::args::RunArgs;
use crate::command::go_on;
use crate::command::run_folder::place;

/// The configuration of a run folder, the newest checkpoint in it that is whole, and the folder itself.
pub fn open(dir: &Path, args: &RunArgs) -> Result<(RunConfig, Found, RunLock)> {
    let file = dir.join("config.toml");
    if !file.is_file() {
        bail!(
            "{} is no run folder: it has no config.toml; give the folder that `lingo train` wrote",
            dir.display()
        );
    }
    refuse_pretraining(std::slice::from_ref(&file))?;
    // Held before anything is looked at, so that it stays as it is found.
    let lock = RunLock::take(dir)?;
    if dir.join("result.json").exists() {
        bail!(
            "{} holds a finished run, there is nothing left to do; to train on from what it learnt, set adapter.from \
             in a new run file",
            dir.display()
        );
    }
    go_on::check_set(args, &MAY_DIFFER)?;
    let found: Found = find(dir)?;
    let args = RunArgs {
        files: vec![file],
        set: args.set.clone(),
        device: args.device.clone(),
    };
    let mut config = load_config(&args)?;
    config.output.dir = Some(place(dir)?);

    let run = &found.state.run;
    note!(
        "resume      behind step {}, with {} evaluations",
        run.steps,
        run.evaluations.len()
    );
    go_on::say(&found.damaged, &found.state.origin, &config.device);
    for lost in &found.lost {
        note!("note        {lost}; its evaluation can no longer be chosen");
    }
    Ok((config, found, lock))
}
