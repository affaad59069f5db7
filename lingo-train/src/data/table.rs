//! Records out of a CSV file, whose columns are found by name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use super::answers::{Answers, Wanted};
use super::quotes::ClosedQuotes;
use super::record::{DataError, Record, normalise};
use crate::readable;

/// The rows of a table, one after the other.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    path: PathBuf,
    reader: Reader<ClosedQuotes<File>>,
    row: StringRecord,
    sequence: usize,
    answers: Answers<'a>,
    id: Option<usize>,
    read: usize,
}

impl<'a> Rows<'a> {
    /// Finds the columns `sequence` and `id`, in any order and case, and those of labels that are wanted; others are
    /// ignored.
    pub(crate) fn open(path: &Path, wanted: Wanted<'a>) -> Result<Self, DataError> {
        if let Some(reason) = compressed(path) {
            let path = path.to_owned();
            return Err(DataError::Format { path, reason });
        }
        let file = readable::open(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut reader = ReaderBuilder::new()
            .trim(Trim::All)
            .from_reader(ClosedQuotes::new(file));
        let header = reader
            .headers()
            .map_err(|error| csv_error(path, 1, error))?
            .clone();
        let column = |name: &str| column(path, &header, name, str::eq_ignore_ascii_case);
        if header.iter().all(str::is_empty) {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        let sequence = column("sequence")?.ok_or_else(|| DataError::Column {
            path: path.to_owned(),
            column: "sequence".to_owned(),
            found: header.iter().map(String::from).collect(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            sequence,
            answers: Answers::find(path, &header, wanted)?,
            id: column("id")?,
            reader,
            row: StringRecord::new(),
            read: 0,
        })
    }

    fn record(&mut self) -> Result<Option<Record>, DataError> {
        let line = self.reader.position().line();
        let more = self.reader.read_record(&mut self.row);
        if !more.map_err(|error| csv_error(&self.path, line, error))? {
            return match self.read {
                0 => Err(DataError::Empty {
                    path: self.path.clone(),
                }),
                _ => Ok(None),
            };
        }
        let (path, row) = (&self.path, &self.row);
        let line = row.position().map_or(0, |position| position.line());
        let number = self.read;
        self.read += 1;
        Ok(Some(Record {
            id: self
                .id
                .map_or_else(|| number.to_string(), |id| row[id].to_string()),
            sequence: parse_sequence(path, line, &row[self.sequence])?,
            label: self.answers.read(path, line, row)?,
        }))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Record, DataError>;

    /// The next row; whoever goes on after an error gets the same or worse.
    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose()
    }
}

/// The one column of a header that is called `name`.
pub(super) fn column(
    path: &Path,
    header: &StringRecord,
    name: &str,
    same: impl Fn(&str, &str) -> bool,
) -> Result<Option<usize>, DataError> {
    let mut found = (0..header.len()).filter(|column| same(&header[*column], name));
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(DataError::Malformed {
            path: path.to_owned(),
            line: 1,
            reason: format!("two columns are called `{name}`; rename or remove one of them"),
        }),
    }
}

/// All rows of a table.
#[cfg(test)]
pub(super) fn read(path: &Path, wanted: Wanted<'_>) -> Result<Vec<Record>, DataError> {
    Rows::open(path, wanted)?.collect()
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

/// An error of the row that begins on `line`.
fn csv_error(path: &Path, line: u64, error: csv::Error) -> DataError {
    let line = error.position().map_or(line, |position| position.line());
    let path = path.to_owned();
    let reason = match error.into_kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => error.to_string(),
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

#[cfg(test)]
mod tests;
