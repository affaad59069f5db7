//! Writing a store, sample by sample, in constant memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::entry::{Entry, LabelKind, checksum};
use super::{Description, MAGIC, Store, StoreError};
use crate::data::samples::Lengths;
use crate::data::tokenize::{EncodingReport, Sample};
use crate::record::temporary;

/// Ids that two bytes hold.
const OF_TWO_BYTES: usize = 1 << 16;

/// Writes samples, under a temporary name until they are whole.
#[derive(Debug)]
pub struct StoreWriter {
    tokens: BufWriter<NamedTempFile>,
    entries: BufWriter<File>,
    dir: PathBuf,
    at: u64,
    token_bytes: usize,
    samples: usize,
    labels: Option<LabelKind>,
    lengths: Lengths,
    report: EncodingReport,
}

impl StoreWriter {
    /// A store in `dir`, which exists, of tokens below `rows`.
    ///
    /// # Errors
    /// If no file can be made there.
    pub fn new(dir: &Path, rows: usize) -> Result<Self, StoreError> {
        let write = |source| StoreError::Write {
            path: dir.to_owned(),
            source,
        };
        Ok(Self {
            tokens: BufWriter::new(part(dir).map_err(write)?),
            entries: BufWriter::new(tempfile::tempfile_in(dir).map_err(write)?),
            dir: dir.to_owned(),
            at: 0,
            token_bytes: if rows <= OF_TWO_BYTES { 2 } else { 4 },
            samples: 0,
            labels: None,
            lengths: Lengths::default(),
            report: EncodingReport::default(),
        })
    }

    /// How many samples there are so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Adds samples with the fingerprints of their sequences, and what encoding did to them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push(
        &mut self,
        samples: &[Sample],
        fingerprints: &[u64],
        report: EncodingReport,
    ) -> Result<(), StoreError> {
        for (sample, fingerprint) in samples.iter().zip(fingerprints) {
            self.push_one(sample, *fingerprint)
                .map_err(|source| self.failed(source))?;
        }
        self.report = self.report.merge(report);
        Ok(())
    }

    fn push_one(&mut self, sample: &Sample, fingerprint: u64) -> io::Result<()> {
        let ids = sample.ids.iter().copied();
        let bytes: Vec<u8> = match self.token_bytes {
            2 => ids.flat_map(|id| (id as u16).to_le_bytes()).collect(),
            _ => ids.flat_map(u32::to_le_bytes).collect(),
        };
        let kind = *self
            .labels
            .get_or_insert(LabelKind::of(sample.label.as_ref()));
        let entry = Entry {
            at: self.at,
            tokens: sample.ids.len(),
            checksum: checksum(&bytes, &sample.label, fingerprint),
            fingerprint,
            label: sample.label.clone(),
        };
        let entry = entry.pack(kind).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "labels of two kinds in one file",
            )
        })?;
        self.tokens.write_all(&bytes)?;
        self.entries.write_all(&entry)?;
        self.at += bytes.len() as u64;
        self.samples += 1;
        self.lengths.count(sample.ids.len());
        Ok(())
    }

    /// Makes it whole, and gives it the name `path` in the writer's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self, path: &Path) -> Result<Store, StoreError> {
        self.complete().map_err(|source| self.failed(source))?;
        let dir = self.dir;
        let write = |source| StoreError::Write { path: dir, source };
        let file = match self.tokens.into_inner() {
            Ok(file) => file,
            Err(error) => return Err(write(error.into_error())),
        };
        file.persist(path).map_err(|error| write(error.error))?;
        Store::open(path)
    }

    fn complete(&mut self) -> io::Result<()> {
        self.entries.flush()?;
        self.entries.get_mut().rewind()?;
        io::copy(
            &mut BufReader::new(self.entries.get_ref()),
            &mut self.tokens,
        )?;
        let description = Description {
            samples: self.samples,
            token_bytes: self.token_bytes,
            labels: self.labels.unwrap_or(LabelKind::Class),
            entries_at: self.at,
            report: self.report,
            lengths: self.lengths.clone(),
        };
        let json = serde_json::to_vec(&description)?;
        self.tokens.write_all(&json)?;
        self.tokens.write_all(&(json.len() as u64).to_le_bytes())?;
        self.tokens.write_all(blake3::hash(&json).as_bytes())?;
        self.tokens.write_all(MAGIC)?;
        self.tokens.flush()?;
        self.tokens.get_ref().as_file().sync_all()
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Write {
            path: self.dir.clone(),
            source,
        }
    }
}

/// The end of the names of stores that are not whole.
const PART: &str = ".tokens.part";

/// How long nobody has written to a file that nobody writes to any more.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// A new file for a store. It is locked as long as its process lives, so that what others have left can be told, and goes,
/// a day later: locks may not reach from one machine to another.
fn part(dir: &Path) -> io::Result<NamedTempFile> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_part = path.to_str().is_some_and(|path| path.ends_with(PART));
        // Whether or not it can be removed: it takes room, which is no reason not to go on.
        let is_left = |file: File| {
            let age = file.metadata()?.modified()?.elapsed();
            Ok::<bool, io::Error>(age.is_ok_and(|age| age > LEFT) && file.try_lock().is_ok())
        };
        if is_part && File::open(&path).and_then(is_left).unwrap_or(false) {
            let _ = std::fs::remove_file(path);
        }
    }
    let file = temporary(PART, dir)?;
    // Where a file system knows no locks, nothing is told from anything, and nothing goes.
    let _ = file.as_file().try_lock();
    Ok(file)
}
