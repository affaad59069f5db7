//! The index of a sharded checkpoint: which tensor is in which file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::ImportError;
use crate::json::JsonFile;
use crate::ordinary;

/// A checked `*.index.json`.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// Shard by tensor.
    tensors: BTreeMap<String, String>,
    /// The shards' paths, sorted, each a file of the folder.
    pub(crate) shards: Vec<PathBuf>,
}

impl Index {
    /// Checks that the index names only files that are there, directly in the folder.
    pub(crate) fn new(folder: &Path, file: &JsonFile) -> Result<Self, ImportError> {
        let tensors = places(file)?;
        let names: BTreeSet<&String> = tensors.values().collect();
        let mut shards = Vec::with_capacity(names.len());
        for shard in names {
            let path = folder.join(shard);
            if !ordinary::is_there(&path)? {
                return Err(ImportError::ShardMissing {
                    index: file.path().to_owned(),
                    shard: shard.clone(),
                });
            }
            shards.push(path);
        }
        Ok(Self {
            path: file.path().to_owned(),
            tensors,
            shards,
        })
    }

    /// Whether a tensor found in a shard is to be read from it: not if the index places it elsewhere.
    pub(crate) fn places(&self, tensor: &str, shard: &Path) -> bool {
        self.tensors
            .get(tensor)
            .is_none_or(|name| shard.file_name().is_some_and(|file| file == name.as_str()))
    }

    /// Checks that a shard holds all that the index says it does.
    pub(crate) fn check_shard(
        &self,
        shard: &Path,
        holds: impl Fn(&str) -> bool,
    ) -> Result<(), ImportError> {
        let name = shard.file_name().unwrap_or_default();
        for (tensor, file) in &self.tensors {
            if name == file.as_str() && !holds(tensor) {
                return Err(ImportError::ShardTensor {
                    index: self.path.clone(),
                    shard: file.clone(),
                    tensor: tensor.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The files that an index names, each a plain name.
pub(crate) fn shards(file: &JsonFile) -> Result<BTreeSet<String>, ImportError> {
    Ok(places(file)?.into_values().collect())
}

/// Shard by tensor.
fn places(file: &JsonFile) -> Result<BTreeMap<String, String>, ImportError> {
    let expected = "an object of tensor names and file names";
    let map = file
        .get("weight_map")
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
        .ok_or_else(|| file.bad("weight_map", expected))?;
    let mut tensors = BTreeMap::new();
    for (tensor, shard) in map {
        let shard = shard
            .as_str()
            .ok_or_else(|| file.bad("weight_map", expected))?;
        if !is_plain_name(shard) {
            return Err(ImportError::OutsideFolder {
                index: file.path().to_owned(),
                tensor: tensor.clone(),
                file: shard.to_owned(),
            });
        }
        // Itself, say.
        if shard.ends_with(".json") {
            return Err(ImportError::NotAShard {
                index: file.path().to_owned(),
                tensor: tensor.clone(),
                file: shard.to_owned(),
            });
        }
        tensors.insert(tensor.clone(), shard.to_owned());
    }
    Ok(tensors)
}

/// Whether a name can only mean a file of the folder itself, on any system.
fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn names_that_leave_the_folder_are_not_plain() {
        for name in ["", "..", "../x", "a/b", "/etc/passwd", "a\\b", "C:x"] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("model-00001-of-00002.safetensors"));
        assert!(is_plain_name("model..safetensors"));
    }
}
