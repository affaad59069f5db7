//! `lingo export`: what a run has learnt, in the formats of others.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::esm::EsmMlp;
use lingo_core::models::{Classifier, ModelConfig, Pretrained, TokenBatch};
use lingo_core::nn::{Loader, Noise, Precision};
use lingo_train::config::{Method, TokenizerKind};
use lingo_train::data::Objective;
use lingo_train::saved::{Manifest, Saved, tensors_of};
use lingo_train::task::token_digest;
use weights_import::Checkpoint;
use weights_import::export::place::{self, Workshop};
use weights_import::export::{
    BESIDE, ExportOptions, FineTuned, TOKENIZER_FILES, TokenizerFate, check_place, write_folder,
    write_tokenizer,
};
use weights_import::peft::{CONFIG_FILE, TENSORS_FILE};

use crate::args::{ExportArgs, ExportFormat};
use crate::base::{note_other_tokens, open_base};
use crate::beside;
use crate::device::select;
use crate::peft::to_peft;
use crate::scorer::{adapter_dir, apply, layout_of, needs_tokenizer, text};

/// Sequences of random tokens that the written model is tried on.
const TRIED: usize = 16;
/// Tokens of the longest of them.
const LONGEST: usize = 48;

/// Writes what a run has learnt as another library reads it.
pub fn run(args: &ExportArgs) -> Result<()> {
    let Some(dir) = adapter_dir(&args.run)? else {
        bail!(
            "{} is no run folder and no adapter of lingo's (`lingo import` makes one of PEFT's)",
            args.run.display()
        );
    };
    let saved = Saved::open(&dir)?;
    let checkpoint = open_base(&saved.manifest, args.base.as_deref())?;
    note_tokens(&saved.manifest, &checkpoint, args);
    match args.format {
        ExportFormat::Peft => peft(&saved, &checkpoint, args),
        ExportFormat::Hf => merged(&saved, checkpoint, args),
    }
}

/// The tokenizer goes along: says so where it is another than the run's.
fn note_tokens(manifest: &Manifest, checkpoint: &Checkpoint, args: &ExportArgs) {
    // Without one there is still a model to write.
    let text = text(checkpoint).ok().flatten();
    let tokens = token_digest(text.as_ref(), &layout_of(manifest), checkpoint.config());
    let base = args.base.as_ref().unwrap_or(&manifest.model);
    note_other_tokens(manifest, tokens.as_deref(), base);
}

fn peft(saved: &Saved, checkpoint: &Checkpoint, args: &ExportArgs) -> Result<()> {
    if args.dtype.is_some() {
        bail!("--dtype is for --format hf: an adapter is kept in f32");
    }
    if args.merged {
        bail!(
            "--merged is for --format hf, which writes the whole model; an adapter stays by itself"
        );
    }
    let out = &args.out;
    let written = [&[CONFIG_FILE, TENSORS_FILE, BESIDE][..], &TOKENIZER_FILES].concat();
    place::check(checkpoint.path(), out, args.overwrite, &written)?;
    let adapter = to_peft(saved, checkpoint)?;
    let adapter = if args.as_lora {
        adapter.into_lora()
    } else {
        adapter
    };
    let folder = Workshop::beside(out)?;
    adapter.write(folder.path(), checkpoint.config())?;
    beside::write(folder.path(), &saved.manifest)?;
    let tokenizer = write_tokenizer(checkpoint, folder.path())?;
    folder.move_to(out)?;
    note_tokenizer(&tokenizer, checkpoint);
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
    let manifest = &saved.manifest;
    // A pooler, say, that PEFT has trained beside the head, is among them.
    let trained: Vec<String> = saved.tensors()?.into_keys().collect();
    if matches!(
        manifest.tokenizer,
        TokenizerKind::Kmer | TokenizerKind::OneHot
    ) && trained.iter().any(|name| name.ends_with(".added"))
    {
        bail!(
            "this run has tokens of its own (tokenizer.kind = \"{}\"), which no tokenizer of others knows",
            manifest.tokenizer.name()
        );
    }
    if manifest.method == Method::Full && manifest.restricted {
        bail!(
            "this run trained a part of the token table alone (tokenizer.restrict = true): there is no whole model"
        );
    }
    let device = select("cpu")?.device;
    let classifier = apply(saved, &mut checkpoint, &device)?;
    let tokens = random_tokens(checkpoint.config(), &device);
    let before = logits(&classifier, &tokens)?;
    let options = ExportOptions {
        dtype: args.dtype.or(Some(Precision::F32)),
        overwrite: args.overwrite,
        fine_tuned: Some(FineTuned {
            tensors: changed(classifier, &checkpoint, manifest.method, &trained),
            outputs: manifest.objective.outputs(),
            labels: match &manifest.objective {
                Objective::Classes(_) => None,
                Objective::Labels(names) => Some(names.to_vec()),
            },
            manifest: beside::text(manifest)?,
        }),
    };
    let mut difference = 0.0;
    let exported = write_folder(&checkpoint, &args.out, options, &mut |_, _| {}, |folder| {
        let after = logits(&written(folder, &device)?, &tokens)?;
        difference = farthest(&before, &after, args.dtype)?;
        anyhow::Ok(())
    })?;
    note_tokenizer(&exported.tokenizer, &checkpoint);
    let own_code = match checkpoint.config() {
        ModelConfig::DnaBert2(_) => true,
        ModelConfig::Esm(esm) => esm.mlp != EsmMlp::Gelu,
        _ => false,
    };
    if own_code {
        note!("note: Hugging Face's libraries need the code of this model's authors to load it");
    }
    result!(
        "{} now holds the merged model, {} tensors in {}; on random inputs its logits differ from the unmerged ones by \
         at most {difference:.1e}",
        args.out.display(),
        exported.tensors,
        exported.dtype.name()
    );
    Ok(())
}

/// Says so where there is no `tokenizer.json`, and should be.
fn note_tokenizer(tokenizer: &TokenizerFate, checkpoint: &Checkpoint) {
    match tokenizer {
        TokenizerFate::Written => {}
        _ if !needs_tokenizer(checkpoint) => {}
        TokenizerFate::Copied(reason) | TokenizerFate::Missing(reason) => {
            note!("note: without a tokenizer of one file: {reason}");
        }
    }
}

/// The tensors that are not the checkpoint's own any more, merged.
fn changed(
    mut classifier: Classifier,
    checkpoint: &Checkpoint,
    method: Method,
    trained: &[String],
) -> BTreeMap<String, TensorData> {
    let adapters = classifier.adapters().into_iter();
    let adapted: Vec<String> = adapters.map(|(path, _)| format!("{path}.weight")).collect();
    classifier.merge();
    tensors_of(&classifier, &|name| {
        let is_among = |names: &[String]| names.iter().any(|other| other == name);
        method == Method::Full
            || is_among(&adapted)
            || is_among(trained)
            || checkpoint.is_of_new_head(name)
    })
}

/// The classifier in a folder.
fn written(folder: &Path, device: &Device) -> Result<Classifier> {
    let mut written = Checkpoint::open(folder)?;
    let config = written.config().clone();
    let classes = written
        .classes()
        .context("the model was written without its head")?;
    let mut loader = Loader::new(&mut written, device, None);
    let backbone = Pretrained::load(&config, &mut loader)?;
    let head = config.head();
    Ok(Classifier::with_own_head(
        backbone,
        head,
        classes,
        &mut loader,
    )?)
}

/// A batch of tokens `[B, T]` of several lengths: any do, the same ones each time, steps of a large prime.
fn random_tokens(config: &ModelConfig, device: &Device) -> TokenBatch {
    let [rows, _] = config.token_table();
    let longest = LONGEST.min(config.max_tokens());
    let ids = (1..=TRIED * longest)
        .map(|i| (i * 7_368_787 % rows) as i32)
        .collect();
    TokenBatch {
        ids: Tensor::<2, Int>::from_data(TensorData::new(ids, [TRIED, longest]), device),
        lengths: (0..TRIED)
            .map(|row| longest - row.min(longest - 1))
            .collect(),
    }
}

fn logits(model: &Classifier, tokens: &TokenBatch) -> Result<Vec<f32>> {
    let logits = model.forward(tokens, &Noise::off()).try_into_data()?; // [B, C]
    Ok(logits.iter().collect())
}

/// The largest difference of logits, which rounding to the type of the numbers explains.
fn farthest(before: &[f32], after: &[f32], dtype: Option<Precision>) -> Result<f32> {
    if before.is_empty() || before.len() != after.len() {
        bail!(
            "the merged model gives {} logits where the run gives {}: it is not written",
            after.len(),
            before.len()
        );
    }
    // Of the logits' size: layers add to what rounding a weight takes, 2^-24, 2^-11 or 2^-8 of it.
    let tolerance = match dtype.unwrap_or(Precision::F32) {
        Precision::F32 => 1e-3,
        Precision::F16 => 0.05,
        Precision::Bf16 => 0.4,
    };
    let size = before
        .iter()
        .fold(1_f32, |size, logit| size.max(logit.abs()));
    let pairs = before.iter().zip(after);
    let difference = pairs.fold(0.0, |far: f32, (before, after)| {
        let apart = (before - after).abs();
        match far.is_nan() || apart.is_nan() {
            true => f32::NAN,
            false => far.max(apart),
        }
    });
    // Not a number is within no tolerance.
    if difference <= tolerance * size {
        return Ok(difference);
    }
    bail!(
        "the merged model gives other logits than the run (by up to {difference:.1e}, where they are at most {size:.1e}): \
         it is not written. A base whose files have changed since training explains that, or a dtype that is too coarse: \
         try --dtype f32"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_whose_logits_no_rounding_explains_is_refused() {
        let of = |after: [f32; 2], dtype| farthest(&[1.0, -20.0], &after, dtype);
        assert!(farthest(&[1.0, -20.0], &[1.0], None).is_err());
        assert!(farthest(&[], &[], None).is_err());
        assert_eq!(of([1.0, -20.0], None).ok(), Some(0.0));
        assert!(of([1.0, -20.01], None).is_ok());
        assert!(of([1.1, -20.0], None).is_err());
        assert!(of([1.1, -20.0], Some(Precision::Bf16)).is_ok());
        for broken in [f32::NAN, f32::INFINITY] {
            for dtype in [None, Some(Precision::Bf16)] {
                assert!(of([broken, -20.0], dtype).is_err());
                assert!(of([1.0, broken], dtype).is_err());
            }
        }
    }
}
