//! DNA as k-mers: the Nucleotide Transformer's 6-mers side by side, and DNABERT's, which overlap.
//!
//! Lower case counts as upper case and U as T, as [`normalise`](super::normalise) writes them already; IUPAC's codes
//! for several nucleotides (R, Y, S, W, K, M, B, D, H, V) and whatever else is no nucleotide count as N. The references
//! do otherwise: there such letters, lower case and U included, become unknown tokens, the Nucleotide Transformer's
//! one for a whole run of them. [`Substituted`] tells how many letters were read as others.
//!
//! A letter is a byte, so that base pairs are the sequence's length.

use std::collections::HashMap;

/// The nucleotides in the order of the Nucleotide Transformer's vocabulary.
const LETTERS: [u8; 4] = *b"ATCG";

/// Letters of a sequence that were read as others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Substituted {
    /// Letters in lower case; those that the other counts are about are counted there too.
    pub lower_case: usize,
    /// U, read as T.
    pub uracil: usize,
    /// Letters other than A, C, G, T, U and N, read as N.
    pub ambiguous: usize,
}

impl Substituted {
    fn count(sequence: &str) -> Self {
        let mut counts = Self::default();
        for letter in sequence.bytes() {
            counts.lower_case += usize::from(letter.is_ascii_lowercase());
            match letter.to_ascii_uppercase() {
                b'A' | b'C' | b'G' | b'T' | b'N' => {}
                b'U' => counts.uracil += 1,
                _ => counts.ambiguous += 1,
            }
        }
        counts
    }
}

/// What encoding one sequence did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KmerReport {
    /// Base pairs in the sequence.
    pub bp: usize,
    /// Tokens that hold DNA, before the cut.
    pub dna_tokens: usize,
    /// Those of them that are the unknown token; the Nucleotide Transformer has none.
    pub unknown: usize,
    /// Base pairs that no token kept holds: all, where the limit leaves no room or the sequence is shorter than k.
    pub bp_cut: usize,
    /// Letters of the whole sequence that were read as others.
    pub substituted: Substituted,
}

/// The Nucleotide Transformer's tokenizer; its vocabulary follows from a rule, and no file is needed.
///
/// From left to right, six nucleotides become one token. Where fewer than six are left, before an N or at the end,
/// each letter is a token of its own, and so is N; the frame of six starts anew behind it. `<cls>` stands in front;
/// nothing stands behind, in the second generation either.
///
/// The generations number the same tokens differently.
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
    /// The id of `<mask>`.
    pub const MASK: u32 = 2;
    /// The id of `<cls>`.
    pub const CLS: u32 = 3;

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

    /// A token's text, `None` for an id that the vocabulary does not have.
    pub fn token(self, id: u32) -> Option<String> {
        let special = self.special_tokens();
        if let Some(name) = special.get(id as usize) {
            return Some(name.to_string());
        }
        let row = id as usize - special.len();
        match row.checked_sub(Self::KMERS) {
            None => Some(kmer_text(row, Self::K)),
            Some(letter) => "ATCGN".get(letter..=letter).map(String::from),
        }
    }

    /// The tokens of a sequence, without `<cls>`: each one's number among the
    /// [`DNA_TOKENS`](Self::DNA_TOKENS), the same in both generations, and the base pairs it holds, 6 or 1.
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

    /// The number of tokens that a sequence becomes, `<cls>` included.
    pub fn token_count(self, sequence: &str) -> usize {
        1 + Self::dna_tokens(sequence).count()
    }

    /// Appends `<cls>` and the sequence's ids to `ids`, at most `max_tokens` together; 0 sets no limit. Tokens are
    /// dropped from the end, `<cls>` never.
    pub fn encode(self, sequence: &str, max_tokens: usize, ids: &mut Vec<u32>) -> KmerReport {
        let room = room(max_tokens, 1);
        let first = self.special_tokens().len() as u32;
        ids.push(Self::CLS);
        let (mut dna_tokens, mut bp_kept) = (0, 0);
        for (row, bp) in Self::dna_tokens(sequence) {
            if dna_tokens < room {
                ids.push(first + row);
                bp_kept += bp;
            }
            dna_tokens += 1;
        }
        KmerReport {
            bp: sequence.len(),
            dna_tokens,
            unknown: 0,
            bp_cut: sequence.len() - bp_kept,
            substituted: Substituted::count(sequence),
        }
    }
}

/// DNABERT's tokenizer: a token for each k letters that stand together, shifted by one letter at a time.
///
/// `[CLS]` stands in front and `[SEP]` behind. Each k-mer with an N becomes `[UNK]`; a sequence of fewer than k
/// letters has no k-mer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlappingKmers {
    k: usize,
    /// The id of `[PAD]`.
    pub pad: u32,
    unk: u32,
    cls: u32,
    sep: u32,
    /// Ids of all k-mers, each at its [`kmer_row`].
    kmers: Vec<u32>,
}

impl OverlappingKmers {
    /// A tokenizer of k-mers, k from 3 to 6, with their ids: a token's line in `vocab.txt`, counted from 0.
    ///
    /// `None` for another k, and for a vocabulary that lacks `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` or one of the k-mers.
    pub fn new(k: usize, vocabulary: &HashMap<String, u32>) -> Option<Self> {
        if !(3..=6).contains(&k) {
            return None;
        }
        let id = |token: &str| vocabulary.get(token).copied();
        let rows = 0..LETTERS.len().pow(k as u32);
        let kmers: Option<_> = rows.map(|row| id(&kmer_text(row, k))).collect();
        Some(Self {
            k,
            pad: id("[PAD]")?,
            unk: id("[UNK]")?,
            cls: id("[CLS]")?,
            sep: id("[SEP]")?,
            kmers: kmers?,
        })
    }

    /// The number of tokens that a sequence becomes, `[CLS]` and `[SEP]` included.
    pub fn token_count(&self, sequence: &str) -> usize {
        2 + sequence.as_bytes().windows(self.k).len()
    }

    /// Appends `[CLS]`, the sequence's ids and `[SEP]` to `ids`, at most `max_tokens` together; 0 sets no limit.
    /// K-mers are dropped from the end, `[CLS]` and `[SEP]` never.
    pub fn encode(&self, sequence: &str, max_tokens: usize, ids: &mut Vec<u32>) -> KmerReport {
        let kmers = sequence.as_bytes().windows(self.k);
        let dna_tokens = kmers.len();
        let kept = dna_tokens.min(room(max_tokens, 2));
        let rows = || kmers.clone().map(kmer_row);
        let id = |row: Option<usize>| row.map_or(self.unk, |row| self.kmers[row]);
        ids.push(self.cls);
        ids.extend(rows().take(kept).map(id));
        ids.push(self.sep);
        let bp_kept = if kept == 0 { 0 } else { kept + self.k - 1 };
        KmerReport {
            bp: sequence.len(),
            dna_tokens,
            unknown: rows().filter(Option::is_none).count(),
            bp_cut: sequence.len() - bp_kept,
            substituted: Substituted::count(sequence),
        }
    }
}

/// Tokens of DNA that a limit, where there is one, leaves room for beside the special ones.
fn room(max_tokens: usize, special: usize) -> usize {
    match max_tokens {
        0 => usize::MAX,
        limit => limit.saturating_sub(special),
    }
}

/// A nucleotide's place in [`LETTERS`]; N and all that counts as N have none.
fn nucleotide(letter: u8) -> Option<usize> {
    let upper = letter.to_ascii_uppercase();
    let read = if upper == b'U' { b'T' } else { upper };
    LETTERS.iter().position(|known| *known == read)
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

    fn ids(generation: NucleotideTransformer, sequence: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        generation.encode(sequence, 0, &mut ids);
        ids
    }

    /// Tokens as text, separated by spaces.
    fn tokens(sequence: &str) -> String {
        let text = |generation: NucleotideTransformer| {
            let tokens: Vec<String> = ids(generation, sequence)
                .into_iter()
                .map(|id| generation.token(id).unwrap())
                .collect();
            tokens.join(" ")
        };
        assert_eq!(text(V1), text(V2));
        text(V1)
    }

    fn substituted(sequence: &str) -> (usize, usize, usize) {
        let found = V1.encode(sequence, 0, &mut Vec::new()).substituted;
        (found.lower_case, found.uracil, found.ambiguous)
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
            assert_eq!(ids(V1, sequence), [3, 4 + row], "{sequence}");
            assert_eq!(ids(V2, sequence), [3, 6 + row], "{sequence}");
        }
    }

    #[test]
    fn the_vocabularies_have_their_published_sizes_and_no_token_twice() {
        for (generation, size, behind_cls) in [(V1, 4105, "AAAAAA"), (V2, 4107, "<eos>")] {
            assert_eq!(generation.vocab_size(), size);
            let tokens: Vec<String> = (0..size as u32)
                .map(|id| generation.token(id).unwrap())
                .collect();
            assert_eq!(
                tokens[..5],
                ["<unk>", "<pad>", "<mask>", "<cls>", behind_cls]
            );
            assert_eq!(tokens[size - 6..], ["GGGGGG", "A", "T", "C", "G", "N"]);
            for (id, token) in (0..).zip(&tokens).skip(generation.special_tokens().len()) {
                assert_eq!(ids(generation, token), [3, id]);
            }
            assert_eq!(generation.token(size as u32), None);
            assert_eq!(generation.token(u32::MAX), None);
        }
    }

    #[test]
    fn special_ids_name_their_tokens() {
        for generation in [V1, V2] {
            let ids = [
                NucleotideTransformer::PAD,
                NucleotideTransformer::MASK,
                NucleotideTransformer::CLS,
            ];
            let names = ids.map(|id| generation.token(id).unwrap());
            assert_eq!(names, ["<pad>", "<mask>", "<cls>"]);
        }
        assert_eq!(V2.token(5).unwrap(), "<bos>");
    }

    #[test]
    fn the_remainder_becomes_single_letters() {
        assert_eq!(tokens("ACGTACG"), "<cls> ACGTAC G");
        assert_eq!(tokens("ACGTACGGTTAATTTTT"), "<cls> ACGTAC GGTTAA T T T T T");
        assert_eq!(tokens("ACGTA"), "<cls> A C G T A");
    }

    #[test]
    fn the_frame_starts_anew_behind_an_n() {
        let cases = [
            ("AAANCCCCCCG", "<cls> A A A N CCCCCC G"),
            ("CCCCCCAANAAAAAATTTTTT", "<cls> CCCCCC A A N AAAAAA TTTTTT"),
            ("NNACGTACGN", "<cls> N N ACGTAC G N"),
            ("NAAAAA", "<cls> N A A A A A"),
            ("AAAAAN", "<cls> A A A A A N"),
            ("AAAAAANAAAAAA", "<cls> AAAAAA N AAAAAA"),
        ];
        for (sequence, expected) in cases {
            assert_eq!(tokens(sequence), expected);
        }
    }

    #[test]
    fn an_empty_sequence_is_cls_alone() {
        assert_eq!(tokens(""), "<cls>");
        assert_eq!(V1.encode("", 0, &mut Vec::new()), KmerReport::default());
    }

    #[test]
    fn lower_case_and_u_are_read_as_what_they_stand_for_and_counted() {
        assert_eq!(tokens("acguacnT"), "<cls> ACGTAC N T");
        assert_eq!(substituted("acguacnT"), (7, 1, 0));
        assert_eq!(substituted("ACUUAC"), (0, 2, 0));
        assert_eq!(substituted("ACGTN"), (0, 0, 0));
    }

    #[test]
    fn ambiguous_letters_are_read_as_n_each_by_itself_and_counted() {
        for code in "RYSWKMBDHV".chars() {
            assert_eq!(tokens(&format!("AC{code}GGGGGG")), "<cls> A C N GGGGGG");
            assert_eq!(substituted(&format!("AC{code}GGGGGG")), (0, 0, 1));
            let lower = code.to_ascii_lowercase();
            assert_eq!(substituted(&format!("AC{lower}")), (1, 0, 1));
        }
        assert_eq!(tokens("RYRY"), "<cls> N N N N");
        assert_eq!(tokens("A-*é"), "<cls> A N N N N");
        assert_eq!(substituted("A-*é"), (0, 0, 4));
    }

    #[test]
    fn every_token_knows_its_base_pairs() {
        let sequence = "ACGTACGTNACGTACRAAAAAATT";
        let bp: Vec<usize> = NucleotideTransformer::dna_tokens(sequence)
            .map(|(_, bp)| bp)
            .collect();
        assert_eq!(bp, [6, 1, 1, 1, 6, 1, 6, 1, 1]);
        assert_eq!(bp.iter().sum::<usize>(), sequence.len());
        assert_eq!(V1.token_count(sequence), 10);
        assert_eq!(ids(V2, sequence).len(), 10);
    }

    #[test]
    fn a_limit_drops_tokens_from_the_end_and_says_how_many_base_pairs_are_lost() {
        let sequence = "ACGTACGTNACGTAC";
        let whole = ids(V1, sequence);
        let lost = [15, 15, 9, 8, 7, 6, 0, 0];
        for (max_tokens, bp_cut) in (1..).zip(&lost[1..]) {
            let mut kept = Vec::new();
            let report = V1.encode(sequence, max_tokens, &mut kept);
            assert_eq!(kept, whole[..max_tokens.min(6)]);
            assert_eq!(
                (report.bp, report.dna_tokens, report.bp_cut),
                (15, 5, *bp_cut)
            );
        }
        assert_eq!(V1.encode(sequence, 0, &mut Vec::new()).bp_cut, 0);
    }

    #[test]
    fn ids_are_appended() {
        let mut ids = vec![99];
        V1.encode("AAAAAA", 0, &mut ids);
        let kmers = OverlappingKmers::new(3, &vocabulary(3)).unwrap();
        kmers.encode("AAA", 0, &mut ids);
        assert_eq!(ids, [99, 3, 4, 2, 5, 3]);
    }

    #[test]
    fn overlapping_kmers_are_shifted_by_one_letter() {
        for k in 3..=6 {
            let vocabulary = vocabulary(k);
            let kmers = OverlappingKmers::new(k, &vocabulary).unwrap();
            let sequence = "ACGTTGCAAC";
            let mut ids = Vec::new();
            let report = kmers.encode(sequence, 0, &mut ids);
            let mut expected = vec![2];
            expected.extend((0..=10 - k).map(|at| vocabulary[&sequence[at..at + k]]));
            expected.push(3);
            assert_eq!(ids, expected, "k {k}");
            assert_eq!(kmers.token_count(sequence), ids.len());
            assert_eq!((report.bp, report.dna_tokens), (10, 11 - k));
            assert_eq!((report.unknown, report.bp_cut), (0, 0));
        }
    }

    #[test]
    fn overlapping_kmers_with_an_n_are_unknown_and_counted() {
        let kmers = OverlappingKmers::new(3, &vocabulary(3)).unwrap();
        for sequence in ["AAANAAAA", "aaanaaaa", "AAARAAAA"] {
            let mut ids = Vec::new();
            let report = kmers.encode(sequence, 0, &mut ids);
            assert_eq!(ids, [2, 5, 1, 1, 1, 5, 5, 3], "{sequence}");
            assert_eq!(report.unknown, 3);
        }
        let mut ids = Vec::new();
        assert_eq!(kmers.encode("uuu", 0, &mut ids).substituted.uracil, 3);
        assert_eq!(ids, [2, 68, 3]);
    }

    #[test]
    fn a_limit_drops_overlapping_kmers_and_keeps_the_last_token() {
        let kmers = OverlappingKmers::new(3, &vocabulary(3)).unwrap();
        let encode = |max_tokens| {
            let mut ids = Vec::new();
            let report = kmers.encode("AAAAAC", max_tokens, &mut ids);
            assert_eq!(report.dna_tokens, 4);
            (ids, report.bp_cut)
        };
        assert_eq!(encode(0), (vec![2, 5, 5, 5, 6, 3], 0));
        assert_eq!(encode(6), encode(0));
        assert_eq!(encode(5), (vec![2, 5, 5, 5, 3], 1));
        assert_eq!(encode(3), (vec![2, 5, 3], 3));
        assert_eq!(encode(2), (vec![2, 3], 6));
        assert_eq!(encode(1), (vec![2, 3], 6));
    }

    #[test]
    fn a_sequence_shorter_than_k_has_no_kmer() {
        let kmers = OverlappingKmers::new(6, &vocabulary(6)).unwrap();
        for sequence in ["", "A", "ACGTA"] {
            let mut ids = Vec::new();
            let report = kmers.encode(sequence, 0, &mut ids);
            assert_eq!(ids, [2, 3]);
            assert_eq!(kmers.token_count(sequence), 2);
            assert_eq!((report.dna_tokens, report.bp_cut), (0, sequence.len()));
        }
    }

    #[test]
    fn a_vocabulary_must_hold_the_special_tokens_and_every_kmer() {
        let whole = vocabulary(4);
        let kmers = OverlappingKmers::new(4, &whole).unwrap();
        let special = [kmers.pad, kmers.unk, kmers.cls, kmers.sep];
        assert_eq!(special, [0, 1, 2, 3]);
        for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "AAAA", "TGCA"] {
            let mut lacking = whole.clone();
            lacking.remove(token);
            assert_eq!(OverlappingKmers::new(4, &lacking), None, "{token}");
        }
        assert_eq!(OverlappingKmers::new(3, &whole), None);
        for k in [0, 2, 7] {
            assert_eq!(OverlappingKmers::new(k, &vocabulary(k)), None);
        }
    }
}
