//! Records out of a CSV file, whose columns are found by name.

use std::fs::File;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::answers::{Answers, Wanted};
use super::record::{DataError, Record, normalise};

/// Reads the columns `sequence` and `id`, in any order and case, and those of labels that are wanted; others are ignored.
pub(super) fn read(path: &Path, wanted: Wanted<'_>) -> Result<Vec<Record>, DataError> {
    if let Some(reason) = compressed(path) {
        let path = path.to_owned();
        return Err(DataError::Format { path, reason });
    }
    let file = File::open(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
    let header = reader
        .headers()
        .map_err(|error| csv_error(path, error))?
        .clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|title| title.eq_ignore_ascii_case(name))
    };
    let needed = |name: &'static str| {
        column(name).ok_or_else(|| DataError::Column {
            path: path.to_owned(),
            column: name.to_owned(),
            found: header.iter().map(String::from).collect(),
        })
    };
    if header.iter().all(str::is_empty) {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    let sequence = needed("sequence")?;
    let mut answers = Answers::find(path, &header, wanted)?;
    let id = column("id");

    let mut records = Vec::new();
    let mut row = StringRecord::new();
    while reader
        .read_record(&mut row)
        .map_err(|error| csv_error(path, error))?
    {
        let line = row.position().map_or(0, |position| position.line());
        let number = records.len();
        records.push(Record {
            id: id.map_or_else(|| number.to_string(), |id| row[id].to_string()),
            sequence: parse_sequence(path, line, &row[sequence])?,
            label: answers.read(path, line, &row)?,
        });
    }
    if records.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(records)
}

/// Why a file with this name is not read, if it looks compressed.
pub(super) fn compressed(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    ["gz", "bgz", "bz2", "xz", "zst", "zip"]
        .contains(&extension.as_str())
        .then_some("a compressed file is not read, decompress it first")
}

/// Checks and normalises a sequence that stands on `line`.
pub(super) fn parse_sequence(path: &Path, line: u64, text: &str) -> Result<String, DataError> {
    if text.is_empty() {
        return Err(DataError::EmptySequence {
            path: path.to_owned(),
            line,
        });
    }
    normalise(text).map_err(|(letter, position)| DataError::Letter {
        path: path.to_owned(),
        line,
        letter,
        position,
    })
}

fn csv_error(path: &Path, error: csv::Error) -> DataError {
    let line = error.position().map_or(1, |position| position.line());
    let path = path.to_owned();
    let reason = match error.into_kind() {
        ErrorKind::Io(source) => return DataError::Read { path, source },
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            let hint = match len > expected_len {
                true => " (a cell that holds commas stands in quotes)",
                false => "",
            };
            format!("{len} fields where the header has {expected_len}{hint}")
        }
        ErrorKind::Utf8 { .. } => "the text is not valid UTF-8".into(),
        other => format!("{other:?}"),
    };
    DataError::Malformed { path, line, reason }
}
