//! JSON files with typed access, so that each complaint names file, key, expectation and finding.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::ImportError;
use crate::mapped::is_lfs_pointer;
use crate::ordinary;

/// The largest size that a model can have in any direction, so that the product of two can be counted.
pub(crate) const MOST: usize = i32::MAX as usize;

/// A JSON object and the file it came from.
#[derive(Debug)]
pub(crate) struct JsonFile {
    path: PathBuf,
    root: Map<String, Value>,
}

/// Reads a file, refusing Git LFS pointers.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let bytes = std::fs::read(path).map_err(|source| ImportError::Io {
        path: path.to_owned(),
        source,
    })?;
    if is_lfs_pointer(&bytes) {
        return Err(ImportError::LfsPointer {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

impl JsonFile {
    /// Reads and parses the file, whose root must be an object.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let root = serde_json::from_slice(&read(path)?).map_err(|source| ImportError::Json {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            root,
        })
    }

    /// The same, or nothing when there is no such file.
    pub(crate) fn open_optional(path: &Path) -> Result<Option<Self>, ImportError> {
        if ordinary::is_there(path)? {
            Self::open(path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All keys and values.
    pub(crate) fn root(&self) -> &Map<String, Value> {
        &self.root
    }

    /// A value, `null` counting as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.root.get(key).filter(|value| !value.is_null())
    }

    /// A complaint about a key.
    pub(crate) fn bad(&self, key: &str, expected: impl Into<String>) -> ImportError {
        ImportError::Key {
            path: self.path.clone(),
            key: key.to_owned(),
            expected: expected.into(),
            found: self
                .get(key)
                .map_or_else(|| "nothing".to_owned(), Value::to_string),
        }
    }

    /// A refusal of a feature.
    pub(crate) fn unsupported(
        &self,
        feature: &str,
        found: impl ToString,
        supported: &str,
    ) -> ImportError {
        ImportError::Unsupported {
            path: self.path.clone(),
            feature: feature.to_owned(),
            found: found.to_string(),
            supported: supported.to_owned(),
        }
    }

    /// A size: a whole number from 1 to [`MOST`].
    pub(crate) fn size(&self, key: &str) -> Result<usize, ImportError> {
        self.get(key)
            .and_then(Value::as_u64)
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| (1..=MOST).contains(value))
            .ok_or_else(|| self.bad(key, format!("a whole number from 1 to {MOST}")))
    }

    /// A size that may be left out.
    pub(crate) fn optional_size(&self, key: &str) -> Result<Option<usize>, ImportError> {
        self.get(key).map(|_| self.size(key)).transpose()
    }

    /// A token id that may be left out; -1 is what some old files say for none.
    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, ImportError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) if value.as_i64() == Some(-1) => Ok(None),
            Some(value) => value
                .as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .map(Some)
                .ok_or_else(|| self.bad(key, "a token id")),
        }
    }

    /// A finite number, or the default.
    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64, ImportError> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| self.bad(key, "a number"))
        })
    }

    /// A probability, or 0.
    pub(crate) fn probability(&self, key: &str, default: f64) -> Result<f64, ImportError> {
        let value = self.number_or(key, default)?;
        if (0.0..1.0).contains(&value) {
            Ok(value)
        } else {
            Err(self.bad(key, "a probability below 1"))
        }
    }

    /// A boolean, or the default.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool, ImportError> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.bad(key, "true or false"))
        })
    }

    /// A text, if there is one.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, ImportError> {
        self.get(key)
            .map(|value| value.as_str().ok_or_else(|| self.bad(key, "a text")))
            .transpose()
    }

    /// Refuses any value of a switch but the one that is implemented.
    pub(crate) fn require_flag(&self, key: &str, supported: bool) -> Result<(), ImportError> {
        let found = self.flag_or(key, supported)?;
        if found == supported {
            Ok(())
        } else {
            Err(self.unsupported(key, found, &supported.to_string()))
        }
    }
}
