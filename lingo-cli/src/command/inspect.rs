//! `lingo inspect`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use lingo_core::adapter::target::paper_names_of;
use lingo_core::models::ModelConfig;
use lingo_train::data::read_sequences;
use lingo_train::saved::Saved;
use lingo_train::task::{Layout, SequenceEncoder};
use weights_import::{Checkpoint, Problem, Role};

use crate::args::InspectArgs;
use crate::hub::locate;
use crate::scorer::{adapter_dir, text};
use crate::whole::check_whole;

/// Shows what a model is made of; what is wrong with its tensors is said when all is shown.
pub fn run(args: &InspectArgs) -> Result<()> {
    if args.data.is_none() && args.prompt.is_given() {
        bail!("--prefix and --suffix stand around sequences; name those by --data");
    }
    let model = locate(&args.model)?;
    if let Some(dir) = adapter_dir(&model.path)? {
        let manifest = Saved::open(&dir)?.manifest;
        bail!(
            "{} is an adapter ({}, {}); to inspect its pretrained model, give {}",
            dir.display(),
            manifest.method.name(),
            manifest.objective,
            manifest.model.display()
        );
    }
    let mut checkpoint = Checkpoint::open(&model.path)?;
    show(args, &model.name, &checkpoint)?;
    check_whole(&mut checkpoint)?;
    Ok(checkpoint.check_storages()?)
}

fn show(args: &InspectArgs, name: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let config = checkpoint.config();
    result!("model       {} ({})", name.display(), checkpoint.format());
    result!("type        {}", config.model_type());
    result!("shape       {}", config.summary());
    match config.max_tokens() {
        usize::MAX => result!("input       of any length"),
        limit => result!("input       at most {limit} tokens"),
    }
    match text(checkpoint) {
        Ok(Some(found)) => result!(
            "tokenizer   {} entries",
            found.tokenizer.get_vocab_size(true)
        ),
        Ok(None) => result!("tokenizer   none needed: k-mers, numbered by a rule"),
        Err(error) => result!("tokenizer   none that can be used: {error}"),
    }

    let tensors = checkpoint.tensors();
    let count = |role: Role| -> usize {
        let of_role = tensors.iter().filter(|tensor| tensor.role == role);
        of_role
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    };
    result!(
        "parameters  {} in the pretrained network",
        count(Role::Used)
    );
    match checkpoint.classes() {
        Some(outputs) => result!(
            "head        {outputs} {}, {} parameters",
            match checkpoint.problem() {
                Problem::Classes => "classes",
                Problem::Labels => "labels",
                Problem::Regression => "numbers",
            },
            count(Role::Head)
        ),
        None => result!("head        none: `lingo train` adds one"),
    }
    if count(Role::Ignored) > 0 {
        result!(
            "ignored     {} (not needed to classify)",
            count(Role::Ignored)
        );
    }

    result!(
        "\nmatrices that can be adapted (rank r adds r x (rows + columns), and r more with singular values)"
    );
    let mut matrices: BTreeMap<(String, &str), (usize, [usize; 2])> = BTreeMap::new();
    for tensor in tensors.iter().filter(|tensor| tensor.role == Role::Used) {
        // What is damaged and no matrix is named when all is shown.
        if let (Some(names), &[rows, columns]) =
            (adaptable(config, &tensor.name), tensor.shape.as_slice())
        {
            matrices.entry(names).or_insert((0, [rows, columns])).0 += 1;
        }
    }
    for ((paper, suffix), (count, [rows, columns])) in &matrices {
        result!("  {paper:<4} {suffix:<24} {count:>4} of {rows} x {columns}");
    }

    if args.tensors {
        result!("\ntensors");
        for tensor in &tensors {
            result!(
                "  {:<8} {:<8} {:?} {}",
                format!("{:?}", tensor.role).to_lowercase(),
                tensor.dtype,
                tensor.shape,
                tensor.name
            );
        }
    }
    match &args.data {
        Some(data) => {
            result!("");
            count_tokens(args, data, checkpoint)
        }
        None => Ok(()),
    }
}

fn count_tokens(args: &InspectArgs, data: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let path = match data.is_dir() {
        true => data.join("train.csv"),
        false => data.to_owned(),
    };
    let records = read_sequences(&path)?;
    let (text, model) = (text(checkpoint)?, checkpoint.config());
    let prompt = args.prompt.prompt_or_default();
    let layout = Layout::choose(args.tokenizer, &prompt, text.as_ref(), model)?;
    let Layout { kind, prompt } = &layout;
    let between = format!("{:?} and {:?}", prompt.prefix, prompt.suffix);
    let how = format!(
        "{} tokens of {}, each between {between}",
        kind.name(),
        path.display()
    );
    let text = SequenceEncoder::new(text, layout, 0, true, model)?;
    let (_, report) = text.encoder.encode(&records)?;
    result!("{how}");
    result!(
        "  {} sequences, {} bp, {:.2} bp a token of DNA",
        report.sequences,
        report.bp,
        report.bp_per_token()
    );
    let mean = report.tokens as f64 / report.sequences as f64;
    result!(
        "  {mean:.1} tokens a sequence, at most {}; {} cut",
        report.longest_tokens,
        report.truncated
    );
    result!(
        "  {} rows of the token table are in reach",
        text.rows().map_or(0, <[u32]>::len)
    );
    Ok(())
}

/// The paper's names of an adaptable matrix, and its path without the layer: `Wq` and `self_attn.q_proj` of
/// `layers.3.self_attn.q_proj.weight`.
fn adaptable<'a>(config: &ModelConfig, name: &'a str) -> Option<(String, &'a str)> {
    let path = name.strip_suffix(".weight")?;
    let names = paper_names_of(path, config.paper_names());
    let number = path
        .split('.')
        .find(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (_, inside) = path.split_once(&format!("{number}."))?;
    (!names.is_empty()).then(|| (names.join(" "), inside))
}
