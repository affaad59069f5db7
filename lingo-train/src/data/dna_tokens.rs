//! DNA tokenised by itself, apart from the language around it.

use super::kmer::{NucleotideTransformer, OverlappingKmers};

/// The nucleotides that have a token of their own where each letter is one; the last stands for all ambiguous ones.
pub const LETTERS: [char; 5] = ['A', 'C', 'G', 'T', 'N'];

/// How a sequence becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnaTokens {
    /// The Nucleotide Transformer's 6-mers, numbered from `first` on.
    Kmers {
        /// Id of the first 6-mer.
        first: u32,
    },
    /// DNABERT's.
    Overlapping(OverlappingKmers),
    /// A token a nucleotide: the ids of [`LETTERS`].
    Letters([u32; 5]),
}

impl DnaTokens {
    /// The tokens of a normalised sequence, and the base pairs that each holds.
    pub fn encode(&self, sequence: &str) -> Vec<(u32, usize)> {
        match self {
            Self::Kmers { first } => NucleotideTransformer::dna_tokens(sequence)
                .map(|(row, bp)| (first + row, bp))
                .collect(),
            Self::Overlapping(kmers) => kmers.dna_tokens(sequence).collect(),
            Self::Letters(ids) => sequence
                .chars()
                .map(|letter| {
                    let known = LETTERS.iter().position(|known| *known == letter);
                    (ids[known.unwrap_or(LETTERS.len() - 1)], 1)
                })
                .collect(),
        }
    }
}

/// Letters of a sequence that are read as N though they are none.
pub fn ambiguous(sequence: &str) -> usize {
    let is_ambiguous = |letter: &char| !LETTERS.contains(letter);
    sequence.chars().filter(is_ambiguous).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nucleotide_is_a_token_and_ambiguous_ones_are_n() {
        let letters = DnaTokens::Letters([10, 11, 12, 13, 14]);
        let ids: Vec<u32> = letters
            .encode("ACGTNRA")
            .iter()
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(ids, [10, 11, 12, 13, 14, 14, 10]);
        assert_eq!(ambiguous("ACGTNRYA"), 2);
    }

    #[test]
    fn kmers_are_numbered_from_the_first_on() {
        let kmers = DnaTokens::Kmers { first: 100 };
        assert_eq!(kmers.encode("AAAAATG"), [(101, 6), (100 + 4099, 1)]);
    }
}
