//! DeepSEA's own files, one sample at a time and never whole in memory.
//!
//! The bundle of Zhou and Troyanskaya (Nature Methods 12, 2015) has `train.mat` in MATLAB's format 7.3, which is HDF5, and
//! `valid.mat` and `test.mat` in MATLAB's format 5. Each holds two variables, here in MATLAB's order of dimensions:
//! `trainxdata` (samples, 4, 1000) with the one-hot sequences, whose four rows are A, G, C and T, and `traindata` (samples,
//! 919) with the labels; `valid` or `test` stand for `train` in the others. h5py shows the dimensions of 7.3 the other way
//! round. So say the loaders that read them: DanQ's training script (shapes and formats), Kipoi's DeepSEA models and the
//! conversion scripts around DeepSEA's Beluga (order of the rows). Any prefix and any length of sequence is read.
//!
//! Both formats keep the samples fastest: the bytes of one sample lie one in each row of as many bytes as there are samples.
//! Opening a file therefore decodes it once, row by row, into temporary files of one byte a base and one byte a label, which
//! are then read in blocks of samples. They need about a quarter of the sequences' size on disk (4.4 GB for DeepSEA's
//! training split), and go when the reader does.

mod columns;
mod error;
mod hdf5;
mod intake;
mod matlab5;
mod one_hot;
mod spool;

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

pub use columns::{Columns, ColumnsError};
pub use error::MatError;

use self::intake::Intake;
use self::spool::Spool;
use super::label::Label;
use super::record::{DataError, Record};
use crate::readable;

/// Bytes of bases and labels that are held at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// The samples of one of DeepSEA's files, in its order; they are named by their numbers, counted from 0.
#[derive(Debug)]
pub struct DeepSea {
    path: PathBuf,
    sequences: Spool,
    marks: Spool,
    next: usize,
    block: Block,
    block_bytes: usize,
}

/// Samples that have been read and not been asked for yet.
#[derive(Debug, Default)]
struct Block {
    end: usize,
    start: usize,
    letters: Vec<u8>,
    marks: Vec<u8>,
}

impl DeepSea {
    /// Decodes a file of either format, told by its first bytes, as far as `columns` need it, into temporary files in the
    /// folder `dir`, which is made where there is none.
    ///
    /// # Errors
    /// If the file is of another kind, damaged or cut off, lacks one of the two variables, or has other shapes or values than
    /// DeepSEA's; if it holds no samples; if `dir` is full.
    pub fn open(path: &Path, columns: &Columns, dir: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = readable::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut start = Vec::new();
        file.by_ref()
            .take(HEADER_BYTES)
            .read_to_end(&mut start)
            .and_then(|_| file.rewind())
            .map_err(unreadable)?;

        let mut intake = Intake::new(columns, dir);
        let outcome = match Format::of(&start) {
            Ok(Format::Matlab5) => matlab5::read(file, bytes, &mut intake),
            Ok(Format::Hdf5) => hdf5::read(path, bytes, &mut intake),
            Err(error) => Err(error),
        };
        let tables = outcome.and_then(|()| intake.finish());
        let (sequences, marks) = tables.map_err(|source| DataError::Mat {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            path: path.to_owned(),
            sequences,
            marks,
            next: 0,
            block: Block::default(),
            block_bytes: BLOCK_BYTES,
        })
    }

    /// Samples in the file.
    pub fn len(&self) -> usize {
        self.sequences.samples()
    }

    /// Whether there are none; [`open`](Self::open) refuses that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read_block(&mut self) -> Result<(), MatError> {
        let start = self.next;
        let bytes = self.sequences.rows() + self.marks.rows();
        let count = (self.block_bytes / bytes).max(1).min(self.len() - start);
        self.sequences.read(start, count, &mut self.block.letters)?;
        self.marks.read(start, count, &mut self.block.marks)?;
        (self.block.start, self.block.end) = (start, start + count);
        Ok(())
    }
}

impl Iterator for DeepSea {
    type Item = Result<Record, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.len() {
            return None;
        }
        if self.next == self.block.end
            && let Err(source) = self.read_block()
        {
            self.next = self.len();
            let (path, source) = (self.path.clone(), Box::new(source));
            return Some(Err(DataError::Mat { path, source }));
        }
        let at = self.next - self.block.start;
        let (bases, labels) = (self.sequences.rows(), self.marks.rows());
        let letters = &self.block.letters[at * bases..][..bases];
        let marks = &self.block.marks[at * labels..][..labels];
        let record = Record {
            id: self.next.to_string(),
            sequence: String::from_utf8_lossy(letters).into_owned(),
            label: Some(Label::Marks(
                marks.iter().map(|mark| Some(*mark == 1)).collect(),
            )),
        };
        self.next += 1;
        Some(Ok(record))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len() - self.next;
        (left, Some(left))
    }
}

/// As many bytes as tell the format.
const HEADER_BYTES: u64 = 520;

/// What a file's first bytes say of it.
enum Format {
    Matlab5,
    Hdf5,
}

impl Format {
    /// HDF5 may start with a block of the user's; MATLAB's has 512 bytes.
    fn of(start: &[u8]) -> Result<Self, MatError> {
        const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
        let hdf5 = |offset: usize| {
            start
                .get(offset..)
                .is_some_and(|s| s.starts_with(SIGNATURE))
        };
        if hdf5(0) || hdf5(512) {
            Ok(Self::Hdf5)
        } else if start.starts_with(b"MATLAB 5.0 MAT-file") {
            Ok(Self::Matlab5)
        } else if start.starts_with(b"MATLAB 7.3 MAT-file") {
            Err(MatError::CutOff)
        } else {
            Err(MatError::Format)
        }
    }
}

#[cfg(test)]
mod tests;
