//! `labels.csv`: how well each label is told.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::files::{RecordError, write_atomically};
use crate::metric::LabelScores;

#[derive(Serialize)]
struct Row<'a> {
    split: &'a str,
    label: &'a str,
    positives: usize,
    negatives: usize,
    unknown: usize,
    auroc: Option<f64>,
    auprc: Option<f64>,
}

/// Writes the labels of some splits, a line each.
///
/// # Errors
/// If the file cannot be written.
pub fn write_label_table(
    path: &Path,
    splits: &[(&str, &[LabelScores])],
) -> Result<(), RecordError> {
    let failed = |source: io::Error| RecordError {
        path: path.to_owned(),
        source,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (split, labels) in splits {
        for of in *labels {
            let row = Row {
                split,
                label: &of.label,
                positives: of.positives,
                negatives: of.negatives,
                unknown: of.unknown,
                auroc: of.auroc,
                auprc: of.auprc,
            };
            writer
                .serialize(row)
                .map_err(|error| failed(error.into()))?;
        }
    }
    let table = writer.into_inner();
    write_atomically(path, &table.map_err(|error| failed(error.into_error()))?)
}
