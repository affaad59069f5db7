//! From paths in our modules to the checkpoint's names of tensors.

use lingo_core::models::HeadLayout;

/// The checkpoint's name of the tensor at a module path, and whether it is stored transposed; none for parts of an
/// adapter.
pub(super) fn checkpoint_name(path: &[String], head: &HeadLayout) -> Option<(String, bool)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    if parts.contains(&"adapter") {
        return None;
    }
    // The backbone and its variant are ours, and so is the layer inside a projection.
    let inside = match parts.as_slice() {
        ["backbone", _variant, rest @ ..] => rest,
        rest => rest,
    };
    let names: Vec<&str> = inside
        .iter()
        .filter(|part| **part != "base")
        .map(|part| match *part {
            "gamma" => "weight",
            "beta" => "bias",
            // What Rust does not take for the name of a field, or does not like.
            "self_attention" => "self",
            "wqkv" => "Wqkv",
            "layer_norm" if !is_lower_case_norm(inside) => "LayerNorm",
            other => other,
        })
        .collect();
    let names = match (parts.as_slice(), head.pooler) {
        (["score", tensor], _) => vec![head.output, tensor],
        (["pooler", tensor], Some(pooler)) => vec![pooler, tensor],
        _ => names,
    };
    let is_table = |name: &&str| name.starts_with("embed_") || name.ends_with("_embeddings");
    let transposed = inside.last() == Some(&"weight") && !names.iter().any(is_table);
    Some((names.join("."), transposed))
}

/// ESM writes the norm of its embeddings unlike all others.
fn is_lower_case_norm(inside: &[&str]) -> bool {
    matches!(inside, ["embeddings", "layer_norm", _])
}

/// Whether a path leads into the head.
pub(super) fn is_head(path: &[String]) -> bool {
    path.first()
        .is_some_and(|part| part == "score" || part == "pooler")
}
