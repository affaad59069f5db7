//! Names of keys, and what a wrong one may have meant.

use std::collections::BTreeSet;

/// What to write instead of an unknown key: the one that it most likely stands for, else all that there are.
pub(super) fn accepted_instead(key: &str, known: &BTreeSet<&'static str>) -> String {
    if let Some(name) = suggest(key, known) {
        return format!("did you mean `{name}`?");
    }
    let section = section_of(key).unwrap_or_default();
    let inside: Vec<&str> = known
        .iter()
        .filter(|name| section_of(name) == Some(section))
        .map(|name| leaf_of(name))
        .collect();
    if inside.is_empty() {
        let mut names: Vec<String> = known.iter().map(|name| top_of(name)).collect();
        names.dedup();
        format!("a run file has {}", names.join(", "))
    } else {
        format!("[{section}] has {}", inside.join(", "))
    }
}

/// The known key that an unknown one most likely stands for: the same name elsewhere, or one a few letters away.
fn suggest(key: &str, known: &BTreeSet<&'static str>) -> Option<String> {
    let elsewhere = known.iter().find(|name| leaf_of(name) == leaf_of(key));
    if let Some(name) = elsewhere {
        return Some((*name).into());
    }
    let whole = known
        .iter()
        .map(|name| (distance(key, name), (*name).to_string()));
    let sections = known.iter().filter_map(|name| section_of(name));
    let section = sections.map(|name| (distance(key, name), format!("[{name}]")));
    let leaf = known.iter().map(|name| {
        (
            distance(leaf_of(key), leaf_of(name)) + 1,
            (*name).to_string(),
        )
    });
    let (edits, name) = whole
        .chain(section)
        .chain(leaf)
        .min_by_key(|(edits, _)| *edits)?;
    (edits <= (leaf_of(key).chars().count() / 3).clamp(1, 3)).then_some(name)
}

/// Edits from one text to the other: letters inserted, deleted, exchanged, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Rows of the table of distances between beginnings of both.
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = exchanged.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The section of a dotted key.
pub(super) fn section_of(key: &str) -> Option<&str> {
    key.split_once('.').map(|(section, _)| section)
}

/// Whether some known key is in a section of this name.
pub(super) fn is_section(name: &str, known: &BTreeSet<&'static str>) -> bool {
    known.iter().any(|key| section_of(key) == Some(name))
}

/// The last part of a dotted key.
fn leaf_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// A top-level key by its name, a section in brackets.
fn top_of(key: &str) -> String {
    match section_of(key) {
        Some(section) => format!("[{section}]"),
        None => key.into(),
    }
}
