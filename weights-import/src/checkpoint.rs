//! A pretrained model's files behind one interface.

mod open;
mod source;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use lingo_core::adapter::target::paper_names_of;
use lingo_core::models::ModelConfig;

use crate::error::ImportError;
use crate::mapped::MappedFile;
use crate::tensors::{Role, Stored, TensorInfo};
use crate::tokenizer::{self, TextTokenizer};
use crate::{gguf, hf};

/// An opened checkpoint: its configuration is read, its tensors are listed, none is loaded yet.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: Kind,
    config: ModelConfig,
    labels: Option<Vec<String>>,
    problem: Problem,
    contents: Contents,
    by_name: HashMap<String, usize>,
    taken: HashSet<usize>,
}

/// What a classification head is for: `problem_type` of Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Telling classes apart, as where nothing is said.
    Classes,
    /// Labels that each hold or not.
    Labels,
    /// Numbers.
    Regression,
}

/// What was opened.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A folder in Hugging Face's layout.
    Folder,
    /// A GGUF file, the only mapped file of the contents.
    Gguf,
}

/// What the readers of the formats hand over.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The format in words.
    pub(crate) format: String,
    /// The files that [`Place::Mapped`](crate::tensors::Place) refers to.
    pub(crate) files: Vec<MappedFile>,
    /// All tensors.
    pub(crate) tensors: Vec<Stored>,
    /// Bytes of the files.
    pub(crate) bytes: u64,
}

impl Checkpoint {
    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Whether a tensor belongs to a head that training puts on this model; a pooler that it brings does not.
    pub fn is_of_new_head(&self, name: &str) -> bool {
        let brought = |name: &str| self.stored(name).is_some_and(|t| t.role == Role::Used);
        hf::keys::head_layer(&self.config, name).is_some() && !brought(name)
    }

    /// Canonical name of a classification head's output matrix.
    pub fn head_tensor(&self) -> String {
        format!("{}.weight", self.config.head().output)
    }

    /// Classes of the checkpoint's own classification head, when it has one.
    pub fn classes(&self) -> Option<usize> {
        match self.stored(&self.head_tensor())?.shape.as_slice() {
            &[classes, _] => Some(classes),
            _ => None,
        }
    }

    /// `[d_output, d_input]` of the matrix at a path that adapters may correct, if the model has it.
    pub fn matrix(&self, path: &str) -> Option<[usize; 2]> {
        let is_adaptable = !paper_names_of(path, self.config.paper_names()).is_empty();
        let stored = self.stored(&format!("{path}.weight"));
        match stored.filter(|_| is_adaptable)?.shape.as_slice() {
            &[outputs, inputs] => Some([outputs, inputs]),
            _ => None,
        }
    }

    /// What a classification head is for.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Names of the classes or labels, when the configuration gives any but the generic `LABEL_n`.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// All tensors in the files' order.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.contents.tensors.iter().map(Stored::info).collect()
    }

    /// The files that the model is made of: weights, and what is beside them of configuration and tokenizer.
    pub fn files(&self) -> Vec<PathBuf> {
        let weights = self
            .contents
            .files
            .iter()
            .map(|file| file.path().to_owned());
        let beside = ["config.json"].into_iter().chain(tokenizer::FILES);
        let beside = beside.map(|name| self.path.join(name));
        weights
            .chain(beside.filter(|path| path.is_file()))
            .collect()
    }

    /// The format in words: `safetensors`, `pytorch_model.bin, 2 shards`, `GGUF, Q4_1`.
    pub fn format(&self) -> &str {
        &self.contents.format
    }

    /// Bytes of the files that hold the weights.
    pub fn weight_bytes(&self) -> u64 {
        self.contents.bytes
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in Hugging Face's layout, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self.kind {
            Kind::Folder => Some(&self.path),
            Kind::Gguf => None,
        }
    }

    /// The tensors as stored, and the files to read them from.
    pub(crate) fn stored_tensors(&self) -> (&[Stored], &[MappedFile]) {
        (&self.contents.tensors, &self.contents.files)
    }

    /// The tokenizer that belongs to the model.
    ///
    /// # Errors
    /// If there is none, or it is of a kind that cannot be reproduced.
    pub fn tokenizer(&self) -> Result<TextTokenizer, ImportError> {
        match (self.kind, self.contents.files.first()) {
            (Kind::Gguf, Some(file)) => gguf::tokenizer(file, &self.config),
            _ => tokenizer::from_folder(&self.path, &self.config),
        }
    }

    fn stored(&self, name: &str) -> Option<&Stored> {
        self.by_name
            .get(name)
            .and_then(|index| self.contents.tensors.get(*index))
    }
}
