//! The command line.

mod exchange;
mod figures;
mod run;
mod scoring;
mod shell;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

pub use exchange::{ExportArgs, ExportFormat, ImportArgs};
pub use figures::{CompareArgs, DevicesArgs, FlopsArgs, TableFormat};
pub use run::{
    BenchArgs, CheckArgs, ConfigVerb, DemoArgs, PretrainArgs, RunArgs, ShowArgs, TrainArgs,
};
pub use scoring::{EvalArgs, InspectArgs, LoadArgs, PredictArgs, Split};
pub use shell::{CompletionsArgs, ManArgs};

/// Fine-tune language models on genomes.
///
/// A run is described by a TOML file (see configs/quickstart.toml for every key) and leaves a folder behind that
/// `eval` and `predict` take.
#[derive(Debug, Parser)]
#[command(name = "lingo", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  lingo demo
  lingo train configs/quickstart.toml
  lingo train run.toml --set adapter.method=lora --set train.learning_rate=3e-4 --device wgpu
  lingo train configs/task/h3.toml configs/model/opt-125m.toml configs/method/lingo.toml
  lingo predict runs/run --input genes.fasta --output genes.csv
  lingo inspect models/opt-125m --data data/prom_300_tata

Exit codes:
  0              done
  1              an error, told on standard error
  2              the command line is not understood
  129, 130, 143  stopped by a signal; of a run it is told what goes on with it

Environment:
  NO_COLOR                                           no colours
  RAYON_NUM_THREADS                                  how many cores to use
  HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE     as Hugging Face's tools have them")]
pub struct Args {
    /// Say nothing but results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train a small language model to tell genes of yeast by every method, in some minutes, and compare them.
    Demo(DemoArgs),
    /// Fine-tune a model as a run file says, select on dev, look at test once.
    Train(TrainArgs),
    /// Pretrain a language model on a corpus of your own, from random weights.
    Pretrain(PretrainArgs),
    /// Score a run, or a fine-tuned Hugging Face classifier, on labelled sequences.
    Eval(EvalArgs),
    /// Write probabilities of classes or labels for sequences.
    Predict(PredictArgs),
    /// Show a model's architecture, tensors and matrices that can be adapted.
    Inspect(InspectArgs),
    /// Write what a run has learnt in the formats of other libraries.
    Export(ExportArgs),
    /// Turn a model of any kind into one compact local folder.
    Import(ImportArgs),
    /// Put finished runs side by side; runs that differ by their seed alone become one row, with mean and spread.
    Compare(CompareArgs),
    /// Measure how fast training steps are, without training.
    Bench(BenchArgs),
    /// Count the floating-point operations of a training step, from a model's shape alone.
    Flops(FlopsArgs),
    /// Show what a run file comes to, or check run files.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// List the devices that this build can compute on.
    Devices(DevicesArgs),
    /// Print a script that completes arguments, for your shell to load.
    #[command(after_help = "For example, in ~/.bashrc: source <(lingo completions bash)")]
    Completions(CompletionsArgs),
    /// Write manual pages.
    Man(ManArgs),
}

/// A line break as the shell can hardly write it.
fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            let parts: Vec<&str> = key.split('.').map(str::trim).collect();
            Ok((parts.join("."), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE, for example train.epochs=2".to_owned()),
    }
}

/// One of `all`, by its name.
fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |item| name(*item));
    PossibleValuesParser::new(names).try_map(move |text| {
        let mut found = all.iter().filter(|item| name(**item) == text);
        found.next().copied().ok_or("is none of them")
    })
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}
