//! What a run leaves behind: the trained tensors alone, and what must be known to use them again.

mod names;
mod read;
mod start;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use lingo_core::nn::Precision;
use lingo_core::weights::WeightSample;
use serde::{Deserialize, Serialize};

pub use start::folder_of;
pub use write::{named_tensors, save, tensors_of, write};

use crate::config::{Method, TokenizerKind};
use crate::data::Objective;
use crate::record::RecordError;

/// The file with the tensors.
pub const TENSORS_FILE: &str = "adapter.safetensors";
/// The file that describes them.
pub const MANIFEST_FILE: &str = "adapter.json";
/// The version of the format that is written.
pub const FORMAT: u32 = 3;
/// The oldest version that is read. Before 3 there were classes alone, written as they are now.
const OLDEST_FORMAT: u32 = 2;

/// How long each part of a prompt may be: tokenizers take their time over long texts, and no model reads so many.
const MOST_PROMPT_BYTES: usize = 1 << 15;

/// Why a saved adapter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is none.
    #[error(
        "{}: there is no {MANIFEST_FILE} in it; give a run folder, or an adapter of lingo's: `lingo import` makes one of \
         PEFT's",
        dir.display()
    )]
    None {
        /// The folder.
        dir: PathBuf,
    },
    /// The manifest is not one of ours.
    #[error("{}: {source}; it is no adapter that this version of lingo wrote", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest was written by another version.
    #[error(
        "{}: adapter format {found}, this version of lingo reads {OLDEST_FORMAT} to {FORMAT}",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number.
        found: u32,
    },
    /// The manifest's prompt is longer than any that a model reads.
    #[error(
        "{}: `{key}` has {found} bytes, and a prompt at most {MOST_PROMPT_BYTES}, more than a model reads; the file is \
         damaged, take it again from where it was written",
        path.display()
    )]
    Prompt {
        /// The file.
        path: PathBuf,
        /// The part of the prompt.
        key: &'static str,
        /// Its length.
        found: usize,
    },
    /// The tensor file is damaged.
    #[error("{}: {source}; the file is damaged or not complete", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing, or is not as the model needs it.
    #[error("{}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The adapter cannot be gone on from.
    #[error("adapter.from: {} has {what} {found}, this run {expected}; it can go on with the same alone", path.display())]
    Continues {
        /// The adapter's file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The adapter's.
        found: String,
        /// This run's.
        expected: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] RecordError),
}

/// What must be known to use the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The pretrained model, whose tokenizer is used too.
    pub model: PathBuf,
    /// Its architecture.
    pub model_type: String,
    /// Numbers of its weights, by which another of its shape is told; none are known of adapters of older versions.
    #[serde(default, skip_serializing_if = "WeightSample::is_empty")]
    pub base_weights: WeightSample,
    /// What its tokenizer does, by which another one is told ([`token_digest`](crate::task::token_digest)); not known of
    /// adapters of older versions, nor where tokens follow from a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_tokens: Option<String>,
    /// How it was adapted.
    pub method: Method,
    /// What it answers: the key is `classes`, with their number, or `labels`, with their names.
    #[serde(flatten)]
    pub objective: Objective,
    /// How DNA becomes tokens.
    pub tokenizer: TokenizerKind,
    /// The prompt's part before the DNA.
    pub prefix: String,
    /// The prompt's part behind the DNA.
    pub suffix: String,
    /// Longest input, in tokens.
    pub max_tokens: usize,
    /// Whether the token table was restricted to what prompt and DNA can reach.
    pub restricted: bool,
    /// What the model computed in.
    #[serde(default)]
    pub precision: Precision,
    /// What the product of an adapter's factors is multiplied with.
    pub scale: f64,
    /// Surviving ranks of each adapted matrix.
    pub ranks: BTreeMap<String, usize>,
    /// Optimizer steps behind it.
    pub steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// Version of lingo that wrote it.
    pub version: String,
}

/// A saved adapter, read.
#[derive(Debug)]
pub struct Saved {
    /// Its description.
    pub manifest: Manifest,
    path: PathBuf,
    bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As version 2 wrote it.
    const OLD: &str = r#"{
        "format": 2, "model": "m", "model_type": "opt", "method": "lora", "classes": 3, "tokenizer": "bpe",
        "prefix": "", "suffix": "", "max_tokens": 99, "restricted": true, "scale": 4.0, "ranks": {"a": 8},
        "steps": 5, "seed": 42, "version": "0.1.0"
    }"#;

    fn read(text: &str) -> Result<Manifest, SavedError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MANIFEST_FILE);
        std::fs::write(&path, text).unwrap();
        Manifest::open(dir.path())
    }

    #[test]
    fn a_manifest_of_the_format_before_labels_is_one_of_classes() {
        let manifest = read(OLD).unwrap();
        assert_eq!(manifest.objective, Objective::Classes(3));
        assert_eq!((manifest.max_tokens, manifest.ranks["a"]), (99, 8));
        assert_eq!(manifest.precision, Precision::F32);
        assert!(manifest.base_weights.is_empty());
        assert_eq!(manifest.base_tokens, None);
    }

    #[test]
    fn what_a_manifest_answers_is_written_and_read_back() {
        let labels = Objective::Labels(["H3K4me3".into(), "a, b".into()].into());
        for (objective, key) in [
            (Objective::Classes(2), "\"classes\":2"),
            (labels, "\"labels\":[\"H3K4me3\",\"a, b\"]"),
        ] {
            let numbers = vec![0.1, -3e-5];
            let manifest = Manifest {
                objective,
                base_weights: [("layers.0.fc1.weight".to_owned(), numbers)]
                    .into_iter()
                    .collect(),
                base_tokens: Some("af13".to_owned()),
                ..read(OLD).unwrap()
            };
            let text = serde_json::to_string(&manifest).unwrap();
            assert!(text.contains(key), "{text}");
            assert_eq!(read(&text).unwrap(), manifest);
        }
    }

    #[test]
    fn a_manifest_of_another_version_or_without_objective_is_refused() {
        let newer = read(&OLD.replace("\"format\": 2", "\"format\": 4")).unwrap_err();
        assert!(newer.to_string().contains("format 4"), "{newer}");
        let labels = r#""labels": ["a", "b", "a"]"#;
        let twice = read(&OLD.replace(r#""classes": 3"#, labels)).unwrap_err();
        assert!(twice.to_string().contains("label `a`"), "{twice}");
        let neither = read(&OLD.replace("\"classes\": 3, ", "")).unwrap_err();
        assert!(neither.to_string().contains("adapter.json"), "{neither}");
    }
}
