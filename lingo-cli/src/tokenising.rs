//! How far the tokenising of a large file is.

use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::say;

/// Loads with a bar, on a terminal, that is told how many sequences of a file are tokenised.
pub fn shown<T, E>(load: impl FnOnce(&mut dyn FnMut(&Path, usize)) -> Result<T, E>) -> Result<T>
where
    anyhow::Error: From<E>,
{
    let style = ProgressStyle::with_template("{msg}: {human_pos} sequences tokenised");
    let bar = ProgressBar::no_length().with_style(style.context("progress bar")?);
    let bar = say::bar(bar);
    let loaded = load(&mut |path, done| {
        bar.set_message(path.display().to_string());
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(loaded?)
}
