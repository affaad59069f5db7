//! GGUF metadata to a model's configuration.

use std::collections::HashMap;
use std::path::Path;

use lingo_core::models::llama::LlamaConfig;

use crate::error::ImportError;
use crate::gguf::header::{Header, Value};
use crate::json::MOST;

/// The values of `general.architecture` that can be read.
const ARCHITECTURES: &[&str] = &["llama"];

/// The metadata with typed access.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metadata<'a> {
    path: &'a Path,
    values: &'a HashMap<String, Value>,
}

impl<'a> Metadata<'a> {
    /// The metadata of a parsed head.
    pub(crate) fn new(path: &'a Path, header: &'a Header) -> Self {
        Self {
            path,
            values: &header.metadata,
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// A value, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key)
    }

    /// A complaint about a key.
    pub(crate) fn bad(&self, key: &str, expected: &str) -> ImportError {
        let found = self.get(key);
        let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
        ImportError::Key {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }

    fn unsupported(&self, key: &str, found: impl ToString, supported: &str) -> ImportError {
        ImportError::Unsupported {
            path: self.path.to_owned(),
            feature: key.to_owned(),
            found: found.to_string(),
            supported: supported.to_owned(),
        }
    }

    /// A size from 1 to [`MOST`], if the key is there. A list of one value a layer counts when all are the same.
    fn optional_size(&self, key: &str) -> Result<Option<usize>, ImportError> {
        let number = match self.get(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => *number,
            Some(Value::Integers(items)) => match items.as_slice() {
                [first, rest @ ..] if rest.iter().all(|item| item == first) => (*first).into(),
                _ => return Err(self.unsupported(key, "different for each layer", "one value")),
            },
            Some(_) => return Err(self.not_a_size(key)),
        };
        match usize::try_from(number) {
            Ok(size) if (1..=MOST).contains(&size) => Ok(Some(size)),
            _ => Err(self.not_a_size(key)),
        }
    }

    fn size(&self, key: &str) -> Result<usize, ImportError> {
        self.optional_size(key)?.ok_or_else(|| self.not_a_size(key))
    }

    fn not_a_size(&self, key: &str) -> ImportError {
        self.bad(key, &format!("a whole number from 1 to {MOST}"))
    }

    /// A number above 0, if the key is there.
    fn optional_number(&self, key: &str) -> Result<Option<f64>, ImportError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() && *number > 0.0 => Ok(Some(*number)),
            Some(_) => Err(self.bad(key, "a number above 0")),
        }
    }

    /// A text, if the key is there.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, ImportError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(key, "a text")),
        }
    }

    /// A boolean, if the key is there.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ImportError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.bad(key, "true or false")),
        }
    }

    /// A token id, if the key is there.
    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, ImportError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(id)) => u32::try_from(*id)
                .map(Some)
                .map_err(|_| self.bad(key, "a token id")),
            Some(_) => Err(self.bad(key, "a token id")),
        }
    }
}

/// The model that the metadata describe; `vocabulary` is the number of rows of the embedding table.
pub(crate) fn parse(
    metadata: Metadata<'_>,
    vocabulary: Option<usize>,
) -> Result<LlamaConfig, ImportError> {
    let architecture = metadata.text("general.architecture")?;
    if architecture != Some("llama") {
        return Err(ImportError::Architecture {
            path: metadata.path().to_owned(),
            key: "general.architecture",
            found: architecture.map_or_else(|| "missing".to_owned(), |name| format!("`{name}`")),
            supported: ARCHITECTURES,
        });
    }
    refuse_variants(metadata)?;

    let hidden_size = metadata.size("llama.embedding_length")?;
    let num_attention_heads = metadata.size("llama.attention.head_count")?;
    let num_key_value_heads = metadata
        .optional_size("llama.attention.head_count_kv")?
        .unwrap_or(num_attention_heads);
    if !num_attention_heads.is_multiple_of(num_key_value_heads) {
        return Err(metadata.bad("llama.attention.head_count_kv", "a divisor of head_count"));
    }
    let head_dim = match metadata.optional_size("llama.attention.key_length")? {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(num_attention_heads) => {
            hidden_size / num_attention_heads
        }
        None => {
            return Err(metadata.bad(
                "llama.attention.head_count",
                "a divisor of embedding_length",
            ));
        }
    };
    if !head_dim.is_multiple_of(2) {
        return Err(metadata.bad(
            "llama.attention.key_length",
            "an even number, for rotary positions",
        ));
    }
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let Some(found) = metadata
            .optional_size(key)?
            .filter(|size| *size != head_dim)
        {
            return Err(metadata.unsupported(key, found, &format!("the head width, {head_dim},")));
        }
    }
    let max_position_embeddings = metadata.size("llama.context_length")?;
    let window = metadata.optional_size("llama.attention.sliding_window")?;
    if let Some(window) = window.filter(|window| *window < max_position_embeddings) {
        return Err(metadata.unsupported("llama.attention.sliding_window", window, "none"));
    }
    Ok(LlamaConfig {
        vocab_size: match vocabulary {
            Some(rows) => rows,
            None => metadata.size("llama.vocab_size")?,
        },
        hidden_size,
        intermediate_size: metadata.size("llama.feed_forward_length")?,
        num_hidden_layers: metadata.size("llama.block_count")?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings,
        rms_norm_eps: metadata
            .optional_number("llama.attention.layer_norm_rms_epsilon")?
            .map(as_written)
            .ok_or_else(|| {
                metadata.bad("llama.attention.layer_norm_rms_epsilon", "a number above 0")
            })?,
        rope_theta: metadata
            .optional_number("llama.rope.freq_base")?
            .map_or(10_000.0, as_written),
        attention_dropout: 0.0,
        pad_token_id: metadata.token_id("tokenizer.ggml.padding_token_id")?,
    })
}

/// Refuses what calls itself llama and computes something else.
fn refuse_variants(metadata: Metadata<'_>) -> Result<(), ImportError> {
    match metadata.text("llama.rope.scaling.type")? {
        None | Some("none") => {}
        Some(kind) => return Err(metadata.unsupported("llama.rope.scaling.type", kind, "none")),
    }
    for key in ["llama.rope.scale_linear", "llama.rope.scaling.factor"] {
        if let Some(factor) = metadata
            .optional_number(key)?
            .filter(|factor| *factor != 1.0)
        {
            return Err(metadata.unsupported(key, factor, "1"));
        }
    }
    match metadata.get("llama.expert_count") {
        None | Some(Value::Integer(0)) => Ok(()),
        Some(count) => Err(metadata.unsupported("llama.expert_count", count, "0")),
    }
}

/// The shortest decimal that the stored f32 stands for: 1e-5 where a plain conversion gives 9.99999974e-6.
fn as_written(stored: f64) -> f64 {
    (stored as f32).to_string().parse().unwrap_or(stored)
}
