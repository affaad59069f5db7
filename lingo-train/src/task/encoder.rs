//! How the sequences of a task become the tokens of a model.

use std::path::PathBuf;

use lingo_core::models::ModelConfig;
use tokenizers::Tokenizer;

use crate::config::{PromptConfig, TokenizerKind};
use crate::data::{
    DnaTokens, EncodeError, Encoder, LETTERS, LoadError, NucleotideTransformer, OverlappingKmers,
    Pieces, Prompt, Vocabulary, VocabularyError,
};

/// A checkpoint's tokenizer and what it does around a text.
#[derive(Clone, Debug)]
pub struct Text {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Put before each text.
    pub bos: Option<u32>,
    /// Put behind each text.
    pub eos: Option<u32>,
    /// Fills batches up; never read.
    pub pad: u32,
}

/// Why a task cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// There is no folder of the task.
    #[error(
        "data.dir: {} is {}{}; name the folder that holds train.csv, dev.csv and test.csv",
        dir.display(),
        if dir.exists() { "no folder" } else { "not there" },
        root.as_ref().map_or(String::new(), |root| {
            format!(" (nor is it outside data.root, which is {})", root.display())
        })
    )]
    NoFolder {
        /// The folder.
        dir: PathBuf,
        /// `data.root`, where it was looked for first.
        root: Option<PathBuf>,
    },
    /// The data cannot be read, tokenised or stored.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The prompt cannot be tokenised.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The padding token is not in the vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The input is asked to be longer than the model can take.
    #[error(
        "tokenizer.max_tokens: {asked} tokens, but this model takes at most {limit}; set it to {limit} or less, or \
         to 0 for the longest that the data needs"
    )]
    TooLong {
        /// As asked.
        asked: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The tokenization does not go with the model.
    #[error("tokenizer.kind: \"{}\" does not go with this model of type {model_type}: {reason}", kind.name())]
    Kind {
        /// As asked.
        kind: TokenizerKind,
        /// The model's.
        model_type: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A prompt for a model that knows no language.
    #[error(
        "{key}: this model of type {model_type} was pretrained on DNA alone and knows no language; leave it out"
    )]
    Prompt {
        /// The key that is set.
        key: &'static str,
        /// The model's.
        model_type: &'static str,
    },
}

/// What an input of a model consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How DNA becomes tokens.
    pub kind: TokenizerKind,
    /// The language around it; empty for models of DNA.
    pub prompt: Prompt,
}

impl Layout {
    /// What a run asks for, checked against the model; where it does not ask, what the model was pretrained with.
    ///
    /// # Errors
    /// If the model cannot be used so.
    pub fn choose(
        kind: Option<TokenizerKind>,
        prompt: &PromptConfig,
        text: Option<&Text>,
        model: &ModelConfig,
    ) -> Result<Self, TaskError> {
        let reads_kmers = matches!(model, ModelConfig::Esm(_))
            || text.is_some_and(|text| overlapping(text).is_some());
        let own = match reads_kmers {
            true => TokenizerKind::Kmer,
            false => TokenizerKind::Bpe,
        };
        let kind = kind.unwrap_or(own);
        if model.reads_text() && !reads_kmers {
            let prompt = prompt.for_text();
            return Ok(Self { kind, prompt });
        }
        if let Some(key) = prompt.given() {
            let model_type = model.model_type();
            return Err(TaskError::Prompt { key, model_type });
        }
        if kind != own {
            let reason = format!(
                "it was pretrained with \"{}\"; leave the key out",
                own.name()
            );
            return Err(refused(kind, model, reason));
        }
        let prompt = Prompt::default();
        Ok(Self { kind, prompt })
    }
}

fn refused(kind: TokenizerKind, model: &ModelConfig, reason: String) -> TaskError {
    TaskError::Kind {
        kind,
        model_type: model.model_type(),
        reason,
    }
}

/// DNABERT's k-mers, where the vocabulary is made of them.
fn overlapping(text: &Text) -> Option<OverlappingKmers> {
    OverlappingKmers::of_vocabulary(&text.tokenizer.get_vocab(true).into_iter().collect())
}

/// Turns records into samples for one model.
#[derive(Clone, Debug)]
pub struct SequenceEncoder {
    /// The tokenizer with prompt and limit.
    pub encoder: Encoder,
    /// What its inputs consist of.
    pub layout: Layout,
    /// The rows of the token table that are kept; all, without.
    pub vocabulary: Option<Vocabulary>,
    /// Tokens of the task's own, numbered behind the rows that are kept.
    pub added: usize,
    /// Id of the padding in samples.
    pub pad: u32,
    /// The most tokens of a sample.
    pub max_tokens: usize,
}

impl SequenceEncoder {
    /// An encoder for the model; `max_tokens` 0 asks for no less than it takes. `text` is the checkpoint's tokenizer,
    /// which a model of k-mers can do without.
    ///
    /// # Errors
    /// If more tokens are asked for than the model takes, or the layout needs what the tokenizer does not have.
    pub fn new(
        text: Option<Text>,
        layout: Layout,
        max_tokens: usize,
        restricted: bool,
        model: &ModelConfig,
    ) -> Result<Self, TaskError> {
        let limit = model.max_tokens();
        if max_tokens > limit {
            let asked = max_tokens;
            return Err(TaskError::TooLong { asked, limit });
        }
        let max_tokens = if max_tokens == 0 { limit } else { max_tokens };
        let Parts {
            encoder,
            always,
            pad,
            added,
        } = parts(text, &layout, max_tokens, model)?;
        let [rows, _] = model.token_table();
        let vocabulary = restricted.then(|| always.vocabulary(rows));
        let encoder = encoder.with_rows(rows + added);
        let (encoder, pad) = match &vocabulary {
            Some(vocabulary) => {
                let vocabulary = vocabulary.clone().with_added(rows, added);
                let pad = vocabulary.row(pad)?;
                (encoder.with_vocabulary(vocabulary), pad)
            }
            None => (encoder, pad),
        };
        Ok(Self {
            encoder,
            layout,
            vocabulary,
            added,
            pad,
            max_tokens,
        })
    }

    /// The same inputs, for a table that keeps what all of these encoders need: one table, many layouts. All of them are
    /// restricted, and for the same model.
    ///
    /// # Errors
    /// If the padding is among no encoder's rows.
    pub fn sharing_rows(encoders: Vec<Self>, model: &ModelConfig) -> Result<Vec<Self>, TaskError> {
        let [rows, _] = model.token_table();
        let added = encoders.iter().map(|encoder| encoder.added).max();
        let all = encoders.iter().filter_map(Self::rows).flatten().copied();
        let shared = Vocabulary::new(all).with_added(rows, added.unwrap_or(0));
        let share = |encoder: Self| {
            let pad = match encoder.rows() {
                Some(own) => own[encoder.pad as usize],
                None => encoder.pad,
            };
            Ok(Self {
                encoder: encoder.encoder.with_vocabulary(shared.clone()),
                pad: shared.row(pad)?,
                vocabulary: Some(shared.clone()),
                added: added.unwrap_or(0),
                ..encoder
            })
        };
        encoders.into_iter().map(share).collect()
    }

    /// The rows of the token table to load; all, without.
    pub fn rows(&self) -> Option<&[u32]> {
        self.vocabulary.as_ref().map(Vocabulary::ids)
    }
}

/// An encoder, and what the token table must have for it.
struct Parts {
    encoder: Encoder,
    always: Reach,
    pad: u32,
    added: usize,
}

/// The tokens that inputs can hold.
enum Reach {
    /// Of any text of the prompt and DNA.
    Text(Box<Tokenizer>, Prompt, Vec<u32>),
    /// These alone.
    Ids(Vec<u32>),
}

impl Reach {
    fn vocabulary(&self, rows: usize) -> Vocabulary {
        match self {
            Self::Text(tokenizer, prompt, always) => {
                Vocabulary::reachable(tokenizer, prompt, always, rows)
            }
            Self::Ids(ids) => Vocabulary::new(ids.iter().copied()),
        }
    }
}

fn parts(
    text: Option<Text>,
    layout: &Layout,
    max_tokens: usize,
    model: &ModelConfig,
) -> Result<Parts, TaskError> {
    if let ModelConfig::Esm(esm) = model {
        return nucleotide_transformer(esm.vocab_size, layout, max_tokens, model);
    }
    let Some(text) = text else {
        let reason = "the checkpoint has no tokenizer".to_owned();
        return Err(refused(layout.kind, model, reason));
    };
    let around = [text.bos, text.eos];
    let always: Vec<u32> = around.into_iter().flatten().chain([text.pad]).collect();
    let [rows, _] = model.token_table();
    let (dna, added) = match layout.kind {
        TokenizerKind::Bpe => {
            let prompt = layout.prompt.clone();
            let tokenizer = text.tokenizer.clone();
            return Ok(Parts {
                encoder: Encoder::new(text.tokenizer, around, prompt.clone(), max_tokens),
                always: Reach::Text(Box::new(tokenizer), prompt, always),
                pad: text.pad,
                added: 0,
            });
        }
        TokenizerKind::Kmer => match overlapping(&text) {
            Some(kmers) => (DnaTokens::Overlapping(kmers), 0),
            None => {
                let first = rows as u32;
                (
                    DnaTokens::Kmers { first },
                    NucleotideTransformer::DNA_TOKENS,
                )
            }
        },
        TokenizerKind::OneHot => {
            let ids = std::array::from_fn(|letter| (rows + letter) as u32);
            (DnaTokens::Letters(ids), LETTERS.len())
        }
        TokenizerKind::Words => (DnaTokens::Letters(words(&text, layout.kind, model)?), 0),
    };
    let encode = |part: &str| -> Result<Vec<u32>, TaskError> {
        let encoding = text.tokenizer.encode(part, false);
        let encoding = encoding.map_err(EncodeError::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
    };
    let pieces = Pieces {
        before: encode(&layout.prompt.prefix)?,
        dna,
        after: encode(&layout.prompt.suffix)?,
    };
    let of_dna: Vec<u32> = match &pieces.dna {
        DnaTokens::Letters(ids) if added == 0 => ids.to_vec(),
        // The model's own k-mers: its table has little else.
        DnaTokens::Overlapping(_) => (0..rows as u32).collect(),
        _ => Vec::new(),
    };
    let reach = [&pieces.before, &pieces.after, &of_dna, &always];
    Ok(Parts {
        always: Reach::Ids(reach.into_iter().flatten().copied().collect()),
        encoder: Encoder::of_pieces(pieces, around, max_tokens),
        pad: text.pad,
        added,
    })
}

/// The Nucleotide Transformer's own tokens.
fn nucleotide_transformer(
    vocab_size: usize,
    layout: &Layout,
    max_tokens: usize,
    model: &ModelConfig,
) -> Result<Parts, TaskError> {
    let Some(generation) = NucleotideTransformer::of_size(vocab_size) else {
        let reason = format!(
            "its vocabulary of {vocab_size} is none of the Nucleotide Transformer's ({} and {})",
            NucleotideTransformer::V1.vocab_size(),
            NucleotideTransformer::V2.vocab_size()
        );
        return Err(refused(layout.kind, model, reason));
    };
    let pieces = Pieces {
        before: Vec::new(),
        dna: DnaTokens::Kmers {
            first: generation.special_tokens().len() as u32,
        },
        after: Vec::new(),
    };
    let around = [Some(NucleotideTransformer::CLS), None];
    Ok(Parts {
        encoder: Encoder::of_pieces(pieces, around, max_tokens),
        always: Reach::Ids((0..vocab_size as u32).collect()),
        pad: NucleotideTransformer::PAD,
        added: 0,
    })
}

/// Whether a token is the letter itself, whatever a tokenizer does to its case, and not the unknown token.
fn is_letter(token: &str, letter: char) -> bool {
    let mut letters = token.trim().chars();
    letters
        .next()
        .is_some_and(|found| found.eq_ignore_ascii_case(&letter))
        && letters.next().is_none()
}

/// The checkpoint's own tokens of the nucleotides.
fn words(text: &Text, kind: TokenizerKind, model: &ModelConfig) -> Result<[u32; 5], TaskError> {
    let mut ids = [0; LETTERS.len()];
    for (id, letter) in ids.iter_mut().zip(LETTERS) {
        let encoding = text.tokenizer.encode(letter.to_string(), false);
        *id = match encoding.map_err(EncodeError::Tokenizer)?.get_ids() {
            [token]
                if text
                    .tokenizer
                    .decode(&[*token], false)
                    .is_ok_and(|t| is_letter(&t, letter)) =>
            {
                *token
            }
            _ => {
                let reason = format!("its tokenizer has no single token for the letter {letter}");
                return Err(refused(kind, model, reason));
            }
        };
    }
    Ok(ids)
}
