//! Where a value of a run was set.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A file of values, and where it is named among those that another one extends.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    extended_at: Option<Origin>,
}

impl Source {
    /// A file that the user named.
    pub(super) fn named(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            extended_at: None,
        })
    }

    /// A file that another one extends.
    pub(super) fn extended(path: PathBuf, at: Origin) -> Arc<Self> {
        Arc::new(Self {
            path: tidy(path),
            extended_at: Some(at),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that its relative paths are looked up in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The files that led to this one, the nearest first, and this one before them.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Source> {
        std::iter::successors(Some(self), |source| match &source.extended_at {
            Some(Origin::File { source, .. }) => Some(source),
            _ => None,
        })
    }
}

/// The path, and the places that led to it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.extended_at {
            Some(at) => write!(f, ", extended by {}", at.with_chain()),
            None => Ok(()),
        }
    }
}

/// The path without `folder/..`, where that leads to the same.
pub fn tidy(path: PathBuf) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        let ends_in_folder = matches!(tidied.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::ParentDir if ends_in_folder => {
                tidied.pop();
            }
            part => tidied.push(part),
        }
    }
    // Behind a link, `..` is elsewhere.
    match (tidied.canonicalize(), path.canonicalize()) {
        (Ok(of_tidied), Ok(of_path)) if of_tidied == of_path => tidied,
        _ => path,
    }
}

/// Where a value was set; what was set nowhere is a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// The file.
        source: Arc<Source>,
        /// Counted from 1.
        line: usize,
    },
    /// On the command line.
    Override,
}

impl Origin {
    /// The file, where it was one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { source, .. } => Some(source.path()),
            Self::Override => None,
        }
    }

    /// The place, and the places that led to its file.
    pub(super) fn with_chain(&self) -> String {
        match self {
            Self::File { source, .. } => match &source.extended_at {
                Some(at) => format!("{self}, extended by {}", at.with_chain()),
                None => self.to_string(),
            },
            Self::Override => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { source, line } => write!(f, "{}:{line}", source.path.display()),
            Self::Override => f.write_str("--set"),
        }
    }
}
