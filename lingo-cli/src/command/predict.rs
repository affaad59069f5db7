//! `lingo predict`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lingo_train::data::{Record, read_sequences};
use lingo_train::metric::{predictions, probabilities};
use lingo_train::record::write_atomically;

use crate::args::PredictArgs;
use crate::bank::Bank;
use crate::scorer::Scorer;

/// Writes class probabilities for sequences.
pub fn run(args: &PredictArgs) -> Result<()> {
    let Some(model) = &args.model else {
        return bank(args);
    };
    let output = output_file(args, &args.output)?;
    let records = read_sequences(&args.input)?;
    let scorer = Scorer::load(model, &args.load)?;
    let (_, logits) = scorer.score(&records)?;
    let table = table(&records, &logits, scorer.objective().outputs())?;
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
    std::fs::create_dir_all(&args.output).with_context(|| format!("cannot make {folder}"))?;
    let files = bank
        .names()
        .map(|name| args.output.join(format!("{name}.csv")));
    let files: Vec<PathBuf> = files
        .map(|file| output_file(args, &file))
        .collect::<Result<_>>()?;
    let bar = indicatif::ProgressBar::new(files.len() as u64);
    bank.score(&records, |adapter, logits, objective| {
        bar.inc(1);
        Ok(write_atomically(
            &files[adapter],
            &table(&records, logits, objective.outputs())?,
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
fn table(records: &[Record], logits: &[f32], classes: usize) -> Result<Vec<u8>> {
    if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
        let id = &records[at / classes].id;
        bail!("the model's logits for `{id}` are not finite; its weights are broken");
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = (0..classes).map(|class| format!("p_{class}"));
    let header = ["id".to_owned(), "prediction".to_owned()];
    writer.write_record(header.into_iter().chain(columns))?;
    let probabilities = probabilities(logits, classes);
    let predictions = predictions(logits, classes);
    let rows = probabilities.chunks_exact(classes).zip(predictions);
    for (record, (row, prediction)) in records.iter().zip(rows) {
        let cells = row.iter().map(|p| p.to_string());
        let start = [record.id.clone(), prediction.to_string()];
        writer.write_record(start.into_iter().chain(cells))?;
    }
    writer.into_inner().context("cannot assemble the table")
}
