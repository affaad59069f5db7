//! What a tokenizer does, in a hash by which another one is told.

use lingo_core::models::ModelConfig;

use super::encoder::{Layout, SequenceEncoder, Text};
use crate::data::Record;

/// Sequences that are tokenised, and their letters: enough for each token of five letters to be likely.
const SEQUENCES: usize = 256;
const LETTERS: usize = 64;

/// A hash of the tokens that made-up sequences become, each within the prompt. Tokenizers that do the same have the same,
/// whatever files they came in: of their files none would. None where tokens follow from a rule, or where a sequence
/// cannot be tokenised, as whoever uses the tokenizer will hear.
pub fn token_digest(text: Option<&Text>, layout: &Layout, model: &ModelConfig) -> Option<String> {
    let text = text?.clone();
    let encoder = SequenceEncoder::new(Some(text), layout.clone(), 0, false, model).ok()?;
    let (samples, _) = encoder.encoder.encode(&made_up()).ok()?;
    let mut hasher = blake3::Hasher::new();
    for sample in samples {
        hasher.update(&(sample.ids.len() as u64).to_le_bytes());
        for id in sample.ids {
            hasher.update(&id.to_le_bytes());
        }
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// Sequences of all letters, the same ones each time.
fn made_up() -> Vec<Record> {
    let mut bytes = [0; SEQUENCES * LETTERS];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let letter = |byte: &u8| match byte {
        0..4 => 'N',
        byte => ['A', 'C', 'G', 'T'][usize::from(byte % 4)],
    };
    let sequences = bytes.chunks_exact(LETTERS).enumerate();
    sequences
        .map(|(number, bytes)| Record {
            id: number.to_string(),
            sequence: bytes.iter().map(letter).collect(),
            label: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequences_hold_each_letter_often_and_most_words_of_five() {
        let records = made_up();
        let all: String = records.iter().map(|record| &*record.sequence).collect();
        assert_eq!(all.len(), 16384);
        for (letter, least) in [
            ('A', 3500),
            ('C', 3500),
            ('G', 3500),
            ('T', 3500),
            ('N', 150),
        ] {
            let count = all.matches(letter).count();
            assert!(count > least, "{count} of {letter}");
        }
        let mut words: Vec<&[u8]> = all.as_bytes().windows(5).collect();
        words.sort_unstable();
        words.dedup();
        assert!(words.len() > 1000, "{}", words.len());
    }
}
