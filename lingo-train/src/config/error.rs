//! What can be wrong with a run file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::origin::{Origin, Source};

/// Why a run file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read the run file {file}: {source}")]
    Read {
        /// The file.
        file: Arc<Source>,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{file} is not valid TOML:\n{source}")]
    Syntax {
        /// The file.
        file: Arc<Source>,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A file extends itself.
    #[error("extends goes in a circle: {file}; leave one of them out")]
    Cycle {
        /// The file, the second time.
        file: Arc<Source>,
    },
    /// Keys or values are wrong: all of them, one a line.
    #[error("{}: {}{}", names(files), count(problems), lines(problems))]
    Invalid {
        /// The run file, or those that make it up.
        files: Vec<PathBuf>,
        /// Every problem, in the order of the keys.
        problems: Vec<Problem>,
    },
    /// The configuration cannot be written as TOML.
    #[error("cannot write the resolved configuration as TOML: {0}")]
    Write(#[source] toml::ser::Error),
}

/// One problem of a run file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, for example `train.batch_size`.
    pub key: String,
    /// What is wrong with it.
    pub found: String,
    /// What would be right.
    pub accepted: String,
    /// Where it was set, if it was.
    pub origin: Option<Origin>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.found, self.accepted)?;
        match &self.origin {
            Some(origin) => write!(f, " ({})", origin.with_chain()),
            None => Ok(()),
        }
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(" ")
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".into(),
        n => format!("{n} problems"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}
