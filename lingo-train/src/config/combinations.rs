//! The combinations of tasks, models and methods that a folder of run files is for: `combinations.toml` in it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ConfigError;
use super::origin::Source;

/// The file, in the folder.
const FILE: &str = "combinations.toml";

/// All combinations of a folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combinations {
    /// `[[table]]`: each with one metric, or one source.
    #[serde(rename = "table")]
    pub tables: Vec<CombinationTable>,
}

/// Each of some tasks with each of some models by each of some methods: a table of results.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinationTable {
    /// What it shows.
    pub name: String,
    /// Files of the folder `task`, without `.toml`.
    pub tasks: Vec<String>,
    /// Files of the folder `model`.
    pub models: Vec<String>,
    /// Files of the folder `method`.
    pub methods: Vec<String>,
}

impl Combinations {
    /// Reads the combinations of a folder.
    ///
    /// # Errors
    /// If the folder has no such file, or it says something else.
    pub fn open(folder: &Path) -> Result<Self, ConfigError> {
        let file = Source::named(&folder.join(FILE));
        let text = std::fs::read_to_string(file.path()).map_err(|source| ConfigError::Read {
            file: file.clone(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            file,
            source: Box::new(source),
        })
    }
}

impl CombinationTable {
    /// The run files of each combination, the weakest first.
    pub fn runs(&self, folder: &Path) -> Vec<[PathBuf; 3]> {
        let file = |kind: &str, name: &str| folder.join(kind).join(format!("{name}.toml"));
        let mut runs = Vec::new();
        for task in &self.tasks {
            for model in &self.models {
                for method in &self.methods {
                    runs.push([
                        file("task", task),
                        file("model", model),
                        file("method", method),
                    ]);
                }
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests;
