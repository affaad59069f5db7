//! What can go wrong while a folder is written.

use std::path::{Path, PathBuf};

use crate::error::ImportError;

/// Why a checkpoint could not be written as a folder.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something is at the place.
    #[error("{} exists; choose another folder, or replace it with --overwrite", path.display())]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// What is at the place is never replaced.
    #[error("{} is a file or a link, where a folder is to be written; choose another place", path.display())]
    NoFolder {
        /// The place.
        path: PathBuf,
    },
    /// What is at the place was not written by an export.
    #[error("{} exists and holds {name}, which lingo does not write there; choose another folder", path.display())]
    Foreign {
        /// The place.
        path: PathBuf,
        /// What it holds.
        name: String,
    },
    /// The place is the source's own.
    #[error("{} is where the model itself is; choose another folder", path.display())]
    Source {
        /// The place.
        path: PathBuf,
    },
    /// The operating system refused a file or folder.
    #[error("{}: cannot be written: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A tensor cannot be read.
    #[error("{}: tensor `{tensor}` cannot be read: {reason}", path.display())]
    Tensor {
        /// The source.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// A number is larger than the chosen type can be.
    #[error("{}: tensor `{tensor}` holds {value}, which {dtype} cannot; choose --dtype f32 or bf16", path.display())]
    Range {
        /// The source.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number.
        value: f32,
        /// The type.
        dtype: &'static str,
    },
    /// The weights cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The tokenizer cannot be written so that it means the same.
    #[error("{}: the tokenizer cannot be written as tokenizer.json: {reason}", path.display())]
    Tokenizer {
        /// The source.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The source, or the written folder, cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl ExportError {
    /// For `map_err`: the system's complaint about a path.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
