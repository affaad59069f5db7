//! What a run leaves behind: the trained tensors alone, and what must be known to use them again.

mod names;
mod read;
mod start;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use start::folder_of;
pub use write::{save, tensors_of, write};

use crate::config::{Method, TokenizerKind};
use crate::record::RecordError;

/// The file with the tensors.
pub const TENSORS_FILE: &str = "adapter.safetensors";
/// The file that describes them.
pub const MANIFEST_FILE: &str = "adapter.json";
/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 2;

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
    /// The manifest is not one of ours.
    #[error("{}: {source}; it is no adapter that this version of lingo wrote", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest was written by a newer version.
    #[error("{}: adapter format {found}, this version of lingo reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number.
        found: u32,
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
    /// How it was adapted.
    pub method: Method,
    /// `C`.
    pub classes: usize,
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
