//! Which matrices a run adapts.

use std::fmt::Write as _;

use crate::models::PaperName;

/// A pattern that names no matrix of the model.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(.pattern, .paper_names, .available))]
pub struct UnmatchedTarget {
    /// The pattern as given.
    pub pattern: String,
    /// The paper's names that the model knows.
    pub paper_names: Vec<&'static str>,
    /// The suffixes that the model's matrices have.
    pub available: Vec<String>,
}

fn describe(pattern: &str, paper_names: &[&str], available: &[String]) -> String {
    let mut text = format!("adapter target `{pattern}` matches no matrix of this model; ");
    let _ = write!(
        text,
        "the paper's names are {}, the checkpoint's are {}",
        paper_names.join(" "),
        available.join(" ")
    );
    text
}

/// One pattern and the matrices that it named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The pattern as given.
    pub pattern: String,
    /// Indices into the list of paths, ascending.
    pub indices: Vec<usize>,
}

/// Finds the matrices that `patterns` name: the paper's names, or suffixes of the checkpoint's own paths, cut at a
/// dot. A matrix named twice is counted with the first pattern.
///
/// # Errors
/// If a pattern names nothing.
///
/// ```
/// use lingo_core::adapter::target::match_targets;
///
/// let paths = ["layers.0.self_attn.q_proj", "layers.0.fc1", "layers.1.self_attn.q_proj"].map(String::from);
/// let names: &[lingo_core::models::PaperName] = &[("Wq", &["self_attn.q_proj"]), ("Wf1", &["fc1"])];
/// let found = match_targets(&paths, names, &["Wq".to_owned(), "fc1".to_owned()])?;
/// assert_eq!(found[0].indices, [0, 2]);
/// assert_eq!(found[1].indices, [1]);
/// assert!(match_targets(&paths, names, &["Wv".to_owned()]).is_err());
/// # Ok::<(), lingo_core::adapter::target::UnmatchedTarget>(())
/// ```
pub fn match_targets(
    paths: &[String],
    paper_names: &[PaperName],
    patterns: &[String],
) -> Result<Vec<Match>, UnmatchedTarget> {
    let mut taken = vec![false; paths.len()];
    let mut matches = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let suffixes: Vec<&str> = match paper_names.iter().find(|(name, _)| name == pattern) {
            Some((_, suffixes)) => suffixes.to_vec(),
            None => vec![pattern],
        };
        let named: Vec<usize> = (0..paths.len())
            .filter(|i| {
                let path = &paths[*i];
                let named = |suffix: &&str| names(suffix, path, paper_names);
                suffixes.iter().any(named)
            })
            .collect();
        if named.is_empty() {
            return Err(UnmatchedTarget {
                pattern: pattern.clone(),
                paper_names: paper_names.iter().map(|(name, _)| *name).collect(),
                available: suffixes_of(paths),
            });
        }
        let indices: Vec<usize> = named.into_iter().filter(|i| !taken[*i]).collect();
        for i in &indices {
            taken[*i] = true;
        }
        matches.push(Match {
            pattern: pattern.clone(),
            indices,
        });
    }
    Ok(matches)
}

/// Whether `suffix` names the matrix at `path`: it stands at its end, and is not the name of another kind of matrix, as
/// `output.dense` is at the end of `attention.output.dense`.
fn names(suffix: &str, path: &str, paper_names: &[PaperName]) -> bool {
    let is_kind = kinds(paper_names).any(|kind| kind == suffix);
    let kind = kind_of(path, paper_names);
    ends_with(path, suffix) && (!is_kind || kind.is_none_or(|kind| kind == suffix))
}

/// The paper's names for the matrix at `path`.
pub fn paper_names_of(path: &str, paper_names: &[PaperName]) -> Vec<&'static str> {
    let kind = kind_of(path, paper_names);
    let of_kind = |suffixes: &[&str]| kind.is_some_and(|kind| suffixes.contains(&kind));
    let names = paper_names.iter().filter(|(_, suffixes)| of_kind(suffixes));
    names.map(|(name, _)| *name).collect()
}

/// What the paper's names stand for.
fn kinds(paper_names: &[PaperName]) -> impl Iterator<Item = &'static str> {
    paper_names
        .iter()
        .flat_map(|(_, suffixes)| suffixes.iter().copied())
}

/// The longest of the kinds that `path` ends with.
fn kind_of(path: &str, paper_names: &[PaperName]) -> Option<&'static str> {
    kinds(paper_names)
        .filter(|kind| ends_with(path, kind))
        .max_by_key(|kind| kind.len())
}

/// Whether `suffix` stands at the end of `path`, at a dot.
fn ends_with(path: &str, suffix: &str) -> bool {
    !suffix.is_empty()
        && path
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The paths' last parts, each once, in their order.
fn suffixes_of(paths: &[String]) -> Vec<String> {
    let mut suffixes = Vec::new();
    for path in paths {
        let last = path.rsplit('.').next().unwrap_or(path).to_owned();
        if !suffixes.contains(&last) {
            suffixes.push(last);
        }
    }
    suffixes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAMES: &[PaperName] = &[("Wq", &["q_proj"]), ("Wf1", &["gate_proj", "up_proj"])];

    fn paths() -> Vec<String> {
        ["self_attn.q_proj", "mlp.gate_proj", "mlp.up_proj"]
            .iter()
            .flat_map(|name| (0..2).map(move |i| format!("layers.{i}.{name}")))
            .collect()
    }

    fn find(patterns: &[&str]) -> Result<Vec<Match>, UnmatchedTarget> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        match_targets(&paths(), NAMES, &patterns)
    }

    #[test]
    fn the_papers_names_are_translated_and_suffixes_cut_at_dots() {
        let matches = find(&["Wq", "Wf1", "layers.1.mlp.up_proj"]).unwrap();
        assert_eq!(matches[0].indices, [0, 1]);
        assert_eq!(matches[1].indices, [2, 3, 4, 5]);
        assert!(matches[2].indices.is_empty(), "already taken by Wf1");
        assert_eq!(find(&["1.mlp.up_proj"]).unwrap()[0].indices, [5]);
    }

    #[test]
    fn a_kind_of_matrix_does_not_reach_into_another_whose_name_ends_alike() {
        let names: &[PaperName] = &[
            ("Wo", &["attention.output.dense"]),
            ("Wf2", &["output.dense"]),
        ];
        let paths = ["layer.0.attention.output.dense", "layer.0.output.dense"].map(str::to_owned);
        let find = |pattern: &str| {
            match_targets(&paths, names, &[pattern.to_owned()]).unwrap()[0]
                .indices
                .clone()
        };
        assert_eq!(find("Wo"), [0]);
        assert_eq!(find("Wf2"), [1]);
        assert_eq!(find("output.dense"), [1]);
        assert_eq!(find("attention.output.dense"), [0]);
        assert_eq!(find("dense"), [0, 1]);
    }

    #[test]
    fn a_pattern_without_match_is_an_error_that_lists_what_there_is() {
        for pattern in ["output_proj", "proj", "", "Wo"] {
            let message = find(&["Wq", pattern]).unwrap_err().to_string();
            assert!(message.contains(&format!("`{pattern}`")), "{message}");
            assert!(message.contains("q_proj gate_proj up_proj"), "{message}");
        }
    }
}
