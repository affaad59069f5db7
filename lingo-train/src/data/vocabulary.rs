//! The part of a vocabulary that a task can reach, so that a frozen embedding table need hold no more.

use std::collections::BTreeSet;
use std::ops::Range;

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;

use super::prompt::Prompt;
use super::record::NUCLEOTIDES;

/// A token that was thought to be out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "token {id} is not among the {kept} tokens that the embedding table was restricted to; set \
     tokenizer.restrict = false"
)]
pub struct VocabularyError {
    /// The token's id.
    pub id: u32,
    /// The number of tokens kept.
    pub kept: usize,
}

/// Token ids that an embedding table keeps, and the row of each in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// Sorted; the position is the row.
    ids: Vec<u32>,
    /// Ids of a task's own tokens; their rows follow those that are kept.
    added: Range<u32>,
}

impl Vocabulary {
    /// Rows of the table: those that are kept, then those of a task's own tokens.
    pub fn rows(&self) -> usize {
        self.ids.len() + self.added.len()
    }

    /// Keeps the given ids.
    pub fn new(ids: impl IntoIterator<Item = u32>) -> Self {
        let ids: BTreeSet<u32> = ids.into_iter().collect();
        Self {
            ids: ids.into_iter().collect(),
            added: 0..0,
        }
    }

    /// The same, with `count` tokens of a task's own, numbered from `first` on.
    pub fn with_added(self, first: usize, count: usize) -> Self {
        let added = first as u32..(first + count) as u32;
        Self { added, ..self }
    }

    /// Keeps every token that some text of prefix, DNA and suffix can contain, all special and added tokens, and
    /// `always` (the first token, padding).
    ///
    /// It is a superset: a token is kept if its text occurs in the prefix, in the suffix, or in some DNA between
    /// them, whether or not the tokenizer would choose it there. Where a normalizer may rewrite the text, every
    /// token is kept. Tokens that a table of `rows` rows does not have are left out.
    pub fn reachable(tokenizer: &Tokenizer, prompt: &Prompt, always: &[u32], rows: usize) -> Self {
        let added = tokenizer.get_added_tokens_decoder();
        let fixed = added
            .keys()
            .copied()
            .chain(unknown_token(tokenizer))
            .chain(always.iter().copied());
        let all = tokenizer.get_vocab(true);
        let rewritten = tokenizer
            .get_normalizer()
            .is_some_and(|normalizer| !keeps_text(normalizer, prompt));
        let markers = Markers::of(tokenizer);
        let reached = all
            .iter()
            .filter(|(token, _)| rewritten || markers.is_reachable(token, prompt))
            .map(|(_, id)| *id);
        Self::new(fixed.chain(reached).filter(|id| (*id as usize) < rows))
    }

    /// The ids kept, sorted: row `i` of the table is that of `ids()[i]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The row of a token.
    ///
    /// # Errors
    /// If the token is not kept.
    pub fn row(&self, id: u32) -> Result<u32, VocabularyError> {
        if self.added.contains(&id) {
            return Ok(self.ids.len() as u32 + id - self.added.start);
        }
        match self.ids.binary_search(&id) {
            Ok(row) => Ok(row as u32),
            Err(_) => Err(VocabularyError {
                id,
                kept: self.ids.len(),
            }),
        }
    }
}

/// Whether a normalizer leaves prompt and DNA as they are, but for a marker of spaces.
fn keeps_text(normalizer: &NormalizerWrapper, prompt: &Prompt) -> bool {
    match normalizer {
        // Unicode's normal forms leave ASCII alone.
        NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_) => prompt.prefix.is_ascii() && prompt.suffix.is_ascii(),
        NormalizerWrapper::ByteLevel(_) => true,
        NormalizerWrapper::Prepend(prepend) => prepend.prepend == "▁" || prepend.prepend == " ",
        NormalizerWrapper::Replace(replace) => {
            let space_to_marker = serde_json::json!({"pattern": {"String": " "}, "content": "▁"});
            serde_json::to_value(replace).is_ok_and(|value| {
                ["pattern", "content"]
                    .iter()
                    .all(|key| value[key] == space_to_marker[key])
            })
        }
        NormalizerWrapper::Sequence(sequence) => sequence
            .as_ref()
            .iter()
            .all(|normalizer| keeps_text(normalizer, prompt)),
        _ => false,
    }
}

fn unknown_token(tokenizer: &Tokenizer) -> Option<u32> {
    let name = match tokenizer.get_model() {
        ModelWrapper::BPE(bpe) => bpe.unk_token.clone()?,
        ModelWrapper::WordPiece(pieces) => pieces.unk_token.clone(),
        ModelWrapper::WordLevel(words) => words.unk_token.clone(),
        // Its name is in angle brackets, and such tokens are kept anyway.
        ModelWrapper::Unigram(_) => return None,
    };
    tokenizer.token_to_id(&name)
}

/// What a vocabulary writes around a token's text.
struct Markers {
    /// Before a piece that continues a word.
    continuing: Option<String>,
    /// After a piece that ends one.
    ending: Option<String>,
}

impl Markers {
    fn of(tokenizer: &Tokenizer) -> Self {
        let (continuing, ending) = match tokenizer.get_model() {
            ModelWrapper::BPE(bpe) => (
                bpe.continuing_subword_prefix.clone(),
                bpe.end_of_word_suffix.clone(),
            ),
            ModelWrapper::WordPiece(pieces) => {
                (Some(pieces.continuing_subword_prefix.clone()), None)
            }
            ModelWrapper::WordLevel(_) | ModelWrapper::Unigram(_) => (None, None),
        };
        Self { continuing, ending }
    }

    fn is_reachable(&self, token: &str, prompt: &Prompt) -> bool {
        let bracketed = |open, close| token.starts_with(open) && token.ends_with(close);
        if bracketed('<', '>') || bracketed('[', ']') {
            // Specials that are not marked as such, and bytes such as <0x0A>.
            return true;
        }
        let mut texts = vec![token];
        let continuing = self
            .continuing
            .as_deref()
            .and_then(|marker| token.strip_prefix(marker));
        texts.extend(continuing);
        for text in texts.clone() {
            texts.extend(
                self.ending
                    .as_deref()
                    .and_then(|marker| text.strip_suffix(marker)),
            );
        }
        texts.into_iter().any(|text| {
            let spaced = text.replace('▁', " ").into_bytes();
            occurs(&spaced, prompt) || bytes_of(text).is_some_and(|bytes| occurs(&bytes, prompt))
        })
    }
}

/// Whether the bytes occur in some text of the prompt, with or without the space that tokenizers may put before a
/// text.
fn occurs(bytes: &[u8], prompt: &Prompt) -> bool {
    let (prefix, suffix) = (prompt.prefix.as_bytes(), prompt.suffix.as_bytes());
    let whole = |bytes: &[u8]| {
        bytes.is_empty()
            || is_within(bytes, prefix)
            || is_within(bytes, suffix)
            || spans_dna(bytes, prefix, suffix)
    };
    whole(bytes) || bytes.strip_prefix(b" ").is_some_and(whole)
}

fn is_within(part: &[u8], text: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Whether the bytes are an end of the prefix, some DNA, and a beginning of the suffix, each possibly empty.
fn spans_dna(bytes: &[u8], prefix: &[u8], suffix: &[u8]) -> bool {
    let nucleotide = |byte: &u8| NUCLEOTIDES.as_bytes().contains(byte);
    (0..=bytes.len())
        .filter(|&start| prefix.ends_with(&bytes[..start]))
        .any(|start| {
            let letters = bytes[start..]
                .iter()
                .take_while(|byte| nucleotide(byte))
                .count();
            (start..=start + letters).any(|end| suffix.starts_with(&bytes[end..]))
        })
}

/// The bytes of a token in GPT-2's byte-level alphabet; `None` if it is not written in it.
fn bytes_of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

/// GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes, in order, for U+0100 and onwards.
fn byte_of(letter: char) -> Option<u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(letter) {
        code @ 0..=0xFF => u8::try_from(code).ok().filter(|byte| is_printable(*byte)),
        code => {
            let position = usize::try_from(code - 0x100).ok()?;
            (0..=u8::MAX)
                .filter(|byte| !is_printable(*byte))
                .nth(position)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::batch::tests::Draws;
    use super::super::tokenize::tests::{opt_tokenizer, record, small_tokenizer};
    use super::*;
    use crate::data::{Encoder, Record};
    use tokenizers::normalizers::{Lowercase, NFC, Prepend, Replace, Sequence};

    fn prompts() -> [Prompt; 5] {
        [
            Prompt::new("Domain: DNA Promoter\nSequence: ", "\nAnnotation:"),
            Prompt::default(),
            Prompt::new("", "NAND"),
            Prompt::new("The é THE CAT", "ANNOTATION äö"),
            Prompt::new("Sequence:", " Annotation"),
        ]
    }

    /// All letters alike, mostly bases, long runs, short ones.
    fn dna() -> Vec<Record> {
        let mut draws = Draws::new(11);
        let mut sequences: Vec<String> =
            (0..200).map(|_| draws.sequence(NUCLEOTIDES, 60)).collect();
        sequences.extend((0..200).map(|_| draws.sequence("ACGTACGTACGTACGTN", 200)));
        sequences.extend((0..100).map(|_| draws.sequence(NUCLEOTIDES, 1)));
        sequences.extend(
            NUCLEOTIDES
                .chars()
                .map(|letter| letter.to_string().repeat(50)),
        );
        sequences
            .into_iter()
            .enumerate()
            .map(|(id, sequence)| record(id, sequence))
            .collect()
    }

    /// Encodes with and without restriction: an id out of reach is an error, and rows lead back to the ids.
    fn check(tokenizer: &Tokenizer, prompt: &Prompt) -> Vocabulary {
        let vocabulary = Vocabulary::reachable(tokenizer, prompt, &[2, 1], usize::MAX);
        let free = Encoder::new(tokenizer.clone(), [Some(2), None], prompt.clone(), 0);
        let restricted = free.clone().with_vocabulary(vocabulary.clone());
        let (free, _) = free.encode(&dna()).unwrap();
        let (restricted, _) = restricted.encode(&dna()).unwrap();
        for (free, restricted) in free.iter().zip(&restricted) {
            let ids: Vec<u32> = restricted
                .ids
                .iter()
                .map(|row| vocabulary.ids()[*row as usize])
                .collect();
            assert_eq!(ids, free.ids);
        }
        vocabulary
    }

    #[test]
    fn any_dna_in_a_prompt_has_reachable_tokens_only() {
        let tokenizer = small_tokenizer();
        for prompt in prompts() {
            let vocabulary = check(&tokenizer, &prompt);
            assert!(
                vocabulary.ids().len() < tokenizer.get_vocab_size(true),
                "{prompt:?}"
            );
        }
    }

    #[test]
    fn any_dna_in_a_prompt_has_reachable_tokens_only_with_opts_own_vocabulary() {
        let Some((tokenizer, _)) = opt_tokenizer() else {
            return;
        };
        for prompt in prompts() {
            let vocabulary = check(&tokenizer, &prompt);
            assert!(
                vocabulary.ids().len() < 5000,
                "{prompt:?}: {}",
                vocabulary.ids().len()
            );
        }
    }

    #[test]
    fn a_space_put_before_the_text_is_reached() {
        let mut tokenizer = small_tokenizer();
        tokenizer.with_pre_tokenizer(Some(
            tokenizers::pre_tokenizers::byte_level::ByteLevel::new(true, true, true),
        ));
        for prompt in prompts() {
            check(&tokenizer, &prompt);
        }
    }

    #[test]
    fn words_of_the_prompt_specials_and_single_letters_are_kept_and_others_are_not() {
        let tokenizer = small_tokenizer();
        let vocabulary = Vocabulary::reachable(&tokenizer, &prompts()[0], &[], usize::MAX);
        let kept = |token: &str| {
            vocabulary
                .row(tokenizer.token_to_id(token).unwrap())
                .is_ok()
        };
        for token in ["<s>", "<pad>", "</s>", "A", "N", "Y", "Ċ", "Ġ", "ĠDNA", ":"] {
            assert!(kept(token), "{token}");
        }
        for token in ["Ġinitio", "Ã", "1", ";", "Z"] {
            assert!(!kept(token), "{token}");
        }
    }

    #[test]
    fn a_token_out_of_reach_is_an_error_that_names_the_setting() {
        let vocabulary = Vocabulary::new([7, 3, 7]);
        assert_eq!(vocabulary.ids(), [3, 7]);
        assert_eq!(vocabulary.row(7), Ok(1));
        let error = vocabulary.row(4).unwrap_err();
        assert_eq!(error, VocabularyError { id: 4, kept: 2 });
        assert!(error.to_string().contains("tokenizer.restrict = false"));
    }

    #[test]
    fn a_normalizer_that_rewrites_text_keeps_the_whole_vocabulary() {
        let mut tokenizer = small_tokenizer();
        let all = tokenizer.get_vocab_size(true);
        let [ascii, _, _, accents, _] = prompts();
        let mut kept = |normalizer: NormalizerWrapper, prompt: &Prompt| {
            tokenizer.with_normalizer(Some(normalizer)).unwrap();
            Vocabulary::reachable(&tokenizer, prompt, &[], usize::MAX)
                .ids()
                .len()
        };
        assert_eq!(kept(Lowercase.into(), &ascii), all);
        assert!(kept(NFC.into(), &ascii) < all);
        assert_eq!(kept(NFC.into(), &accents), all);
        let prepend = || NormalizerWrapper::from(Prepend::new("▁".into()));
        let replace = |to: &str| NormalizerWrapper::from(Replace::new(" ", to).unwrap());
        assert!(kept(Sequence::new(vec![prepend(), replace("▁")]).into(), &ascii) < all);
        assert_eq!(
            kept(Sequence::new(vec![prepend(), replace("_")]).into(), &ascii),
            all
        );
    }

    #[test]
    fn the_byte_level_alphabet_covers_each_byte_once() {
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let bytes: BTreeSet<u8> = alphabet
            .iter()
            .map(|letter| byte_of(*letter).unwrap())
            .collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(
            (byte_of('Ġ'), byte_of('Ċ'), byte_of('Ń'), byte_of('ń')),
            (Some(b' '), Some(b'\n'), Some(0xAD), None)
        );
    }
}
