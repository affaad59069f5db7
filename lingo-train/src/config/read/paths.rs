//! Paths among the keys: each is looked up where the file that it stands in is.

use std::path::{Component, Path, PathBuf, absolute};

use super::Reader;
use crate::config::origin::tidy;

impl Reader<'_> {
    /// A path, from the folder of the file that it stands in if it exists there, else from the current directory.
    pub(in crate::config) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.path_under(key, None)
    }

    /// As [`path`](Self::path), after a look into `root`; where the path is nowhere, it is missed there.
    pub(in crate::config) fn path_under(
        &mut self,
        key: &'static str,
        root: Option<&Path>,
    ) -> Option<PathBuf> {
        let path = self.plain_path(key)?;
        let found = self.existing(key, &path, root);
        let missed = root.map(|root| root.join(&path));
        self.absolute(key, found.or(missed).unwrap_or(path))
    }

    /// Where a path of `key` exists: in `first`, the folder of its file or the current directory.
    fn existing(
        &mut self,
        key: &'static str,
        path: &Path,
        first: Option<&Path>,
    ) -> Option<PathBuf> {
        let folder = self.find(key)?.folder;
        [first, folder, Some(Path::new(""))]
            .into_iter()
            .flatten()
            .map(|folder| folder.join(path))
            .find(|candidate| candidate.exists())
    }

    /// A path, or else a name of the form `owner/name` as it is written, which may be that of a published model.
    pub(in crate::config) fn path_or_name(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.path(key)?;
        let written = self.plain_path(key)?;
        Some(if is_owner_and_name(&written) && !path.exists() {
            written
        } else {
            path
        })
    }

    /// A path from the current directory.
    pub(in crate::config) fn path_here(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.plain_path(key)?;
        self.absolute(key, path)
    }

    fn plain_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.problem(key, "is empty", "a path");
            return None;
        }
        Some(PathBuf::from(text))
    }

    fn absolute(&mut self, key: &str, path: PathBuf) -> Option<PathBuf> {
        match absolute(&path) {
            Ok(path) => Some(tidy(path)),
            Err(error) => {
                let found = format!("{} cannot be made absolute: {error}", path.display());
                self.problem(key, &found, "a path");
                None
            }
        }
    }
}

/// Whether a path is of two plain names.
fn is_owner_and_name(path: &Path) -> bool {
    let mut parts = path.components();
    let mut is_name = || matches!(parts.next(), Some(Component::Normal(_)));
    is_name() && is_name() && parts.next().is_none()
}
