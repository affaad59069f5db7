//! `lingo demo`.

mod files;
mod shown;

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use lingo_train::comparison::{FinishedRun, compare};
use lingo_train::config::{OutputConfig, PromptConfig, RunConfig};
use lingo_train::metric::MetricName;
use lingo_train::result::{RunResult, restart_peak_memory};
use lingo_train::run::RunError;
use lingo_train::stop::StopRequest;

use self::shown::Shown;
use super::compare::add_figures;
use super::train::{begin, go_on, load_config, prepare, train};
use crate::args::{DemoArgs, RunArgs};
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
    let configs = files::unpack(out, args.overwrite)?;
    note!(
        "A language model that has read nothing but English learns to tell genes of yeast from what lies between them,\n\
         in {} ways. Test is a species that it has not seen. All of it goes to {}.",
        METHODS.len(),
        out.display()
    );
    let stop = StopRequest::default();
    stop_on_signals(&stop)?;
    let total = METHODS.len() * args.seeds;
    let mut runs = Vec::with_capacity(total);
    for seed in 1..=args.seeds {
        for method in METHODS {
            let repeat = Repeat::new(method, seed, &configs, args);
            let shown = Shown::new(&format!("{}/{total} {method}", runs.len() + 1))?;
            let result = repeat.train(args.overwrite, &shown, &stop);
            shown.end();
            match result.map_err(|error| stopped_here(error, out))? {
                Some(result) => shown.report(&result),
                None => shown.kept(),
            }
            let Some(run) = FinishedRun::open(&repeat.dir)? else {
                bail!("{} has no result", repeat.dir.display());
            };
            runs.push(run);
        }
    }
    report(&runs, args)
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
    fn train(
        &self,
        overwrite: bool,
        shown: &Shown,
        stop: &StopRequest,
    ) -> Result<Option<RunResult>> {
        let config = load_config(&self.args)?;
        let has = |name: &str| !overwrite && self.dir.join(name).exists();
        if has("config.toml") {
            self.check_settings(&config)?;
        }
        if has("result.json") {
            return Ok(None);
        }
        restart_peak_memory();
        let (config, start) = match has("checkpoint") {
            true => {
                let args = RunArgs {
                    files: Vec::new(),
                    set: Vec::new(),
                    device: self.args.device.clone(),
                };
                go_on(&self.dir, &args)?
            }
            // One that was stopped before its first checkpoint is begun anew.
            false => begin(config, &self.dir, true)?,
        };
        let renderer = Box::new(Told::new(shown.listener()));
        train(prepare(config)?, &self.dir, start, renderer, stop.clone()).map(Some)
    }

    /// Whether what is there was trained by the settings that are asked for, wherever it was computed.
    fn check_settings(&self, asked: &RunConfig) -> Result<()> {
        let there = RunConfig::load(&self.dir.join("config.toml"), &[])?;
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

/// Says how to go on with the demo, not with one of its runs.
fn stopped_here(error: Error, out: &Path) -> Error {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Interrupted { .. }) => error.context(format!(
            "the demo was stopped; `lingo demo --out {}` goes on with it",
            out.display()
        )),
        _ => error,
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
        "next        lingo train {}, changed as you like",
        files::configs(&args.out).join("lingo.toml").display()
    );
    Ok(())
}
