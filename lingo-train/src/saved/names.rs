//! From paths in our modules to the checkpoint's names of tensors.

/// The checkpoint's name of the tensor at a module path, and whether it is stored transposed; none for parts of an
/// adapter.
pub(super) fn checkpoint_name(path: &[String]) -> Option<(String, bool)> {
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
            other => other,
        })
        .collect();
    let table = names.iter().any(|name| name.starts_with("embed_"));
    let transposed = inside.last() == Some(&"weight") && !table;
    Some((names.join("."), transposed))
}

/// Whether a path leads into the head.
pub(super) fn is_head(path: &[String]) -> bool {
    path.first().is_some_and(|part| part == "score")
}
