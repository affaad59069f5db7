//! Any checkpoint as one compact folder in Hugging Face's layout: `config.json`, `model.safetensors`, `tokenizer.json`.
//!
//! What is of no use for classification is left out, pickles and quantisation are left behind. Tensors are read,
//! converted and written one at a time. The folder is put together beside its place and takes it only when it is whole.

mod config;
mod error;
mod left_out;
mod new_model;
pub mod place;
mod tokenizer;
mod weights;

pub use error::ExportError;
pub use new_model::{NewModel, write_new};

pub use crate::tokenizer::FILES as TOKENIZER_FILES;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use lingo_core::nn::Precision;

use crate::checkpoint::Checkpoint;
use crate::encoding::Encoding;
use crate::error::ImportError;
use crate::tokenizer::TextTokenizer;

/// What says how a fine-tuned model is to be used: our manifest of the run, which other libraries pass over.
pub const BESIDE: &str = "lingo.json";

/// What a folder may hold, beside a tokenizer, that is replaced.
const WRITTEN: [&str; 3] = ["config.json", "model.safetensors", BESIDE];

/// The type that keeps what is stored: 16 bits where there are no more, which is also enough for quantised numbers.
fn keeping(encoding: Encoding) -> Precision {
    match encoding {
        Encoding::F64 | Encoding::F32 => Precision::F32,
        Encoding::Bf16 => Precision::Bf16,
        _ => Precision::F16,
    }
}

/// Numbers of a type as stored.
fn encoding(dtype: Precision) -> Encoding {
    match dtype {
        Precision::F32 => Encoding::F32,
        Precision::F16 => Encoding::F16,
        Precision::Bf16 => Encoding::Bf16,
    }
}

/// What `config.json` calls a type.
fn torch_name(dtype: Precision) -> &'static str {
    match dtype {
        Precision::F32 => "float32",
        Precision::F16 => "float16",
        Precision::Bf16 => "bfloat16",
    }
}

/// What became of the tokenizer.
#[derive(Debug)]
pub enum TokenizerFate {
    /// It is `tokenizer.json` now.
    Written,
    /// It cannot be read, for the reason given; its files were copied as they are.
    Copied(ImportError),
    /// There is none, for the reason given.
    Missing(ImportError),
}

/// What was written.
#[derive(Debug)]
pub struct Exported {
    /// How many tensors.
    pub tensors: usize,
    /// The type of most numbers.
    pub dtype: Precision,
    /// The tokenizer.
    pub tokenizer: TokenizerFate,
    /// Tensors of the head of its pretraining, which is not written; by the source's names.
    pub left_out: Vec<String>,
}

/// How a folder is written.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// The type of all numbers; without it each tensor keeps its precision, quantised ones become f16.
    pub dtype: Option<Precision>,
    /// Whether a folder that an export has written may be replaced.
    pub overwrite: bool,
    /// What a run made of the model; without it the model is written as it is.
    pub fine_tuned: Option<FineTuned>,
}

/// What takes the place of a model's own.
#[derive(Debug, Clone, Default)]
pub struct FineTuned {
    /// Tensors that training changed, and those of its head, by canonical names.
    pub tensors: BTreeMap<String, TensorData>,
    /// Outputs of the head.
    pub outputs: usize,
    /// Their names, where each is a label that holds or not; without them they are classes.
    pub labels: Option<Vec<String>>,
    /// What [`BESIDE`] is to hold.
    pub manifest: String,
}

/// Checks that a folder may be written at a path, before anything is read.
///
/// # Errors
/// If something is there that is not to be replaced.
pub fn check_place(source: &Path, out: &Path, overwrite: bool) -> Result<(), ExportError> {
    let written: Vec<&str> = WRITTEN.into_iter().chain(TOKENIZER_FILES).collect();
    place::check(source, out, overwrite, &written)
}

/// Writes a checkpoint as a folder; `progress` hears of each tensor how many numbers it has of how many in all, and `check`
/// sees the folder before it takes its place.
///
/// # Errors
/// As [`check_place`]; what `check` says; and if a tensor is damaged or unknown or does not fit the type, or the folder cannot be written.
/// Nothing is at `out` then, or what was there before.
pub fn write_folder<E: From<ExportError>>(
    source: &Checkpoint,
    out: &Path,
    options: ExportOptions,
    progress: &mut dyn FnMut(usize, usize),
    check: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Exported, E> {
    let (folder, exported) = write_beside(source, out, options, progress)?;
    check(folder.path())?;
    folder.move_to(out)?;
    Ok(exported)
}

/// Writes everything, not yet in its place.
fn write_beside(
    source: &Checkpoint,
    out: &Path,
    options: ExportOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(place::Workshop, Exported), ExportError> {
    check_place(source.path(), out, options.overwrite)?;
    let fine_tuned = options.fine_tuned.as_ref();
    let tensors = weights::plan(source, options.dtype, fine_tuned)?;
    let dtype = weights::prevalent(&tensors);
    let found = source.tokenizer();
    let left_out = left_out::tensors(source)?;
    let folder = place::Workshop::beside(out)?;
    config::write(
        source,
        dtype,
        found.as_ref().ok(),
        fine_tuned,
        !left_out.is_empty(),
        folder.path(),
    )?;
    let tokenizer = put_tokenizer(source, found, folder.path())?;
    let (_, files) = source.stored_tensors();
    let path = source.path();
    let origin = weights::Origin { path, files };
    weights::write(origin, &tensors, folder.path(), progress)?;
    if let Some(fine_tuned) = fine_tuned {
        let path = folder.path().join(BESIDE);
        std::fs::write(&path, &fine_tuned.manifest).map_err(ExportError::io(&path))?;
    }
    // What cannot be read back is not worth a name.
    Checkpoint::open(folder.path())?;
    let exported = Exported {
        tensors: tensors.len(),
        dtype,
        tokenizer,
        left_out,
    };
    Ok((folder, exported))
}

/// Writes a model's tokenizer into a folder.
///
/// # Errors
/// If it cannot be written so that it means the same, or the folder not be written to.
pub fn write_tokenizer(source: &Checkpoint, folder: &Path) -> Result<TokenizerFate, ExportError> {
    put_tokenizer(source, source.tokenizer(), folder)
}

fn put_tokenizer(
    source: &Checkpoint,
    found: Result<TextTokenizer, ImportError>,
    folder: &Path,
) -> Result<TokenizerFate, ExportError> {
    match found {
        Ok(found) => {
            tokenizer::write(source, &found, folder)?;
            Ok(TokenizerFate::Written)
        }
        Err(reason) => Ok(match tokenizer::copy(source, folder)? {
            0 => TokenizerFate::Missing(reason),
            _ => TokenizerFate::Copied(reason),
        }),
    }
}

#[cfg(test)]
mod tests;
