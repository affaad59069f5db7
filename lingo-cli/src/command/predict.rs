//! `lingo predict`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use lingo_train::data::{Objective, Record, read_sequences};
use lingo_train::metric::{predictions, probabilities, sigmoid};
use lingo_train::record::write_atomically;

use crate::args::PredictArgs;
use crate::bank::Bank;
use crate::say;
use crate::scorer::Scorer;

/// Writes probabilities of classes or labels for sequences.
pub fn run(args: &PredictArgs) -> Result<()> {
    let Some(model) = &args.model else {
        return bank(args);
    };
    let output = output_file(args, &args.output)?;
    let records = read_sequences(&args.input)?;
    note_ids(&records);
    let scorer = Scorer::load(model, &args.load)?;
    let logits = scorer.score(&records)?;
    let table = table(&records, &logits, scorer.objective())?;
    write_atomically(&output, &table)?;
    note!(
        "{} predictions written to {}",
        records.len(),
        args.output.display()
    );
    Ok(())
}

/// Writes a table for each of many adapters.
fn bank(args: &PredictArgs) -> Result<()> {
    let folder = args.output.display();
    let bank = Bank::open(&args.adapters, &args.load)?;
    let records = read_sequences(&args.input)?;
    note_ids(&records);
    std::fs::create_dir_all(&args.output).with_context(|| format!("cannot make {folder}"))?;
    let files = bank
        .names()
        .map(|name| args.output.join(format!("{name}.csv")));
    let files: Vec<PathBuf> = files
        .map(|file| output_file(args, &file))
        .collect::<Result<_>>()?;
    let bar = say::bar(ProgressBar::new(files.len() as u64));
    bank.score(&records, |adapter, logits, objective| {
        bar.inc(1);
        Ok(write_atomically(
            &files[adapter],
            &table(&records, logits, objective)?,
        )?)
    })?;
    bar.finish_and_clear();
    note!(
        "{} predictions of each of {} adapters written to {folder}",
        records.len(),
        files.len()
    );
    Ok(())
}

/// Says so where predictions cannot be told apart by their ids.
fn note_ids(records: &[Record]) {
    let mut seen = HashSet::with_capacity(records.len());
    let ids = records.iter().map(|record| record.id.as_str());
    let (empty, named): (Vec<&str>, Vec<&str>) = ids.partition(|id| id.is_empty());
    let again: Vec<&str> = named.into_iter().filter(|id| !seen.insert(*id)).collect();
    if let Some(first) = again.first() {
        note!(
            "note: {} sequences have an id that one before them has, such as `{first}`; their predictions stand in the \
             input's order",
            again.len()
        );
    }
    if !empty.is_empty() {
        note!(
            "note: {} sequences have an empty id; their predictions stand in the input's order",
            empty.len()
        );
    }
}

/// The file that may be written: what a link leads to, and never the input.
fn output_file(args: &PredictArgs, output: &Path) -> Result<PathBuf> {
    let shown = output.display();
    if std::fs::symlink_metadata(output).is_err() {
        let folder = output.parent();
        let folder = folder.filter(|folder| *folder != Path::new(""));
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!(
                "cannot write {shown}: there is no folder {}",
                folder.display()
            );
        }
        return Ok(output.to_owned());
    }
    if !args.overwrite {
        bail!("{shown} exists; give another name, or --overwrite to replace it");
    }
    let file = output.canonicalize();
    let file = file.with_context(|| format!("cannot replace {shown}"))?;
    if args.input.canonicalize().is_ok_and(|input| input == file) {
        bail!("{shown} is the input, which would be lost; give another name for the output");
    }
    if !file.is_file() {
        bail!("{shown} is not an ordinary file; give the name of one");
    }
    Ok(file)
}

/// The predictions as CSV.
fn table(records: &[Record], logits: &[f32], objective: &Objective) -> Result<Vec<u8>> {
    let outputs = objective.outputs();
    if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
        let id = &records[at / outputs].id;
        bail!("the model's logits for `{id}` are not finite; its weights are broken");
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let (columns, predictions, probabilities) = match objective {
        Objective::Classes(classes) => (
            (0..*classes).map(|class| format!("p_{class}")).collect(),
            Some(predictions(logits, *classes)),
            probabilities(logits, *classes),
        ),
        Objective::Labels(names) => {
            let columns: Vec<String> = names.iter().map(|name| format!("p_{name}")).collect();
            let each = logits.iter().map(|logit| sigmoid(*logit));
            (columns, None, each.collect())
        }
    };
    let prediction = predictions.as_ref().map(|_| "prediction".to_owned());
    let start = ["id".to_owned()].into_iter().chain(prediction);
    writer.write_record(start.chain(columns))?;
    for (row, record) in records.iter().enumerate() {
        let prediction = predictions.as_ref().map(|classes| classes[row].to_string());
        let cells = &probabilities[row * outputs..][..outputs];
        let start = [record.id.clone()].into_iter().chain(prediction);
        writer.write_record(start.chain(cells.iter().map(f64::to_string)))?;
    }
    writer.into_inner().context("cannot assemble the table")
}
