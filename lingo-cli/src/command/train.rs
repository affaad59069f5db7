//! `lingo train`.

mod resume;

use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burn::train::renderer::MetricsRenderer;
use lingo_train::checkpoint::{Found, LOCK_FILE, RunLock};
use lingo_train::config::{Method, Resolved, RunConfig};
use lingo_train::result::RunResult;
use lingo_train::run::{Run, Surroundings};
use lingo_train::saved::{Manifest, folder_of};
use lingo_train::stop::StopRequest;
use lingo_train::task::Task;
use weights_import::Checkpoint;

use super::eval::print_scores;
use crate::args::{RunArgs, TrainArgs};
use crate::base::note_other_weights;
use crate::dashboard::Dashboard;
use crate::device::{Selected, select};
use crate::hub::locate;
use crate::progress::Plain;
use crate::scorer::{Loading, load_backbone, text};
use crate::signals::stop_on_signals;
use crate::{say, tokenising};

/// Fine-tunes a model as the run file says, or goes on with a run that was stopped.
pub fn run(args: &TrainArgs) -> Result<()> {
    match &args.resume {
        Some(dir) => {
            let (config, found, lock) = resume::open(dir, &args.run)?;
            let start = Start::Found(Box::new(found), lock);
            train(config, dir, start, args)
        }
        None => begin(args),
    }
}

fn begin(args: &TrainArgs) -> Result<()> {
    let mut config = load_config(&args.run)?;
    let dir = run_folder(args, &config);
    check_folder(&dir, args.overwrite)?;
    // Taken at once where it is there; another is made once there is something to put into it.
    let lock = dir.is_dir().then(|| RunLock::take(&dir)).transpose()?;
    // The resolved file says where the run went, so that repeating it does not write elsewhere.
    let place = std::path::absolute(&dir);
    config.output.dir = Some(place.with_context(|| format!("cannot use {}", dir.display()))?);
    let start = Start::New {
        overwrite: args.overwrite,
        lock,
    };
    train(config, &dir, start, args)
}

/// Where a run begins.
enum Start {
    /// At its first step, in a folder that is held if it was there.
    New {
        overwrite: bool,
        lock: Option<RunLock>,
    },
    /// At a checkpoint, in a folder that is held.
    Found(Box<Found>, RunLock),
}

/// Trains in a run folder: from the beginning, or from a checkpoint that was found in it.
fn train(config: RunConfig, dir: &Path, start: Start, args: &TrainArgs) -> Result<()> {
    let (run, selected) = prepare(config)?;
    note!(
        "{run}\ndevice      {}\nrun folder  {}",
        selected.name,
        dir.display()
    );

    let (resume, lock) = match start {
        Start::Found(found, lock) => (Some(*found), lock),
        Start::New { overwrite, lock } => (None, make_folder(dir, overwrite, lock)?),
    };
    if !lock.is_held() {
        note!(
            "note        {} is on a file system without locks: nothing keeps another process from writing there too",
            dir.display()
        );
    }
    let stop = StopRequest::default();
    stop_on_signals(&stop)?;
    let dashboard = !args.plain && !say::is_quiet() && std::io::stdout().is_terminal();
    let renderer: Box<dyn MetricsRenderer> = match dashboard {
        true => {
            note!("stop        Ctrl-C, or q and then s in the dashboard");
            Box::new(Dashboard::new(stop.clone()))
        }
        false => Box::new(Plain::new()),
    };
    let result = run.train(Surroundings {
        compute: selected.compute,
        device_name: selected.name,
        dir: dir.to_owned(),
        lock,
        resume,
        renderer,
        stop,
    })?;
    match args.json {
        true => result!("{}", String::from_utf8(result.to_json())?.trim_end()),
        false => report(&result, dir),
    }
    Ok(())
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
    let device = args
        .device
        .iter()
        .map(|device| ("device".to_owned(), device.clone()));
    let set: Vec<(String, String)> = args.set.iter().cloned().chain(device).collect();
    Ok(Resolved::load(&args.files, &set)?)
}

/// Loads data and model, and makes them a run.
pub fn prepare(mut config: RunConfig) -> Result<(Run, Selected)> {
    let selected = select(&config.device)?;
    selected.check_precision(config.train.precision)?;
    let model = locate(&config.model)?;
    config.model = model.name;
    let mut checkpoint = Checkpoint::open(&model.path)?;
    let model_type = checkpoint.config().model_type();
    note!(
        "model       {} ({model_type}, {})",
        config.model.display(),
        checkpoint.format()
    );
    let task = load_task(&config, &checkpoint)?;
    if let Some(dir) = &config.adapter.from {
        let manifest = Manifest::open(&folder_of(dir))?;
        note_other_weights(&manifest, &checkpoint, &config.model);
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
        .with_base_weights(checkpoint.sample());
    Ok((run, selected))
}

/// Reads and tokenises the data; large files take a while, and a bar tells how far they are.
pub fn load_task(config: &RunConfig, checkpoint: &Checkpoint) -> Result<Task> {
    let text = text(checkpoint)?;
    tokenising::shown(|progress| Task::load(config, text, checkpoint.config(), progress))
}

fn run_folder(args: &TrainArgs, config: &RunConfig) -> PathBuf {
    let named = args.out.clone().or_else(|| config.output.dir.clone());
    named.unwrap_or_else(|| {
        let stems = args.run.files.iter().filter_map(|file| file.file_stem());
        let stems: Vec<_> = stems.map(|stem| stem.to_string_lossy()).collect();
        Path::new("runs").join(stems.join("-"))
    })
}

/// What a run writes: nothing else is ever removed.
const RUN_FILES: [&str; 8] = [
    "config.toml",
    "labels.csv",
    "metrics.csv",
    "metrics.jsonl",
    "ranks.csv",
    "result.json",
    "run.json",
    "train.csv",
];
const RUN_FOLDERS: [&str; 4] = ["best", "checkpoint", "last", "tensorboard"];

/// Whether the run folder may be used; nothing is touched yet.
fn check_folder(dir: &Path, overwrite: bool) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("cannot use {} as run folder", dir.display()))?;
    let mut empty = true;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        let (name, is_dir) = (entry.file_name(), entry.path().is_dir());
        if name == LOCK_FILE {
            continue;
        }
        let ours: &[&str] = if is_dir { &RUN_FOLDERS } else { &RUN_FILES };
        if !ours.iter().any(|ours| name == *ours) {
            bail!(
                "{} exists and holds {}, which no run has written; choose another folder with --out",
                dir.display(),
                Path::new(&name).display()
            );
        }
        empty = false;
    }
    if !empty && !overwrite {
        bail!(
            "{} holds a run already; choose another folder with --out, or replace it with --overwrite",
            dir.display()
        );
    }
    Ok(())
}

/// Makes an empty run folder, and holds it. Another process may have made it since it was looked for.
fn make_folder(dir: &Path, overwrite: bool, lock: Option<RunLock>) -> Result<RunLock> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let lock = match lock {
        Some(lock) => lock,
        None => RunLock::take(dir)?,
    };
    check_folder(dir, overwrite)?;
    clear_folder(dir)?;
    Ok(lock)
}

/// Empties a run folder, but for its lock; what is there has been checked to be a run.
fn clear_folder(dir: &Path) -> Result<()> {
    let files = RUN_FILES
        .iter()
        .map(|name| std::fs::remove_file(dir.join(name)));
    let folders = RUN_FOLDERS
        .iter()
        .map(|name| std::fs::remove_dir_all(dir.join(name)));
    for removed in files.chain(folders) {
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot clear {}", dir.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

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
