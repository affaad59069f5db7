//! What is not written of a model: the head of its pretraining, which is of no use to classify.

use lingo_core::models::ModelConfig;

use super::ExportError;
use super::config::FILE;
use crate::checkpoint::Checkpoint;
use crate::json::JsonFile;
use crate::tensors::Role;

/// The modules that such a head is.
const HEADS: [&str; 2] = ["lm_head.", "cls."];
/// Its tensors that are the token table once more, where the two are tied.
const TIED: [&str; 3] = [
    "lm_head.weight",
    "lm_head.decoder.weight",
    "cls.predictions.decoder.weight",
];

/// The tensors of the head of a model's pretraining, by the source's names. One that is the token table once more is not
/// missed.
pub(super) fn tensors(source: &Checkpoint) -> Result<Vec<String>, ExportError> {
    let tied = is_tied(source)?;
    let (tensors, _) = source.stored_tensors();
    let of_head = tensors.iter().filter(|tensor| {
        tensor.role == Role::Ignored
            && HEADS.iter().any(|head| tensor.name.starts_with(head))
            && !(tied && TIED.contains(&&*tensor.name))
    });
    Ok(of_head.map(|tensor| tensor.source.clone()).collect())
}

/// Whether a language model's head is its token table.
pub(super) fn is_tied(source: &Checkpoint) -> Result<bool, ExportError> {
    let Some(folder) = source.folder() else {
        // llama.cpp writes the head where it is another.
        let (tensors, _) = source.stored_tensors();
        return Ok(!tensors.iter().any(|tensor| tensor.name == TIED[0]));
    };
    // What transformers takes for granted.
    let default = !matches!(source.config(), ModelConfig::Llama(_));
    let config = JsonFile::open(&folder.join(FILE))?;
    Ok(config.flag_or("tie_word_embeddings", default)?)
}
