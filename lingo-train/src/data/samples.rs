//! The samples of a split, in memory or in a store on disk: whoever reads them cannot tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use blake3::{Hash, Hasher};
use burn::data::dataset::{Dataset, DatasetError};

use super::label::Label;
use super::store::{Store, StoreError};
use super::tokenize::Sample;

/// The samples of a split, which can be had in any order. Clones share them.
#[derive(Clone, Debug)]
pub struct Samples(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Held>),
    Disk(Arc<Store>),
}

#[derive(Debug)]
struct Held {
    samples: Vec<Sample>,
    fingerprints: Vec<u64>,
    lengths: Lengths,
}

/// How many samples there are of each length in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lengths(BTreeMap<usize, u64>);

impl Lengths {
    /// Counts a sample.
    pub fn count(&mut self, tokens: usize) {
        *self.0.entry(tokens).or_default() += 1;
    }

    /// Tokens of batches of `batch_size` random samples, padding included, to tokens without padding: the mean of the
    /// longest of a batch to the mean of all. 1 where there is none.
    pub fn padding(&self, batch_size: usize) -> f64 {
        let all: u64 = self.0.values().sum();
        let (mut below, mut sum, mut longest) = (0, 0.0, 0.0);
        let at_most = |count: u64| (count as f64 / all as f64).powi(batch_size as i32);
        for (tokens, count) in &self.0 {
            sum += (*tokens as f64) * (*count as f64);
            longest += *tokens as f64 * (at_most(below + count) - at_most(below));
            below += count;
        }
        match sum > 0.0 {
            true => longest * all as f64 / sum,
            false => 1.0,
        }
    }
}

impl Samples {
    /// Samples in memory; `fingerprints` are those of their sequences, or none.
    pub fn in_memory(samples: Vec<Sample>, fingerprints: Vec<u64>) -> Self {
        let mut lengths = Lengths::default();
        for sample in &samples {
            lengths.count(sample.ids.len());
        }
        Self(Place::Memory(Arc::new(Held {
            samples,
            fingerprints,
            lengths,
        })))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Memory(held) => held.samples.len(),
            Place::Disk(store) => store.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file that holds them, if one does.
    pub fn store(&self) -> Option<&Store> {
        match &self.0 {
            Place::Memory(_) => None,
            Place::Disk(store) => Some(store),
        }
    }

    /// A sample.
    ///
    /// # Errors
    /// If it cannot be read.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, index: usize) -> Result<Sample, StoreError> {
        match &self.0 {
            Place::Memory(held) => Ok(held.samples[index].clone()),
            Place::Disk(store) => store.get(index),
        }
    }

    /// Tokens of a sample.
    ///
    /// # Errors
    /// If it cannot be read.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn tokens(&self, index: usize) -> Result<usize, StoreError> {
        match &self.0 {
            Place::Memory(held) => Ok(held.samples[index].ids.len()),
            Place::Disk(store) => Ok(store.entry(index)?.tokens),
        }
    }

    /// How much is known of a sample, as [`Label::known`] counts.
    ///
    /// # Errors
    /// If it cannot be read.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn known(&self, index: usize) -> Result<usize, StoreError> {
        let known = |label: &Option<Label>| label.as_ref().map_or(0, Label::known);
        match &self.0 {
            Place::Memory(held) => Ok(known(&held.samples[index].label)),
            Place::Disk(store) => Ok(known(&store.entry(index)?.label)),
        }
    }

    /// Tokens of each sample, in their order.
    pub fn all_tokens(&self) -> Box<dyn Iterator<Item = Result<usize, StoreError>> + '_> {
        match &self.0 {
            Place::Memory(held) => Box::new(held.samples.iter().map(|sample| Ok(sample.ids.len()))),
            Place::Disk(store) => Box::new(store.entries().map(|entry| Ok(entry?.tokens))),
        }
    }

    /// What is known of each sample, in their order.
    pub fn labels(&self) -> Box<dyn Iterator<Item = Result<Option<Label>, StoreError>> + '_> {
        match &self.0 {
            Place::Memory(held) => {
                Box::new(held.samples.iter().map(|sample| Ok(sample.label.clone())))
            }
            Place::Disk(store) => Box::new(store.entries().map(|entry| Ok(entry?.label))),
        }
    }

    /// The fingerprint of each sample's sequence, in their order.
    pub fn fingerprints(&self) -> Box<dyn Iterator<Item = Result<u64, StoreError>> + '_> {
        match &self.0 {
            Place::Memory(held) => Box::new(held.fingerprints.iter().copied().map(Ok)),
            Place::Disk(store) => Box::new(store.entries().map(|entry| Ok(entry?.fingerprint))),
        }
    }

    /// What all splits of the same samples in the same place have in common: a BLAKE3 hash.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn digest(&self) -> Result<String, StoreError> {
        let hash = match &self.0 {
            Place::Memory(held) => of_samples(&held.samples),
            Place::Disk(store) => store.digest()?,
        };
        Ok(hash.to_hex().to_string())
    }

    /// How long they are.
    pub fn lengths(&self) -> &Lengths {
        match &self.0 {
            Place::Memory(held) => &held.lengths,
            Place::Disk(store) => store.lengths(),
        }
    }
}

impl From<Vec<Sample>> for Samples {
    fn from(samples: Vec<Sample>) -> Self {
        Self::in_memory(samples, Vec::new())
    }
}

impl From<Store> for Samples {
    fn from(store: Store) -> Self {
        Self(Place::Disk(Arc::new(store)))
    }
}

impl Dataset<Sample> for Samples {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        self.get(index).map_err(DatasetError::new)
    }

    fn len(&self) -> usize {
        self.len()
    }
}

fn of_samples(samples: &[Sample]) -> Hash {
    let mut hasher = Hasher::new();
    let mut bytes = Vec::new();
    for sample in samples {
        bytes.clear();
        bytes.extend((sample.ids.len() as u64).to_le_bytes());
        bytes.extend(sample.ids.iter().flat_map(|id| id.to_le_bytes()));
        match &sample.label {
            None => bytes.push(0),
            Some(Label::Class(class)) => bytes.extend((1 + *class as u64).to_le_bytes()),
            Some(Label::Marks(marks)) => {
                bytes.extend(marks.iter().map(|mark| mark.map_or(2, u8::from)));
            }
        }
        hasher.update(&bytes);
    }
    hasher.finalize()
}

/// What two sequences have in common when they are the same: the first eight bytes of their BLAKE3 hash.
pub fn fingerprint(sequence: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(sequence.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_padding_is_the_mean_longest_of_a_batch_to_the_mean() {
        let mut lengths = Lengths::default();
        for (tokens, count) in [(10, 1), (20, 2), (40, 1)] {
            (0..count).for_each(|_| lengths.count(tokens));
        }
        // Two draws: both 10 in 1 of 16 cases, none above 20 in 9, else 40.
        let longest = (10.0 + 8.0 * 20.0 + 7.0 * 40.0) / 16.0;
        assert!((lengths.padding(2) - longest / 22.5).abs() < 1e-12);
        assert_eq!(lengths.padding(1), 1.0);
        assert_eq!(Lengths::default().padding(8), 1.0);
    }

    #[test]
    fn fingerprints_tell_sequences_apart() {
        assert_eq!(fingerprint("ACGT"), fingerprint("ACGT"));
        assert_ne!(fingerprint("ACGT"), fingerprint("ACGA"));
    }
}
