//! Records to token ids: prompt and DNA are tokenised as one text or each by itself, and DNA is cut where it is too
//! long.

use std::ops::Range;

use rayon::prelude::*;
use tokenizers::{Encoding, Tokenizer};

use super::dna_tokens::{DnaTokens, ambiguous};
use super::label::Label;
use super::prompt::Prompt;
use super::record::Record;
use super::vocabulary::{Vocabulary, VocabularyError};

/// Texts that are tokenised at a time: their encodings, which hold each token's text too, exist at once.
const CHUNK: usize = 1024;

/// A record as the model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Token ids, or rows of the embedding table where the vocabulary is restricted.
    pub ids: Vec<u32>,
    /// What is known of it, if anything.
    pub label: Option<Label>,
}

/// Why records cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(#[source] tokenizers::Error),
    /// The prompt leaves no room for DNA.
    #[error(
        "tokenizer.max_tokens: {max_tokens} tokens cannot hold the prompt and one token of DNA, sequence `{id}` needs \
         {needed}; raise tokenizer.max_tokens (as far as the model allows) or shorten prompt.prefix and prompt.suffix"
    )]
    NoRoom {
        /// The most tokens allowed.
        max_tokens: usize,
        /// The fewest that this record can do with.
        needed: usize,
        /// The record.
        id: String,
    },
    /// A text became no token at all.
    #[error(
        "sequence `{id}` becomes no token at all: it is shorter than a token, or this tokenizer does not know its letters"
    )]
    NoTokens {
        /// The record.
        id: String,
    },
    /// The tokenizer has more tokens than the model.
    #[error(
        "the tokenizer gives token {id}, the model's table has {rows} rows: the two do not belong together; use the \
         tokenizer that the model was published with"
    )]
    BeyondTable {
        /// The token.
        id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// A token lies outside the restricted vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

/// What encoding did, over all records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct EncodingReport {
    /// Records of which nothing is known, left out of a training split.
    #[serde(default)]
    pub left_out: usize,
    /// Records encoded.
    pub sequences: usize,
    /// Base pairs in them.
    pub bp: usize,
    /// Tokens that hold DNA, before anything was cut.
    pub dna_tokens: usize,
    /// Tokens in the samples: DNA, prompt and first token, after the cut.
    pub tokens: usize,
    /// Records whose DNA was cut.
    pub truncated: usize,
    /// Base pairs lost by it.
    pub bp_cut: usize,
    /// Ambiguous letters read as N; as part of a text they stay what they are.
    pub ambiguous: usize,
    /// Tokens of the longest sample, after the cut.
    pub longest_tokens: usize,
}

impl EncodingReport {
    /// Base pairs that a token of DNA holds on average, before the cut; the prompt does not count.
    pub fn bp_per_token(&self) -> f64 {
        self.bp as f64 / self.dna_tokens as f64
    }

    /// Both reports as one.
    pub fn merge(self, other: EncodingReport) -> EncodingReport {
        EncodingReport {
            left_out: self.left_out + other.left_out,
            sequences: self.sequences + other.sequences,
            bp: self.bp + other.bp,
            dna_tokens: self.dna_tokens + other.dna_tokens,
            tokens: self.tokens + other.tokens,
            truncated: self.truncated + other.truncated,
            bp_cut: self.bp_cut + other.bp_cut,
            ambiguous: self.ambiguous + other.ambiguous,
            longest_tokens: self.longest_tokens.max(other.longest_tokens),
        }
    }
}

/// Sequences to tokens, with what stands around them.
#[derive(Debug, Clone)]
pub struct Encoder {
    input: Input,
    around: [Option<u32>; 2],
    max_tokens: usize,
    vocabulary: Option<Vocabulary>,
    rows: usize,
}

/// What an input is made of.
#[derive(Debug, Clone)]
enum Input {
    /// Prefix, DNA and suffix as one text.
    Text(Box<Tokenizer>, Prompt),
    /// Each by itself.
    Pieces(Pieces),
}

/// An input whose DNA is tokenised apart from the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// Tokens of the prefix.
    pub before: Vec<u32>,
    /// The DNA's.
    pub dna: DnaTokens,
    /// Tokens of the suffix.
    pub after: Vec<u32>,
}

impl Encoder {
    /// An encoder that puts the first of `around` before each text and the second behind it, and keeps at most
    /// `max_tokens` tokens, those two included; 0 sets no limit. Truncation and padding that the tokenizer's own file
    /// asks for are switched off.
    pub fn new(
        mut tokenizer: Tokenizer,
        around: [Option<u32>; 2],
        prompt: Prompt,
        max_tokens: usize,
    ) -> Self {
        tokenizer.with_padding(None);
        // Only setting a truncation can fail, taking it away cannot.
        let _ = tokenizer.with_truncation(None);
        Self {
            input: Input::Text(Box::new(tokenizer), prompt),
            around,
            max_tokens,
            vocabulary: None,
            rows: usize::MAX,
        }
    }

    /// An encoder whose DNA does not go through a text tokenizer; `around` and `max_tokens` as for [`new`](Self::new).
    pub fn of_pieces(pieces: Pieces, around: [Option<u32>; 2], max_tokens: usize) -> Self {
        Self {
            input: Input::Pieces(pieces),
            around,
            max_tokens,
            vocabulary: None,
            rows: usize::MAX,
        }
    }

    /// Makes samples hold rows of a restricted embedding table instead of token ids.
    pub fn with_vocabulary(self, vocabulary: Vocabulary) -> Self {
        Self {
            vocabulary: Some(vocabulary),
            ..self
        }
    }

    /// Refuses tokens that a table of `rows` rows does not have.
    pub fn with_rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// Rows of the embedding table that samples can name.
    pub fn rows(&self) -> usize {
        match &self.vocabulary {
            Some(vocabulary) => vocabulary.rows(),
            None => self.rows,
        }
    }

    /// What all encoders that make the same samples of the same records have in common.
    pub fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        match &self.input {
            Input::Text(tokenizer, prompt) => {
                add("text");
                // A tokenizer that cannot be written has no file either.
                add(&tokenizer.to_string(false).unwrap_or_default());
                add(&format!("{prompt:?}"));
            }
            Input::Pieces(pieces) => add(&format!("{pieces:?}")),
        }
        let Self {
            around,
            max_tokens,
            vocabulary,
            rows,
            ..
        } = self;
        add(&format!("{around:?} {max_tokens} {vocabulary:?} {rows}"));
        hasher.finalize()
    }

    /// Encodes records, in parallel, in their order.
    ///
    /// Where an input is too long, tokens of DNA are dropped from its end: those that lie in the prefix or reach into
    /// the suffix are always kept, and at least one token of DNA.
    ///
    /// # Errors
    /// If the tokenizer fails, the limit leaves no room for DNA, or a token is outside the restricted vocabulary.
    pub fn encode(&self, records: &[Record]) -> Result<(Vec<Sample>, EncodingReport), EncodeError> {
        let mut samples = Vec::with_capacity(records.len());
        let mut report = EncodingReport::default();
        for chunk in records.chunks(CHUNK) {
            for (record, tokens) in chunk.iter().zip(self.tokens(chunk)?) {
                let (sample, of_record) = self.sample(record, tokens)?;
                samples.push(sample);
                report = report.merge(of_record);
            }
        }
        Ok((samples, report))
    }

    fn tokens(&self, records: &[Record]) -> Result<Vec<Tokens>, EncodeError> {
        match &self.input {
            Input::Text(tokenizer, prompt) => {
                let texts = records.iter().map(|record| prompt.wrap(&record.sequence));
                let encodings = tokenizer
                    .encode_batch(texts.collect(), false)
                    .map_err(EncodeError::Tokenizer)?;
                let encodings = records.iter().zip(&encodings);
                Ok(encodings
                    .map(|(record, encoding)| Tokens::of_text(record, encoding, prompt))
                    .collect())
            }
            Input::Pieces(pieces) => Ok(records
                .par_iter()
                .map(|record| Tokens::of_pieces(record, pieces))
                .collect()),
        }
    }

    fn sample(
        &self,
        record: &Record,
        tokens: Tokens,
    ) -> Result<(Sample, EncodingReport), EncodeError> {
        let dna = tokens.dna;
        let total = tokens.ids.len() + self.around.iter().flatten().count();
        let limit = match self.max_tokens {
            0 => total,
            limit => limit,
        };
        let dropped = total.saturating_sub(limit);
        if dropped > 0 && dropped >= dna.len() {
            return Err(EncodeError::NoRoom {
                max_tokens: self.max_tokens,
                needed: total - dna.len().saturating_sub(1),
                id: record.id.clone(),
            });
        }
        let cut = dna.end - dropped..dna.end;
        let [bos, eos] = &self.around;
        let kept = tokens.ids[..cut.start].iter().chain(&tokens.ids[cut.end..]);
        let mut ids: Vec<u32> = bos.iter().chain(kept).chain(eos).copied().collect();
        let apart = matches!(self.input, Input::Pieces(_));
        if ids.is_empty() || apart && dna.is_empty() {
            return Err(EncodeError::NoTokens {
                id: record.id.clone(),
            });
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) {
            let (id, rows) = (*id, self.rows);
            return Err(EncodeError::BeyondTable { id, rows });
        }
        if let Some(vocabulary) = &self.vocabulary {
            for id in &mut ids {
                *id = vocabulary.row(*id)?;
            }
        }
        let report = EncodingReport {
            left_out: 0,
            sequences: 1,
            bp: record.sequence.len(),
            dna_tokens: dna.len(),
            tokens: ids.len(),
            truncated: usize::from(dropped > 0),
            bp_cut: tokens.bp[cut.start - dna.start..].iter().sum(),
            ambiguous: tokens.ambiguous,
            longest_tokens: ids.len(),
        };
        let label = record.label.clone();
        Ok((Sample { ids, label }, report))
    }
}

/// The tokens of one input before anything is cut.
struct Tokens {
    ids: Vec<u32>,
    /// Those that hold DNA and may be dropped.
    dna: Range<usize>,
    /// Base pairs that each of them holds.
    bp: Vec<usize>,
    ambiguous: usize,
}

impl Tokens {
    fn of_text(record: &Record, encoding: &Encoding, prompt: &Prompt) -> Self {
        let start = prompt.prefix.len();
        let bytes = start..start + record.sequence.len();
        let dna = dna_tokens(encoding.get_offsets(), &bytes);
        let offsets = &encoding.get_offsets()[dna.clone()];
        // What lies between two tokens counts with the first of them.
        let ends = offsets.iter().skip(1).map(|next| next.0);
        let ends = ends.chain(offsets.last().map(|last| last.1));
        Self {
            ids: encoding.get_ids().to_vec(),
            bp: offsets
                .iter()
                .zip(ends)
                .map(|(offset, end)| end.saturating_sub(offset.0))
                .collect(),
            dna,
            ambiguous: 0,
        }
    }

    fn of_pieces(record: &Record, pieces: &Pieces) -> Self {
        let (dna, bp): (Vec<u32>, Vec<usize>) =
            pieces.dna.encode(&record.sequence).into_iter().unzip();
        let start = pieces.before.len();
        Self {
            dna: start..start + dna.len(),
            ids: [pieces.before.as_slice(), &dna, &pieces.after].concat(),
            bp,
            ambiguous: ambiguous(&record.sequence),
        }
    }
}

/// The tokens that hold DNA and may be dropped: those after the prefix's own, up to the first that reaches into the
/// suffix. Offsets are in bytes of the text, and so is the DNA's range.
fn dna_tokens(offsets: &[(usize, usize)], dna: &Range<usize>) -> Range<usize> {
    let first = offsets
        .iter()
        .position(|offset| offset.1 > dna.start)
        .unwrap_or(offsets.len());
    let in_suffix = |offset: &(usize, usize)| offset.0 >= dna.end || offset.1 > dna.end;
    let end = offsets[first..]
        .iter()
        .position(in_suffix)
        .map_or(offsets.len(), |position| first + position);
    first..end
}

#[cfg(test)]
pub(super) mod tests;
