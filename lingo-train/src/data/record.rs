//! A sequence with its name and label, and what can be wrong with the file it comes from.

use std::path::PathBuf;

use super::deepsea::{ColumnsError, MatError};
use super::label::Label;

/// The letters that a [`Record`]'s sequence consists of: the nucleotides and IUPAC's codes for several of them.
pub const NUCLEOTIDES: &str = "ACGTRYSWKMBDHVN";

/// One sequence to learn from or to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name: the FASTA name, the column `id`, or the number of its row, counted from 0.
    pub id: String,
    /// Nucleotides in upper case; RNA's U has become T.
    pub sequence: String,
    /// What is known of it, if anything.
    pub label: Option<Label>,
}

/// Upper-cases a sequence and turns U into T.
///
/// # Errors
/// With the first letter that is no IUPAC nucleotide and its position, counted from 1.
pub fn normalise(sequence: &str) -> Result<String, (char, usize)> {
    let letter = |(index, letter): (usize, char)| match letter.to_ascii_uppercase() {
        'U' => Ok('T'),
        upper if NUCLEOTIDES.contains(upper) => Ok(upper),
        _ => Err((letter, index + 1)),
    };
    sequence.chars().enumerate().map(letter).collect()
}

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is not well-formed.
    #[error("{}, line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The table lacks a column.
    #[error(
        "{}, line 1: there is no column `{column}`; the header has {}{}",
        path.display(),
        list(found),
        other_separator(found)
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The column that is needed.
        column: String,
        /// The header as it stands.
        found: Vec<String>,
    },
    /// The file holds no records.
    #[error("{} holds no sequences", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A record's sequence is empty.
    #[error("{}, line {line}: the sequence is empty", path.display())]
    EmptySequence {
        /// The file.
        path: PathBuf,
        /// The record's line.
        line: u64,
    },
    /// A sequence holds something else than nucleotides.
    #[error(
        "{}, line {line}: {letter:?} at position {position} of the sequence is no nucleotide; the IUPAC letters \
         {NUCLEOTIDES} and U are accepted, in either case",
        path.display()
    )]
    Letter {
        /// The file.
        path: PathBuf,
        /// The record's line.
        line: u64,
        /// The letter.
        letter: char,
        /// Its position in the sequence, counted from 1.
        position: usize,
    },
    /// A label is missing or no class.
    #[error("{}, line {line}: the label is `{found}`, expected {expected}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The record's line.
        line: u64,
        /// The label as it stands.
        found: String,
        /// What a label may be.
        expected: String,
    },
    /// One of many labels is no answer.
    #[error(
        "{}, line {line}: the label `{label}` is `{found}`, expected 0 or 1, or nothing or NA where it is not known",
        path.display()
    )]
    Mark {
        /// The file.
        path: PathBuf,
        /// The record's line.
        line: u64,
        /// The label's name.
        label: String,
        /// What stands there.
        found: String,
    },
    /// A list of labels is of another length.
    #[error("{}, line {line}: the list has {found} labels, expected {expected} as elsewhere", path.display())]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// The record's line.
        line: u64,
        /// Labels listed.
        found: usize,
        /// Labels of the task.
        expected: usize,
    },
    /// A label is known for no example of the training split, or none of another split.
    #[error(
        "{}: nothing is known of {}, so that it is neither learnt nor measured; leave it out, or give examples of it",
        path.display(),
        list(labels)
    )]
    UnknownLabels {
        /// The file of the split.
        path: PathBuf,
        /// The labels.
        labels: Vec<String>,
    },
    /// The training split has one label.
    #[error(
        "every label in {} is {label}; a classifier needs examples of at least two classes, numbered from 0",
        path.display()
    )]
    OneClass {
        /// The file of the training split.
        path: PathBuf,
        /// The label.
        label: usize,
    },
    /// The file's name does not tell its format, or tells one that is not read.
    #[error(
        "{}: {reason}; expected .csv (with a column `sequence`), FASTA (.fa, .fasta, .fna, .fas) or DeepSEA's .mat",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the name tells.
        reason: &'static str,
    },
    /// A file of sequences alone where answers are needed.
    #[error(
        "{}: FASTA has no labels, by which a model is trained or scored; make a .csv of it, with columns `sequence` and \
         `label` (`lingo predict` takes FASTA)",
        path.display()
    )]
    Unlabelled {
        /// The file.
        path: PathBuf,
    },
    /// One of DeepSEA's files cannot be used.
    #[error("{}: {source}", path.display())]
    Mat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<MatError>,
    },
    /// Columns of DeepSEA's are asked for that there are not.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() {
        "nothing".into()
    } else {
        quoted.join(", ")
    }
}

/// A guess where the whole header is one column.
fn other_separator(header: &[String]) -> &'static str {
    match header {
        [first, ..] if first.starts_with('>') => {
            " (this looks like FASTA: its name is to end in .fa)"
        }
        [one] if one.contains(['\t', ';']) => " (columns are separated by commas)",
        _ => "",
    }
}
