//! A model ready to score sequences: a run's adapter on its pretrained model, or somebody's fine-tuned classifier.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burn::data::dataloader::DataLoader as _;
use lingo_core::models::{Classifier, ModelConfig, Pretrained};
use lingo_core::nn::{AddedTokens, Loader};
use lingo_train::data::{EvalLoader, Prompt, Record, Sample};
use lingo_train::evaluate;
use lingo_train::saved::{MANIFEST_FILE, Saved};
use lingo_train::task::{Layout, SequenceEncoder, Text};
use lingo_train::workers::Workers;
use weights_import::Checkpoint;

use crate::args::ModelArgs;
use crate::device::{Selected, select};
use crate::hub::{Located, locate};

/// Batches that are scored at the same time, where there are threads for them.
const EVALUATED_AT_ONCE: usize = 8;

/// A classifier with its text encoder.
pub struct Scorer {
    classifier: Classifier,
    text: SequenceEncoder,
    batch_size: usize,
    workers: Workers,
}

impl Scorer {
    /// Loads the model that the arguments name.
    pub fn load(args: &ModelArgs) -> Result<Self> {
        let selected = select(&args.device)?;
        let model = locate(&args.model)?;
        match adapter_dir(&model.path)? {
            Some(dir) => {
                let run = model.path.as_path();
                if dir != run && !run.join("result.json").is_file() {
                    note!(
                        "note: the run in {} did not end; this is the best adapter that it came to",
                        run.display()
                    );
                }
                Self::from_run(&dir, args, &selected)
            }
            None => Self::from_checkpoint(&model, args, &selected),
        }
    }

    fn from_run(dir: &Path, args: &ModelArgs, selected: &Selected) -> Result<Self> {
        if args.prompt.is_given() {
            bail!(
                "--prefix and --suffix are for plain models: a run is scored with the prompt it was trained with"
            );
        }
        let saved = Saved::open(dir)?;
        let manifest = &saved.manifest;
        let base = args.base.as_deref().unwrap_or(&manifest.model);
        let opened = locate(base).and_then(|base| Ok(Checkpoint::open(&base.path)?));
        let mut checkpoint = opened.with_context(|| {
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
        let layout = Layout {
            kind: manifest.tokenizer,
            prompt: Prompt::new(&manifest.prefix, &manifest.suffix),
        };
        let text = SequenceEncoder::new(
            text(&checkpoint)?,
            layout,
            manifest.max_tokens,
            manifest.restricted,
            checkpoint.config(),
        )?;
        let device = selected.device.clone();
        let backbone = load_backbone(&mut checkpoint, &text, selected, device, manifest.seed)?;
        let classifier = Classifier::with_new_head(
            backbone,
            checkpoint.config().head(),
            manifest.classes,
            manifest.seed,
        );
        Ok(Self {
            classifier: saved.apply(classifier)?,
            text,
            batch_size: args.batch_size,
            workers: Workers::new(selected.compute, EVALUATED_AT_ONCE)?,
        })
    }

    fn from_checkpoint(model: &Located, args: &ModelArgs, selected: &Selected) -> Result<Self> {
        let mut checkpoint = Checkpoint::open(&model.path)?;
        let Some(classes) = checkpoint.classes() else {
            bail!(
                "{} is a pretrained model without a classification head (no tensor `{}`); fine-tune it with `lingo \
                 train`, and give the run folder",
                model.name.display(),
                checkpoint.head_tensor()
            );
        };
        if classes < 2 {
            bail!(
                "{} has a head of {classes} outputs; a classifier has at least 2",
                model.name.display()
            );
        }
        if args.base.is_some() {
            bail!(
                "--base is for run folders: {} is a model of its own",
                model.name.display()
            );
        }
        let (text, model) = (text(&checkpoint)?, checkpoint.config());
        let prompt = args.prompt.prompt_or_none();
        let layout = Layout::choose(None, &prompt, text.as_ref(), model)?;
        let text = SequenceEncoder::new(text, layout, 0, true, model)?;
        let backbone = load_backbone(&mut checkpoint, &text, selected, selected.device.clone(), 0)?;
        let layout = checkpoint.config().head();
        let mut loader = Loader::new(&mut checkpoint, &selected.device, None);
        let classifier = Classifier::with_own_head(backbone, layout, classes, &mut loader)?;
        Ok(Self {
            classifier,
            text,
            batch_size: args.batch_size,
            workers: Workers::new(selected.compute, EVALUATED_AT_ONCE)?,
        })
    }

    /// `C`.
    pub fn classes(&self) -> usize {
        self.classifier.classes()
    }

    /// Samples of the records, and their logits `[N, C]`.
    pub fn score(&self, records: &[Record]) -> Result<(Vec<Sample>, Vec<f32>)> {
        let (samples, report) = self.text.encoder.encode(records)?;
        if report.truncated > 0 {
            note!(
                "note: {} of {} sequences were cut to {} tokens ({} bp lost)",
                report.truncated,
                report.sequences,
                self.text.max_tokens,
                report.bp_cut
            );
        }
        let loader = EvalLoader::new(samples.clone().into(), self.batch_size, self.text.pad);
        let bar = indicatif::ProgressBar::new(loader.num_items() as u64);
        let logits = evaluate::logits(&self.classifier, &loader, &self.workers, &|| bar.inc(1))?;
        bar.finish_and_clear();
        Ok((samples, logits))
    }
}

/// Where the adapter is that `path` means, if it means one: `path` itself, or the chosen one of a run.
pub fn adapter_dir(path: &Path) -> Result<Option<PathBuf>> {
    if path.join(MANIFEST_FILE).is_file() {
        return Ok(Some(path.to_owned()));
    }
    let best = path.join("best");
    if best.join(MANIFEST_FILE).is_file() {
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
    if path.join("train.csv").is_file() && path.join("config.toml").is_file() {
        bail!(
            "the run in {} was cut off before it saved an adapter; train it again",
            path.display()
        );
    }
    Ok(None)
}

/// A checkpoint's text tokenizer; none of the Nucleotide Transformer, whose tokens follow from a rule.
pub fn text(checkpoint: &Checkpoint) -> Result<Option<Text>> {
    if matches!(checkpoint.config(), ModelConfig::Esm(_)) {
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

/// Loads the backbone with the rows of the token table that `text` keeps, and those that it adds, drawn from `seed`.
pub fn load_backbone(
    checkpoint: &mut Checkpoint,
    text: &SequenceEncoder,
    selected: &Selected,
    device: burn::tensor::Device,
    seed: u64,
) -> Result<Pretrained> {
    let config: ModelConfig = checkpoint.config().clone();
    let [rows, width] = config.token_table();
    let rows = text.rows().map_or(rows, <[u32]>::len);
    if !selected.takes(rows * width) {
        let remedy = match text.rows() {
            Some(_) => "choose another device or a model with a smaller vocabulary",
            None => {
                "set tokenizer.restrict = true, which keeps only the rows that DNA and prompt can reach"
            }
        };
        bail!(
            "the token table of {rows} x {width} needs {} MiB in one piece, which {} does not take; {remedy}",
            (rows * width * size_of::<f32>()) >> 20,
            selected.name
        );
    }
    let rows: Option<Vec<u32>> = text.rows().map(<[u32]>::to_vec);
    let added = AddedTokens {
        count: text.added,
        seed,
    };
    let mut loader = Loader::new(checkpoint, &device, rows.as_deref()).with_added_tokens(added);
    let backbone = Pretrained::load(&config, &mut loader)?;
    checkpoint.check_complete()?;
    Ok(backbone)
}
