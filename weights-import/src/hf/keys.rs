//! The key tables: which tensors each model has, and which it leaves alone.

use lingo_core::models::ModelConfig;

use crate::tensors::Role;

/// Wrappers around a backbone's keys, the longest first.
const PREFIXES: [&str; 3] = ["model.decoder.", "model.", "decoder."];

/// What OPT has in each layer.
const OPT_LAYER: [&str; 16] = [
    "self_attn.q_proj.weight",
    "self_attn.q_proj.bias",
    "self_attn.k_proj.weight",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.weight",
    "self_attn.v_proj.bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
    "self_attn_layer_norm.weight",
    "self_attn_layer_norm.bias",
    "fc1.weight",
    "fc1.bias",
    "fc2.weight",
    "fc2.bias",
    "final_layer_norm.weight",
    "final_layer_norm.bias",
];

/// What LLaMA has in each layer.
const LLAMA_LAYER: [&str; 9] = [
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
];

/// The classification head.
pub(crate) const HEAD: &str = "score.weight";

/// A language model's output matrix, which classification has no use for.
pub(crate) const LM_HEAD: &str = "lm_head.weight";

/// A key without the wrappers that differ between checkpoints.
pub(crate) fn canonical(key: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .unwrap_or(key)
}

/// What a canonical name is to the model.
pub(crate) fn role(config: &ModelConfig, name: &str) -> Role {
    if name == HEAD {
        return Role::Head;
    }
    if name == LM_HEAD || name.ends_with(".rotary_emb.inv_freq") || name == "rotary_emb.inv_freq" {
        return Role::Ignored;
    }
    let (layers, in_layer): (usize, &[&str]) = match config {
        ModelConfig::Opt(opt) => (opt.num_hidden_layers, &OPT_LAYER),
        ModelConfig::Llama(llama) => (llama.num_hidden_layers, &LLAMA_LAYER),
    };
    let used = match layer(name) {
        Some((index, rest)) => index < layers && in_layer.contains(&rest),
        None => match (config, name) {
            (_, "embed_tokens.weight")
            | (ModelConfig::Opt(_), "embed_positions.weight")
            | (ModelConfig::Llama(_), "norm.weight") => true,
            (ModelConfig::Opt(opt), "project_in.weight" | "project_out.weight") => {
                opt.word_embed_proj_dim != opt.hidden_size
            }
            (ModelConfig::Opt(opt), "final_layer_norm.weight" | "final_layer_norm.bias") => {
                opt.do_layer_norm_before
            }
            _ => false,
        },
    };
    if used { Role::Used } else { Role::Unknown }
}

/// Splits `layers.N.rest`; N in plain decimals.
fn layer(name: &str) -> Option<(usize, &str)> {
    let (digits, rest) = name.strip_prefix("layers.")?.split_once('.')?;
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
    }

    #[test]
    fn layers_are_numbered_in_plain_decimals() {
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
