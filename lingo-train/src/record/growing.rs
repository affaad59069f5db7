//! Files that grow line by line, and go on from where they were.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::RecordError;

/// How growing files are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening<'a> {
    /// As new ones.
    New,
    /// As they were when they had these lengths.
    At(&'a LogLengths),
}

impl Opening<'_> {
    fn open(&self, path: &Path) -> Result<File, RecordError> {
        let opened = match self {
            Self::New => File::create(path),
            Self::At(lengths) => cut(path, lengths.of(path)),
        };
        opened.map_err(|source| RecordError {
            path: path.to_owned(),
            source,
        })
    }
}

fn cut(path: &Path, length: u64) -> io::Result<File> {
    let mut file = File::options().read(true).write(true).open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// The name and length of a file, which is on the disk then.
fn sync(path: &Path, file: &File) -> Result<(String, u64), RecordError> {
    let length = file.sync_data().and_then(|()| file.metadata());
    match length {
        Ok(metadata) => Ok((file_name(path), metadata.len())),
        Err(source) => Err(RecordError {
            path: path.to_owned(),
            source,
        }),
    }
}

/// How long the growing files were at some step, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLengths(BTreeMap<String, u64>);

impl FromIterator<(String, u64)> for LogLengths {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(lengths: I) -> Self {
        Self(lengths.into_iter().collect())
    }
}

impl LogLengths {
    /// Whether a file of this name was there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn of(&self, path: &Path) -> u64 {
        self.0.get(&file_name(path)).copied().unwrap_or(0)
    }

    /// What is no longer there of the files in `dir`.
    pub fn missing(&self, dir: &Path) -> Option<String> {
        self.0.iter().find_map(|(name, length)| {
            let ends_a_line = || -> io::Result<bool> {
                let mut file = File::open(dir.join(name))?;
                if file.metadata()?.len() < *length {
                    return Ok(false);
                }
                let mut last = [b'\n'];
                if *length > 0 {
                    file.seek(SeekFrom::Start(length - 1))?;
                    file.read_exact(&mut last)?;
                }
                Ok(last == [b'\n'])
            };
            let problem = match ends_a_line() {
                Ok(true) => return None,
                Ok(false) => "is not as it was left".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            Some(format!("is of no use without {name}, which {problem}"))
        })
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A CSV file whose rows are flushed one by one.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    writer: csv::Writer<File>,
}

impl Table {
    /// Opens it; where it is empty, the first row brings the header.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open(path: PathBuf, opening: &Opening<'_>) -> Result<Self, RecordError> {
        let file = opening.open(&path)?;
        let length = file.metadata().map(|metadata| metadata.len());
        let empty = length.unwrap_or(0) == 0;
        let mut builder = csv::WriterBuilder::new();
        let writer = builder.flexible(true).has_headers(empty).from_writer(file);
        Ok(Self { path, writer })
    }

    pub(super) fn row<T: AsRef<[u8]>>(
        &mut self,
        cells: impl Iterator<Item = T>,
    ) -> Result<(), RecordError> {
        let written = self.writer.write_record(cells);
        self.finish(written)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn serialize(&mut self, row: &impl Serialize) -> Result<(), RecordError> {
        let written = self.writer.serialize(row);
        self.finish(written)
    }

    /// Its name and length, which is on the disk then.
    ///
    /// # Errors
    /// If the system cannot write it.
    pub(crate) fn sync(&self) -> Result<(String, u64), RecordError> {
        sync(&self.path, self.writer.get_ref())
    }

    fn finish(&mut self, written: csv::Result<()>) -> Result<(), RecordError> {
        written
            .map_err(io::Error::from)
            .and_then(|()| self.writer.flush())
            .map_err(|source| RecordError {
                path: self.path.clone(),
                source,
            })
    }
}

/// A file of JSON values, one a line.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    pub(super) fn open(path: PathBuf, opening: &Opening<'_>) -> Result<Self, RecordError> {
        let file = opening.open(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn sync(&self) -> Result<(String, u64), RecordError> {
        sync(&self.path, &self.file)
    }

    pub(super) fn push(&mut self, value: &impl Serialize) -> Result<(), RecordError> {
        serde_json::to_string(value)
            .map_err(io::Error::from)
            .and_then(|line| writeln!(self.file, "{line}"))
            .map_err(|source| RecordError {
                path: self.path.clone(),
                source,
            })
    }
}
