//! `lingo pretrain --resume`: what to go on with.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use lingo_train::checkpoint::{CheckpointError, Found, RunLock, find};
use lingo_train::config::{PRETRAIN_MAY_DIFFER, PretrainConfig};
use lingo_train::pretrain::PretrainState;

use super::resolve;
use crate::args::RunArgs;
use crate::command::go_on;
use crate::command::run_folder::place;

/// The configuration of a run folder, the newest checkpoint in it that is whole, and the folder itself.
pub fn open(dir: &Path, args: &RunArgs) -> Result<(PretrainConfig, Found<PretrainState>, RunLock)> {
    let file = dir.join("config.toml");
    if !file.is_file() || !PretrainConfig::is_described_by(&[&file])? {
        bail!(
            "{} is no folder of `lingo pretrain`: it has no config.toml of one",
            dir.display()
        );
    }
    // Held before anything is looked at, so that it stays as it is found.
    let lock = RunLock::take(dir)?;
    if dir.join("result.json").exists() {
        bail!(
            "{} holds a finished run, there is nothing left to do",
            dir.display()
        );
    }
    go_on::check_set(args, &PRETRAIN_MAY_DIFFER)?;
    let found: Found<PretrainState> = find(dir).map_err(|error| match error {
        CheckpointError::None { damaged, .. } => anyhow!(
            "{} holds no whole checkpoint to go on from{}; start the run anew with `lingo pretrain {} --overwrite`",
            dir.display(),
            damaged.iter().fold(String::new(), |list, one| format!("{list} ({one})")),
            file.display()
        ),
        other => other.into(),
    })?;
    let mut config = resolve(&RunArgs {
        files: vec![file],
        set: args.set.clone(),
        device: args.device.clone(),
    })?
    .config;
    config.output.dir = Some(place(dir)?);
    note!("resume      behind step {}", found.state.run.steps);
    go_on::say(&found.damaged, &found.state.origin, &config.device);
    Ok((config, found, lock))
}
