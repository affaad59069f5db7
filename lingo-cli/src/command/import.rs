//! `lingo import`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use indicatif::{HumanBytes, ProgressBar};
use lingo_train::config::PromptConfig;
use lingo_train::data::first_twice;
use lingo_train::saved::{MANIFEST_FILE, Saved, TENSORS_FILE};
use lingo_train::task::{Layout, SequenceEncoder, token_digest};
use weights_import::Checkpoint;
use weights_import::export::place::{self, Workshop};
use weights_import::export::{ExportOptions, TokenizerFate, check_place, write_folder};
use weights_import::peft::{PeftAdapter, TENSORS_FILE as PEFT_TENSORS};

use crate::args::ImportArgs;
use crate::base::{note_other_tokens, note_other_weights};
use crate::beside;
use crate::device::select;
use crate::hub::locate;
use crate::peft::{Inputs, write};
use crate::say;
use crate::scorer::{adapter_dir, apply, needs_tokenizer, text};
use crate::whole::check_whole;

/// Writes a model as one compact folder, or PEFT's adapter as one of ours.
pub fn run(args: &ImportArgs) -> Result<()> {
    if PeftAdapter::is_in(&args.source) {
        return adapter(args);
    }
    if args.base.is_some() || args.prompt.is_given() || !args.labels.is_empty() {
        bail!(
            "--base, --labels, --prefix and --suffix are for adapters, and there is no adapter_config.json in {}",
            args.source.display()
        );
    }
    check_place(&args.source, &args.out, args.overwrite)?;
    let model = locate(&args.source)?;
    if let Some(dir) = adapter_dir(&model.path)? {
        bail!(
            "{} is an adapter; only whole models can be imported",
            dir.display()
        );
    }
    let mut source = Checkpoint::open(&model.path)?;
    check_whole(&mut source)?;
    // How a run's model wants its input goes with it.
    let beside = beside::read(&model.path, source.config())?;
    if let (Some(manifest), Some(outputs)) = (&beside, source.classes()) {
        beside::check_outputs(&model.path, manifest, outputs)?;
    }
    let options = ExportOptions {
        dtype: args.dtype,
        overwrite: args.overwrite,
        fine_tuned: None,
    };
    let bar = say::bar(ProgressBar::new(0));
    let exported = write_folder(
        &source,
        &args.out,
        options,
        &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        },
        |folder| match &beside {
            Some(manifest) => beside::write(folder, manifest),
            None => Ok(()),
        },
    );
    bar.finish_and_clear();
    let exported = exported?;
    match &exported.tokenizer {
        TokenizerFate::Written => {}
        _ if !needs_tokenizer(&source) => {}
        TokenizerFate::Copied(reason) => {
            note!("note: the tokenizer's files were copied as they are: {reason}");
        }
        TokenizerFate::Missing(reason) => note!("note: without a tokenizer: {reason}"),
    }
    if !exported.left_out.is_empty() {
        note!(
            "note: the head of its pretraining was left out, as it is not needed to classify: {}",
            exported.left_out.join(", ")
        );
    }
    let written = Checkpoint::open(&args.out)?;
    result!(
        "{} ({}, {}) is now {} ({} {}, {})",
        model.name.display(),
        source.format(),
        HumanBytes(source.weight_bytes()),
        args.out.display(),
        written.format(),
        exported.dtype.name(),
        HumanBytes(written.weight_bytes())
    );
    Ok(())
}

fn adapter(args: &ImportArgs) -> Result<()> {
    let (source, out) = (&args.source, &args.out);
    if args.dtype.is_some() {
        bail!("--dtype is for whole models: an adapter is kept in f32");
    }
    if let Some(twice) = first_twice(&args.labels) {
        bail!("--labels names `{twice}` twice; each label has a name of its own");
    }
    place::check(source, out, args.overwrite, &[MANIFEST_FILE, TENSORS_FILE])?;
    let Some(base) = &args.base else {
        bail!(
            "{} is an adapter; say with --base which model it is for",
            source.display()
        );
    };
    let base = locate(base)?;
    let mut checkpoint = Checkpoint::open(&base.path)?;
    let adapter = PeftAdapter::open(source, checkpoint.config())?;
    adapter
        .check_fits(source, &checkpoint)
        .with_context(|| format!("{} does not fit {}", source.display(), base.name.display()))?;
    // A tokenizer is needed to score, not to import.
    let text = text(&checkpoint).ok().flatten();
    let beside = beside::read(source, checkpoint.config())?;
    let head = adapter.head.get(&checkpoint.head_tensor());
    let rows = head.and_then(|head| head.shape().first());
    // Labels that are given are no longer its matter.
    if let (Some(manifest), Some(rows), true) = (&beside, rows, args.labels.is_empty()) {
        beside::check_outputs(source, manifest, *rows)?;
    }
    let given = &args.prompt;
    let prompt = match &beside {
        Some(manifest) => PromptConfig {
            domain: None,
            prefix: given.prefix().or(Some(manifest.prefix.clone())),
            suffix: given.suffix().or(Some(manifest.suffix.clone())),
        },
        None => given.prompt_or_none(),
    };
    let kind = beside.as_ref().map(|manifest| manifest.tokenizer);
    let layout = Layout::choose(kind, &prompt, text.as_ref(), checkpoint.config())?;
    let inputs = SequenceEncoder::new(text.clone(), layout.clone(), 0, false, checkpoint.config());
    if let Ok(inputs) = inputs {
        beside::check_added(source, inputs.added, &source.join(PEFT_TENSORS))?;
    }
    let name = std::path::absolute(&base.name).unwrap_or_else(|_| base.name.clone());
    let name = if base.name.exists() { name } else { base.name };
    // A model of the hub is called by its commit, too.
    let called = name.to_string_lossy();
    let called = Path::new(called.split('@').next().unwrap_or_default());
    let others = |theirs: &&String| !called.ends_with(theirs.as_str());
    if let Some(theirs) = adapter.base_model.as_ref().filter(others) {
        note!("note: the adapter says that it was trained on {theirs}");
    }
    let tokens = token_digest(text.as_ref(), &layout, checkpoint.config());
    if let Some(manifest) = &beside {
        note_other_weights(manifest, &checkpoint, &name);
        note_other_tokens(manifest, tokens.as_deref(), &name);
    }
    let matrices = adapter.matrices.len();
    let folder = Workshop::beside(out)?;
    write(
        folder.path(),
        adapter,
        &name,
        &checkpoint,
        beside,
        &args.labels,
        Inputs { layout, tokens },
    )?;
    // What does not fit the model is found now rather than at its first use.
    let device = select("cpu")?.device;
    let saved = Saved::open(folder.path())?;
    apply(&saved, &mut checkpoint, &device)
        .with_context(|| format!("{} does not fit its model", source.display()))?;
    folder.move_to(out)?;
    result!(
        "{} now holds the adapter of {matrices} matrices for {}; eval, predict and export take it",
        out.display(),
        name.display()
    );
    Ok(())
}
