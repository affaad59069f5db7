//! `lingo predict`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_train::data::{Record, read_sequences};
use lingo_train::metric::{predictions, probabilities};
use lingo_train::record::write_atomically;

use crate::args::PredictArgs;
use crate::scorer::Scorer;

/// Writes class probabilities for sequences.
pub fn run(args: &PredictArgs) -> Result<()> {
    if args.output.exists() && !args.overwrite {
        bail!(
            "{} exists; give another name, or --overwrite to replace it",
            args.output.display()
        );
    }
    let folder = args
        .output
        .parent()
        .filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "cannot write {}: there is no folder {}",
            args.output.display(),
            folder.display()
        );
    }
    let records = read_sequences(&args.input)?;
    let scorer = Scorer::load(&args.model)?;
    let (_, logits) = scorer.score(&records)?;
    let table = table(&records, &logits, scorer.classes())?;
    write_atomically(&args.output, &table)?;
    eprintln!(
        "{} predictions written to {}",
        records.len(),
        args.output.display()
    );
    Ok(())
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
