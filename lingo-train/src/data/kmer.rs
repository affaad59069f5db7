//! DNA as k-mers: the Nucleotide Transformer's 6-mers side by side, and DNABERT's, which overlap.
//!
//! Sequences are as [`normalise`](super::normalise) leaves them: in upper case, with T for U. IUPAC's codes for several
//! nucleotides (R, Y, S, W, K, M, B, D, H, V) count as N. The references do otherwise: there such letters, lower case
//! and U included, become unknown tokens, the Nucleotide Transformer's one for a whole run of them.

use std::collections::HashMap;

/// The nucleotides in the order of the Nucleotide Transformer's vocabulary.
const LETTERS: [u8; 4] = *b"ATCG";

/// The Nucleotide Transformer's vocabulary; it follows from a rule, and no file is needed.
///
/// From left to right, six nucleotides become one token. Where fewer than six are left, before an N or at the end,
/// each letter is a token of its own, and so is N; the frame of six starts anew behind it. `<cls>` stands in front;
/// nothing stands behind, in the second generation either.
///
/// The generations number the same tokens differently.
///
/// ```
/// use lingo_train::data::NucleotideTransformer;
///
/// let tokens: Vec<(u32, usize)> = NucleotideTransformer::dna_tokens("AAAAAATNA").collect();
/// // A 6-mer, then single letters: before the N, the N, and what is left at the end.
/// assert_eq!(tokens, [(0, 6), (4097, 1), (4100, 1), (4096, 1)]);
/// assert_eq!(NucleotideTransformer::of_size(4107), Some(NucleotideTransformer::V2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NucleotideTransformer {
    /// 500M-human-ref, 500M-1000G, 2.5B-1000G, 2.5B-multi-species: 4105 tokens.
    V1,
    /// The models with v2 in their name: `<eos>` and `<bos>` shift all that follows, 4107 tokens.
    V2,
}

impl NucleotideTransformer {
    /// Letters in a k-mer.
    pub const K: usize = 6;
    /// The number of 6-mers.
    pub const KMERS: usize = 4096;
    /// Tokens that hold DNA: the 6-mers (the first letter changes slowest), then A, T, C, G, N.
    pub const DNA_TOKENS: usize = Self::KMERS + 5;
    /// The id of `<pad>`.
    pub const PAD: u32 = 1;
    /// The id of `<cls>`.
    pub const CLS: u32 = 3;

    /// The generation whose vocabulary has this many tokens.
    pub fn of_size(tokens: usize) -> Option<Self> {
        [Self::V1, Self::V2]
            .into_iter()
            .find(|generation| generation.vocab_size() == tokens)
    }

    /// Names of the special tokens; a name's position is its id.
    pub const fn special_tokens(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["<unk>", "<pad>", "<mask>", "<cls>"],
            Self::V2 => &["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>"],
        }
    }

    /// The number of tokens.
    pub const fn vocab_size(self) -> usize {
        self.special_tokens().len() + Self::DNA_TOKENS
    }

    /// The tokens of a sequence: each one's number among the [`DNA_TOKENS`](Self::DNA_TOKENS), the same in both
    /// generations, and the base pairs it holds, 6 or 1.
    pub fn dna_tokens(sequence: &str) -> impl Iterator<Item = (u32, usize)> {
        let mut rest = sequence.as_bytes();
        std::iter::from_fn(move || {
            let letter = *rest.first()?;
            // A window of six that holds an N gives one letter and is shifted by it, until the N itself is passed.
            let (row, bp) = match rest.get(..Self::K).and_then(kmer_row) {
                Some(row) => (row, Self::K),
                None => (Self::KMERS + nucleotide(letter).unwrap_or(4), 1),
            };
            rest = &rest[bp..];
            Some((row as u32, bp))
        })
    }
}

/// DNABERT's k-mers: one for each k letters that stand together, shifted by one letter at a time. One with an N becomes
/// `[UNK]`; a sequence of fewer than k letters has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlappingKmers {
    k: usize,
    unk: u32,
    /// Ids of all k-mers, each at its [`kmer_row`].
    kmers: Vec<u32>,
}

impl OverlappingKmers {
    /// The k-mers of a vocabulary of DNABERT's form: `[UNK]` and every k-mer of one k from 3 to 6. `None` for any other
    /// vocabulary.
    pub fn of_vocabulary(vocabulary: &HashMap<String, u32>) -> Option<Self> {
        let unk = *vocabulary.get("[UNK]")?;
        let words = vocabulary.keys().filter(|token| !token.starts_with('['));
        let words = words.count();
        (3..=6)
            .filter(|k| words == LETTERS.len().pow(*k))
            .find_map(|k| {
                let k = k as usize;
                let id = |row| vocabulary.get(&kmer_text(row, k)).copied();
                let kmers: Option<_> = (0..LETTERS.len().pow(k as u32)).map(id).collect();
                Some(Self {
                    k,
                    unk,
                    kmers: kmers?,
                })
            })
    }

    /// The ids of a sequence, and the base pairs that each adds to those before it.
    pub fn dna_tokens(&self, sequence: &str) -> impl Iterator<Item = (u32, usize)> {
        let kmers = sequence.as_bytes().windows(self.k).enumerate();
        kmers.map(|(position, kmer)| {
            let id = kmer_row(kmer).map_or(self.unk, |row| self.kmers[row]);
            (id, if position == 0 { self.k } else { 1 })
        })
    }
}

/// A nucleotide's place in [`LETTERS`]; N and all that counts as N have none.
fn nucleotide(letter: u8) -> Option<usize> {
    LETTERS.iter().position(|known| *known == letter)
}

/// A k-mer's place among those of its length, `None` if there is an N in it.
fn kmer_row(kmer: &[u8]) -> Option<usize> {
    let next = |row: usize, letter: &u8| Some(row * LETTERS.len() + nucleotide(*letter)?);
    kmer.iter().try_fold(0, next)
}

/// The k-mer at a place: the reverse of [`kmer_row`].
fn kmer_text(row: usize, k: usize) -> String {
    let base = LETTERS.len();
    let letter = |place| char::from(LETTERS[row / base.pow(place) % base]);
    (0..k as u32).rev().map(letter).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use NucleotideTransformer::{V1, V2};

    fn rows(sequence: &str) -> Vec<u32> {
        NucleotideTransformer::dna_tokens(sequence)
            .map(|(row, _)| row)
            .collect()
    }

    /// Tokens as text, separated by spaces.
    fn tokens(sequence: &str) -> String {
        let text = |row: u32| match (row as usize).checked_sub(NucleotideTransformer::KMERS) {
            None => kmer_text(row as usize, NucleotideTransformer::K),
            Some(letter) => "ATCGN"[letter..=letter].to_owned(),
        };
        let tokens: Vec<String> = rows(sequence).into_iter().map(text).collect();
        tokens.join(" ")
    }

    /// Special tokens, then k-mers in the order of A, C, G, T: another than this module's own.
    fn vocabulary(k: usize) -> HashMap<String, u32> {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
        let mut kmers = vec![String::new()];
        for _ in 0..k {
            let longer = |kmer: &String| ["A", "C", "G", "T"].map(|letter| kmer.clone() + letter);
            kmers = kmers.iter().flat_map(longer).collect();
        }
        special.into_iter().chain(kmers).zip(0..).collect()
    }

    #[test]
    fn ids_follow_from_the_order_of_letters() {
        // Base 4 with A 0, T 1, C 2, G 3; ACGTAC is 0 2 3 1 0 2 = 512 + 192 + 16 + 2.
        let cases = [
            ("AAAAAA", 0),
            ("AAAAAT", 1),
            ("AAAAAC", 2),
            ("AAAAAG", 3),
            ("AAAATA", 4),
            ("ACGTAC", 722),
            ("TAAAAA", 1024),
            ("TTTTTT", 1365),
            ("CCCCCC", 2730),
            ("GGGGGG", 4095),
            ("A", 4096),
            ("T", 4097),
            ("C", 4098),
            ("G", 4099),
            ("N", 4100),
        ];
        for (sequence, row) in cases {
            assert_eq!(rows(sequence), [row], "{sequence}");
        }
    }

    #[test]
    fn the_vocabularies_have_their_published_sizes() {
        for (generation, size) in [(V1, 4105), (V2, 4107)] {
            assert_eq!(generation.vocab_size(), size);
            assert_eq!(NucleotideTransformer::of_size(size), Some(generation));
            let special = generation.special_tokens();
            assert_eq!(special[NucleotideTransformer::CLS as usize], "<cls>");
            assert_eq!(special[NucleotideTransformer::PAD as usize], "<pad>");
        }
        assert_eq!(NucleotideTransformer::of_size(33), None);
    }

    #[test]
    fn the_remainder_becomes_single_letters() {
        assert_eq!(tokens("ACGTACG"), "ACGTAC G");
        assert_eq!(tokens("ACGTACGGTTAATTTTT"), "ACGTAC GGTTAA T T T T T");
        assert_eq!(tokens("ACGTA"), "A C G T A");
        assert_eq!(tokens(""), "");
    }

    #[test]
    fn the_frame_starts_anew_behind_an_n() {
        let cases = [
            ("AAANCCCCCCG", "A A A N CCCCCC G"),
            ("CCCCCCAANAAAAAATTTTTT", "CCCCCC A A N AAAAAA TTTTTT"),
            ("NNACGTACGN", "N N ACGTAC G N"),
            ("NAAAAA", "N A A A A A"),
            ("AAAAAN", "A A A A A N"),
            ("AAAAAANAAAAAA", "AAAAAA N AAAAAA"),
        ];
        for (sequence, expected) in cases {
            assert_eq!(tokens(sequence), expected);
        }
    }

    #[test]
    fn ambiguous_letters_are_read_as_n_each_by_itself() {
        for code in "RYSWKMBDHV".chars() {
            assert_eq!(tokens(&format!("AC{code}GGGGGG")), "A C N GGGGGG");
        }
        assert_eq!(tokens("RYRY"), "N N N N");
    }

    #[test]
    fn every_token_knows_its_base_pairs() {
        let sequence = "ACGTACGTNACGTACRAAAAAATT";
        let bp: Vec<usize> = NucleotideTransformer::dna_tokens(sequence)
            .map(|(_, bp)| bp)
            .collect();
        assert_eq!(bp, [6, 1, 1, 1, 6, 1, 6, 1, 1]);
        assert_eq!(bp.iter().sum::<usize>(), sequence.len());
    }

    #[test]
    fn overlapping_kmers_are_shifted_by_one_letter() {
        for k in 3..=6 {
            let vocabulary = vocabulary(k);
            let kmers = OverlappingKmers::of_vocabulary(&vocabulary).unwrap();
            let sequence = "ACGTTGCAAC";
            let (ids, bp): (Vec<u32>, Vec<usize>) = kmers.dna_tokens(sequence).unzip();
            let expected: Vec<u32> = (0..=10 - k)
                .map(|at| vocabulary[&sequence[at..at + k]])
                .collect();
            assert_eq!(ids, expected, "k {k}");
            assert_eq!(bp.iter().sum::<usize>(), 10);
        }
    }

    #[test]
    fn overlapping_kmers_with_an_n_are_unknown() {
        let kmers = OverlappingKmers::of_vocabulary(&vocabulary(3)).unwrap();
        for sequence in ["AAANAAAA", "AAARAAAA"] {
            let ids: Vec<u32> = kmers.dna_tokens(sequence).map(|(id, _)| id).collect();
            assert_eq!(ids, [5, 1, 1, 1, 5, 5], "{sequence}");
        }
        assert_eq!(kmers.dna_tokens("AC").count(), 0);
    }

    #[test]
    fn a_vocabulary_of_another_form_is_no_vocabulary_of_kmers() {
        let mut vocabulary = vocabulary(4);
        vocabulary.remove("ACGT");
        assert_eq!(OverlappingKmers::of_vocabulary(&vocabulary), None);
        assert_eq!(OverlappingKmers::of_vocabulary(&HashMap::new()), None);
    }
}
