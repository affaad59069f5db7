//! The pretrained model that an adapter is for.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_train::saved::Manifest;
use weights_import::Checkpoint;

use crate::hub::locate;

/// As far as this from the weights that it was trained on, a model is taken for the same: conversion rounds them.
const ROUNDING: f64 = 0.01;

/// Opens the pretrained model of a run, where it was in training or at `base`.
pub fn open_base(manifest: &Manifest, base: Option<&Path>) -> Result<Checkpoint> {
    let base = base.unwrap_or(&manifest.model);
    let opened = locate(base).and_then(|base| Ok(Checkpoint::open(&base.path)?));
    let checkpoint = opened.with_context(|| {
        format!(
            "the pretrained model of this run, {}, cannot be opened (if it has moved: --base)",
            base.display()
        )
    })?;
    let found = checkpoint.config().model_type();
    if found != manifest.model_type {
        bail!(
            "{} is a model of type {found}, the run was trained on one of type {}",
            base.display(),
            manifest.model_type
        );
    }
    note_other_weights(manifest, &checkpoint, base);
    Ok(checkpoint)
}

/// Says so where a model, called `name`, has other weights than the one that an adapter was trained on. It may be meant,
/// and works in any case.
pub fn note_other_weights(manifest: &Manifest, model: &Checkpoint, name: &Path) {
    let distance = manifest.base_weights.distance(&model.sample());
    if let Some(distance) = distance.filter(|distance| *distance > ROUNDING) {
        note!(
            "note: the weights of {} differ by {:.0}% from those that the adapter was trained on ({}): another model, or \
             coarsely quantised; expect other results",
            name.display(),
            100.0 * distance,
            manifest.model.display()
        );
    }
}

/// Says so where the tokenizer of a model, called `name`, does something else than the one that an adapter was trained
/// with: it gives the tokens of the hash `found`.
pub fn note_other_tokens(manifest: &Manifest, found: Option<&str>, name: &Path) {
    if let (Some(known), Some(found)) = (&manifest.base_tokens, found)
        && known != found
    {
        note!(
            "note: the tokenizer of {} makes other tokens of prompt and DNA than the one that the adapter was trained \
             with ({}): another tokenizer, or other files of it; expect other results",
            name.display(),
            manifest.model.display()
        );
    }
}
