//! `lingo train`.

mod resume;

use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::train::renderer::MetricsRenderer;
use lingo_train::config::{DataFiles, Method, PretrainConfig, Resolved, RunConfig};
use lingo_train::result::RunResult;
use lingo_train::run::{Run, Surroundings};
use lingo_train::saved::{Manifest, folder_of};
use lingo_train::stop::StopRequest;
use lingo_train::task::{Task, Text, token_digest};
use weights_import::Checkpoint;

use super::eval::print_scores;
use super::run_folder::{Start, Written, place, run_folder};
use crate::args::{RunArgs, TrainArgs};
use crate::base::{note_other_tokens, note_other_weights};
use crate::dashboard::Dashboard;
use crate::device::{Selected, select};
use crate::hub::locate;
use crate::progress::{Plain, Told};
use crate::scorer::{Loading, load_backbone, text};
use crate::signals::stop_on_signals;
use crate::{say, tokenising};

/// Fine-tunes a model as the run file says, or goes on with a run that was stopped.
pub fn run(args: &TrainArgs) -> Result<()> {
    let (config, dir, start) = match &args.resume {
        Some(dir) => {
            let (config, start) = go_on(dir, &args.run)?;
            (config, dir.clone(), start)
        }
        None => {
            let config = load_config(&args.run)?;
            let dir = run_folder(args.out.as_ref(), config.output.dir.as_ref(), &args.run);
            let (config, start) = begin(config, &dir, args.overwrite)?;
            (config, dir, start)
        }
    };
    let prepared = prepare(config)?;
    note!("{prepared}\nrun folder  {}", dir.display());
    let stop = StopRequest::default();
    stop_on_signals(&stop)?;
    let dashboard = !args.plain && !say::is_quiet() && std::io::stdout().is_terminal();
    let shown = stop.clone();
    let renderer = move || -> Box<dyn MetricsRenderer> {
        if !dashboard {
            return Box::new(Told::new(Plain::new()));
        }
        note!("stop        Ctrl-C, or q and then s in the dashboard");
        Box::new(Dashboard::new(shown))
    };
    let result = train(prepared, &dir, start, renderer, stop)?;
    match args.json {
        true => result!("{}", String::from_utf8(result.to_json())?.trim_end()),
        false => report(&result, &dir),
    }
    Ok(())
}

/// A run from its first step, in a folder that is checked to be free for it.
pub fn begin(mut config: RunConfig, dir: &Path, overwrite: bool) -> Result<(RunConfig, Start)> {
    let DataFiles { train, dev, test } = config.data.files();
    let adapter = config.adapter.from.iter().map(PathBuf::as_path);
    let sources = [&config.model, &train, &dev, &test].map(PathBuf::as_path);
    let sources: Vec<&Path> = sources.into_iter().chain(adapter).collect();
    let start = WRITTEN.begin(dir, overwrite, &sources)?;
    config.output.dir = Some(place(dir)?);
    Ok((config, start))
}

/// A run from the newest checkpoint in its folder.
pub fn go_on(dir: &Path, args: &RunArgs) -> Result<(RunConfig, Start)> {
    let (config, found, lock) = resume::open(dir, args)?;
    Ok((config, Start::Found(Box::new(found), lock)))
}

/// Trains in a run folder, from the beginning or from a checkpoint that was found in it; `renderer` shows it.
pub fn train(
    prepared: Prepared,
    dir: &Path,
    start: Start,
    renderer: impl FnOnce() -> Box<dyn MetricsRenderer>,
    stop: StopRequest,
) -> Result<RunResult> {
    let (resume, lock) = WRITTEN.enter(dir, start)?;
    let Prepared { run, selected, .. } = prepared;
    Ok(run.train(Surroundings {
        compute: selected.compute,
        device_name: selected.name,
        dir: dir.to_owned(),
        lock,
        resume,
        renderer: renderer(),
        stop,
    })?)
}

/// Reads a run file with what replaces its keys, and says what in it is idle.
pub fn load_config(args: &RunArgs) -> Result<RunConfig> {
    let resolved = resolve(args)?;
    for idle in &resolved.idle {
        note!("note        {idle}");
    }
    Ok(resolved.config)
}

/// Reads a run file with what replaces its keys.
pub fn resolve(args: &RunArgs) -> Result<Resolved> {
    refuse_pretraining(&args.files)?;
    Ok(Resolved::load(&args.files, &args.overrides())?)
}

/// Refuses run files of the other kind, whose keys are others.
fn refuse_pretraining(files: &[PathBuf]) -> Result<()> {
    if PretrainConfig::is_described_by(files)? {
        let names = files.iter().map(|file| file.display().to_string());
        let names: Vec<String> = names.collect();
        bail!(
            "{} is for `lingo pretrain`: it has a section [pretrain]",
            names.join(" ")
        );
    }
    Ok(())
}

/// A run that is ready, and what it was made of.
pub struct Prepared {
    /// The run.
    pub run: Run,
    /// Where it computes.
    pub selected: Selected,
    model: String,
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            run,
            selected,
            model,
        } = self;
        write!(
            f,
            "model       {model}\n{run}\ndevice      {}",
            selected.name
        )
    }
}

/// Loads data and model, and makes them a run.
pub fn prepare(mut config: RunConfig) -> Result<Prepared> {
    let selected = select(&config.device)?;
    selected.check_precision(config.train.precision)?;
    let model = locate(&config.model)?;
    config.model = model.name;
    let mut checkpoint = Checkpoint::open(&model.path)?;
    let model = format!(
        "{} ({}, {})",
        config.model.display(),
        checkpoint.config().model_type(),
        checkpoint.format()
    );
    let text = text(&checkpoint)?;
    let task = load_task(&config, text.clone(), &checkpoint)?;
    let tokens = token_digest(text.as_ref(), &task.text.layout, checkpoint.config());
    if let Some(dir) = &config.adapter.from {
        let manifest = Manifest::open(&folder_of(dir))?;
        note_other_weights(&manifest, &checkpoint, &config.model);
        note_other_tokens(&manifest, tokens.as_deref(), &config.model);
    }
    let loading = Loading {
        device: selected.device.clone().autodiff(),
        precision: config.train.precision,
        masters: config.adapter.method == Method::Full,
        seed: config.seed,
    };
    let backbone = load_backbone(&mut checkpoint, &task.text, &selected, loading)?;
    let run = Run::prepare(config, task, checkpoint.config(), backbone)?;
    let run = run
        .with_model_files(checkpoint.files())
        .with_base(checkpoint.sample(), tokens);
    Ok(Prepared {
        run,
        selected,
        model,
    })
}

/// Reads and tokenises the data; large files take a while, and a bar tells how far they are.
pub fn load_task(config: &RunConfig, text: Option<Text>, checkpoint: &Checkpoint) -> Result<Task> {
    tokenising::shown(|progress| Task::load(config, text, checkpoint.config(), progress))
}

/// What a run writes.
pub const WRITTEN: Written = Written {
    files: &[
        "config.toml",
        "labels.csv",
        "metrics.csv",
        "metrics.jsonl",
        "ranks.csv",
        "result.json",
        "run.json",
        "train.csv",
    ],
    folders: &["best", "checkpoint", "last", "tensorboard"],
};

fn report(result: &RunResult, dir: &Path) {
    result!(
        "test, chosen on dev by {} at step {}:",
        result.selected_by,
        result.chosen_step
    );
    print_scores(&result.test);
    if result.method != Method::Full {
        let ranks = result
            .active_ranks
            .map_or(String::new(), |ranks| format!(" in {ranks} ranks"));
        result!(
            "{:<10} {} parameters{ranks}",
            "adapter",
            result.adapter_parameters_final
        );
    }
    let memory = result
        .peak_memory_mib
        .map_or(String::new(), |mib| format!(", peak memory {mib:.0} MiB"));
    result!(
        "{:<10} {} steps in {:.0} s, {:.0} tokens/s{memory}",
        "training",
        result.steps,
        result.train_secs,
        result.tokens_per_sec
    );
    if result.stopped_early {
        result!(
            "{:<10} early: no improvement on dev for train.patience evaluations",
            "stopped"
        );
    }
    if result.steps_skipped > 0 {
        result!(
            "{:<10} {} steps, their loss or gradients were not finite",
            "skipped",
            result.steps_skipped
        );
    }
    if result.steps_overflowed > 0 {
        result!(
            "{:<10} {} steps overflowed in f16 while the scale of the loss was found",
            "scaled",
            result.steps_overflowed
        );
    }
    result!("{:<10} {}", "saved in", dir.display());
}
