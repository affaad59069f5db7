//! The sections of a run file, with their defaults (the paper's).

use std::path::PathBuf;

use lingo_core::nn::Precision;
use serde::{Deserialize, Serialize, Serializer};

use crate::data::{Cache, Prompt};
use crate::metric::MetricName;

/// `[data]`: a folder in GUE's layout, or the three files by name.
///
/// A file that is named takes the place of the folder's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataConfig {
    /// `data.root`: a folder of many tasks, in which `data.dir` is looked for first. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// `data.dir`: a folder with `train.csv`, `dev.csv` and `test.csv`. No default; needed unless all three files
    /// are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// `data.train`: the file to train on. Default `train.csv` in `data.dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// `data.dev`: the file to select on. Default `dev.csv` in `data.dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<PathBuf>,
    /// `data.test`: the file scored once, after selection; it is checked before training. Default `test.csv` in `data.dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `data.labels`: names of labels that each hold or not: a column each, or what the lists in the column `label` hold.
    /// Default: the column `label`, of a class or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// `data.in_memory_mib`: files up to this size are tokenised at each start and held in memory; larger ones are tokenised
    /// once, into `data.cache`, and read from there, in constant memory. Default 64.
    pub in_memory_mib: usize,
    /// `data.cache`: the folder of tokens of large files, each named by a hash of what it is made of. Any of them may be
    /// deleted. Default `lingo` in the user's folder of caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            root: None,
            dir: None,
            train: None,
            dev: None,
            test: None,
            labels: None,
            in_memory_mib: 64,
            cache: None,
        }
    }
}

impl DataConfig {
    /// Where tokens are kept.
    pub fn cache(&self) -> Cache {
        let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty());
        let user = || folder("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || folder("HOME").or_else(|| folder("USERPROFILE"));
        let below_home = || Some(PathBuf::from(home()?).join(".cache"));
        let named = self.cache.clone();
        let dir = named.unwrap_or_else(|| {
            let caches = user().or_else(below_home);
            caches.unwrap_or_else(std::env::temp_dir).join("lingo")
        });
        Cache {
            dir,
            in_memory: (self.in_memory_mib as u64).saturating_mul(1 << 20),
        }
    }

    /// The file of each split.
    pub fn files(&self) -> DataFiles {
        // A checked configuration has the folder wherever a file is not named.
        let dir = self.dir.clone().unwrap_or_default();
        let file =
            |named: &Option<PathBuf>, name: &str| named.clone().unwrap_or_else(|| dir.join(name));
        DataFiles {
            train: file(&self.train, "train.csv"),
            dev: file(&self.dev, "dev.csv"),
            test: file(&self.test, "test.csv"),
        }
    }
}

/// The files of the three splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFiles {
    /// Trained on.
    pub train: PathBuf,
    /// Selected on.
    pub dev: PathBuf,
    /// Scored once, after selection.
    pub test: PathBuf,
}

/// `[prompt]`: the language around each sequence. Both empty: the bare sequence.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PromptConfig {
    /// `prompt.domain`: what the DNA is; it stands for `{domain}` in the other two. Default `DNA Promoter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// `prompt.prefix`: before the DNA; it names the task's domain. Default `"Domain: {domain}\nSequence: "`, and
    /// nothing for models of DNA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `prompt.suffix`: after the DNA, never truncated. Default `"\nAnnotation:"`, and nothing for models of DNA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

impl From<&Prompt> for PromptConfig {
    fn from(prompt: &Prompt) -> Self {
        Self {
            domain: None,
            prefix: Some(prompt.prefix.clone()),
            suffix: Some(prompt.suffix.clone()),
        }
    }
}

impl PromptConfig {
    /// The prompt for a model of language.
    pub fn for_text(&self) -> Prompt {
        let or = |part: &Option<String>, default: &str| match part {
            Some(part) => part.clone(),
            None => self.fill(default),
        };
        Prompt::new(
            or(&self.prefix, "Domain: {domain}\nSequence: "),
            or(&self.suffix, "\nAnnotation:"),
        )
    }

    /// The same with the domain's name in its place.
    pub(super) fn with_domain(self) -> Self {
        let fill = |part: &Option<String>| part.as_ref().map(|part| self.fill(part));
        Self {
            prefix: fill(&self.prefix),
            suffix: fill(&self.suffix),
            domain: self.domain,
        }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{domain}", self.domain.as_deref().unwrap_or("DNA Promoter"))
    }

    /// The key of a part that is set and not empty.
    pub fn given(&self) -> Option<&'static str> {
        let is_given = |part: &Option<String>| part.as_ref().is_some_and(|text| !text.is_empty());
        match (is_given(&self.prefix), is_given(&self.suffix)) {
            (true, _) => Some("prompt.prefix"),
            (_, true) => Some("prompt.suffix"),
            _ => None,
        }
    }
}

/// `[tokenizer]`: how text becomes tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenizerConfig {
    /// `tokenizer.kind`: `bpe`, the checkpoint's own tokenizer; `kmer`, 6-mers side by side, or DNABERT's, which
    /// overlap; `words`, the model's own token of each letter; `one-hot`, a token of its own for each letter. Default:
    /// what the model was pretrained with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TokenizerKind>,
    /// `tokenizer.max_tokens`: the most tokens of an input, the first (BOS) included; longer DNA is cut from its
    /// end. Default 0: the longest input, at most what the model can take.
    pub max_tokens: usize,
    /// `tokenizer.restrict`: whether the embedding table keeps only the tokens that the task can reach, `"auto"`,
    /// `true` or `false`. Exact as long as the table is frozen. Default `"auto"`: under adapters.
    pub restrict: Restrict,
}

/// The alternatives of `tokenizer.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// The checkpoint's own tokenizer, over prompt and DNA as one text.
    Bpe,
    /// K-mers: those that the model was pretrained with, else the Nucleotide Transformer's in trained rows of their own.
    Kmer,
    /// A token a nucleotide: the checkpoint's own token of that letter.
    Words,
    /// A token a nucleotide, in trained rows of its own.
    OneHot,
}

impl TokenizerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bpe, Self::Kmer, Self::Words, Self::OneHot];

    /// As a run file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpe => "bpe",
            Self::Kmer => "kmer",
            Self::Words => "words",
            Self::OneHot => "one-hot",
        }
    }
}

/// The alternatives of `tokenizer.restrict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restrict {
    /// Under adapters, where the table is frozen.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Serialize for Restrict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Restrict::Auto => serializer.serialize_str("auto"),
            Restrict::On => serializer.serialize_bool(true),
            Restrict::Off => serializer.serialize_bool(false),
        }
    }
}

/// `[train]`: how long and how fast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// `train.epochs`: passes over the training split. Default 5.
    pub epochs: usize,
    /// `train.max_steps`: the most optimizer steps. Default 0: all that the epochs have.
    pub max_steps: usize,
    /// `train.batch_size`: sequences a batch. Default 8.
    pub batch_size: usize,
    /// `train.eval_batch_size`: sequences a batch in evaluation. Default 16.
    pub eval_batch_size: usize,
    /// `train.learning_rate`: at its highest, after the warm-up. Default 3e-5.
    pub learning_rate: f64,
    /// `train.weight_decay`: decoupled. Default 5e-3.
    pub weight_decay: f64,
    /// `train.warmup_ratio`: share of the steps in which the learning rate rises. Default 0.1.
    pub warmup_ratio: f64,
    /// `train.gradient_accumulation`: batches an optimizer step, averaged. Default 1.
    pub gradient_accumulation: usize,
    /// `train.max_grad_norm`: clips the global norm of the gradients. Default 0: off.
    pub max_grad_norm: f64,
    /// `train.precision`: the type of frozen weights and activations, `f32`, `bf16` or `f16`; what is trained is f32, and
    /// so are norms, softmax and loss. Default `f32`.
    pub precision: Precision,
    /// `train.gradient_checkpointing`: whether each layer is computed twice, so that the memory of a step is that of one
    /// layer. Default false.
    pub gradient_checkpointing: bool,
    /// `train.eval_every`: optimizer steps from one evaluation to the next. Default 0: every epoch.
    pub eval_every: usize,
    /// `train.flops_reference`: FLOPs of one FLOPs-adjusted step. Default 0: those of a step of OPT-125M under adaptive
    /// rank sampling on sequences of this task's length, prompt included.
    pub flops_reference: f64,
    /// `train.select_by`: the metric, on dev, that chooses the evaluation to keep. Default `mcc`.
    pub select_by: MetricName,
    /// `train.patience`: evaluations in a row without improvement after which the run ends. Default 0: it never ends
    /// early.
    pub patience: usize,
    /// `train.min_delta`: what the metric must be better by, to be an improvement. Default 0.
    pub min_delta: f64,
    /// `train.stop_by`: the metric, on dev, that patience watches. Default: `train.select_by`.
    pub stop_by: MetricName,
    /// `train.checkpoint_every`: optimizer steps from one checkpoint to the next, beside those at evaluations. Default 0:
    /// none beside them.
    pub checkpoint_every: usize,
    /// `train.max_skipped_steps`: steps in a row whose loss or gradients are not finite, after which the run ends; 0 for
    /// any number. Default 10.
    pub max_skipped_steps: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            max_steps: 0,
            batch_size: 8,
            eval_batch_size: 16,
            learning_rate: 3e-5,
            weight_decay: 5e-3,
            warmup_ratio: 0.1,
            gradient_accumulation: 1,
            max_grad_norm: 0.0,
            precision: Precision::F32,
            gradient_checkpointing: false,
            eval_every: 0,
            flops_reference: 0.0,
            select_by: MetricName::Mcc,
            patience: 0,
            min_delta: 0.0,
            stop_by: MetricName::Mcc,
            checkpoint_every: 0,
            max_skipped_steps: 10,
        }
    }
}

/// `[output]`: where the run is recorded.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct OutputConfig {
    /// `output.dir`: the run folder. No default: the command chooses one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}
