//! A model that was pretrained here, as a folder in Hugging Face's layout.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use lingo_core::nn::Precision;

use super::{ExportError, check_place, config, place, tokenizer, torch_name, weights};
use crate::blueprint::Blueprint;
use crate::checkpoint::Checkpoint;
use crate::tokenizer::TextTokenizer;

/// All of a language model with tied embeddings.
pub struct NewModel<'a> {
    /// What it was made after.
    pub blueprint: &'a Blueprint,
    /// Its tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The folder that the tokenizer came from, if it is another model's.
    pub tokenizer_from: Option<&'a Path>,
    /// Its tensors in f32, by canonical names.
    pub tensors: &'a BTreeMap<String, TensorData>,
    /// The type of all numbers.
    pub dtype: Precision,
}

/// Writes a model that `lingo train` and Hugging Face's libraries read; with `overwrite`, over one that was written before.
///
/// # Errors
/// If something is in the place, a number does not fit the type, or the folder cannot be written or read back. Nothing is
/// at `out` then, or what was there before.
pub fn write_new(model: &NewModel<'_>, out: &Path, overwrite: bool) -> Result<(), ExportError> {
    let path = model.blueprint.path();
    check_place(path, out, overwrite)?;
    let folder = place::Workshop::beside(out)?;
    let root = model
        .blueprint
        .to_config(model.tokenizer, torch_name(model.dtype));
    config::write_json(folder.path(), config::FILE, root)?;
    let shape = model.blueprint.config();
    let from = model.tokenizer_from;
    tokenizer::write_from(from, path, shape, model.tokenizer, folder.path())?;
    let tensors = weights::given(shape, model.tensors, model.dtype);
    let origin = weights::Origin { path, files: &[] };
    weights::write(origin, &tensors, folder.path(), &mut |_, _| {})?;
    // What cannot be read back is not worth a name.
    Checkpoint::open(folder.path())?;
    folder.move_to(out)
}
