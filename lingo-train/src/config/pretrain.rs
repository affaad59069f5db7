//! The run file of `lingo pretrain`: a corpus, the shape of a model, and how it is trained.

use std::path::{Path, PathBuf};

use lingo_core::nn::Precision;
use serde::Serialize;

use super::bound::Bound;
use super::error::ConfigError;
use super::layers::Layers;
use super::read::Reader;
use super::resolved::Resolved;

/// The section that only such a run file has.
const SECTION: &str = "pretrain";

/// The keys that may differ in a run that goes on: where things are and how often they are saved. What the corpus holds is
/// compared by itself.
pub const PRETRAIN_MAY_DIFFER: [&str; 7] = [
    "model",
    "device",
    "corpus.train",
    "corpus.valid",
    "tokenizer.from",
    "pretrain.checkpoint_every",
    "output.dir",
];

/// A pretraining run, as its run file and the overrides describe it. Every field is a key of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PretrainConfig {
    /// `model`: a `config.json`, or a folder with one: the shape of the model. Required.
    pub model: PathBuf,
    /// `device`: where to compute. Default `cpu`.
    pub device: String,
    /// `seed`: of initial values, the order of blocks and dropout. Default 42.
    pub seed: u64,
    /// `[corpus]`: what is read.
    pub corpus: CorpusConfig,
    /// `[tokenizer]`: how text becomes tokens.
    pub tokenizer: VocabularyConfig,
    /// `[pretrain]`: how the model is trained.
    pub pretrain: PretrainSettings,
    /// `[output]`: where the run is recorded.
    pub output: PretrainOutput,
}

/// `[corpus]`: UTF-8 text whose documents are separated by blank lines, or FASTA, each sequence a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorpusConfig {
    /// `corpus.train`: trained on. Required.
    pub train: PathBuf,
    /// `corpus.valid`: evaluated on. Required.
    pub valid: PathBuf,
}

/// `[tokenizer]`: how text becomes tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VocabularyConfig {
    /// `tokenizer.from`: a folder with the tokenizer of another model. Default: a byte-level BPE of the model's `vocab_size`
    /// entries, made from the training text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
}

/// `[pretrain]`: how long and how fast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PretrainSettings {
    /// `pretrain.context_tokens`: tokens of a block, each of which sees those before it. Default 0: the model's longest input.
    pub context_tokens: usize,
    /// `pretrain.batch_size`: blocks a step. Default 32.
    pub batch_size: usize,
    /// `pretrain.epochs`: passes over the training text. Default 1.
    pub epochs: usize,
    /// `pretrain.max_steps`: the most steps. Default 0: all that the epochs have.
    pub max_steps: usize,
    /// `pretrain.learning_rate`: at its highest, after the warm-up. Default 1e-3.
    pub learning_rate: f64,
    /// `pretrain.warmup_ratio`: share of the steps in which the learning rate rises. Default 0.05.
    pub warmup_ratio: f64,
    /// `pretrain.beta2`: Adam's memory of squared gradients. Default 0.95.
    pub beta2: f64,
    /// `pretrain.weight_decay`: decoupled. Default 0.1.
    pub weight_decay: f64,
    /// `pretrain.max_grad_norm`: clips the global norm of the gradients; 0 for any. Default 1.
    pub max_grad_norm: f64,
    /// `pretrain.eval_every`: steps from one evaluation to the next. Default 0: every epoch.
    pub eval_every: usize,
    /// `pretrain.checkpoint_every`: steps from one checkpoint to the next, beside those at evaluations. Default 0: none
    /// beside them.
    pub checkpoint_every: usize,
    /// `pretrain.max_skipped_steps`: steps in a row whose loss or gradients are not finite, after which the run ends; 0 for
    /// any number. Default 10.
    pub max_skipped_steps: usize,
}

impl Default for PretrainSettings {
    fn default() -> Self {
        Self {
            context_tokens: 0,
            batch_size: 32,
            epochs: 1,
            max_steps: 0,
            learning_rate: 1e-3,
            warmup_ratio: 0.05,
            beta2: 0.95,
            weight_decay: 0.1,
            max_grad_norm: 1.0,
            eval_every: 0,
            checkpoint_every: 0,
            max_skipped_steps: 10,
        }
    }
}

/// `[output]`: where the run is recorded.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PretrainOutput {
    /// `output.dir`: the run folder. No default: the command chooses one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// `output.dtype`: the type of the numbers in `model.safetensors`, `f32`, `bf16` or `f16`. Default `f32`.
    pub dtype: Precision,
}

impl PretrainConfig {
    /// Reads run files and overrides, as [`Resolved::load`] does those of a run.
    ///
    /// # Errors
    /// As for [`Resolved::load`].
    pub fn load(
        files: &[impl AsRef<Path>],
        overrides: &[(String, String)],
    ) -> Result<Resolved<Self>, ConfigError> {
        Resolved::checked(&Layers::load(files, overrides)?, read)
    }

    /// Whether these files describe a pretraining run: one of them, or of those that they extend, has its section.
    ///
    /// # Errors
    /// If a file cannot be read, is no TOML or extends itself.
    pub fn is_described_by(files: &[impl AsRef<Path>]) -> Result<bool, ConfigError> {
        Self::have_section(files, &[SECTION])
    }

    /// Whether run files are for fine-tuning: they have one of its sections.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn is_contradicted_by(files: &[impl AsRef<Path>]) -> Result<bool, ConfigError> {
        Self::have_section(files, &["data", "adapter", "prompt"])
    }

    fn have_section(files: &[impl AsRef<Path>], names: &[&str]) -> Result<bool, ConfigError> {
        let layers = Layers::load(files, &[])?;
        let mut tables = layers.files.iter().map(|layer| &layer.table);
        Ok(tables.any(|table| names.iter().any(|name| table.contains_key(*name))))
    }

    /// The configuration in full as TOML.
    ///
    /// # Errors
    /// If a path is not valid Unicode.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(ConfigError::Write)
    }
}

/// Reads every key; `None` where a key without a default is missing (which is then among the problems).
fn read(reader: &mut Reader<'_>) -> Option<PretrainConfig> {
    let mut required = |key, accepted| {
        let path = reader.path(key);
        if path.is_none() {
            reader.require(key, accepted);
        }
        path
    };
    let model = required(
        "model",
        "a config.json of an OPT or a LLaMA, or a folder with one",
    );
    let text = "a file of text with blank lines between documents, or of FASTA";
    let train = required("corpus.train", text);
    let valid = required("corpus.valid", text);
    let device = reader.text("device").unwrap_or_else(|| "cpu".into());
    let seed = reader.count("seed", 0).unwrap_or(42) as u64;
    let tokenizer = VocabularyConfig {
        from: reader.path("tokenizer.from"),
    };
    let pretrain = read_settings(reader);
    let output = PretrainOutput {
        dir: reader.path_here("output.dir"),
        dtype: reader
            .choice("output.dtype", &Precision::ALL, Precision::name)
            .unwrap_or_default(),
    };
    Some(PretrainConfig {
        model: model?,
        device,
        seed,
        corpus: CorpusConfig {
            train: train?,
            valid: valid?,
        },
        tokenizer,
        pretrain,
        output,
    })
}

fn read_settings(reader: &mut Reader<'_>) -> PretrainSettings {
    let default = PretrainSettings::default();
    let at_least_zero = Bound::AtLeast(0.0);
    PretrainSettings {
        context_tokens: reader
            .count("pretrain.context_tokens", 0)
            .unwrap_or(default.context_tokens),
        batch_size: reader
            .count("pretrain.batch_size", 1)
            .unwrap_or(default.batch_size),
        epochs: reader.count("pretrain.epochs", 1).unwrap_or(default.epochs),
        max_steps: reader
            .count("pretrain.max_steps", 0)
            .unwrap_or(default.max_steps),
        learning_rate: reader
            .number("pretrain.learning_rate", Bound::Above(0.0))
            .unwrap_or(default.learning_rate),
        warmup_ratio: reader
            .number("pretrain.warmup_ratio", Bound::Within(0.0, 1.0))
            .unwrap_or(default.warmup_ratio),
        beta2: reader
            .number("pretrain.beta2", Bound::FromBelow(0.0, 1.0))
            .unwrap_or(default.beta2),
        weight_decay: reader
            .number("pretrain.weight_decay", at_least_zero)
            .unwrap_or(default.weight_decay),
        max_grad_norm: reader
            .number("pretrain.max_grad_norm", at_least_zero)
            .unwrap_or(default.max_grad_norm),
        eval_every: reader
            .count("pretrain.eval_every", 0)
            .unwrap_or(default.eval_every),
        checkpoint_every: reader
            .count("pretrain.checkpoint_every", 0)
            .unwrap_or(default.checkpoint_every),
        max_skipped_steps: reader
            .count("pretrain.max_skipped_steps", 0)
            .unwrap_or(default.max_skipped_steps),
    }
}
