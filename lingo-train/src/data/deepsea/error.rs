//! What can be wrong with a file of DeepSEA's.

use std::io;
use std::path::PathBuf;

/// Why one of DeepSEA's files cannot be used; [`DataError`](super::super::DataError) says which one.
#[derive(Debug, thiserror::Error)]
pub enum MatError {
    /// The first bytes are those of no format that is read.
    #[error(
        "neither a MATLAB 5 nor a MATLAB 7.3 (HDF5) file; expected train.mat, valid.mat or test.mat as unpacked from \
         DeepSEA's bundle"
    )]
    Format,
    /// The file ends within something.
    #[error("the file ends too early; its download or unpacking was cut off, get it again")]
    CutOff,
    /// The bytes are of the other order.
    #[error(
        "written on a big-endian machine, which is not read; save it again with MATLAB or scipy on another one"
    )]
    BigEndian,
    /// The file cannot be read on.
    #[error("cannot be read on: {0}")]
    Read(io::Error),
    /// The file says something that cannot be.
    #[error("damaged at byte {offset}: {reason}; get the file again")]
    Damaged {
        /// Where, in the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// HDF5 that cannot be read.
    #[error("cannot be read as HDF5: {0}")]
    Hdf5(#[from] hdf5_reader::error::Error),
    /// A variable is not there.
    #[error("no variable has a name that ends in `{ending}`; there are {found}", found = list(found))]
    Missing {
        /// What the name should end in.
        ending: &'static str,
        /// The variables.
        found: Vec<String>,
    },
    /// Two variables could be meant.
    #[error("two variables could be the {what}, `{first}` and `{second}`; expected one")]
    Twice {
        /// What the variables hold.
        what: &'static str,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A variable is of another shape.
    #[error(
        "the variable `{name}` has the dimensions {found:?} (samples first), expected {expected}"
    )]
    Shape {
        /// The variable.
        name: String,
        /// Its dimensions.
        found: Vec<u64>,
        /// What they should be.
        expected: &'static str,
    },
    /// A variable holds no plain numbers.
    #[error("the variable `{name}` holds {found}, expected integers, logical, single or double")]
    Class {
        /// The variable.
        name: String,
        /// What it holds.
        found: String,
    },
    /// A variable says that it is larger than the file can hold.
    #[error(
        "the variable `{name}` claims {claimed} bytes, more than the file can hold; the file is cut off or damaged, get it again"
    )]
    Claims {
        /// The variable.
        name: String,
        /// Bytes it claims.
        claimed: u64,
    },
    /// A value is neither 0 nor 1.
    #[error(
        "the variable `{name}`, sample {sample} (counted from 0), {place} {number} (counted from 1): a value is neither 0 nor 1"
    )]
    Value {
        /// The variable.
        name: String,
        /// The sample.
        sample: usize,
        /// What its values are counted by.
        place: &'static str,
        /// Which of them.
        number: usize,
    },
    /// A position has several bases.
    #[error(
        "the variable `{name}`, sample {sample} (counted from 0), position {position} (counted from 1): more than one of A, G, \
         C and T is 1"
    )]
    Bases {
        /// The variable.
        name: String,
        /// The sample.
        sample: usize,
        /// The position.
        position: usize,
    },
    /// The variables disagree.
    #[error("{sequences} sequences, but labels of {labels} samples")]
    Samples {
        /// Samples of the one.
        sequences: usize,
        /// Samples of the other.
        labels: usize,
    },
    /// What is decoded cannot be kept.
    #[error(
        "cannot unpack it into {}: {source}; that takes a byte for each base and label, name a folder with more room by data.cache",
        dir.display()
    )]
    Temporary {
        /// Where to.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl MatError {
    /// What reading or decompressing met at `offset`.
    pub(super) fn reading(error: io::Error, offset: u64) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Damaged {
                offset,
                reason: error.to_string(),
            },
            _ => Self::Read(error),
        }
    }
}

fn list(names: &[String]) -> String {
    const TOLD: usize = 8;
    let mut quoted: Vec<String> = names
        .iter()
        .take(TOLD)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > TOLD {
        quoted.push(format!("{} more", names.len() - TOLD));
    }
    if quoted.is_empty() {
        "none".into()
    } else {
        quoted.join(", ")
    }
}
