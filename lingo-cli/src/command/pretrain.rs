//! `lingo pretrain`.

mod prepared;
mod resume;
mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::tensor::TensorData;
use lingo_train::checkpoint::Found;
use lingo_train::config::{PretrainConfig, Resolved};
use lingo_train::pretrain::{
    MODEL_FOLDER, PretrainResult, PretrainState, PretrainSurroundings, Pretraining, Progress,
};
use lingo_train::stop::StopRequest;
use weights_import::Blueprint;
use weights_import::export::{NewModel, write_new};

use self::prepared::prepare;
use self::shown::Shown;
use super::run_folder::{Start, Written, place, run_folder};
use crate::args::{PretrainArgs, RunArgs};
use crate::device::Selected;
use crate::signals::stop_on_signals;

/// What a run writes.
const WRITTEN: Written = Written {
    files: &["config.toml", "metrics.csv", "result.json", "train.csv"],
    folders: &["checkpoint", "model"],
};

/// Pretrains a model as the run file says, or goes on with a run that was stopped.
pub fn run(args: &PretrainArgs) -> Result<()> {
    if let Some(dir) = &args.resume {
        let (config, found, lock) = resume::open(dir, &args.run)?;
        return pretrain(config, dir, Start::Found(Box::new(found), lock), args.json);
    }
    let mut config = resolve(&args.run)?.config;
    let dir = run_folder(args.out.as_ref(), config.output.dir.as_ref(), &args.run);
    let (corpus, tokenizer) = (&config.corpus, config.tokenizer.from.iter());
    let sources = [&config.model, &corpus.train, &corpus.valid].into_iter();
    let sources: Vec<&Path> = sources.chain(tokenizer).map(PathBuf::as_path).collect();
    let start = WRITTEN.begin(&dir, args.overwrite, &sources)?;
    config.output.dir = Some(place(&dir)?);
    pretrain(config, &dir, start, args.json)
}

/// Reads a run file with what replaces its keys.
pub fn resolve(args: &RunArgs) -> Result<Resolved<PretrainConfig>> {
    let loaded = PretrainConfig::load(&args.files, &args.overrides());
    if loaded.is_err() && PretrainConfig::is_contradicted_by(&args.files)? {
        let names = args.files.iter().map(|file| file.display().to_string());
        let names: Vec<String> = names.collect();
        bail!(
            "{} is for `lingo train`: it has sections of fine-tuning, such as [data]",
            names.join(" ")
        );
    }
    Ok(loaded?)
}

fn pretrain(
    config: PretrainConfig,
    dir: &Path,
    start: Start<Found<PretrainState>>,
    json: bool,
) -> Result<()> {
    let dtype = config.output.dtype;
    let prepared = prepare(config)?;
    let (run, selected) = (prepared.run, prepared.selected);
    describe(&run, &prepared.blueprint, &selected, dir);
    let (resume, lock) = WRITTEN.enter(dir, start)?;
    let stop = StopRequest::default();
    stop_on_signals(&stop)?;
    let mut shown = Shown::new(run.total_steps())?;
    let mut save = |tensors: BTreeMap<String, TensorData>, folder: &Path| {
        let model = NewModel {
            blueprint: &prepared.blueprint,
            tokenizer: &prepared.tokenizer,
            tokenizer_from: prepared.tokenizer_from.as_deref(),
            tensors: &tensors,
            dtype,
        };
        Ok(write_new(&model, folder, true)?)
    };
    let result = run.train(PretrainSurroundings {
        compute: selected.compute,
        device_name: selected.name,
        dir: dir.to_owned(),
        resume,
        stop,
        lock,
        progress: &mut |progress: Progress| shown.hear(progress),
        save: &mut save,
    });
    shown.end();
    let result = result?;
    match json {
        true => result!("{}", serde_json::to_string_pretty(&result)?),
        false => report(&result, dir),
    }
    Ok(())
}

fn describe(run: &Pretraining, blueprint: &Blueprint, selected: &Selected, dir: &Path) {
    let shape = blueprint.config();
    note!(
        "model       {} ({}), {} parameters",
        shape.model_type(),
        shape.summary(),
        run.parameters()
    );
    for (name, counted) in ["train", "valid"].into_iter().zip(run.counted()) {
        note!(
            "{name:<11} {} bytes in {} tokens ({:.2} bytes a token)",
            counted.bytes,
            counted.tokens,
            counted.bytes as f64 / counted.tokens as f64
        );
    }
    note!(
        "unigram     {:.1} perplexity, {:.3} bits a byte: a model of frequencies, on the validation text",
        run.unigram().perplexity,
        run.unigram().bits_per_byte
    );
    note!(
        "training    {} steps, {} an epoch, in blocks of {} tokens\ndevice      {}\nrun folder  {}",
        run.total_steps(),
        run.epoch_steps(),
        run.context_tokens(),
        selected.name,
        dir.display()
    );
}

fn report(result: &PretrainResult, dir: &Path) {
    let (best, unigram) = (&result.best, &result.unigram);
    result!(
        "validation, best of all evaluations, at step {}:",
        best.step
    );
    result!(
        "{:<11} {:.2} a token, {:.4} bits a byte",
        "perplexity",
        best.perplexity,
        best.bits_per_byte
    );
    result!(
        "{:<11} {:.2} a token, {:.4} bits a byte",
        "unigram",
        unigram.perplexity,
        unigram.bits_per_byte
    );
    let memory = result
        .peak_memory_mib
        .map_or(String::new(), |mib| format!(", peak memory {mib:.0} MiB"));
    result!(
        "{:<11} {} steps in {:.0} s, {:.0} tokens/s{memory}",
        "training",
        result.steps,
        result.train_secs,
        result.tokens_per_sec
    );
    if result.steps_skipped > 0 {
        result!(
            "{:<11} {} steps, their loss or gradients were not finite",
            "skipped",
            result.steps_skipped
        );
    }
    let model = dir.join(MODEL_FOLDER);
    result!("{:<11} {}", "model", model.display());
}
