//! Samples in a file, for data that outgrow memory: any of them is read by two reads at known places.
//!
//! The file holds the tokens of all samples one behind the other, then an entry of fixed size for each (where its tokens
//! are, how many, a checksum, the fingerprint of its sequence, its label), then a description as JSON, and at its end the
//! description's length and hash. Numbers are little-endian.

mod entry;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use entry::Entry;
use entry::{LabelKind, checksum};
pub use writer::StoreWriter;

use super::samples::Lengths;
use super::tokenize::{EncodingReport, Sample};

/// The last bytes of a store; a change of the format changes them.
const MAGIC: &[u8; 8] = b"LINGOTK1";
/// Length of the description, its BLAKE3 hash, and the magic.
const TRAILER: usize = 8 + 32 + 8;
/// Longest description that is read.
const LONGEST_DESCRIPTION: u64 = 1 << 24;
/// Bytes of entries that are read at a time.
const BLOCK: usize = 1 << 18;

/// Why samples cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be written.
    #[error("cannot write tokens to {}: {source}; data.cache names a folder with more room", path.display())]
    Write {
        /// The file, or its folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read tokens from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error("{} is damaged ({reason}); delete it, and it is made anew from the data", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What is known of all samples together.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Description {
    samples: usize,
    /// Bytes of a token.
    token_bytes: usize,
    labels: LabelKind,
    /// Where entries begin.
    entries_at: u64,
    report: EncodingReport,
    lengths: Lengths,
}

/// A file of samples.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    description: Description,
}

impl Store {
    /// Opens a file that a [`StoreWriter`] has finished.
    ///
    /// # Errors
    /// If it cannot be read, or is not whole.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let read = |source| StoreError::Read {
            path: path.to_owned(),
            source,
        };
        let damaged = |reason| StoreError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let description_end = size
            .checked_sub(TRAILER as u64)
            .ok_or_else(|| damaged("it is cut short"))?;
        let mut trailer = [0; TRAILER];
        read_at(&file, &mut trailer, description_end).map_err(read)?;
        let (length, rest) = trailer.split_at(8);
        let (hash, magic) = rest.split_at(32);
        if magic != MAGIC {
            return Err(damaged("its end is not that of a store"));
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let description_at = description_end
            .checked_sub(length)
            .filter(|_| length <= LONGEST_DESCRIPTION)
            .ok_or_else(|| damaged("its description is longer than it"))?;
        let mut json = vec![0; length as usize];
        read_at(&file, &mut json, description_at).map_err(read)?;
        if blake3::hash(&json).as_bytes() != hash {
            return Err(damaged("its description has changed"));
        }
        let description: Description = serde_json::from_slice(&json)
            .map_err(|_| damaged("its description is of another form"))?;
        let entries = (description.samples as u64)
            .checked_mul(description.labels.entry_bytes() as u64)
            .and_then(|entries| entries.checked_add(description.entries_at));
        if entries != Some(description_at) || ![2, 4].contains(&description.token_bytes) {
            return Err(damaged("its parts are not where they should be"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            description,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.description.samples
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What encoding did to all of them.
    pub fn report(&self) -> EncodingReport {
        self.description.report
    }

    /// How long they are.
    pub fn lengths(&self) -> &Lengths {
        &self.description.lengths
    }

    /// What there is of a sample beside its tokens.
    ///
    /// # Errors
    /// If it cannot be read.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn entry(&self, index: usize) -> Result<Entry, StoreError> {
        assert!(index < self.len(), "{index} of {} samples", self.len());
        let mut bytes = vec![0; self.description.labels.entry_bytes()];
        let at = self.description.entries_at + (index * bytes.len()) as u64;
        self.read_at(&mut bytes, at)?;
        self.parsed(&bytes)
    }

    /// The entries of all samples, in their order.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
        let size = self.description.labels.entry_bytes();
        self.blocks().flat_map(move |block| match block {
            Ok(bytes) => bytes
                .chunks_exact(size)
                .map(|entry| self.parsed(entry))
                .collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// A hash of all entries, which hold a checksum of each sample.
    pub(super) fn digest(&self) -> Result<blake3::Hash, StoreError> {
        let mut hasher = blake3::Hasher::new();
        for block in self.blocks() {
            hasher.update(&block?);
        }
        Ok(hasher.finalize())
    }

    /// The bytes of all entries, some at a time.
    fn blocks(&self) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> + '_ {
        let size = self.description.labels.entry_bytes();
        let of_block = BLOCK.div_ceil(size);
        (0..self.len()).step_by(of_block).map(move |first| {
            let mut bytes = vec![0; of_block.min(self.len() - first) * size];
            let at = self.description.entries_at + (first * size) as u64;
            self.read_at(&mut bytes, at)?;
            Ok(bytes)
        })
    }

    /// A sample.
    ///
    /// # Errors
    /// If it cannot be read, or is not as it was written.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, index: usize) -> Result<Sample, StoreError> {
        let entry = self.entry(index)?;
        let token_bytes = self.description.token_bytes;
        let length = entry.tokens as u64 * token_bytes as u64;
        if entry
            .at
            .checked_add(length)
            .is_none_or(|end| end > self.description.entries_at)
        {
            return Err(self.damaged("tokens lie outside it"));
        }
        let mut bytes = vec![0; length as usize];
        self.read_at(&mut bytes, entry.at)?;
        if checksum(&bytes, &entry.label, entry.fingerprint) != entry.checksum {
            return Err(self.damaged("a sample has changed"));
        }
        let ids = match token_bytes {
            2 => bytes
                .chunks_exact(2)
                .map(|id| u32::from(u16::from_le_bytes([id[0], id[1]])))
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]))
                .collect(),
        };
        Ok(Sample {
            ids,
            label: entry.label,
        })
    }

    fn parsed(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        Entry::parse(bytes, self.description.labels).ok_or_else(|| self.damaged("a label is none"))
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<(), StoreError> {
        read_at(&self.file, bytes, at).map_err(|source| StoreError::Read {
            path: self.path.clone(),
            source,
        })
    }

    fn damaged(&self, reason: &'static str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            reason,
        }
    }
}

/// Reads from a place, whoever else reads from the file.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, at);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            let at = at + done as u64;
            match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
