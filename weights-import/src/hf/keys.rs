//! The key tables: which tensors each model has, and which it leaves alone.

use lingo_core::models::ModelConfig;
use lingo_core::models::esm::{EsmMlp, EsmPositions};

use crate::tensors::Role;

/// What the token table is called.
pub(crate) const TOKEN_TABLES: [&str; 2] =
    ["embed_tokens.weight", "embeddings.word_embeddings.weight"];

/// Wrappers around a backbone's keys, the longest first.
const PREFIXES: [&str; 5] = ["model.decoder.", "model.", "decoder.", "bert.", "esm."];

/// What a model has, and what is left alone, by canonical names. Matrices stand with the suffixes of their tensors.
struct KeyTable {
    layers: usize,
    /// What a layer's number follows.
    stem: &'static str,
    in_layer: Vec<&'static str>,
    /// What is there once.
    outside: Vec<&'static str>,
    /// Parts of no use for classification: whole modules, or names within a layer.
    ignored: &'static [&'static str],
}

const WEIGHT: &str = ".weight";
const BIAS: &str = ".bias";

fn table(config: &ModelConfig) -> KeyTable {
    match config {
        ModelConfig::Opt(opt) => KeyTable {
            layers: opt.num_hidden_layers,
            stem: "layers.",
            in_layer: vec![
                "self_attn.q_proj.*",
                "self_attn.k_proj.*",
                "self_attn.v_proj.*",
                "self_attn.out_proj.*",
                "self_attn_layer_norm.*",
                "fc1.*",
                "fc2.*",
                "final_layer_norm.*",
            ],
            outside: [
                &["embed_tokens.weight", "embed_positions.weight"],
                when(
                    opt.word_embed_proj_dim != opt.hidden_size,
                    &["project_in.weight", "project_out.weight"],
                ),
                when(opt.do_layer_norm_before, &["final_layer_norm.*"]),
            ]
            .concat(),
            ignored: &["lm_head"],
        },
        ModelConfig::Llama(llama) => KeyTable {
            layers: llama.num_hidden_layers,
            stem: "layers.",
            in_layer: vec![
                "self_attn.q_proj.weight",
                "self_attn.k_proj.weight",
                "self_attn.v_proj.weight",
                "self_attn.o_proj.weight",
                "mlp.gate_proj.weight",
                "mlp.up_proj.weight",
                "mlp.down_proj.weight",
                "input_layernorm.weight",
                "post_attention_layernorm.weight",
            ],
            outside: vec!["embed_tokens.weight", "norm.weight"],
            ignored: &["lm_head"],
        },
        ModelConfig::Bert(bert) => KeyTable {
            layers: bert.num_hidden_layers,
            stem: "encoder.layer.",
            in_layer: vec![
                "attention.self.query.*",
                "attention.self.key.*",
                "attention.self.value.*",
                "attention.output.dense.*",
                "attention.output.LayerNorm.*",
                "intermediate.dense.*",
                "output.dense.*",
                "output.LayerNorm.*",
            ],
            outside: vec![
                "embeddings.word_embeddings.weight",
                "embeddings.position_embeddings.weight",
                "embeddings.token_type_embeddings.weight",
                "embeddings.LayerNorm.*",
                "pooler.dense.*",
            ],
            ignored: &["cls", "embeddings.position_ids"],
        },
        ModelConfig::Esm(esm) => KeyTable {
            layers: esm.num_hidden_layers,
            stem: "encoder.layer.",
            in_layer: [
                &[
                    "attention.LayerNorm.*",
                    "attention.self.query.*",
                    "attention.self.key.*",
                    "attention.self.value.*",
                    "attention.output.dense.*",
                    "LayerNorm.*",
                    "intermediate.dense.weight",
                    "output.dense.weight",
                ],
                when(
                    esm.mlp != EsmMlp::Gated { bias: false },
                    &["intermediate.dense.bias", "output.dense.bias"],
                ),
            ]
            .concat(),
            outside: [
                &[
                    "embeddings.word_embeddings.weight",
                    "encoder.emb_layer_norm_after.*",
                ],
                when(
                    esm.positions == EsmPositions::Learned,
                    &["embeddings.position_embeddings.weight"],
                ),
                when(esm.emb_layer_norm_before, &["embeddings.layer_norm.*"]),
            ]
            .concat(),
            ignored: &[
                "lm_head",
                "contact_head",
                "pooler",
                "embeddings.position_ids",
                // Of checkpoints with rotary positions; learned ones are listed above.
                "embeddings.position_embeddings",
            ],
        },
        ModelConfig::DnaBert2(dnabert2) => KeyTable {
            layers: dnabert2.num_hidden_layers,
            stem: "encoder.layer.",
            in_layer: vec![
                "attention.self.Wqkv.*",
                "attention.output.dense.*",
                "attention.output.LayerNorm.*",
                "mlp.gated_layers.weight",
                "mlp.wo.*",
                "mlp.layernorm.*",
            ],
            outside: vec![
                "embeddings.word_embeddings.weight",
                "embeddings.token_type_embeddings.weight",
                "embeddings.LayerNorm.*",
            ],
            ignored: &["cls", "embeddings.position_ids"],
        },
    }
}

/// The names, where they are there at all.
fn when(there: bool, names: &'static [&'static str]) -> &'static [&'static str] {
    if there { names } else { &[] }
}

/// A key without the wrappers that differ between checkpoints, and with today's names of norms.
pub(crate) fn canonical(key: &str) -> String {
    let inside = PREFIXES
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .unwrap_or(key);
    // TensorFlow's names, which the first BERT checkpoints kept.
    for (old, new) in [
        ("LayerNorm.gamma", "LayerNorm.weight"),
        ("LayerNorm.beta", "LayerNorm.bias"),
    ] {
        if let Some(stem) = inside.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    inside.to_owned()
}

/// A canonical name as Hugging Face's classes have it, within their wrapper.
pub(crate) fn in_wrapper(config: &ModelConfig, name: &str) -> String {
    let wrapper = match config {
        ModelConfig::Opt(_) => "model.decoder.",
        ModelConfig::Llama(_) => "model.",
        ModelConfig::Bert(_) | ModelConfig::DnaBert2(_) => "bert.",
        ModelConfig::Esm(_) => "esm.",
    };
    // A pooler belongs to the model, whoever trains it; the rest of a head stands beside it.
    match head_layer(config, name) {
        Some(layer) if !layer.starts_with("pooler") => name.to_owned(),
        _ => format!("{wrapper}{name}"),
    }
}

/// The layer of the head that a tensor belongs to, by canonical names.
pub(crate) fn head_layer(config: &ModelConfig, name: &str) -> Option<&'static str> {
    let head = config.head();
    [Some(head.output), head.pooler]
        .into_iter()
        .flatten()
        .find(|layer| is_tensor_of(layer, name))
}

/// Whether a name is that of a layer's weight or bias.
fn is_tensor_of(layer: &str, name: &str) -> bool {
    name.strip_prefix(layer)
        .is_some_and(|end| [WEIGHT, BIAS].contains(&end))
}

/// What a canonical name is to the model.
pub(crate) fn role(config: &ModelConfig, name: &str) -> Role {
    let table = table(config);
    let of_layer = layer(name, table.stem);
    let used = match of_layer {
        Some((index, rest)) => {
            index < table.layers && table.in_layer.iter().any(|key| stands_for(key, rest))
        }
        None => table.outside.iter().any(|key| stands_for(key, name)),
    };
    let within = of_layer.map_or(name, |(_, rest)| rest);
    let ignored = |module: &str| {
        within
            .strip_prefix(module)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if used {
        Role::Used
    } else if head_layer(config, name).is_some() {
        Role::Head
    } else if table.ignored.iter().any(|module| ignored(module)) || is_rotary(name) {
        Role::Ignored
    } else {
        Role::Unknown
    }
}

/// Whether a tensor holds rotary frequencies, which follow from the configuration. Some versions of transformers write
/// them under `layer.*`, with the asterisk.
fn is_rotary(name: &str) -> bool {
    ["rotary_emb.inv_freq", "rotary_embeddings.inv_freq"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Whether an entry of a table, `fc1.*` or `norm.weight`, stands for the tensor.
fn stands_for(key: &str, name: &str) -> bool {
    match key.strip_suffix(".*") {
        Some(layer) => is_tensor_of(layer, name),
        None => key == name,
    }
}

/// Splits `layers.N.rest` where the stem is `layers.`; N in plain decimals.
fn layer<'a>(name: &'a str, stem: &str) -> Option<(usize, &'a str)> {
    let (digits, rest) = name.strip_prefix(stem)?.split_once('.')?;
    let index: usize = digits.parse().ok()?;
    (index.to_string() == digits).then_some((index, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_in_use_are_stripped() {
        for key in [
            "model.decoder.layers.0.fc1.weight",
            "decoder.layers.0.fc1.weight",
            "model.layers.0.fc1.weight",
            "layers.0.fc1.weight",
        ] {
            assert_eq!(canonical(key), "layers.0.fc1.weight");
        }
        assert_eq!(canonical("score.weight"), "score.weight");
        assert_eq!(
            canonical("bert.embeddings.LayerNorm.gamma"),
            "embeddings.LayerNorm.weight"
        );
    }

    #[test]
    fn layers_are_numbered_in_plain_decimals() {
        let layer = |name| layer(name, "layers.");
        assert_eq!(layer("layers.12.fc1.weight"), Some((12, "fc1.weight")));
        for name in [
            "layers.012.fc1.weight",
            "layers.+1.fc1.weight",
            "layers.x.fc1",
            "layers.3",
            "norm",
        ] {
            assert_eq!(layer(name), None, "{name}");
        }
    }
}
