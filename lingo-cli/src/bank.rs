//! Many adapters on one pretrained model.
//!
//! The model is loaded once, with the rows of the token table that any of the adapters' inputs can reach; inputs are
//! encoded once for each way of doing so; adapters are read one at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lingo_core::models::{HeadLayout, Pretrained};
use lingo_core::nn::Precision;
use lingo_train::config::Method;
use lingo_train::data::{EvalLoader, Objective, Record};
use lingo_train::evaluate;
use lingo_train::saved::{MANIFEST_FILE, Manifest, Saved};
use lingo_train::task::{SequenceEncoder, token_digest};
use lingo_train::workers::Workers;

use crate::args::LoadArgs;
use crate::base::{note_other_tokens, note_other_weights, open_base};
use crate::device::{Selected, select};
use crate::scorer::{
    EVALUATED_AT_ONCE, Loading, adapter_dir, encode, layout_of, load_backbone, text,
};

/// A pretrained model and the adapters that it is used with.
pub struct Bank {
    backbone: Pretrained,
    head: HeadLayout,
    adapters: Vec<Adapter>,
    encoders: Vec<SequenceEncoder>,
    batch_size: usize,
    workers: Workers,
}

/// An adapter that is read when its turn comes.
struct Adapter {
    dir: PathBuf,
    /// Index of its encoder.
    encoder: usize,
}

/// Adapters of one pretrained model, which is not loaded yet.
pub struct Adapters<'a> {
    args: &'a LoadArgs,
    selected: Selected,
    names: Vec<String>,
    dirs: Vec<PathBuf>,
    manifests: Vec<Manifest>,
}

impl<'a> Adapters<'a> {
    /// Finds the adapters, and checks that they go together.
    pub fn find(runs: &[PathBuf], args: &'a LoadArgs) -> Result<Self> {
        if args.prompt.is_given() {
            bail!(
                "--prefix and --suffix are for plain models: each run is scored with its own prompt"
            );
        }
        let selected = select(&args.device)?;
        let (dirs, manifests) = manifests(runs)?;
        check_alike(runs, &manifests, args.base.is_some())?;
        Ok(Self {
            args,
            selected,
            names: names(runs)?,
            dirs,
            manifests,
        })
    }

    /// What to call them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Loads the model that all of them were trained on.
    pub fn load(self) -> Result<Bank> {
        let Self {
            args,
            selected,
            dirs,
            manifests,
            ..
        } = self;
        let mut checkpoint = open_base(&manifests[0], args.base.as_deref())?;
        let base = args.base.as_deref();
        for manifest in &manifests[1..] {
            note_other_weights(manifest, &checkpoint, base.unwrap_or(&manifest.model));
        }

        let mut kinds: Vec<&Manifest> = Vec::new();
        let mut adapters = Vec::new();
        for (dir, manifest) in dirs.into_iter().zip(&manifests) {
            let same = |kind: &&Manifest| {
                layout_of(kind) == layout_of(manifest) && kind.max_tokens == manifest.max_tokens
            };
            let encoder = kinds.iter().position(same).unwrap_or_else(|| {
                kinds.push(manifest);
                kinds.len() - 1
            });
            adapters.push(Adapter { dir, encoder });
        }
        let tokenizer = text(&checkpoint)?;
        let model = checkpoint.config().clone();
        let digest = |kind: &&Manifest| token_digest(tokenizer.as_ref(), &layout_of(kind), &model);
        let digests: Vec<Option<String>> = kinds.iter().map(digest).collect();
        for (adapter, manifest) in adapters.iter().zip(&manifests) {
            let tokens = digests[adapter.encoder].as_deref();
            note_other_tokens(manifest, tokens, base.unwrap_or(&manifest.model));
        }
        let encoders = kinds
            .into_iter()
            .map(|kind| {
                let layout = layout_of(kind);
                Ok(SequenceEncoder::new(
                    tokenizer.clone(),
                    layout,
                    kind.max_tokens,
                    true,
                    &model,
                )?)
            })
            .collect::<Result<Vec<_>>>()?;
        if encoders
            .iter()
            .any(|encoder| encoder.added != encoders[0].added)
        {
            bail!(
                "these adapters have different tokens of their own; give those of one tokenizer.kind at a time"
            );
        }
        let encoders = SequenceEncoder::sharing_rows(encoders, &model)?;
        let loading = Loading {
            device: selected.device.clone(),
            precision: precision(args, &manifests)?,
            masters: false,
            seed: 0,
        };
        let backbone = load_backbone(&mut checkpoint, &encoders[0], &selected, loading)?;
        Ok(Bank {
            backbone,
            head: model.head(),
            adapters,
            encoders,
            batch_size: args.batch_size,
            workers: Workers::new(&selected.compute, EVALUATED_AT_ONCE)?,
        })
    }
}

impl Bank {
    /// Scores the records with each adapter; `use_it` gets the adapter's number, its logits `[N, C]` and what it answers.
    pub fn score(
        &self,
        records: &[Record],
        mut use_it: impl FnMut(usize, &[f32], &Objective) -> Result<()>,
    ) -> Result<()> {
        let loaders = self.encoders.iter().map(|encoder| {
            let samples = encode(encoder, records)?;
            Ok(EvalLoader::new(
                samples.into(),
                self.batch_size,
                encoder.pad,
            )?)
        });
        let loaders = loaders.collect::<Result<Vec<_>>>()?;
        for (number, adapter) in self.adapters.iter().enumerate() {
            let saved = Saved::open(&adapter.dir)?;
            let objective = &saved.manifest.objective;
            let classifier = saved.put_on(self.backbone.clone(), self.head.clone())?;
            let loader = &loaders[adapter.encoder];
            let logits = evaluate::logits(&classifier, loader, &self.workers, &|| {})?;
            use_it(number, &logits, objective)?;
        }
        Ok(())
    }
}

/// The folder and the description of each run's adapter.
fn manifests(runs: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Manifest>)> {
    let open = |run: &PathBuf| -> Result<(PathBuf, Manifest)> {
        let dir = adapter_dir(run)?;
        let dir = dir.with_context(|| format!("{} is no run folder and no adapter of lingo's (`lingo import` makes one of PEFT's)", run.display()))?;
        let manifest = Manifest::open(&dir)?;
        if manifest.method == Method::Full {
            bail!(
                "{} is a whole model, fully fine-tuned, and no adapter",
                run.display()
            );
        }
        Ok((dir, manifest))
    };
    let opened: Vec<(PathBuf, Manifest)> = runs.iter().map(open).collect::<Result<_>>()?;
    Ok(opened.into_iter().unzip())
}

/// Checks that the adapters are for one model.
fn check_alike(runs: &[PathBuf], manifests: &[Manifest], base_given: bool) -> Result<()> {
    let first = &manifests[0];
    for (run, manifest) in runs.iter().zip(manifests) {
        let (ours, theirs) = (first.model.display(), manifest.model.display());
        if manifest.model_type != first.model_type || !base_given && manifest.model != first.model {
            bail!(
                "{} was trained on {ours}, {} on {theirs}; give adapters of one model, or --base where it has moved",
                runs[0].display(),
                run.display()
            );
        }
    }
    Ok(())
}

/// What the model computes in: as asked for, or what all the adapters were trained in.
fn precision(args: &LoadArgs, manifests: &[Manifest]) -> Result<Precision> {
    if let Some(asked) = args.precision {
        return Ok(asked);
    }
    let first = manifests[0].precision;
    if let Some(other) = manifests.iter().find(|other| other.precision != first) {
        bail!(
            "these adapters were trained in {} and in {}; say by --precision what the model is to compute in",
            first.name(),
            other.precision.name()
        );
    }
    Ok(first)
}

/// A name for each run: its folder's, that of the run for `best` and `last` in it.
fn names(runs: &[PathBuf]) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::with_capacity(runs.len());
    for run in runs {
        let run = run
            .canonicalize()
            .with_context(|| run.display().to_string())?;
        let of = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let is_adapter = run.join(MANIFEST_FILE).is_file();
        let inside = is_adapter && (run.ends_with("best") || run.ends_with("last"));
        let name = if inside {
            run.parent().and_then(of)
        } else {
            of(&run)
        };
        let name = name.unwrap_or_default();
        if !seen.insert(name.clone()) {
            bail!(
                "two of the adapters are called `{name}`, and their tables would be one; rename a run folder"
            );
        }
        names.push(name);
    }
    Ok(names)
}
