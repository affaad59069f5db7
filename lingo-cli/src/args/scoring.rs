//! Arguments of what scores sequences with a model.

use std::path::PathBuf;

use clap::ValueEnum;
use lingo_core::nn::Precision;
use lingo_train::config::{PromptConfig, TokenizerKind};

use super::{choice, positive, unescape};

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
    #[arg(long, value_parser = choice(&Precision::ALL, Precision::name))]
    pub precision: Option<Precision>,
    /// The pretrained model, where it has moved since the run.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub prompt: PromptArgs,
}

/// The language around sequences.
#[derive(Debug, clap::Args)]
pub struct PromptArgs {
    /// Text before each sequence of a plain model (a run has its own), \n for a line break [default: none; of `inspect` that of a run file].
    #[arg(long)]
    pub prefix: Option<String>,
    /// Text behind each sequence of a plain model (a run has its own), \n for a line break [default: none; of `inspect` that of a run file].
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
    /// A CSV or .mat file with sequences and labels, or a folder with train.csv, dev.csv and test.csv.
    #[arg(long, value_name = "FILE|DIR")]
    pub data: PathBuf,
    /// Which file of the folder [default: test].
    #[arg(long, value_enum)]
    pub split: Option<Split>,
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
    /// Sequences: CSV with a column `sequence`, FASTA, or DeepSEA's .mat.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write: CSV with id, prediction, p_0, p_1, ..., or id and p_NAME of each label; - for standard output; with --adapters a folder, with a file for each of them.
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
    #[arg(long, value_name = "KIND", requires = "data", value_parser = choice(&TokenizerKind::ALL, TokenizerKind::name))]
    pub tokenizer: Option<TokenizerKind>,
    #[command(flatten)]
    pub prompt: PromptArgs,
}
