//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use lingo_core::nn::Precision;
use lingo_train::config::{Method, PromptConfig, TokenizerKind};
use lingo_train::metric::MetricName;
use weights_import::export::FloatType;

use crate::command::config::CONFIGS;

/// Fine-tune language models on genomes.
///
/// A run is described by a TOML file (see configs/quickstart.toml for every key) and leaves a folder behind that
/// `eval` and `predict` take.
#[derive(Debug, Parser)]
#[command(name = "lingo", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  lingo train configs/quickstart.toml
  lingo train run.toml --set adapter.method=lora --set train.learning_rate=3e-4 --device wgpu
  lingo train configs/task/h3.toml configs/model/opt-125m.toml configs/method/lingo.toml
  lingo predict runs/run --input genes.fasta --output genes.csv
  lingo inspect models/opt-125m --data data/prom_300_tata")]
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

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder to write lingo.1, lingo-train.1 and so on to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Arguments of `flops`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counted are the matrix products of one batch without padding, a multiplication and an addition each: \
what `metrics.csv` sums up over a run. docs/flops.md holds them against PyTorch's count."
)]
pub struct FlopsArgs {
    /// A model as `train` takes it; of a folder, config.json suffices.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Tokens a sequence, prompt included.
    #[arg(long, value_parser = positive)]
    pub tokens: usize,
    /// Sequences a batch.
    #[arg(long, default_value_t = 8, value_parser = positive)]
    pub batch_size: usize,
    /// full, lora, adalora or adaptive-rank-sampling.
    #[arg(long, default_value = Method::AdaptiveRankSampling.name(), value_parser = method())]
    pub method: Method,
    /// The (initial) rank of each adapter [default: adapter.rank or adapter.initial_rank of a run file].
    #[arg(long, value_parser = positive)]
    pub rank: Option<usize>,
    /// The matrices to adapt, as in adapter.targets of a run file.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub targets: Vec<String>,
    /// Outputs of the head.
    #[arg(long, default_value_t = 2, value_parser = positive)]
    pub classes: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn method() -> impl TypedValueParser<Value = Method> {
    PossibleValuesParser::new(Method::ALL.map(Method::name)).map(|name| {
        let method = Method::ALL.into_iter().find(|method| method.name() == name);
        method.unwrap_or(Method::AdaptiveRankSampling)
    })
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
    /// Go on with a run that was stopped or killed, in its folder, to the same end; of --set only places may change.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["files", "out", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// Show progress as plain lines on a terminal too, instead of the dashboard.
    #[arg(long)]
    pub plain: bool,
    /// Print result.json at the end instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Run folders; those without result yet are passed over.
    #[arg(value_name = "RUN_DIR", required = true)]
    pub runs: Vec<PathBuf>,
    /// Metrics on test, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = metric_name(), default_value = "mcc,auroc")]
    pub metrics: Vec<MetricName>,
    /// The form of the table.
    #[arg(long, value_enum, default_value_t = TableFormat::Markdown)]
    pub format: TableFormat,
    /// Draw ranks over the steps, and the first metric over trained parameters, to a file that ends in .svg or .png; may
    /// be given often.
    #[arg(long, value_name = "FILE")]
    pub plot: Vec<PathBuf>,
}

/// The form of a table.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TableFormat {
    /// For people and documents.
    Markdown,
    /// A column a number.
    Csv,
    /// A list of rows.
    Json,
}

fn metric_name() -> impl TypedValueParser<Value = MetricName> {
    PossibleValuesParser::new(MetricName::ALL.map(MetricName::name)).map(|name| {
        let metric = MetricName::ALL
            .into_iter()
            .find(|metric| metric.name() == name);
        metric.unwrap_or(MetricName::Mcc)
    })
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A run folder, or an adapter in it (best or last).
    #[arg(value_name = "RUN_DIR")]
    pub run: PathBuf,
    /// The form to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the pretrained model is, if it has moved since training.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// With peft: write AdaLoRA's factors as plain LoRA of the surviving ranks.
    #[arg(long)]
    pub as_lora: bool,
    /// With hf: the type of all numbers [default: f32].
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
    /// Replace what an export has written.
    #[arg(long)]
    pub overwrite: bool,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ExportFormat {
    /// PEFT's adapter_config.json and adapter_model.safetensors, with the head.
    Peft,
    /// A whole model in Hugging Face's layout, the adapter folded in.
    Hf,
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
    /// Go on with a run that was stopped or killed, in its folder, to the same end; of --set only places may change.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["files", "out", "overwrite"])]
    pub resume: Option<PathBuf>,
    /// Print result.json at the end instead of a table.
    #[arg(long)]
    pub json: bool,
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

/// A run file and what replaces its keys.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The run file; of several, such as a task, a model and a method, each one is over those before it.
    #[arg(value_name = "RUN.toml", required = true)]
    pub files: Vec<PathBuf>,
    /// Replace a key of the run file, for example train.epochs=2; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Where to compute: cpu, wgpu, wgpu:1, cuda, cuda:1, tch or ndarray; short for --set device=DEVICE.
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

/// How a model is loaded for scoring.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// A run folder, an adapter in it (best or last), or a fine-tuned Hugging Face classifier: its folder, or its name
    /// on the hub (owner/name).
    #[arg(value_name = "RUN_DIR|MODEL")]
    pub model: PathBuf,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How a model is loaded for scoring, whichever it is.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// Where to compute: cpu, wgpu, wgpu:1, cuda, cuda:1, tch or ndarray; several, such as cuda:0,cuda:1, share each
    /// batch.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Sequences a batch.
    #[arg(long, default_value_t = 16, value_parser = positive)]
    pub batch_size: usize,
    /// What to compute in [default: what the run was trained in; f32 for other models].
    #[arg(long, value_enum)]
    pub precision: Option<Dtype>,
    /// The pretrained model, where it has moved since the run.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub prompt: PromptArgs,
}

/// The language around sequences; a run folder has its own.
#[derive(Debug, clap::Args)]
pub struct PromptArgs {
    /// Text before each sequence (a run folder has its own); \n is a line break.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Text behind each sequence (a run folder has its own); \n is a line break.
    #[arg(long)]
    pub suffix: Option<String>,
}

impl PromptArgs {
    /// Whether one of the options is there.
    pub fn is_given(&self) -> bool {
        self.prefix.is_some() || self.suffix.is_some()
    }

    /// The prefix, if there is one.
    pub fn prefix(&self) -> Option<String> {
        self.prefix.as_deref().map(unescape)
    }

    /// The suffix, if there is one.
    pub fn suffix(&self) -> Option<String> {
        self.suffix.as_deref().map(unescape)
    }

    /// The prompt that the options give; what they leave out is empty.
    pub fn prompt_or_none(&self) -> PromptConfig {
        PromptConfig {
            domain: None,
            prefix: Some(self.prefix().unwrap_or_default()),
            suffix: Some(self.suffix().unwrap_or_default()),
        }
    }

    /// The prompt that the options give, or the one that a run has by default.
    pub fn prompt_or_default(&self) -> PromptConfig {
        match self.is_given() {
            true => self.prompt_or_none(),
            false => PromptConfig::default(),
        }
    }
}

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// A CSV file with sequences and labels, or a folder with train.csv, dev.csv and test.csv.
    #[arg(long, value_name = "FILE|DIR")]
    pub data: PathBuf,
    /// Which file of the folder.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub split: Split,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// A split of a task.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Split {
    /// train.csv
    Train,
    /// dev.csv
    Dev,
    /// test.csv
    Test,
}

impl Split {
    /// Its file in GUE's layout.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Train => "train.csv",
            Self::Dev => "dev.csv",
            Self::Test => "test.csv",
        }
    }
}

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct PredictArgs {
    /// A run folder, an adapter in it (best or last), or a fine-tuned Hugging Face classifier: its folder, or its name
    /// on the hub (owner/name).
    #[arg(
        value_name = "RUN_DIR|MODEL",
        required_unless_present = "adapters",
        conflicts_with = "adapters"
    )]
    pub model: Option<PathBuf>,
    /// Many runs on one pretrained model, which is loaded once.
    #[arg(long, value_name = "RUN_DIR", num_args = 1..)]
    pub adapters: Vec<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Sequences: CSV with a column `sequence`, or FASTA.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write: CSV with id, prediction, p_0, p_1, ..., or id and p_NAME of each label; with --adapters a folder, with a file for each of them.
    #[arg(long, value_name = "FILE|DIR")]
    pub output: PathBuf,
    /// Replace output files that exist.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A Hugging Face folder, a .gguf file, or a model of the Hugging Face hub (owner/name or owner/name@revision).
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// List every tensor.
    #[arg(long)]
    pub tensors: bool,
    /// Count the tokens of these sequences: a file, or a folder with train.csv.
    #[arg(long, value_name = "FILE|DIR")]
    pub data: Option<PathBuf>,
    /// Count tokens of this kind; by default, of the one that the model was pretrained with.
    #[arg(long, value_name = "KIND", value_parser = tokenizer_kind())]
    pub tokenizer: Option<TokenizerKind>,
    #[command(flatten)]
    pub prompt: PromptArgs,
}

fn tokenizer_kind() -> impl TypedValueParser<Value = TokenizerKind> {
    PossibleValuesParser::new(TokenizerKind::ALL.map(TokenizerKind::name)).map(|name| {
        let kind = TokenizerKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name);
        kind.unwrap_or(TokenizerKind::Bpe)
    })
}

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The folder holds config.json, model.safetensors and tokenizer.json: it needs no network, has no \
pickles and no quantisation, and Hugging Face's libraries read it too."
)]
pub struct ImportArgs {
    /// A Hugging Face folder, a .gguf file, a model of the Hugging Face hub (owner/name or owner/name@revision), or the
    /// folder of an adapter that PEFT saved.
    #[arg(value_name = "MODEL|ADAPTER")]
    pub source: PathBuf,
    /// With an adapter: the pretrained model that it is for.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// With an adapter whose outputs each hold or not: their names [default: they are classes, unless lingo.json beside
    /// the adapter knows better].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub labels: Vec<String>,
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The type of all numbers [default: each tensor's own; f16 for quantised ones].
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
    /// Replace a folder that an import has written.
    #[arg(long)]
    pub overwrite: bool,
}

/// A type of numbers.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Dtype {
    /// 32 bits
    F32,
    /// 16 bits, finer
    F16,
    /// 16 bits, with the range of f32
    Bf16,
}

impl From<Dtype> for FloatType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

/// A line break as the shell can hardly write it.
fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example train.epochs=2".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}
