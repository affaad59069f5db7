//! SentencePiece's BPE from a GGUF file (`tokenizer.ggml.model = llama`): a vocabulary with scores, no merges.
//!
//! SentencePiece merges whichever neighbours give the piece with the highest score. Ranking every split of every
//! piece by that score gives merges that do the same; it is also how Hugging Face converts these models.

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BpeBuilder, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};

use crate::bpe;
use crate::error::ImportError;
use crate::gguf::config::Metadata;
use crate::gguf::header::Value;
use crate::gguf::tokenizer::{CONTROL, UNKNOWN, token_types, unsupported, vocabulary};

/// SentencePiece's space.
const SPACE: &str = "\u{2581}";

/// Puts the tokenizer together, without special tokens.
pub(crate) fn tokenizer(
    metadata: Metadata<'_>,
    tokens: &[String],
) -> Result<Tokenizer, ImportError> {
    let scores = match metadata.get("tokenizer.ggml.scores") {
        Some(Value::Floats(scores)) if scores.len() == tokens.len() => scores,
        _ => {
            let expected = format!("{} numbers, one for each token", tokens.len());
            return Err(metadata.bad("tokenizer.ggml.scores", &expected));
        }
    };
    // Files whose vocabulary was not SentencePiece's have scores that rank nothing.
    if scores.iter().all(|score| *score == scores[0]) {
        return Err(unsupported(
            metadata,
            "scores that rank the tokens",
            Some("the same for all"),
        ));
    }
    let types = token_types(metadata, tokens)?;
    let vocabulary = vocabulary(metadata, tokens)?;
    let skipped = |id: u32| {
        types
            .get(id as usize)
            .is_some_and(|kind| matches!(*kind, CONTROL | UNKNOWN))
    };
    let merges = merges(&vocabulary, tokens, scores, skipped);
    let unknown = metadata
        .token_id("tokenizer.ggml.unknown_token_id")?
        .unwrap_or(0);
    let unknown = tokens.get(unknown as usize).cloned().ok_or_else(|| {
        metadata.bad("tokenizer.ggml.unknown_token_id", "an id of the vocabulary")
    })?;
    let adapt = |builder: BpeBuilder| {
        builder
            .unk_token(unknown)
            .fuse_unk(true)
            .byte_fallback(true)
    };
    let model = bpe::model(metadata.path(), vocabulary, merges, adapt)?;

    let add_prefix = metadata
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let refused = |error: tokenizers::Error| bpe::refused(metadata.path(), &error);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    let mut decoders: Vec<DecoderWrapper> = vec![
        Replace::new(SPACE, " ").map_err(refused)?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if add_prefix {
        normalizers.push(Prepend::new(SPACE.to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    normalizers.push(Replace::new(" ", SPACE).map_err(refused)?.into());
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(Normalizers::new(normalizers)))
        .map_err(refused)?;
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    Ok(tokenizer)
}

/// Every split of every piece into two others, best piece first; splits of one piece by the ids of their parts.
fn merges(
    vocabulary: &Vocab,
    tokens: &[String],
    scores: &[f64],
    skipped: impl Fn(u32) -> bool,
) -> Merges {
    let known = |piece: &str| vocabulary.get(piece).copied().filter(|id| !skipped(*id));
    let mut ranked = Vec::new();
    for ((id, piece), score) in (0_u32..).zip(tokens).zip(scores) {
        if skipped(id) {
            continue;
        }
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(left_id), Some(right_id)) = (known(left), known(right)) {
                ranked.push((*score, id, left_id, right_id, left, right));
            }
        }
    }
    ranked.sort_by(|a, b| {
        let ids = |merge: &(f64, u32, u32, u32, &str, &str)| (merge.1, merge.2, merge.3);
        b.0.total_cmp(&a.0).then_with(|| ids(a).cmp(&ids(b)))
    });
    ranked
        .into_iter()
        .map(|(.., left, right)| (left.to_owned(), right.to_owned()))
        .collect()
}
