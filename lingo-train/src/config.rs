//! The run file: everything that a training run depends on, checked once and immutable afterwards.
//!
//! A run file is TOML, and may extend others. [`Resolved::load`] reads them, puts `--set key=value` overrides on top,
//! checks every key and reports all problems at once, each with its place. [`RunConfig::to_toml`] writes the resolved
//! configuration in full, defaults included, and what it writes loads again to the same configuration.

mod adapter;
mod bound;
mod combinations;
mod error;
mod keys;
mod layers;
mod names;
mod origin;
mod overrides;
mod pretrain;
mod read;
mod resolved;
mod sections;
mod unknown;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use adapter::{AdapterConfig, Method};
pub use combinations::{CombinationTable, Combinations};
pub use error::{ConfigError, Problem};
pub use origin::{Origin, Source, tidy};
pub use pretrain::{
    CorpusConfig, PRETRAIN_MAY_DIFFER, PretrainConfig, PretrainOutput, PretrainSettings,
    VocabularyConfig,
};
pub use resolved::{Entry, Idle, Resolved};
pub use sections::{
    DataConfig, DataFiles, OutputConfig, PromptConfig, Restrict, TokenizerConfig, TokenizerKind,
    TrainConfig,
};

/// A whole run, as the run file and the overrides describe it. Every field is a key of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunConfig {
    /// `model`: the pretrained model, a Hugging Face folder or a `.gguf` file. Required.
    pub model: PathBuf,
    /// `device`: where to compute, for example `cpu`, `wgpu`, `wgpu:1`, `cuda:0`; several, such as `cuda:0,cuda:1`, share
    /// each batch. Default `cpu`.
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
    /// The configuration of one run file; [`Resolved::load`] is for several, and also tells where values come from.
    ///
    /// # Errors
    /// As for [`Resolved::load`].
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<RunConfig, ConfigError> {
        Ok(Resolved::load(&[path], overrides)?.config)
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
