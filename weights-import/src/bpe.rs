//! Byte-pair tokenizers put together from a vocabulary and merges.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::ImportError;

/// What to do about a tokenizer that contradicts itself.
const FETCH_AGAIN: &str = "fetch the model's files again";

/// Checks that a BPE model can be built (its builder takes the merges at their word) and builds it.
///
/// # Errors
/// If a merge is of tokens, or into a token, that the vocabulary lacks.
pub(crate) fn model(
    path: &Path,
    vocabulary: Vocab,
    merges: Merges,
    adapt: impl FnOnce(BpeBuilder) -> BpeBuilder,
) -> Result<BPE, ImportError> {
    for (rank, (left, right)) in merges.iter().enumerate() {
        let merged = format!("{left}{right}");
        for token in [left, right, &merged] {
            if !vocabulary.contains_key(token) {
                return Err(ImportError::Tokenizer {
                    path: path.to_owned(),
                    expected: format!("the tokens of merge {rank}, `{left} {right}`"),
                    found: format!("no token `{token}` in the vocabulary"),
                    remedy: FETCH_AGAIN,
                });
            }
        }
    }
    adapt(BPE::builder().vocab_and_merges(vocabulary, merges))
        .build()
        .map_err(|error| refused(path, &error))
}

/// Splits `left right`.
pub(crate) fn merge(path: &Path, line: &str) -> Result<(String, String), ImportError> {
    line.split_once(' ')
        .filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
        .ok_or_else(|| ImportError::Tokenizer {
            path: path.to_owned(),
            expected: "merges of two tokens with one space between".to_owned(),
            found: format!("`{line}`"),
            remedy: FETCH_AGAIN,
        })
}

/// A tokenizer of GPT-2's kind: bytes as printable characters, split by GPT-2's pattern.
pub(crate) fn byte_level(model: BPE, add_prefix_space: bool) -> Tokenizer {
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(add_prefix_space, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    tokenizer
}

/// Adds tokens that are matched before anything is split, and checks that each has the id it should have.
///
/// # Errors
/// If the crate gave one another id, because ids have gaps or two tokens share one.
pub(crate) fn add_tokens(
    path: &Path,
    tokenizer: &mut Tokenizer,
    tokens: &BTreeMap<u32, AddedToken>,
) -> Result<(), ImportError> {
    tokenizer
        .add_tokens(tokens.values().cloned())
        .map_err(|error| refused(path, &error))?;
    for (id, token) in tokens {
        let found = tokenizer.token_to_id(&token.content);
        if found != Some(*id) {
            return Err(ImportError::Tokenizer {
                path: path.to_owned(),
                expected: format!("`{}` to have the id {id}", token.content),
                found: found.map_or_else(|| "no id".to_owned(), |id| id.to_string()),
                remedy: FETCH_AGAIN,
            });
        }
    }
    Ok(())
}

/// What the crate `tokenizers` complained of.
pub(crate) fn refused(path: &Path, error: &tokenizers::Error) -> ImportError {
    ImportError::Tokenizer {
        path: path.to_owned(),
        expected: "a tokenizer that the crate `tokenizers` can use".to_owned(),
        found: error.to_string(),
        remedy: FETCH_AGAIN,
    }
}
