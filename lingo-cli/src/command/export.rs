//! `lingo export`: what a run has learnt, in the formats of others.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_train::config::Method;
use lingo_train::data::Record;
use lingo_train::saved::{Saved, tensors_of};
use weights_import::Checkpoint;
use weights_import::export::{ExportOptions, FineTuned, FloatType, check_place, write_folder};
use weights_import::peft::PeftAdapter;

use crate::args::{ExportArgs, ExportFormat};
use crate::device::{Selected, select};
use crate::peft::{BESIDE, to_peft};
use crate::scorer::{Scorer, adapter_dir, layout_of, open_base};

/// Sequences that the written model is tried on.
const TRIED: usize = 16;

/// Writes what a run has learnt as another library reads it.
pub fn run(args: &ExportArgs) -> Result<()> {
    let Some(dir) = adapter_dir(&args.run)? else {
        bail!("{} is no run folder and no adapter", args.run.display());
    };
    let saved = Saved::open(&dir)?;
    let checkpoint = open_base(&saved.manifest, args.base.as_deref())?;
    match args.format {
        ExportFormat::Peft => peft(&saved, &checkpoint, args),
        ExportFormat::Hf => merged(&saved, checkpoint, args),
    }
}

fn peft(saved: &Saved, checkpoint: &Checkpoint, args: &ExportArgs) -> Result<()> {
    let out = &args.out;
    let is_export = || PeftAdapter::is_in(out) && out.join(BESIDE).is_file();
    if out.exists() && !(args.overwrite && is_export()) {
        bail!(
            "{} exists; give another name, or --overwrite for an adapter that was exported before",
            out.display()
        );
    }
    let adapter = to_peft(saved)?;
    let adapter = if args.as_lora {
        adapter.into_lora()
    } else {
        adapter
    };
    adapter.write(out, checkpoint.config())?;
    let path = out.join(BESIDE);
    let manifest = serde_json::to_string_pretty(&saved.manifest)?;
    std::fs::write(&path, manifest).with_context(|| format!("cannot write {}", path.display()))?;
    let ranks: usize = adapter
        .matrices
        .values()
        .map(|factors| factors.rank())
        .sum();
    result!(
        "{} now holds {} of {} matrices in {ranks} ranks, with the head",
        out.display(),
        if adapter.singular_values {
            "an AdaLoRA adapter"
        } else {
            "a LoRA adapter"
        },
        adapter.matrices.len()
    );
    Ok(())
}

/// Writes the whole model with the adapter folded in, and says how far its logits are from before.
fn merged(saved: &Saved, mut checkpoint: Checkpoint, args: &ExportArgs) -> Result<()> {
    if args.as_lora {
        bail!("--as-lora is for --format peft");
    }
    check_place(checkpoint.path(), &args.out, args.overwrite)?;
    let selected = select("cpu")?;
    let before = Scorer::of_run(saved, &mut checkpoint, &selected, TRIED)?;
    let tensors = match saved.manifest.method {
        Method::Full => saved.tensors()?,
        _ => merge(&before, &checkpoint),
    };
    if tensors.keys().any(|name| name.ends_with(".added")) {
        bail!(
            "this run has tokens of its own (tokenizer.kind = \"{}\"), which no tokenizer of others knows",
            saved.manifest.tokenizer.name()
        );
    }
    if saved.manifest.method == Method::Full && saved.manifest.restricted {
        bail!(
            "this run trained a part of the token table alone (tokenizer.restrict = true): there is no whole model"
        );
    }
    let options = ExportOptions {
        dtype: args.dtype.map(Into::into).or(Some(FloatType::F32)),
        overwrite: args.overwrite,
        fine_tuned: Some(FineTuned {
            tensors,
            classes: saved.manifest.classes,
        }),
    };
    let exported = write_folder(&checkpoint, &args.out, options, &mut |_, _| {})?;
    let difference = difference(&before, saved, &args.out, &selected)?;
    result!(
        "{} now holds the merged model, {} tensors in {}; over {TRIED} random sequences its logits differ from the \
         unmerged ones by at most {difference:.1e}",
        args.out.display(),
        exported.tensors,
        exported.dtype.name()
    );
    Ok(())
}

/// The tensors that merging changes, and the head's.
fn merge(
    scorer: &Scorer,
    checkpoint: &Checkpoint,
) -> std::collections::BTreeMap<String, burn::tensor::TensorData> {
    let mut classifier = scorer.classifier().clone();
    let adapters = classifier.adapters().into_iter();
    let adapted: Vec<String> = adapters.map(|(path, _)| format!("{path}.weight")).collect();
    classifier.merge();
    let mut tensors = tensors_of(&classifier);
    tensors.retain(|name, _| {
        adapted.contains(name) || checkpoint.is_of_new_head(name) || name.ends_with(".added")
    });
    tensors
}

/// The largest difference of logits between a run and the model written from it.
fn difference(before: &Scorer, saved: &Saved, out: &Path, selected: &Selected) -> Result<f32> {
    let records = random_records();
    let mut written = Checkpoint::open(out)?;
    let layout = layout_of(&saved.manifest);
    let after = Scorer::of_checkpoint(&mut written, out, layout, selected, TRIED)?;
    let (_, before) = before.score(&records)?;
    let (_, after) = after.score(&records)?;
    let differences = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
    Ok(differences.fold(0.0, f32::max))
}

/// Sequences of DNA, the same each time.
fn random_records() -> Vec<Record> {
    // Knuth's multiplicative generator: any sequences will do.
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut sequence = || {
        let length = 40 + draw(80);
        (0..length)
            .map(|_| char::from(b"ACGT"[draw(4) as usize]))
            .collect()
    };
    (0..TRIED)
        .map(|id| Record {
            id: id.to_string(),
            sequence: sequence(),
            label: None,
        })
        .collect()
}
