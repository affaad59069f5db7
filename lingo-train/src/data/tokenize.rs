//! Records to token ids: prompt and DNA are tokenised as one text, and DNA is cut where it is too long.

use std::ops::Range;

use tokenizers::{Encoding, Tokenizer};

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
    /// Its class, where it is known.
    pub label: Option<usize>,
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
    #[error("sequence `{id}` becomes no token at all: this tokenizer does not know its letters")]
    NoTokens {
        /// The record.
        id: String,
    },
    /// A token lies outside the restricted vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

/// What encoding did, over all records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct EncodingReport {
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
            sequences: self.sequences + other.sequences,
            bp: self.bp + other.bp,
            dna_tokens: self.dna_tokens + other.dna_tokens,
            tokens: self.tokens + other.tokens,
            truncated: self.truncated + other.truncated,
            bp_cut: self.bp_cut + other.bp_cut,
            longest_tokens: self.longest_tokens.max(other.longest_tokens),
        }
    }
}

/// A tokenizer with what it must do around a text.
#[derive(Debug, Clone)]
pub struct Encoder {
    tokenizer: Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    prompt: Prompt,
    max_tokens: usize,
    vocabulary: Option<Vocabulary>,
}

impl Encoder {
    /// An encoder that puts the first of `around` before each text and the second behind it, and keeps at most
    /// `max_tokens` tokens, those two included; 0 sets no limit. Truncation and padding that the tokenizer's own file asks for are switched off.
    pub fn new(
        mut tokenizer: Tokenizer,
        around: [Option<u32>; 2],
        prompt: Prompt,
        max_tokens: usize,
    ) -> Self {
        let [bos, eos] = around;
        tokenizer.with_padding(None);
        // Only setting a truncation can fail, taking it away cannot.
        let _ = tokenizer.with_truncation(None);
        Self {
            tokenizer,
            bos,
            eos,
            prompt,
            max_tokens,
            vocabulary: None,
        }
    }

    /// Makes samples hold rows of a restricted embedding table instead of token ids.
    pub fn with_vocabulary(self, vocabulary: Vocabulary) -> Self {
        Self {
            vocabulary: Some(vocabulary),
            ..self
        }
    }

    /// The prompt around each sequence.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// Encodes records in parallel, in their order.
    ///
    /// Where a text is too long, tokens of DNA are dropped from its end: those that lie in the prefix or reach into
    /// the suffix are always kept, and at least one token of DNA.
    ///
    /// # Errors
    /// If the tokenizer fails, the limit leaves no room for DNA, or a token is outside the restricted vocabulary.
    pub fn encode(&self, records: &[Record]) -> Result<(Vec<Sample>, EncodingReport), EncodeError> {
        let mut samples = Vec::with_capacity(records.len());
        let mut report = EncodingReport::default();
        for chunk in records.chunks(CHUNK) {
            let texts: Vec<String> = chunk
                .iter()
                .map(|record| self.prompt.wrap(&record.sequence))
                .collect();
            let encodings = self
                .tokenizer
                .encode_batch(texts, false)
                .map_err(EncodeError::Tokenizer)?;
            for (record, encoding) in chunk.iter().zip(&encodings) {
                let (sample, of_record) = self.sample(record, encoding)?;
                samples.push(sample);
                report = report.merge(of_record);
            }
        }
        Ok((samples, report))
    }

    fn sample(
        &self,
        record: &Record,
        encoding: &Encoding,
    ) -> Result<(Sample, EncodingReport), EncodeError> {
        let start = self.prompt.prefix.len();
        let bytes = start..start + record.sequence.len();
        let dna = dna_tokens(encoding.get_offsets(), &bytes);
        let extra = usize::from(self.bos.is_some()) + usize::from(self.eos.is_some());
        let total = encoding.len() + extra;

        let limit = if self.max_tokens == 0 {
            total
        } else {
            self.max_tokens
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
        let bp_cut = match encoding.get_offsets()[cut.clone()] {
            [first, .., last] => last.1 - first.0,
            [only] => only.1 - only.0,
            [] => 0,
        };

        let ids = encoding.get_ids();
        let kept = ids[..cut.start].iter().chain(&ids[cut.end..]);
        let whole = self.bos.iter().chain(kept).chain(&self.eos);
        let mut ids: Vec<u32> = whole.copied().collect();
        if ids.is_empty() {
            return Err(EncodeError::NoTokens {
                id: record.id.clone(),
            });
        }
        if let Some(vocabulary) = &self.vocabulary {
            for id in &mut ids {
                *id = vocabulary.row(*id)?;
            }
        }
        let report = EncodingReport {
            sequences: 1,
            bp: record.sequence.len(),
            dna_tokens: dna.len(),
            tokens: ids.len(),
            truncated: usize::from(dropped > 0),
            bp_cut,
            longest_tokens: ids.len(),
        };
        let label = record.label;
        Ok((Sample { ids, label }, report))
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
