//! `lingo import`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{HumanBytes, ProgressBar};
use lingo_core::weights::WeightSource as _;
use weights_import::export::{ExportOptions, TokenizerFate, check_place, write_folder};
use weights_import::{Checkpoint, Role};

use crate::args::ImportArgs;
use crate::hub::locate;
use crate::scorer::adapter_dir;

/// Writes a model as one compact folder.
pub fn run(args: &ImportArgs) -> Result<()> {
    check_place(&args.source, &args.out, args.overwrite)?;
    let model = locate(&args.source)?;
    if let Some(dir) = adapter_dir(&model.path)? {
        bail!(
            "{} is an adapter; only whole models can be imported",
            dir.display()
        );
    }
    let source = Checkpoint::open(&model.path)?;
    let options = ExportOptions {
        dtype: args.dtype.map(Into::into),
        overwrite: args.overwrite,
    };
    let bar = ProgressBar::new(0);
    let exported = write_folder(&source, &args.out, options, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let exported = exported?;
    match &exported.tokenizer {
        TokenizerFate::Written => {}
        TokenizerFate::Copied(reason) => {
            note!("note: the tokenizer's files were copied as they are: {reason}");
        }
        TokenizerFate::Missing(reason) => note!("note: without a tokenizer: {reason}"),
    }
    let before = time_to_load(&model.path)?;
    let after = time_to_load(&args.out)?;
    let written = Checkpoint::open(&args.out)?;
    result!(
        "{} ({}, {}, loads in {:.2} s) is now {} ({} {}, {}, loads in {:.2} s)",
        model.name.display(),
        source.format(),
        HumanBytes(source.weight_bytes()),
        before.as_secs_f64(),
        args.out.display(),
        written.format(),
        exported.dtype.name(),
        HumanBytes(written.weight_bytes()),
        after.as_secs_f64()
    );
    Ok(())
}

/// How long it takes to open a model and read all that a run needs of it.
fn time_to_load(path: &Path) -> Result<Duration> {
    let started = Instant::now();
    let mut checkpoint = Checkpoint::open(path)?;
    // One that cannot be read has been spoken of.
    let _ = checkpoint.tokenizer();
    for tensor in checkpoint.tensors() {
        if matches!(tensor.role, Role::Used | Role::Head) {
            checkpoint.take(&tensor.name, &tensor.shape)?;
        }
    }
    Ok(started.elapsed())
}
