//! Folders in Hugging Face's layout: `config.json` beside safetensors or `pytorch_model.bin`.

pub(crate) mod config;
mod header;
pub(crate) mod index;
pub(crate) mod keys;
mod kind;
pub(crate) mod pytorch;
pub(crate) mod safetensors;

use std::path::Path;

use lingo_core::models::ModelConfig;

use crate::checkpoint::Contents;
use crate::error::ImportError;
use crate::json::JsonFile;
use crate::ordinary;
use crate::peft::PeftAdapter;

/// The shape of a model from its `config.json` alone, or a file of that form.
///
/// # Errors
/// If the file cannot be read, or the model is of an architecture or has a feature that is not supported.
pub fn read_config(path: &Path) -> Result<ModelConfig, ImportError> {
    config::parse(&JsonFile::open(path)?)
}

/// Opens whichever weights the folder has, safetensors first.
pub(crate) fn open_weights(folder: &Path, config: &ModelConfig) -> Result<Contents, ImportError> {
    let path = folder.join("model.safetensors");
    if ordinary::is_there(&path)? {
        return safetensors::open(config, &[path], None);
    }
    if let Some(index) = JsonFile::open_optional(&folder.join("model.safetensors.index.json"))? {
        let index = index::Index::new(folder, &index)?;
        return safetensors::open(config, &index.shards, Some(&index));
    }
    let path = folder.join("pytorch_model.bin");
    if ordinary::is_there(&path)? {
        return pytorch::open(config, &[path], None);
    }
    if let Some(index) = JsonFile::open_optional(&folder.join("pytorch_model.bin.index.json"))? {
        let index = index::Index::new(folder, &index)?;
        return pytorch::open(config, &index.shards, Some(&index));
    }
    if PeftAdapter::is_in(folder) {
        return Err(ImportError::IsAdapter {
            folder: folder.to_owned(),
        });
    }
    Err(ImportError::NoWeights {
        folder: folder.to_owned(),
        found: crate::listing::file_names(folder),
    })
}

#[cfg(test)]
mod tests;
