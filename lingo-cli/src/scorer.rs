//! A model ready to score sequences: a run's adapter on its pretrained model, or somebody's fine-tuned classifier.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow, bail};
use burn::tensor::Device;
use indicatif::ProgressBar;
use lingo_core::models::{Classifier, ModelConfig, Pretrained};
use lingo_core::nn::{AddedTokens, Loader, Precision};
use lingo_train::config::DataConfig;
use lingo_train::data::{
    EncodingReport, EvalLoader, Loaded, Objective, Prompt, Record, Sample, Samples,
};
use lingo_train::evaluate;
use lingo_train::saved::{MANIFEST_FILE, Manifest, Saved};
use lingo_train::task::{Layout, SequenceEncoder, Text, token_digest};
use lingo_train::workers::Workers;
use weights_import::{Checkpoint, ImportError, Problem};

use crate::args::LoadArgs;
use crate::base::{note_other_tokens, open_base};
use crate::beside;
use crate::device::{Selected, select};
use crate::hub::{Located, locate};
use crate::whole::check_tensors;
use crate::{say, tokenising};

/// Batches that are scored at the same time, where there are threads for them.
pub const EVALUATED_AT_ONCE: usize = 8;

/// A classifier with its text encoder.
pub struct Scorer {
    classifier: Classifier,
    text: SequenceEncoder,
    objective: Objective,
    batch_size: usize,
    workers: Workers,
}

impl Scorer {
    /// Loads the model that the user names.
    pub fn load(model: &Path, args: &LoadArgs) -> Result<Self> {
        let selected = select(&args.device)?;
        let model = locate(model)?;
        match adapter_dir(&model.path)? {
            Some(dir) => Self::from_run(&dir, args, &selected),
            None => Self::from_checkpoint(&model, args, &selected),
        }
    }

    fn from_run(dir: &Path, args: &LoadArgs, selected: &Selected) -> Result<Self> {
        if args.prompt.is_given() {
            bail!(
                "--prefix and --suffix are for plain models: a run is scored with the prompt it was trained with"
            );
        }
        let saved = Saved::open(dir)?;
        let mut checkpoint = open_base(&saved.manifest, args.base.as_deref())?;
        let checkpoint = &mut checkpoint;
        let manifest = &saved.manifest;
        let (text, layout) = (text(checkpoint)?, layout_of(manifest));
        let tokens = token_digest(text.as_ref(), &layout, checkpoint.config());
        let base = args.base.as_ref().unwrap_or(&manifest.model);
        note_other_tokens(manifest, tokens.as_deref(), base);
        let text = SequenceEncoder::new(
            text,
            layout,
            manifest.max_tokens,
            manifest.restricted,
            checkpoint.config(),
        )?;
        let loading = Loading {
            device: selected.device.clone(),
            precision: args.precision.unwrap_or(manifest.precision),
            masters: false,
            seed: manifest.seed,
        };
        let backbone = load_backbone(checkpoint, &text, selected, loading)?;
        Ok(Self {
            classifier: saved.put_on(backbone, checkpoint.config().head())?,
            text,
            objective: manifest.objective.clone(),
            batch_size: args.batch_size,
            workers: Workers::new(&selected.compute, EVALUATED_AT_ONCE)?,
        })
    }

    fn from_checkpoint(model: &Located, args: &LoadArgs, selected: &Selected) -> Result<Self> {
        let mut checkpoint = Checkpoint::open(&model.path).map_err(no_run_either)?;
        if args.base.is_some() {
            bail!(
                "--base is for run folders: {} is a model of its own",
                model.name.display()
            );
        }
        // A model that was merged from a run has that run's inputs.
        let merged = match args.prompt.is_given() {
            true => None,
            false => beside::read(&model.path, checkpoint.config())?,
        };
        let (layout, max_tokens) = match &merged {
            Some(manifest) => (layout_of(manifest), manifest.max_tokens),
            None => {
                let (prompt, text) = (args.prompt.prompt_or_none(), text(&checkpoint)?);
                let model = checkpoint.config();
                (Layout::choose(None, &prompt, text.as_ref(), model)?, 0)
            }
        };
        let name = &model.name;
        let Some(outputs) = checkpoint.classes() else {
            bail!(
                "{} is a pretrained model without a classification head (no tensor `{}`); fine-tune it with `lingo \
                 train`, and give the run folder",
                name.display(),
                checkpoint.head_tensor()
            );
        };
        if let Some(manifest) = &merged {
            beside::check_outputs(&model.path, manifest, outputs)?;
        }
        let objective = match (checkpoint.problem(), checkpoint.labels()) {
            (Problem::Classes, _) => Objective::Classes(outputs),
            (Problem::Labels, Some(names)) => Objective::Labels(names.into()),
            (Problem::Labels, None) => Objective::unnamed_labels(outputs),
            (Problem::Regression, _) => bail!(
                "{} says that its head gives numbers (problem_type = \"regression\"); a classifier is needed",
                name.display()
            ),
        };
        let fewest = objective.fewest_outputs();
        if outputs < fewest {
            bail!(
                "{} has a head of {outputs} outputs; a classifier has at least {fewest}",
                name.display()
            );
        }
        let (text, model) = (text(&checkpoint)?, checkpoint.config());
        let text = SequenceEncoder::new(text, layout, max_tokens, true, model)?;
        beside::check_added(checkpoint.path(), text.added, name)?;
        let loading = Loading {
            device: selected.device.clone(),
            precision: args.precision.unwrap_or_default(),
            masters: false,
            seed: 0,
        };
        check_tensors(&mut checkpoint, Some(outputs), &selected.device)?;
        let backbone = load_backbone(&mut checkpoint, &text, selected, loading)?;
        let head = checkpoint.config().head();
        let mut loader = Loader::new(&mut checkpoint, &selected.device, None);
        let classifier = Classifier::with_own_head(backbone, head, outputs, &mut loader)?;
        Ok(Self {
            classifier,
            text,
            objective,
            batch_size: args.batch_size,
            workers: Workers::new(&selected.compute, EVALUATED_AT_ONCE)?,
        })
    }

    /// What it answers.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Logits `[N, C]` of the records, and what encoding did to them; the bar moves by a batch.
    pub fn score(
        &self,
        records: &[Record],
        bar: &ProgressBar,
    ) -> Result<(Vec<f32>, EncodingReport)> {
        let (samples, report) = self.text.encoder.encode(records)?;
        Ok((self.logits(samples.into(), bar)?, report))
    }

    /// A bar for the scoring of so many sequences.
    pub fn bar(&self, sequences: usize) -> ProgressBar {
        say::bar(ProgressBar::new(sequences.div_ceil(self.batch_size) as u64))
    }

    /// Says what encoding has lost.
    pub fn say_losses(&self, report: EncodingReport) {
        say_losses(&self.text, report);
    }

    /// Samples of a file with answers, and their logits `[N, C]`. Tokens of a large file are kept where training would keep
    /// them.
    pub fn score_file(&self, path: &Path) -> Result<(Samples, Vec<f32>)> {
        let (cache, encoder) = (DataConfig::default().cache(), &self.text.encoder);
        let Loaded {
            samples,
            report,
            findings,
        } = tokenising::shown(|progress| cache.labelled(path, &self.objective, encoder, progress))?;
        for finding in findings {
            note!("note: {finding}");
        }
        self.say_losses(report);
        let bar = self.bar(samples.len());
        let logits = self.logits(samples.clone(), &bar)?;
        bar.finish_and_clear();
        Ok((samples, logits))
    }

    fn logits(&self, samples: Samples, bar: &ProgressBar) -> Result<Vec<f32>> {
        let loader = EvalLoader::new(samples, self.batch_size, self.text.pad)?;
        let classifier = &self.classifier;
        Ok(evaluate::logits(
            classifier,
            &loader,
            &self.workers,
            &|| bar.inc(1),
        )?)
    }
}

/// Why a path is neither what a run has left nor a model.
fn no_run_either(error: ImportError) -> Error {
    match &error {
        ImportError::NotFound { path } => anyhow!(
            "{}: no such file or folder; expected a run folder, the folder of a fine-tuned model, or its .gguf file",
            path.display()
        ),
        ImportError::NoConfig { folder, .. } if holds_runs(folder) => anyhow!(
            "{} is no run but holds some; give one of them",
            folder.display()
        ),
        ImportError::NoConfig { folder, .. } => anyhow!(
            "{}: neither a run folder (with `best`) nor that of a model (with config.json)",
            folder.display()
        ),
        _ => error.into(),
    }
}

/// Whether folders in `dir` are runs, as in that of a demo.
pub fn holds_runs(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files = entries.map(|entry| entry.path().join("config.toml"));
    files.any(|file| file.is_file())
}

/// An adapter on the whole of its model, whatever the inputs are.
pub fn apply(saved: &Saved, checkpoint: &mut Checkpoint, device: &Device) -> Result<Classifier> {
    check_tensors(checkpoint, None, device)?;
    let config = checkpoint.config().clone();
    let mut loader = Loader::new(checkpoint, device, None);
    let backbone = Pretrained::load(&config, &mut loader)?;
    Ok(saved.put_on(backbone, config.head())?)
}

/// Samples of the records; says how many had to be cut.
pub fn encode(text: &SequenceEncoder, records: &[Record]) -> Result<Vec<Sample>> {
    let (samples, report) = text.encoder.encode(records)?;
    say_losses(text, report);
    Ok(samples)
}

/// Says what encoding has lost.
fn say_losses(text: &SequenceEncoder, report: EncodingReport) {
    if report.ambiguous > 0 {
        note!("note: {} ambiguous letters are read as N", report.ambiguous);
    }
    if report.truncated > 0 {
        note!(
            "note: {} of {} sequences were cut to {} tokens ({} bp lost)",
            report.truncated,
            report.sequences,
            text.max_tokens,
            report.bp_cut
        );
    }
}

/// What the inputs of a run consist of.
pub fn layout_of(manifest: &Manifest) -> Layout {
    Layout {
        kind: manifest.tokenizer,
        prompt: Prompt::new(&manifest.prefix, &manifest.suffix),
    }
}

/// Where the adapter is that `path` means, if it means one: `path` itself, or the chosen one of a run.
pub fn adapter_dir(path: &Path) -> Result<Option<PathBuf>> {
    if path.join(MANIFEST_FILE).is_file() {
        return Ok(Some(path.to_owned()));
    }
    let best = path.join("best");
    if best.join(MANIFEST_FILE).is_file() {
        if !path.join("result.json").is_file() {
            note!(
                "note: the run in {} did not end; this is the best adapter that it came to",
                path.display()
            );
        }
        return Ok(Some(best));
    }
    let last = path.join("last");
    if last.join(MANIFEST_FILE).is_file() {
        bail!(
            "the run in {} did not end, so that nothing was chosen; to use its newest adapter all the same, give {}",
            path.display(),
            last.display()
        );
    }
    let holds = |name: &str| path.join(name).is_file();
    let is_run = holds("config.toml");
    if is_run && holds("result.json") {
        bail!(
            "the run in {} has lost what was trained: its folder `best` is not there; put it back, or train anew",
            path.display()
        );
    }
    if is_run && holds("train.csv") {
        bail!(
            "the run in {0} was cut off before it saved an adapter; go on with `lingo train --resume {0}`",
            path.display()
        );
    }
    Ok(None)
}

/// Whether a model's files must say how its tokens are numbered; a model of k-mers has a rule.
pub fn needs_tokenizer(checkpoint: &Checkpoint) -> bool {
    !matches!(checkpoint.config(), ModelConfig::Esm(_))
}

/// A checkpoint's text tokenizer; none of the Nucleotide Transformer, whose tokens follow from a rule.
pub fn text(checkpoint: &Checkpoint) -> Result<Option<Text>> {
    if !needs_tokenizer(checkpoint) {
        return Ok(None);
    }
    let weights_import::TextTokenizer {
        tokenizer,
        bos,
        eos,
        pad,
    } = checkpoint.tokenizer()?;
    Ok(Some(Text {
        tokenizer,
        bos,
        eos,
        pad,
    }))
}

/// How a backbone is loaded.
pub struct Loading {
    /// Where to.
    pub device: Device,
    /// What it computes in.
    pub precision: Precision,
    /// Whether all weights are kept in f32, to be trained.
    pub masters: bool,
    /// What rows of the task's own tokens are drawn from.
    pub seed: u64,
}

/// Loads the backbone with the rows of the token table that `text` keeps, and those that it adds.
pub fn load_backbone(
    checkpoint: &mut Checkpoint,
    text: &SequenceEncoder,
    selected: &Selected,
    loading: Loading,
) -> Result<Pretrained> {
    let Loading {
        device,
        precision,
        masters,
        seed,
    } = loading;
    selected.check_precision(precision)?;
    let stored = if masters { Precision::F32 } else { precision };
    let config: ModelConfig = checkpoint.config().clone();
    let [rows, width] = config.token_table();
    let rows = text.rows().map_or(rows, <[u32]>::len);
    let bytes = rows * width * stored.bytes();
    if !selected.takes(bytes) {
        let remedy = match text.rows() {
            Some(_) => "choose another device or a model with a smaller vocabulary",
            None => {
                "set tokenizer.restrict = true, which keeps only the rows that DNA and prompt can reach"
            }
        };
        bail!(
            "the token table of {rows} x {width} needs {} MiB in one piece, which {} does not take; {remedy}",
            bytes >> 20,
            selected.name
        );
    }
    // Before much is read for nothing.
    check_tensors(checkpoint, None, &device)?;
    let rows: Option<Vec<u32>> = text.rows().map(<[u32]>::to_vec);
    let added = AddedTokens {
        count: text.added,
        seed,
    };
    let loader = Loader::new(checkpoint, &device, rows.as_deref())
        .with_added_tokens(added)
        .with_precision(precision);
    let mut loader = match masters {
        true => loader.with_masters(),
        false => loader,
    };
    Ok(Pretrained::load(&config, &mut loader)?)
}
