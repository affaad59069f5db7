//! Samples of a file, in memory where it is small, else in a store that later runs find again.
//!
//! A store is named by a hash of all that determines it: the file's content, the encoder, and which labels are wanted.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::answers::Wanted;
use super::finding::Finding;
use super::label::Objective;
use super::pipeline;
use super::record::DataError;
use super::samples::Samples;
use super::splits::Splits;
use super::store::{Store, StoreError, StoreWriter};
use super::tokenize::{EncodeError, Encoder, EncodingReport};

/// A change of what is stored, or how it is computed, changes this; so does one of how encoders and labels are written for
/// the name.
const FORM: &str = "lingo tokens 1";

/// Why samples of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data cannot be tokenised.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The file has changed while it was read.
    #[error("{} has changed while it was read; start again when it is whole", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The tokens cannot be stored or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where samples are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder of stores.
    pub dir: PathBuf,
    /// Bytes of the largest file whose samples are held in memory.
    pub in_memory: u64,
}

/// The samples of a file, and what encoding did to them.
#[derive(Debug)]
pub struct Loaded {
    /// In the order of the file.
    pub samples: Samples,
    /// What encoding did.
    pub report: EncodingReport,
    /// What a user should know of how they were read.
    pub findings: Vec<Finding>,
}

impl Cache {
    /// The splits of a task at `[train, dev, test]`, and what encoding did to all of them. `names` are those of labels, or
    /// choose columns of DeepSEA's files. While a store is made, `progress` is told how many samples it has.
    ///
    /// # Errors
    /// If a file cannot be read or encoded, or its samples not be stored; if all of the training split has one class, or of
    /// some label it knows nothing.
    pub fn splits(
        &self,
        paths: [&Path; 3],
        names: Option<&[String]>,
        encoder: &Encoder,
        progress: &mut dyn FnMut(&Path, usize),
    ) -> Result<(Splits, EncodingReport), LoadError> {
        let (mut report, mut findings) = (EncodingReport::default(), Vec::new());
        let mut splits = Splits::load::<LoadError>(paths, names, |path, wanted| {
            let loaded = self.load(path, wanted, encoder, progress)?;
            report = report.merge(loaded.report);
            findings.extend(loaded.findings);
            Ok(loaded.samples)
        })?;
        splits.findings.extend(findings);
        Ok((splits, report))
    }

    /// The samples of a file with answers to a task. While a store is made, `progress` is told how many it has.
    ///
    /// # Errors
    /// If the file cannot be read or encoded, or its samples not be stored; if its labels are none of the task's.
    pub fn labelled(
        &self,
        path: &Path,
        objective: &Objective,
        encoder: &Encoder,
        progress: &mut dyn FnMut(&Path, usize),
    ) -> Result<Loaded, LoadError> {
        self.load(path, Wanted::Of(objective), encoder, progress)
    }

    /// The samples of a file. While a store is made, `progress` is told how many it has.
    ///
    /// # Errors
    /// If the file cannot be read or encoded, or its samples not be stored.
    fn load(
        &self,
        path: &Path,
        wanted: Wanted<'_>,
        encoder: &Encoder,
        progress: &mut dyn FnMut(&Path, usize),
    ) -> Result<Loaded, LoadError> {
        let read = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let before = std::fs::metadata(path).map_err(read)?;
        if before.len() <= self.in_memory {
            return self.in_memory(path, wanted, encoder);
        }
        let write = |source| StoreError::Write {
            path: self.dir.clone(),
            source,
        };
        std::fs::create_dir_all(&self.dir).map_err(write)?;
        let place = self.dir.join(name(path, wanted, encoder).map_err(read)?);
        let (found, damage) = match Store::open(&place) {
            Ok(store) => (Some(store), None),
            Err(StoreError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
                (None, None)
            }
            Err(StoreError::Damaged { path, reason }) => {
                (None, Some(Finding::MadeAnew { path, reason }))
            }
            Err(error) => return Err(error.into()),
        };
        let store = match found {
            Some(store) => store,
            None => {
                // Unpacking takes a while before there is a sample.
                progress(path, 0);
                let mut writer = StoreWriter::new(&self.dir, encoder.rows())?;
                pipeline::encode(path, wanted, encoder, &self.dir, |chunk| {
                    writer.push(&chunk.samples, &chunk.fingerprints, chunk.report)?;
                    progress(path, writer.len());
                    Ok(())
                })?;
                let after = std::fs::metadata(path).map_err(read)?;
                if after.len() != before.len() || after.modified().ok() != before.modified().ok() {
                    let path = path.to_owned();
                    return Err(LoadError::Changed { path });
                }
                writer.finish(&place)?
            }
        };
        let left_out = Finding::left_out(path, store.report());
        Ok(Loaded {
            report: store.report(),
            samples: store.into(),
            findings: damage.into_iter().chain(left_out).collect(),
        })
    }

    fn in_memory(
        &self,
        path: &Path,
        wanted: Wanted<'_>,
        encoder: &Encoder,
    ) -> Result<Loaded, LoadError> {
        let (mut samples, mut fingerprints) = (Vec::new(), Vec::new());
        let mut report = EncodingReport::default();
        pipeline::encode(path, wanted, encoder, &self.dir, |chunk| {
            samples.extend(chunk.samples);
            fingerprints.extend(chunk.fingerprints);
            report = report.merge(chunk.report);
            Ok(())
        })?;
        Ok(Loaded {
            samples: Samples::in_memory(samples, fingerprints),
            report,
            findings: Finding::left_out(path, report).into_iter().collect(),
        })
    }
}

/// The name of the store of a file's samples.
fn name(path: &Path, wanted: Wanted<'_>, encoder: &Encoder) -> std::io::Result<String> {
    let mut content = blake3::Hasher::new();
    content.update_reader(File::open(path)?)?;
    let mut hasher = blake3::Hasher::new();
    let labels = format!("{wanted:?}");
    let parts = [
        FORM.as_bytes(),
        content.finalize().as_bytes(),
        encoder.fingerprint().as_bytes(),
        labels.as_bytes(),
    ]
    .map(blake3::hash);
    parts.iter().for_each(|part| {
        hasher.update(part.as_bytes());
    });
    let hash = hasher.finalize().to_hex();
    Ok(format!("{}.tokens", &hash[..32]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tempfile::TempDir;

    use super::super::batch::tests::Draws;
    use super::super::{DnaTokens, Label, Pieces};
    use super::*;

    fn encoder(first: u32) -> Encoder {
        let pieces = Pieces {
            before: vec![3],
            dna: DnaTokens::Letters([first, 5, 6, 7, 8]),
            after: Vec::new(),
        };
        Encoder::of_pieces(pieces, [Some(1), None], 90)
    }

    struct Place {
        dir: TempDir,
        made: usize,
    }

    impl Place {
        fn new(rows: usize) -> Self {
            let mut draws = Draws::new(1);
            let mut text = "sequence,label\n".to_owned();
            for row in 0..rows {
                let length = 1 + draws.below(120);
                let sequence = draws.sequence("ACGTN", length);
                text += &format!("{sequence},{}\n", row % 2);
            }
            let place = Self {
                dir: TempDir::new().unwrap(),
                made: 0,
            };
            std::fs::write(place.file(), text).unwrap();
            place
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("train.csv")
        }

        fn load(&mut self, in_memory: u64, encoder: &Encoder) -> Result<Loaded, LoadError> {
            let cache = Cache {
                dir: self.dir.path().join("cache"),
                in_memory,
            };
            let (mut made, file) = (false, self.file());
            let loaded = cache.load(&file, Wanted::Any(None), encoder, &mut |_, _| made = true);
            self.made += usize::from(made);
            loaded
        }
    }

    #[test]
    fn samples_are_the_same_in_memory_and_on_disk() {
        let mut place = Place::new(5000);
        let held = place.load(u64::MAX, &encoder(4)).unwrap();
        assert_eq!(place.made, 0);
        assert!(held.samples.store().is_none());
        let stored = place.load(0, &encoder(4)).unwrap();
        assert_eq!(place.made, 1);
        assert!(stored.samples.store().is_some());
        assert_eq!(stored.report, held.report);
        assert_eq!(stored.samples.lengths(), held.samples.lengths());
        assert_eq!(held.samples.len(), 5000);
        for index in 0..5000 {
            assert_eq!(
                stored.samples.get(index).unwrap(),
                held.samples.get(index).unwrap()
            );
        }
        let all = |loaded: &Loaded| -> Vec<u64> {
            loaded.samples.fingerprints().map(Result::unwrap).collect()
        };
        assert_eq!(all(&stored), all(&held));
    }

    #[test]
    fn a_store_is_made_once_for_what_it_is_made_of() {
        let mut place = Place::new(50);
        for _ in 0..3 {
            place.load(0, &encoder(4)).unwrap();
        }
        assert_eq!(place.made, 1);
        place.load(0, &encoder(9)).unwrap();
        assert_eq!(place.made, 2);
        let text = std::fs::read_to_string(place.file()).unwrap();
        std::fs::write(place.file(), text + "ACGT,1\n").unwrap();
        assert_eq!(place.load(0, &encoder(4)).unwrap().samples.len(), 51);
        assert_eq!(place.made, 3);
    }

    #[test]
    fn a_store_that_is_cut_short_is_made_anew() {
        let mut place = Place::new(50);
        let path = place
            .load(0, &encoder(4))
            .unwrap()
            .samples
            .store()
            .unwrap()
            .path()
            .to_owned();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let loaded = place.load(0, &encoder(4)).unwrap();
        assert_eq!(loaded.samples.len(), 50);
        assert!(matches!(loaded.findings[..], [Finding::MadeAnew { .. }]));
        assert_eq!(place.made, 2);
        assert!(place.load(0, &encoder(4)).unwrap().findings.is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn examples_of_which_nothing_is_known_are_not_trained_on_and_are_counted() {
        let mut place = Place::new(0);
        let text = "sequence,label\nAC,[0 1]\nGG,[nan nan]\nGT,[1 0]\nCC,[nan 0]\nTT,[NA null]\n";
        std::fs::write(place.file(), text).unwrap();
        for in_memory in [u64::MAX, 0, 0] {
            let loaded = place.load(in_memory, &encoder(4)).unwrap();
            let labels: Vec<Label> = loaded.samples.labels().filter_map(Result::unwrap).collect();
            let marks = |marks: [Option<bool>; 2]| Label::Marks(marks.into());
            let (yes, no) = (Some(true), Some(false));
            assert_eq!(
                labels,
                [marks([no, yes]), marks([yes, no]), marks([None, no])]
            );
            let told = loaded.findings[0].to_string();
            assert!(
                told.ends_with("train.csv: of 2 examples no label is known, they are left out"),
                "{told}"
            );
        }
        let objective = crate::data::Objective::unnamed_labels(2);
        let cache = Cache {
            dir: place.file(),
            in_memory: u64::MAX,
        };
        let dev = cache.load(
            &place.file(),
            Wanted::Of(&objective),
            &encoder(4),
            &mut |_, _| (),
        );
        assert_eq!(dev.unwrap().samples.len(), 5);
    }

    #[test]
    fn an_error_far_down_a_file_names_its_line_and_leaves_nothing_behind() {
        let mut place = Place::new(9000);
        let text = std::fs::read_to_string(place.file()).unwrap();
        std::fs::write(place.file(), text + "ACGJ,1\n").unwrap();
        for in_memory in [0, u64::MAX] {
            let error = place.load(in_memory, &encoder(4)).unwrap_err().to_string();
            assert!(error.contains("train.csv, line 9002"), "{error}");
        }
        let cache = place.dir.path().join("cache");
        assert_eq!(cache.read_dir().unwrap().count(), 0);
    }
}
