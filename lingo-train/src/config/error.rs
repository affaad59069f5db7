//! What can be wrong with a run file.

use std::fmt;
use std::path::PathBuf;

/// Why a run file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the run file {}: {source}", path.display())]
    Read {
        /// The run file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML:\n{source}", path.display())]
    Syntax {
        /// The run file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Keys or values are wrong: all of them, one a line.
    #[error("{}: {} in the run file{}", path.display(), count(problems), lines(problems))]
    Invalid {
        /// The run file.
        path: PathBuf,
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
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.found, self.accepted)
    }
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
