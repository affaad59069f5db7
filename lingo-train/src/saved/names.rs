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
            "layer_norm" => "LayerNorm",
            "emb_layer_norm_before" => "layer_norm",
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

/// Whether a path leads to what every method trains: the head, and the rows of a task's own tokens.
pub(super) fn is_always_trained(path: &[String]) -> bool {
    let is =
        |part: Option<&String>, names: &[&str]| part.is_some_and(|p| names.contains(&p.as_str()));
    is(path.first(), &["score", "pooler"]) || is(path.last(), &["added"])
}
