//! `config.json`: the source's own with another type of numbers, or one for a file that has none.

use std::path::Path;

use lingo_core::models::ModelConfig;
use lingo_core::models::llama::LlamaConfig;
use lingo_core::nn::Precision;
use serde_json::{Map, Value, json};

use super::{ExportError, FineTuned, left_out, torch_name};
use crate::checkpoint::Checkpoint;
use crate::json::JsonFile;
use crate::tokenizer::TextTokenizer;

/// The file's name.
pub(super) const FILE: &str = "config.json";

/// Writes it; a source `is_beheaded` that is written without the head of its pretraining.
pub(super) fn write(
    source: &Checkpoint,
    dtype: Precision,
    tokenizer: Option<&TextTokenizer>,
    fine_tuned: Option<&FineTuned>,
    is_beheaded: bool,
    folder: &Path,
) -> Result<(), ExportError> {
    let bos = tokenizer.and_then(|tokenizer| tokenizer.bos);
    let mut root = match (source.folder(), source.config()) {
        (Some(from), _) => JsonFile::open(&from.join(FILE))?.root().clone(),
        (None, ModelConfig::Llama(config)) => llama(config, bos, left_out::is_tied(source)?),
        // A reader of single files that learns of other models says here what to write.
        (None, other) => {
            return Err(ExportError::Weights {
                path: source.path().to_owned(),
                reason: format!("no config.json can be made for a {}", other.model_type()),
            });
        }
    };
    // transformers 5 reads the first, 4 the second.
    let key = match root.contains_key("dtype") {
        true => "dtype",
        false => "torch_dtype",
    };
    root.insert(key.to_owned(), torch_name(dtype).into());
    root.insert(
        "model_type".to_owned(),
        hugging_face_type(source.config()).into(),
    );
    // Without the code that it names, nothing could be loaded by it.
    if root.remove("auto_map").is_some() && matches!(source.config(), ModelConfig::DnaBert2(_)) {
        // By this the model is recognised all the same; the figure is not read.
        root.entry("alibi_starting_size").or_insert(512.into());
    }
    if is_beheaded && source.classes().is_none() {
        // Under the class of before, libraries would make the missing head up.
        let class = format!("{}Model", family(source.config()));
        root.insert("architectures".to_owned(), json!([class]));
    }
    if let Some(fine_tuned) = fine_tuned {
        let pad = tokenizer.map(|tokenizer| tokenizer.pad);
        root.extend(classifier(source.config(), fine_tuned, pad));
    }
    write_json(folder, FILE, root)
}

/// Writes an object, as Hugging Face's libraries do.
pub(super) fn write_json(
    folder: &Path,
    name: &str,
    root: Map<String, Value>,
) -> Result<(), ExportError> {
    let path = folder.join(name);
    let text = format!("{:#}\n", Value::Object(root));
    std::fs::write(&path, text).map_err(ExportError::io(&path))
}

fn hugging_face_type(config: &ModelConfig) -> &'static str {
    match config {
        ModelConfig::DnaBert2(_) => "bert",
        other => other.model_type(),
    }
}

/// What the names of Hugging Face's classes for a model begin with.
fn family(config: &ModelConfig) -> &'static str {
    match config {
        ModelConfig::Opt(_) => "OPT",
        ModelConfig::Llama(_) => "Llama",
        ModelConfig::Bert(_) | ModelConfig::DnaBert2(_) => "Bert",
        ModelConfig::Esm(_) => "Esm",
    }
}

/// What makes the configuration one of a classifier.
fn classifier(
    config: &ModelConfig,
    fine_tuned: &FineTuned,
    pad: Option<u32>,
) -> Map<String, Value> {
    let (problem, names) = match &fine_tuned.labels {
        Some(names) => ("multi_label_classification", names.clone()),
        None => {
            let names = (0..fine_tuned.outputs).map(|class| format!("LABEL_{class}"));
            ("single_label_classification", names.collect())
        }
    };
    let by_id = names.iter().enumerate();
    let by_id: Map<String, Value> = by_id
        .map(|(id, name)| (id.to_string(), name.as_str().into()))
        .collect();
    let by_name = names.into_iter().zip(0..fine_tuned.outputs);
    let by_name: Map<String, Value> = by_name.map(|(name, id)| (name, id.into())).collect();
    let mut root = Map::from_iter([
        (
            "architectures".to_owned(),
            json!([format!("{}ForSequenceClassification", family(config))]),
        ),
        ("id2label".to_owned(), by_id.into()),
        ("label2id".to_owned(), by_name.into()),
        ("problem_type".to_owned(), problem.into()),
    ]);
    // By it decoders find a sequence's end.
    if let Some(pad) = pad {
        root.insert("pad_token_id".to_owned(), pad.into());
    }
    root
}

fn llama(config: &LlamaConfig, bos: Option<u32>, tied: bool) -> Map<String, Value> {
    let root = json!({
        "architectures": ["LlamaModel"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "attention_dropout": config.attention_dropout,
        "bos_token_id": bos,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": tied,
    });
    match root {
        Value::Object(root) => root,
        _ => Map::new(),
    }
}

/// A tensor's name in the folder: its own where the source is one, else the backbone's.
pub(super) fn tensor_name<'a>(source: &Checkpoint, name: &'a str, key: &'a str) -> &'a str {
    match source.folder() {
        Some(_) => key,
        None => name,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hf;

    #[test]
    fn a_written_configuration_reads_as_the_same() {
        let config = LlamaConfig {
            vocab_size: 32,
            hidden_size: 12,
            intermediate_size: 20,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 6,
            max_position_embeddings: 99,
            rms_norm_eps: 1e-5,
            rope_theta: 5e5,
            attention_dropout: 0.0,
            pad_token_id: Some(3),
        };
        let folder = tempfile::tempdir().unwrap();
        for pad_token_id in [Some(3), None] {
            let config = LlamaConfig {
                pad_token_id,
                ..config.clone()
            };
            write_json(folder.path(), FILE, llama(&config, None, true)).unwrap();
            let file = JsonFile::open(&folder.path().join(FILE)).unwrap();
            assert_eq!(
                hf::config::parse(&file).unwrap(),
                ModelConfig::Llama(config)
            );
        }
    }
}
