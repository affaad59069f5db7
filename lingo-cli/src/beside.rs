//! `lingo.json`: what a run's manifest says of the model or adapter that was made of it, and stands beside.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_core::models::ModelConfig;
use lingo_train::saved::Manifest;
use weights_import::export::BESIDE;

/// Reads it, where a folder has it, and checks it against the model's shape.
pub fn read(folder: &Path, model: &ModelConfig) -> Result<Option<Manifest>> {
    let path = folder.join(BESIDE);
    // Whatever it is that has the name: without it another model might come of it.
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let manifest = Manifest::read(&path)?;
    let (shown, limit) = (path.display(), model.max_tokens());
    if manifest.model_type != model.model_type() {
        bail!(
            "{shown}: `model_type` is {}, the model's is {}; it belongs to another one, remove it",
            manifest.model_type,
            model.model_type()
        );
    }
    if manifest.max_tokens > limit {
        bail!(
            "{shown}: `max_tokens` is {}, the model takes at most {limit}; correct it",
            manifest.max_tokens
        );
    }
    Ok(Some(manifest))
}

/// Checks that it says of a head what the head is.
pub fn check_outputs(folder: &Path, manifest: &Manifest, rows: usize) -> Result<()> {
    if manifest.objective.outputs() != rows {
        bail!(
            "{}: it says that there are {}, the head has {rows} rows: one of them belongs to another model; if it is the \
             file, remove it",
            folder.join(BESIDE).display(),
            manifest.objective
        );
    }
    Ok(())
}

/// Checks that it asks for no tokens of its own, `added` of them, for whose rows the files called `name` have no place.
pub fn check_added(folder: &Path, added: usize, name: &Path) -> Result<()> {
    if added > 0 {
        bail!(
            "{} asks for tokens of its own, whose rows {} does not have",
            folder.join(BESIDE).display(),
            name.display()
        );
    }
    Ok(())
}

/// Writes it into a folder.
pub fn write(folder: &Path, manifest: &Manifest) -> Result<()> {
    let path = folder.join(BESIDE);
    std::fs::write(&path, text(manifest)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What it holds.
pub fn text(manifest: &Manifest) -> Result<String> {
    Ok(serde_json::to_string_pretty(manifest)? + "\n")
}
