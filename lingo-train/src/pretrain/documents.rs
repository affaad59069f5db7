//! The documents of a corpus.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::data::{DataError, read_sequences};
use crate::readable;

/// Names of files whose sequences are documents.
const FASTA: [&str; 4] = ["fa", "fasta", "fna", "fas"];
/// What some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// Why a corpus cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file cannot be read.
    #[error("cannot read the corpus {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no text.
    #[error(
        "{}, line {line}: expected UTF-8 text, found the byte {byte:#04x}; convert the file, for example with iconv",
        path.display()
    )]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The first byte that is none of a character.
        byte: u8,
    },
    /// Nothing is in it.
    #[error("{} holds no document: expected text, with blank lines between documents", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The sequences cannot be read.
    #[error(transparent)]
    Sequences(#[from] DataError),
    /// The tokenizer refuses a document.
    #[error("{}: the tokenizer cannot read document {document}: {reason}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        document: usize,
        /// What it says.
        reason: String,
    },
}

/// Texts that do not belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// Where they were.
    pub path: PathBuf,
    /// None empty.
    pub texts: Vec<String>,
}

impl Documents {
    /// Reads a file: FASTA, told by its name, whose sequences are documents, in upper case; or UTF-8 text, whose documents
    /// are separated by lines of nothing but white space.
    ///
    /// # Errors
    /// If it cannot be read, is no such text, or holds nothing.
    pub fn read(path: &Path) -> Result<Self, CorpusError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(str::to_ascii_lowercase).unwrap_or_default();
        let texts = match FASTA.contains(&extension.as_str()) {
            true => {
                let records = read_sequences(path)?.into_iter();
                records.map(|record| record.sequence).collect()
            }
            false => separate(&text(path)?),
        };
        let path = path.to_owned();
        match texts.is_empty() {
            true => Err(CorpusError::Empty { path }),
            false => Ok(Self { path, texts }),
        }
    }

    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

fn text(path: &Path) -> Result<String, CorpusError> {
    let mut bytes = Vec::new();
    let read = readable::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|source| CorpusError::Read {
        path: path.to_owned(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        CorpusError::Encoding {
            path: path.to_owned(),
            line: 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count(),
            byte: bytes.get(at).copied().unwrap_or_default(),
        }
    })
}

/// The documents of a text, their lines joined by plain line feeds.
fn separate(text: &str) -> Vec<String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut documents = Vec::new();
    let mut document = String::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            if !document.is_empty() {
                document.push('\n');
            }
            document.push_str(line);
        } else if !document.is_empty() {
            documents.push(std::mem::take(&mut document));
        }
    }
    documents
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let documents = Documents::read(&path).map_err(|error| error.to_string());
        documents.map(|documents| documents.texts)
    }

    #[test]
    fn documents_are_separated_by_blank_lines_of_any_kind() {
        let text = "\u{FEFF}one\r\n two\r\n\r\n \t\n\n\nthree\n";
        let found = read("corpus.txt", text.as_bytes()).unwrap();
        assert_eq!(found, ["one\n two", "three"]);
    }

    #[test]
    fn sequences_of_fasta_are_documents_without_line_breaks() {
        let found = read("corpus.fa", b">a\nacg\nTTN\n>b\nGG\n").unwrap();
        assert_eq!(found, ["ACGTTN", "GG"]);
    }

    #[test]
    fn what_is_no_text_is_named_with_its_line() {
        let error = read("corpus.txt", b"good\nbad \xFF\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("0xff"),
            "{error}"
        );
        let error = read("corpus.txt", b"\n \n").unwrap_err();
        assert!(error.contains("no document"), "{error}");
    }
}
