//! `lingo demo`.

mod files;
mod shown;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail};
use burn::train::renderer::MetricsRenderer;
use lingo_train::checkpoint::{CheckpointError, RunLock};
use lingo_train::comparison::{FinishedRun, compare};
use lingo_train::config::{OutputConfig, PromptConfig, RunConfig};
use lingo_train::metric::MetricName;
use lingo_train::result::{RunResult, restart_peak_memory};
use lingo_train::run::RunError;
use lingo_train::stop::{StopCause, StopRequest};

use self::shown::Shown;
use super::compare::add_figures;
use super::run_folder::place;
use super::train::{WRITTEN, begin, go_on, load_config, prepare, resolve, train};
use crate::args::{DemoArgs, RunArgs};
use crate::device::select;
use crate::picture::Picture;
use crate::progress::Told;
use crate::signals::stop_on_signals;
use crate::table::Table;

/// The methods, each with the name of its run file.
const METHODS: [&str; 5] = ["full", "lora", "adalora", "adaptive-rank-sampling", "lingo"];
/// What is compared.
const METRICS: [MetricName; 2] = [MetricName::Mcc, MetricName::Auroc];

/// Trains by every method on the model and the task that the binary holds, and compares what came out.
pub fn run(args: &DemoArgs) -> Result<()> {
    let out = &args.out;
    check_keys(args)?;
    check_settings(args)?;
    if args.overwrite {
        clear(&earlier_runs(out)?)?;
    }
    let configs = files::unpack(out, args.overwrite)?;
    note!(
        "A language model that has read nothing but English learns to tell genes of\n\
         yeast from what lies between them, by {} methods. Test is of a species that it\n\
         has not seen. All of it goes to {}.",
        METHODS.len(),
        out.display()
    );
    let stop = StopRequest::default();
    stop_on_signals(&stop)?;
    let total = METHODS.len().saturating_mul(args.seeds);
    let mut runs: Vec<FinishedRun> = Vec::new();
    for seed in 1..=args.seeds {
        for method in METHODS {
            let repeat = Repeat::new(method, seed, &configs, args);
            let shown = Shown::new(&format!("{}/{total} {method}-{seed}", runs.len() + 1))?;
            let result = repeat.train(&shown, &stop);
            shown.end();
            let result = result.map_err(|error| stopped_here(error, args))?;
            let Some(mut run) = FinishedRun::open(&repeat.dir)? else {
                bail!("{} has no result", repeat.dir.display());
            };
            match result {
                Some(result) => shown.report(&result),
                None => shown.kept(run.settings.get("device")),
            }
            // Seeds of a method are repeats, wherever they were computed.
            if let Some(first) = runs.iter().rev().nth(METHODS.len() - 1) {
                run.settings.clone_from(&first.settings);
            }
            runs.push(run);
        }
    }
    report(&runs, args)
}

/// Refuses to set what would leave nothing to compare.
fn check_keys(args: &DemoArgs) -> Result<()> {
    let own = ["adapter.method", "seed", "output.dir"];
    if let Some((key, _)) = args.set.iter().find(|(key, _)| own.contains(&key.as_str())) {
        bail!(
            "--set {key}: the runs of the demo differ by it; `lingo train {}` takes it, once the demo has been there",
            files::configs(&args.out).join("lingo.toml").display()
        );
    }
    Ok(())
}

/// Refuses settings that cannot be, before anything is written or removed.
fn check_settings(args: &DemoArgs) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let configs = files::unpack_run_files(scratch.path())?;
    let mut device = None;
    for method in METHODS {
        let asked = resolve(&Repeat::new(method, 1, &configs, args).args)?;
        device = Some(asked.config.device);
    }
    device.as_deref().map(select).transpose()?;
    Ok(())
}

/// Empties run folders: all of them, or none if one is in use or no run's.
fn clear(runs: &[PathBuf]) -> Result<()> {
    runs.iter().try_for_each(|dir| WRITTEN.check(dir, true))?;
    let locks = runs.iter().map(|dir| RunLock::take(dir));
    let _locks = locks.collect::<Result<Vec<_>, _>>()?;
    runs.iter().try_for_each(|dir| WRITTEN.clear(dir))
}

/// The run folders of earlier demos, of whatever seeds.
fn earlier_runs(out: &Path) -> Result<Vec<PathBuf>> {
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let failed = || format!("cannot list {}", out.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(out).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.rsplit_once('-'));
        if run.is_some_and(|(method, seed)| {
            METHODS.contains(&method) && seed.parse::<usize>().is_ok()
        }) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A method with a seed.
struct Repeat {
    args: RunArgs,
    dir: PathBuf,
}

impl Repeat {
    fn new(method: &str, seed: usize, configs: &Path, args: &DemoArgs) -> Self {
        let seed_of_run = ("seed".to_owned(), seed.to_string());
        Self {
            args: RunArgs {
                files: vec![configs.join(format!("{method}.toml"))],
                set: args.set.iter().cloned().chain([seed_of_run]).collect(),
                device: args.device.clone(),
            },
            dir: args.out.join(format!("{method}-{seed}")),
        }
    }

    /// Trains, from the newest checkpoint if there is one; `None` if that was done before.
    fn train(&self, shown: &Shown, stop: &StopRequest) -> Result<Option<RunResult>> {
        let config = load_config(&self.args)?;
        let has = |name: &str| self.dir.join(name).exists();
        if has("config.toml") {
            self.check_settings(&config)?;
        }
        if has("result.json") {
            return Ok(None);
        }
        restart_peak_memory();
        // Where model and data are now.
        let places = [
            ("model", Some(&config.model)),
            ("data.dir", config.data.dir.as_ref()),
        ];
        let places = places.into_iter().filter_map(|(key, place)| {
            Some((key.to_owned(), place?.to_string_lossy().into_owned()))
        });
        let args = RunArgs {
            files: Vec::new(),
            set: places.collect(),
            device: self.args.device.clone(),
        };
        let gone_on = has("config.toml").then(|| go_on(&self.dir, &args));
        let (config, start) = match gone_on {
            Some(Err(error)) if !has_no_checkpoint(&error) => return Err(error),
            Some(Ok(found)) => found,
            // One that was killed before its first checkpoint, or has none that is whole, is begun anew.
            None | Some(Err(_)) => begin(config, &self.dir, true)?,
        };
        let renderer = || -> Box<dyn MetricsRenderer> { Box::new(Told::new(shown.listener())) };
        train(prepare(config)?, &self.dir, start, renderer, stop.clone()).map(Some)
    }

    /// Whether what is there was trained by the settings that are asked for, wherever it was computed.
    fn check_settings(&self, asked: &RunConfig) -> Result<()> {
        let mut there = RunConfig::load(&self.dir.join("config.toml"), &[])?;
        // A folder that was moved has its model and data with it.
        let (was, is) = (there.output.dir.take(), place(&self.dir)?);
        if let (Some(was), Some(is)) = (was.as_deref().and_then(Path::parent), is.parent()) {
            let moved = |there: &mut PathBuf, asked: &Path| {
                let inside = there.strip_prefix(was).ok();
                if inside.is_some_and(|inside| is.join(inside) == asked) {
                    asked.clone_into(there);
                }
            };
            moved(&mut there.model, &asked.model);
            if let (Some(there), Some(asked)) = (&mut there.data.dir, &asked.data.dir) {
                moved(there, asked);
            }
        }
        let comparable = |config: &RunConfig| RunConfig {
            device: String::new(),
            output: OutputConfig::default(),
            // A run notes what its prompt came to.
            prompt: PromptConfig::from(&config.prompt.for_text()),
            ..config.clone()
        };
        if comparable(&there) != comparable(asked) {
            bail!(
                "{} holds a run of other settings; begin anew with --overwrite, or choose another folder with --out",
                self.dir.display()
            );
        }
        Ok(())
    }
}

/// Whether a run cannot go on for want of a checkpoint.
fn has_no_checkpoint(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(CheckpointError::None { .. }))
}

/// The demo was stopped.
#[derive(Debug)]
pub struct Stopped {
    /// Who asked for it.
    pub cause: StopCause,
    /// What goes on with it.
    command: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the demo was stopped; go on with `{}`", self.command)
    }
}

impl std::error::Error for Stopped {}

/// Says how to go on with the demo, not with one of its runs.
fn stopped_here(error: Error, args: &DemoArgs) -> Error {
    let Some(RunError::Interrupted { cause, .. }) = error.downcast_ref() else {
        return error;
    };
    let mut command = format!("lingo demo --out {}", quoted(&args.out.to_string_lossy()));
    let mut add = |name: &str, value: &str| command += &format!(" --{name} {}", quoted(value));
    if args.seeds > 1 {
        add("seeds", &args.seeds.to_string());
    }
    if let Some(device) = &args.device {
        add("device", device);
    }
    for (key, value) in &args.set {
        add("set", &format!("{key}={value}"));
    }
    let cause = *cause;
    Error::new(Stopped { cause, command })
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:=,@%+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn report(runs: &[FinishedRun], args: &DemoArgs) -> Result<()> {
    let rows = compare(runs, &METRICS)?;
    let picture = Picture::new(runs, &rows, METRICS[0])?;
    let paths = ["demo.svg", "demo.png"].map(|name| args.out.join(name));
    paths.iter().try_for_each(|path| picture.write(path))?;
    if args.json {
        result!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let mut table = Table::default();
    table.text("method", rows.iter().map(|row| row.name.method.clone()));
    add_figures(&mut table, &rows, &METRICS);
    note!("");
    result!("{table}");
    note!("");
    let [svg, png] = paths.map(|path| path.display().to_string());
    result!("picture     {svg}, {png}");
    note!(
        "use it      lingo predict {} --input {} --output coding.csv\n\
         \x20           (or a FASTA file of yours; p_1 is the probability of coding)\n\
         change it   lingo train {} --set train.max_steps=0 --set train.epochs=3",
        args.out.join("lingo-1").display(),
        files::configs(&args.out).join("data/test.csv").display(),
        files::configs(&args.out).join("lingo.toml").display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_part_are_quoted() {
        let words = ["runs/demo", "a b", "it's", "", "prompt.domain=\"x\""].map(quoted);
        let expected = [
            "runs/demo",
            "'a b'",
            r"'it'\''s'",
            "''",
            "'prompt.domain=\"x\"'",
        ];
        assert_eq!(words, expected);
    }
}
