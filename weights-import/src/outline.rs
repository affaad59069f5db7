//! What is looked at of a `tokenizer.json` before the crate `tokenizers` reads it: the crate takes for granted that it is
//! JSON, and that maps of characters and templates are whole, and panics where they are not.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::charsmap;
use crate::error::ImportError;

/// The parts that are looked at; all of the others are JSON at least.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    post_processor: Value,
}

/// Refuses what the crate would not survive.
pub(crate) fn check(path: &Path, bytes: &[u8]) -> Result<(), ImportError> {
    let outline: Outline = serde_json::from_slice(bytes).map_err(|source| ImportError::Json {
        path: path.to_owned(),
        source,
    })?;
    let damaged = |place: &str, expected: &str, found: &str| ImportError::Damaged {
        path: path.to_owned(),
        place: format!("the tokenizer's {place}"),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    if !charsmap::are_sound(&outline.normalizer) {
        let found = "one that leads out of itself";
        return Err(damaged("normalizer", "a whole precompiled_charsmap", found));
    }
    if !are_whole(&outline.post_processor) {
        let expected = "a template of the sequence A and tokens that it describes";
        return Err(damaged("post_processor", expected, "others"));
    }
    Ok(())
}

/// Whether all templates within a post-processor can be filled in for a single text.
fn are_whole(processor: &Value) -> bool {
    match processor {
        Value::Array(items) => items.iter().all(are_whole),
        Value::Object(entries) => {
            let id = |piece: &Value, kind: &str| {
                let id = piece.get(kind)?.get("id")?.as_str()?;
                Some(id.to_owned())
            };
            let is_text = |piece: &&Value| id(piece, "Sequence").is_some_and(|id| id == "A");
            let tokens = entries.get("special_tokens");
            let is_token = |piece: &&Value| {
                id(piece, "SpecialToken")
                    .is_some_and(|id| tokens.is_some_and(|all| all.get(id).is_some()))
            };
            let single = entries.get("single").and_then(Value::as_array);
            let is_whole = single.is_none_or(|pieces| {
                let texts = pieces.iter().filter(is_text).count();
                let tokens = pieces.iter().filter(is_token).count();
                texts == 1 && tokens == pieces.len() - 1
            });
            is_whole && entries.values().all(are_whole)
        }
        _ => true,
    }
}
