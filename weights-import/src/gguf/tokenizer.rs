//! The tokenizer inside a GGUF file.

use std::collections::BTreeMap;

use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::normalizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

use crate::bpe;
use crate::error::ImportError;
use crate::gguf::config::Metadata;
use crate::gguf::header::Value;
use crate::gguf::sentencepiece;
use crate::tokenizer::TextTokenizer;

/// What to do about a tokenizer that is not understood.
const REMEDY: &str = "put the model's tokenizer.json beside the .gguf file";

/// Llama 3's way to split a text.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The first token of Llama 3's texts.
const LLAMA_3_BOS: &str = "<|begin_of_text|>";

/// Numbers of `tokenizer.ggml.token_type`.
pub(crate) const UNKNOWN: i64 = 2;
pub(crate) const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// How a text is split before merges apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitting {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit alone, then GPT-2's pattern.
    DigitsGpt2,
    /// Llama 3's pattern.
    Llama3,
}

impl Splitting {
    /// The one that `tokenizer.ggml.pre` names. Files without a name in it are older than the key: of Llama 3's kind
    /// where they have its first token, else of GPT-2's.
    fn named(name: Option<&str>, tokens: &[String]) -> Option<Self> {
        match name {
            None | Some("default") if tokens.iter().any(|token| token == LLAMA_3_BOS) => {
                Some(Self::Llama3)
            }
            None | Some("gpt-2" | "default") => Some(Self::Gpt2),
            Some("smollm" | "starcoder" | "refact") => Some(Self::DigitsGpt2),
            Some("llama-bpe" | "llama3" | "llama-v3") => Some(Self::Llama3),
            Some(_) => None,
        }
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper, tokenizers::Error> {
        let gpt2 = ByteLevel::new(false, true, true);
        Ok(match self {
            Self::Gpt2 => gpt2.into(),
            Self::DigitsGpt2 => Sequence::new(vec![Digits::new(true).into(), gpt2.into()]).into(),
            Self::Llama3 => {
                let pattern = SplitPattern::Regex(LLAMA_3.to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
                Sequence::new(vec![split.into(), gpt2.use_regex(false).into()]).into()
            }
        })
    }
}

/// Puts the tokenizer together.
pub(crate) fn read(metadata: Metadata<'_>) -> Result<TextTokenizer, ImportError> {
    let tokens = match metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Texts(tokens)) => tokens,
        _ => return Err(metadata.bad("tokenizer.ggml.tokens", "a list of texts")),
    };
    let (mut tokenizer, bos_by_default) = match metadata.text("tokenizer.ggml.model")? {
        Some("gpt2") => byte_level(metadata, tokens)?,
        Some("llama") => (sentencepiece::tokenizer(metadata, tokens)?, true),
        other => {
            return Err(unsupported(
                metadata,
                "the tokenizer model gpt2 or llama",
                other,
            ));
        }
    };
    add_special(metadata, &mut tokenizer, tokens)?;

    if metadata.flag("tokenizer.ggml.add_eos_token")? == Some(true) {
        return Err(unsupported(
            metadata,
            "nothing to be added behind a text",
            Some("add_eos_token = true"),
        ));
    }
    let in_vocabulary = |key: &str| -> Result<Option<u32>, ImportError> {
        match metadata.token_id(key)? {
            Some(id) if id as usize >= tokens.len() => {
                Err(metadata.bad(key, &format!("an id below {}", tokens.len())))
            }
            id => Ok(id),
        }
    };
    let bos = in_vocabulary("tokenizer.ggml.bos_token_id")?;
    let eos = in_vocabulary("tokenizer.ggml.eos_token_id")?;
    let pad = in_vocabulary("tokenizer.ggml.padding_token_id")?;
    let add_bos = metadata
        .flag("tokenizer.ggml.add_bos_token")?
        .unwrap_or(bos_by_default);
    if add_bos && bos.is_none() {
        return Err(metadata.bad(
            "tokenizer.ggml.bos_token_id",
            "a token id, as add_bos_token is true",
        ));
    }
    Ok(TextTokenizer {
        tokenizer,
        bos: bos.filter(|_| add_bos),
        eos: None,
        pad: pad.or(eos).unwrap_or(0),
    })
}

/// GPT-2's kind: bytes as printable characters, merges in order. Also says whether a bos is the rule.
fn byte_level(metadata: Metadata<'_>, tokens: &[String]) -> Result<(Tokenizer, bool), ImportError> {
    let pre = metadata.text("tokenizer.ggml.pre")?;
    let splitting = Splitting::named(pre, tokens).ok_or_else(|| {
        let known = "a pre-tokenizer among gpt-2, default, smollm, starcoder, refact, llama-bpe";
        unsupported(metadata, known, pre)
    })?;
    let merges = match metadata.get("tokenizer.ggml.merges") {
        Some(Value::Texts(merges)) => merges
            .iter()
            .map(|line| bpe::merge(metadata.path(), line))
            .collect::<Result<_, _>>()?,
        _ => return Err(metadata.bad("tokenizer.ggml.merges", "a list of texts")),
    };
    let vocabulary = vocabulary(metadata, tokens)?;
    let is_llama_3 = splitting == Splitting::Llama3;
    // Llama 3 looks a whole word up before it merges.
    let adapt = |builder: BpeBuilder| builder.ignore_merges(is_llama_3);
    let model = bpe::model(metadata.path(), vocabulary, merges, adapt)?;
    let mut tokenizer = bpe::byte_level(model, false);
    let pre_tokenizer = splitting
        .pre_tokenizer()
        .map_err(|error| bpe::refused(metadata.path(), &error))?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    Ok((tokenizer, is_llama_3))
}

/// Ids by token, each token once.
pub(crate) fn vocabulary(metadata: Metadata<'_>, tokens: &[String]) -> Result<Vocab, ImportError> {
    let mut vocabulary = Vocab::with_capacity(tokens.len());
    for (id, token) in (0_u32..).zip(tokens) {
        if let Some(first) = vocabulary.insert(token.clone(), id) {
            let found = format!("`{token}` as {first} and {id}");
            return Err(unsupported(
                metadata,
                "tokens that differ from each other",
                Some(&found),
            ));
        }
    }
    Ok(vocabulary)
}

/// The kind of each token, if the file tells.
pub(crate) fn token_types<'a>(
    metadata: Metadata<'a>,
    tokens: &[String],
) -> Result<&'a [i64], ImportError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    match metadata.get(KEY) {
        None => Ok(&[]),
        Some(Value::Integers(types)) if types.len() == tokens.len() => Ok(types),
        Some(_) => Err(metadata.bad(
            KEY,
            &format!("{} integers, one for each token", tokens.len()),
        )),
    }
}

/// Control tokens become special ones; the user's own are matched before splitting, too.
fn add_special(
    metadata: Metadata<'_>,
    tokenizer: &mut Tokenizer,
    tokens: &[String],
) -> Result<(), ImportError> {
    let types = token_types(metadata, tokens)?;
    let mut added = BTreeMap::new();
    for ((id, token), kind) in (0_u32..).zip(tokens).zip(types) {
        if matches!(*kind, CONTROL | USER_DEFINED) && !token.is_empty() {
            // `normalized` would have a SentencePiece normalizer rewrite the token itself.
            let special = *kind == CONTROL;
            added.insert(
                id,
                AddedToken::from(token.clone(), special).normalized(false),
            );
        }
    }
    bpe::add_tokens(metadata.path(), tokenizer, &added)
}

/// A refusal with the way out.
pub(crate) fn unsupported(
    metadata: Metadata<'_>,
    expected: &str,
    found: Option<&str>,
) -> ImportError {
    ImportError::Tokenizer {
        path: metadata.path().to_owned(),
        expected: expected.to_owned(),
        found: found.unwrap_or("none").to_owned(),
        remedy: REMEDY,
    }
}
