//! Names of files, for messages.

use std::path::Path;

/// At most how many files an error lists.
const LISTED_FILES: usize = 8;

/// Names of the folder's first files, for messages.
pub(crate) fn file_names(folder: &Path) -> Vec<String> {
    listed(file_names_of(folder, |_| true))
}

/// As many names as a message holds.
pub(crate) fn listed(mut names: Vec<String>) -> Vec<String> {
    if names.len() > LISTED_FILES {
        names.truncate(LISTED_FILES);
        names.push("...".to_owned());
    }
    names
}

/// Sorted names of the folder's files that pass.
pub(crate) fn file_names_of(folder: &Path, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| keep(name))
        .collect();
    names.sort();
    names
}
