//! Arguments of what exchanges models with other libraries.

use std::path::PathBuf;

use clap::ValueEnum;
use lingo_core::nn::Precision;

use super::choice;
use super::scoring::PromptArgs;

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
    /// With hf: the adapter folded into the model, as it always is.
    #[arg(long)]
    pub merged: bool,
    /// With hf: the type of all numbers; of 16 bits, bf16 has the range of f32, f16 is finer [default: f32].
    #[arg(long, value_parser = choice(&Precision::ALL, Precision::name))]
    pub dtype: Option<Precision>,
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
    /// The type of all numbers; of 16 bits, bf16 has the range of f32, f16 is finer [default: each tensor's own; f16 for
    /// quantised ones].
    #[arg(long, value_parser = choice(&Precision::ALL, Precision::name))]
    pub dtype: Option<Precision>,
    /// Replace a folder that an import has written.
    #[arg(long)]
    pub overwrite: bool,
}
