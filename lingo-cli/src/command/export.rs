//! `lingo export`: what a run has learnt, in the formats of others.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::esm::EsmMlp;
use lingo_core::models::{Classifier, ModelConfig, Pretrained, TokenBatch};
use lingo_core::nn::{Loader, Noise};
use lingo_train::config::{Method, TokenizerKind};
use lingo_train::data::Objective;
use lingo_train::saved::{self, MANIFEST_FILE, Saved, tensors_of};
use weights_import::Checkpoint;
use weights_import::export::place::{self, Workshop};
use weights_import::export::{
    BESIDE, ExportOptions, FineTuned, FloatType, TOKENIZER_FILES, TokenizerFate, check_place,
    write_folder, write_tokenizer,
};
use weights_import::peft::{CONFIG_FILE, TENSORS_FILE};

use crate::args::{ExportArgs, ExportFormat};
use crate::base::open_base;
use crate::device::select;
use crate::peft::to_peft;
use crate::scorer::{adapter_dir, apply};

/// Sequences of random tokens that the written model is tried on.
const TRIED: usize = 16;
/// Tokens of the longest of them.
const LONGEST: usize = 48;

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
    if args.dtype.is_some() {
        bail!("--dtype is for --format hf: an adapter is kept in f32");
    }
    let out = &args.out;
    let written = [&[CONFIG_FILE, TENSORS_FILE, BESIDE][..], &TOKENIZER_FILES].concat();
    place::check(checkpoint.path(), out, args.overwrite, &written)?;
    let adapter = to_peft(saved)?;
    let (name, objective) = (checkpoint.head_tensor(), &saved.manifest.objective);
    let head = adapter.head.get(&name);
    if head.and_then(|head| head.shape().first()) != Some(&objective.outputs()) {
        bail!(
            "{}: its head, `{name}`, is not one for {objective}: {MANIFEST_FILE} or {} of it is damaged",
            args.run.display(),
            saved::TENSORS_FILE
        );
    }
    let adapter = if args.as_lora {
        adapter.into_lora()
    } else {
        adapter
    };
    let folder = Workshop::beside(out)?;
    adapter.write(folder.path(), checkpoint.config())?;
    let path = folder.path().join(BESIDE);
    std::fs::write(&path, manifest(saved)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let tokenizer = write_tokenizer(checkpoint, folder.path())?;
    folder.move_to(out)?;
    note_tokenizer(&tokenizer);
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
    if matches!(
        manifest.tokenizer,
        TokenizerKind::Kmer | TokenizerKind::OneHot
    ) && saved.tensors()?.keys().any(|name| name.ends_with(".added"))
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
    let before = apply(saved, &mut checkpoint, &device)?;
    let options = ExportOptions {
        dtype: args.dtype.map(Into::into).or(Some(FloatType::F32)),
        overwrite: args.overwrite,
        fine_tuned: Some(FineTuned {
            tensors: changed(before.clone(), &checkpoint, manifest.method),
            outputs: manifest.objective.outputs(),
            labels: match &manifest.objective {
                Objective::Classes(_) => None,
                Objective::Labels(names) => Some(names.to_vec()),
            },
            manifest: self::manifest(saved)?,
        }),
    };
    let exported = write_folder(&checkpoint, &args.out, options, &mut |_, _| {})?;
    let difference = difference(&before, &args.out, &device)?;
    note_tokenizer(&exported.tokenizer);
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

/// Says so where there is no `tokenizer.json`.
fn note_tokenizer(tokenizer: &TokenizerFate) {
    match tokenizer {
        TokenizerFate::Written => {}
        TokenizerFate::Copied(reason) | TokenizerFate::Missing(reason) => {
            note!("note: without a tokenizer of one file: {reason}");
        }
    }
}

/// How the run's inputs are made, and whatever else is known of it.
fn manifest(saved: &Saved) -> Result<String> {
    Ok(serde_json::to_string_pretty(&saved.manifest)? + "\n")
}

/// The tensors that are not the checkpoint's own any more, merged.
fn changed(
    mut classifier: Classifier,
    checkpoint: &Checkpoint,
    method: Method,
) -> BTreeMap<String, TensorData> {
    let adapters = classifier.adapters().into_iter();
    let adapted: Vec<String> = adapters.map(|(path, _)| format!("{path}.weight")).collect();
    classifier.merge();
    tensors_of(&classifier, &|name| {
        let trained = || adapted.iter().any(|adapted| adapted == name);
        method == Method::Full || trained() || checkpoint.is_of_new_head(name)
    })
}

/// The largest difference between a model's logits and those of the one in `folder`, over a batch of random tokens.
fn difference(before: &Classifier, folder: &Path, device: &Device) -> Result<f32> {
    let mut written = Checkpoint::open(folder)?;
    let config = written.config().clone();
    let classes = written
        .classes()
        .context("the model was written without its head")?;
    let mut loader = Loader::new(&mut written, device, None);
    let backbone = Pretrained::load(&config, &mut loader)?;
    let after = Classifier::with_own_head(backbone, config.head(), classes, &mut loader)?;

    let [rows, _] = config.token_table();
    let longest = LONGEST.min(config.max_tokens());
    // Any tokens do, the same ones each time: steps of a large prime.
    let ids = (1..=TRIED * longest)
        .map(|i| (i * 7_368_787 % rows) as i32)
        .collect();
    let tokens = TokenBatch {
        ids: Tensor::<2, Int>::from_data(TensorData::new(ids, [TRIED, longest]), device),
        lengths: (0..TRIED)
            .map(|row| longest - row.min(longest - 1))
            .collect(),
    };
    let logits = |model: &Classifier| model.forward(&tokens, &Noise::off());
    let difference = (logits(before) - logits(&after)).abs().max().into_data();
    difference.iter().next().context("there are no logits")
}
