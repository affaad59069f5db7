//! The run file: everything that a training run depends on, checked once and immutable afterwards.
//!
//! A run file is TOML. [`RunConfig::load`] reads it, applies `--set key=value` overrides, checks every key and
//! reports all problems at once. [`RunConfig::to_toml`] writes the resolved configuration in full, defaults
//! included, and what it writes loads again to the same configuration.

mod adapter;
mod bound;
mod error;
mod keys;
mod names;
mod overrides;
mod read;
mod sections;

use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Table;

pub use adapter::{AdapterConfig, Method};
pub use error::{ConfigError, Problem};
pub use sections::{
    DataConfig, DataFiles, OutputConfig, PromptConfig, Restrict, TokenizerConfig, TokenizerKind,
    TrainConfig,
};

use keys::read_run;
use overrides::Overrides;
use read::Reader;

/// A whole run, as the run file and the overrides describe it. Every field is a key of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunConfig {
    /// `model`: the pretrained model, a Hugging Face folder or a `.gguf` file. Required.
    pub model: PathBuf,
    /// `device`: where to compute, for example `cpu`, `wgpu`, `wgpu:1`, `cuda:0`. Default `cpu`.
    pub device: String,
    /// `seed`: of initial values, batch order, dropout and rank draws. Default 42.
    pub seed: u64,
    /// `[data]`: where the splits are.
    pub data: DataConfig,
    /// `[prompt]`: the language around each sequence.
    pub prompt: PromptConfig,
    /// `[tokenizer]`: how text becomes tokens.
    pub tokenizer: TokenizerConfig,
    /// `[adapter]`: what is trained.
    pub adapter: AdapterConfig,
    /// `[train]`: how it is trained.
    pub train: TrainConfig,
    /// `[output]`: where the run is recorded.
    pub output: OutputConfig,
}

impl RunConfig {
    /// Reads a run file and applies `overrides`, pairs of a dotted key and a value as `--set` gives them.
    ///
    /// An override's value is read as a TOML value, and as plain text where it is none: `train.epochs=2`,
    /// `adapter.targets=["Wq"]`, `device=wgpu:0`. Escapes such as `\n` need TOML's quotes:
    /// `prompt.suffix="\nAnnotation:"`.
    ///
    /// A relative path in the run file is taken from the run file's folder if it exists there, else from the
    /// current directory; in an override, and in `output.dir`, always from the current directory. The splits
    /// `data.train`, `data.dev` and `data.test` are looked for in `data.dir` first. All paths are absolute in the
    /// result, so that the resolved configuration means the same wherever it is read; a `model` of the form
    /// `owner/name` that is no path stays as it is.
    ///
    /// # Errors
    /// If the file cannot be read or is no TOML; else one error that lists every unknown key, wrong type and
    /// impossible value.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<RunConfig, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, path, folder, overrides)
    }

    /// As [`load`](Self::load), from the text of a run file; `path` names it in errors and relative paths are
    /// looked for in `folder` first.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn parse(
        text: &str,
        path: &Path,
        folder: &Path,
        overrides: &[(String, String)],
    ) -> Result<RunConfig, ConfigError> {
        let mut table: Table =
            text.parse()
                .map_err(|source: toml::de::Error| ConfigError::Syntax {
                    path: path.to_owned(),
                    source: Box::new(source),
                })?;
        let overrides = Overrides::apply(&mut table, overrides);
        let mut reader = Reader::new(&table, overrides, folder);
        let config = read_run(&mut reader);
        let problems = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid {
                path: path.to_owned(),
                problems,
            }),
        }
    }

    /// The configuration in full as TOML.
    ///
    /// # Errors
    /// If a path is not valid Unicode.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(ConfigError::Write)
    }

    /// Whether the embedding table is restricted to the tokens that the task can reach.
    pub fn restricts_vocabulary(&self) -> bool {
        match self.tokenizer.restrict {
            Restrict::Auto => self.adapter.method != Method::Full,
            Restrict::On => true,
            Restrict::Off => false,
        }
    }
}

#[cfg(test)]
mod tests;
