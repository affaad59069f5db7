//! The names of llama.cpp's tensors and what Hugging Face calls them.

/// Names outside the layers.
const TOP: [(&str, &str); 3] = [
    ("token_embd.weight", "embed_tokens.weight"),
    ("output_norm.weight", "norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Names within a layer, after `blk.N.` and `layers.N.`.
const IN_LAYER: [(&str, &str); 9] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", QUERY),
    ("attn_k.weight", KEY),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];

const QUERY: &str = "self_attn.q_proj.weight";
const KEY: &str = "self_attn.k_proj.weight";

/// The factors that stretch rotary frequencies; not a weight.
pub(crate) const ROPE_FREQUENCIES: &str = "rope_freqs.weight";

/// The canonical name; a tensor without one keeps its own.
pub(crate) fn canonical(name: &str) -> String {
    let translated = match name
        .strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((layer, rest)) => find(&IN_LAYER, rest).map(|rest| format!("layers.{layer}.{rest}")),
        None => find(&TOP, name).map(str::to_owned),
    };
    translated.unwrap_or_else(|| name.to_owned())
}

/// Whether the rows of the tensor are interleaved for llama.cpp's rotary positions.
pub(crate) fn is_interleaved(canonical: &str) -> bool {
    canonical.ends_with(QUERY) || canonical.ends_with(KEY)
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(gguf, _)| *gguf == name)
        .map(|(_, canonical)| *canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_llama_cpp_are_translated() {
        assert_eq!(
            canonical("blk.11.attn_q.weight"),
            "layers.11.self_attn.q_proj.weight"
        );
        assert_eq!(canonical("output_norm.weight"), "norm.weight");
        assert_eq!(canonical("blk.0.attn_q.bias"), "blk.0.attn_q.bias");
        assert!(is_interleaved("layers.0.self_attn.k_proj.weight"));
        assert!(!is_interleaved("layers.0.self_attn.v_proj.weight"));
    }
}
