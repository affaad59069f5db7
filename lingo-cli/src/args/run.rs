//! Arguments of what runs and their files are made of.

use std::path::PathBuf;

use clap::Subcommand;

use super::{key_value, positive};
use crate::command::config::CONFIGS;

/// A run file and what replaces its keys.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The run file; of several, each one is over those before it.
    #[arg(value_name = "RUN.toml", required = true)]
    pub files: Vec<PathBuf>,
    /// Replace a key of the run file, for example seed=2; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Where to compute: cpu, wgpu, wgpu:1, cuda, cuda:1, tch or ndarray; to train also several, such as cuda:0,cuda:1. Short
    /// for --set device=DEVICE.
    #[arg(long)]
    pub device: Option<String>,
}

impl RunArgs {
    /// What replaces keys of the run file.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let device = self.device.iter();
        let device = device.map(|device| ("device".to_owned(), device.clone()));
        self.set.iter().cloned().chain(device).collect()
    }
}

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The run folder holds config.toml (resolved), metrics.csv and metrics.jsonl (a line an \
evaluation), train.csv (a line a step), ranks.csv (a line an allocation), labels.csv (a line a label, of a task with labels), best/ and last/ (adapters with head), \
checkpoint/, tensorboard/, result.json and run.json (what repeats the run, and how it ended).

Ctrl-C, SIGTERM and SIGHUP stop a run behind the step under way and save its state; it exits with 130, 143 or 129."
)]
pub struct TrainArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// The run folder [default: output.dir of the run file, else runs/NAME for NAME.toml, or runs/A-B for A.toml B.toml].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace a run folder that exists.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with a run that was stopped or killed, in its folder, to the same end; of --set only the device, places of inputs and checkpoint_every may change.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["files", "out", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// Show progress as plain lines on a terminal too, instead of the dashboard.
    #[arg(long)]
    pub plain: bool,
    /// Print result.json at the end instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The folder holds configs/ (the model, the task and the run files, to be read, changed and trained by \
`lingo train`), a run folder for each method and seed, demo.svg and demo.png. A demo that was stopped goes on where it was; runs \
that have ended are kept.

In the table, s are seconds of training alone; progress counts loading and scoring, too."
)]
pub struct DemoArgs {
    /// The folder that all of it goes to.
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    pub out: PathBuf,
    /// Runs a method, with the seeds 1, 2, ...: the table has their mean and standard deviation.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub seeds: usize,
    /// Where to compute, as for `train`.
    #[arg(long)]
    pub device: Option<String>,
    /// Replace a key of all its run files, for example train.max_steps=200; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Begin anew where a demo is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Print the table as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pretrain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The run file is of a kind of its own: configs/pretrain/english.toml has every key. The run folder holds \
config.toml (resolved), train.csv (a line a step), metrics.csv (a line an evaluation), checkpoint/, result.json and \
model/: config.json, model.safetensors and tokenizer.json of the evaluation with the lowest loss, which `lingo train` \
and Hugging Face's libraries read.

Ctrl-C, SIGTERM and SIGHUP stop a run behind the step under way and save its state; it exits with 130, 143 or 129."
)]
pub struct PretrainArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// The run folder [default: output.dir of the run file, else runs/NAME for NAME.toml, or runs/A-B for A.toml B.toml].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace a run folder that exists.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with a run that was stopped or killed, in its folder, to the same end; of --set only the device, places of inputs and checkpoint_every may change.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["files", "out", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// Print result.json at the end instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Steps before the clock starts.
    #[arg(long, default_value_t = 5)]
    pub warmup: usize,
    /// Steps to measure.
    #[arg(long, default_value_t = 20, value_parser = positive)]
    pub steps: usize,
    /// Measure one pass through the training split instead: reading and batching, without a model.
    #[arg(long)]
    pub loader: bool,
}

/// What to do with run files.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print the resolved run file, each key with the place that its value comes from.
    Show(ShowArgs),
    /// Check a run file, or every combination of tasks, models and methods of a folder, without data and weights.
    Check(CheckArgs),
}

/// Arguments of `config show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `config check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A run file, or several that make up one; or a folder with combinations.toml and the folders task, model and
    /// method.
    #[arg(value_name = "RUN.toml|DIR", default_value = CONFIGS)]
    pub files: Vec<PathBuf>,
    /// Replace a key, for example train.epochs=2; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}
