//! Sequences to predict, from a table, a FASTA file or one of DeepSEA's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use noodles_fasta::io::Reader;
use noodles_fasta::record::Definition;

use super::answers::Wanted;
use super::record::{DataError, Record, normalise};
use super::source::{Records, is_fasta, records};
use super::table::compressed;
use crate::readable;

/// Sequences for prediction, one after the other, in the file's order; the format is told by the file's name.
///
/// CSV needs a column `sequence`; `id` is optional, and labels are not looked at. FASTA records are named by the first
/// word of their definition line. Sequences become upper case, U becomes T. One of DeepSEA's files is unpacked into the
/// folder `scratch`.
///
/// # Errors
/// If the file cannot be opened, is compressed or has a name of another kind. Then, with file and line: a malformed line, a
/// letter that is no IUPAC nucleotide, an empty sequence; a missing column; a file without records.
pub fn sequences(path: &Path, scratch: &Path) -> Result<Records<'static>, DataError> {
    let format = |reason| DataError::Format {
        path: path.to_owned(),
        reason,
    };
    if let Some(reason) = compressed(path) {
        return Err(format(reason));
    }
    // What is not there is no matter of its name.
    std::fs::metadata(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    if is_fasta(path) {
        return Ok(Box::new(Fasta::open(path)?));
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv" | "mat") => records(path, Wanted::Nothing, scratch),
        Some(_) => Err(format("the extension is not known")),
        None if path.is_dir() => Err(format("it is a folder, give a file")),
        None => Err(format("the name has no extension")),
    }
}

/// All [`sequences`] of a file.
///
/// # Errors
/// As there.
pub fn read_sequences(path: &Path) -> Result<Vec<Record>, DataError> {
    sequences(path, &std::env::temp_dir())?.collect()
}

/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The records of a FASTA file.
struct Fasta<R> {
    path: PathBuf,
    reader: Reader<LineCounter<R>>,
    definition: Definition,
    read: usize,
}

impl Fasta<BufReader<File>> {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = readable::open(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(path, BufReader::new(file)))
    }
}

impl<R: BufRead> Fasta<R> {
    fn new(path: &Path, source: R) -> Self {
        let mut reader = Reader::new(LineCounter {
            inner: source,
            line: 1,
        });
        let start = reader.get_mut();
        let mark = start
            .fill_buf()
            .map(|text| text.starts_with(BYTE_ORDER_MARK));
        if mark.is_ok_and(|mark| mark) {
            start.consume(BYTE_ORDER_MARK.len());
        }
        Self {
            path: path.to_owned(),
            reader,
            definition: Definition::default(),
            read: 0,
        }
    }

    fn record(&mut self) -> Result<Option<Record>, DataError> {
        let path = &self.path;
        skip_blank_lines(self.reader.get_mut()).map_err(|error| fasta_error(path, 0, error))?;
        let line = self.reader.get_ref().line;
        let read = self.reader.read_definition(&mut self.definition);
        if read.map_err(|error| fasta_error(path, line, error))? == 0 {
            return match self.read {
                0 => Err(DataError::Empty { path: path.clone() }),
                _ => Ok(None),
            };
        }
        self.read += 1;
        Ok(Some(Record {
            id: String::from_utf8_lossy(self.definition.name()).into_owned(),
            sequence: read_sequence(path, line, self.reader.get_mut())?,
            label: None,
        }))
    }
}

impl<R: BufRead> Iterator for Fasta<R> {
    type Item = Result<Record, DataError>;

    /// The next record; whoever goes on after an error gets the same or worse.
    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose()
    }
}

/// The lines up to the next definition, as one sequence; `definition` is the line that theirs stands on.
fn read_sequence(
    path: &Path,
    definition: u64,
    reader: &mut LineCounter<impl BufRead>,
) -> Result<String, DataError> {
    let (mut sequence, mut bytes) = (String::new(), Vec::new());
    let read = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    loop {
        let line = reader.line;
        if matches!(reader.fill_buf().map_err(read)?, [] | [b'>', ..]) {
            break;
        }
        bytes.clear();
        reader.read_until(b'\n', &mut bytes).map_err(read)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_ascii_end();
        let part = normalise(text).map_err(|(letter, position)| DataError::Letter {
            path: path.to_owned(),
            line,
            letter,
            position: sequence.len() + position,
        })?;
        sequence.push_str(&part);
    }
    match sequence.is_empty() {
        true => Err(DataError::EmptySequence {
            path: path.to_owned(),
            line: definition,
        }),
        false => Ok(sequence),
    }
}

fn fasta_error(path: &Path, line: u64, error: io::Error) -> DataError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::InvalidData => DataError::Malformed {
            path,
            line,
            reason: format!("expected a FASTA definition, `>name` ({error})"),
        },
        _ => DataError::Read {
            path,
            source: error,
        },
    }
}

fn skip_blank_lines(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let blank = reader
            .fill_buf()?
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        if blank == 0 {
            return Ok(());
        }
        reader.consume(blank);
    }
}

/// Counts lines as they are consumed.
struct LineCounter<R> {
    inner: R,
    line: u64,
}

impl<R: BufRead> Read for LineCounter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for LineCounter<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What is consumed was handed out by the buffer just before, so that this reads nothing.
        if let Ok(bytes) = self.inner.fill_buf() {
            let consumed = &bytes[..count.min(bytes.len())];
            self.line += consumed.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;

    fn read(name: &str, text: &str) -> Result<Vec<(String, String)>, String> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let records = read_sequences(&path).map_err(|error| error.to_string())?;
        assert!(records.iter().all(|record| record.label.is_none()));
        Ok(records.into_iter().map(|r| (r.id, r.sequence)).collect())
    }

    fn row(id: &str, sequence: &str) -> (String, String) {
        (id.into(), sequence.into())
    }

    #[test]
    fn csv_needs_sequences_only_and_rows_are_numbered_from_zero() {
        let found = read("x.csv", "sequence\nac\ngu\n").unwrap();
        assert_eq!(found, [row("0", "AC"), row("1", "GT")]);
    }

    #[test]
    fn csv_may_have_ids_and_labels_of_any_kind() {
        let text = "id,sequence,label\nfirst,ac,\"[0, 1]\"\nsecond,gt,unknown\n";
        let found = read("x.csv", text).unwrap();
        assert_eq!(found, [row("first", "AC"), row("second", "GT")]);
    }

    #[test]
    fn fasta_is_named_by_the_first_word_and_may_be_folded() {
        for text in [
            ">one first of all\nACG\nuun\n\n>two\nRYK",
            "\r\n>one first of all\r\nACG\r\nuun\r\n\r\n>two\r\nRYK\r\n",
            "\u{feff}>one first of all\nACGuun\n>two\nRYK",
        ] {
            for name in ["x.fa", "x.FASTA", "x.fna"] {
                let found = read(name, text).unwrap();
                assert_eq!(found, [row("one", "ACGTTN"), row("two", "RYK")], "{text:?}");
            }
        }
    }

    #[test]
    fn fasta_does_not_depend_on_where_the_buffer_ends() {
        let text = b">one\r\nACG\r\nTTT\r\n\r\n>two words\r\nGGG\r\n";
        for capacity in 1..text.len() + 1 {
            let source = BufReader::with_capacity(capacity, &text[..]);
            let records = Fasta::new(Path::new("x.fa"), source)
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            let found: Vec<(&str, &str)> = records.iter().map(|r| (&*r.id, &*r.sequence)).collect();
            assert_eq!(
                found,
                [("one", "ACGTTT"), ("two", "GGG")],
                "capacity {capacity}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told_in_the_words_of_the_system() {
        for name in ["none.fa", "none.csv", "none"] {
            let error = read_sequences(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}: No such file")), "{error}");
        }
    }

    #[test]
    fn complaints_name_file_and_line() {
        let cases = [
            (
                "x.fa",
                "ACGT\n",
                "x.fa, line 1: expected a FASTA definition",
            ),
            (
                "x.fa",
                ">one\nAC\nGT\n>\nAC\n",
                "x.fa, line 4: expected a FASTA definition",
            ),
            (
                "x.fa",
                ">one\nAC\nGT\n\n>two\nAC\nG-T\n",
                "x.fa, line 7: '-' at position 4",
            ),
            (
                "x.fa",
                ">one\r\nAC\r\n\r\nG T\r\n",
                "x.fa, line 4: ' ' at position 4",
            ),
            (
                "x.fa",
                ">one\n>two\nAC\n",
                "x.fa, line 1: the sequence is empty",
            ),
            ("x.fa", "\n\n", "x.fa holds no sequences"),
            ("x.fa", "", "x.fa holds no sequences"),
            ("x.fa", ">", "x.fa, line 1: expected a FASTA definition"),
            ("x.fa", ">one", "x.fa, line 1: the sequence is empty"),
            (
                "x.fa",
                ">one\rACGT\r",
                "x.fa, line 1: the sequence is empty",
            ),
            ("x.fa", ">one\nAC\0T\n", "x.fa, line 2: '\\0' at position 3"),
            ("x.fa", "\0\0\0\0", "x.fa, line 1: expected a FASTA"),
            ("x.fa.gz", "", "decompress it first"),
            ("x.txt", "", "the extension is not known"),
            ("x", "", "the name has no extension"),
            ("x.csv", "id,label\na,1\n", "there is no column `sequence`"),
        ];
        for (name, text, expected) in cases {
            let found = read(name, text).unwrap_err();
            assert!(found.contains(expected), "{name} {text:?}: {found}");
        }
    }
}
