//! Whether a run's settings go with a model, as far as that can be told from the model's shape: without its weights, its
//! tokenizer and the data.

use lingo_core::adapter::target::{UnmatchedTarget, match_targets};
use lingo_core::models::ModelConfig;

use super::{Layout, TaskError};
use crate::config::{Method, RunConfig};

/// Why a run cannot be made of a model.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The input does not go with it.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A target names none of its matrices.
    #[error("adapter.targets: {0}")]
    Target(#[from] UnmatchedTarget),
}

impl FitError {
    /// The key that does not go with the model.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Task(TaskError::Prompt { key, .. }) => Some(key),
            Self::Task(TaskError::Kind { .. }) => Some("tokenizer.kind"),
            Self::Task(TaskError::TooLong { .. }) => Some("tokenizer.max_tokens"),
            Self::Task(_) => None,
            Self::Target(_) => Some("adapter.targets"),
        }
    }
}

/// Checks prompt, tokens and targets against a model's shape.
///
/// # Errors
/// If one of them does not go with it.
pub fn check_fit(config: &RunConfig, model: &ModelConfig) -> Result<(), FitError> {
    Layout::choose(config.tokenizer.kind, &config.prompt, None, model)?;
    let (asked, limit) = (config.tokenizer.max_tokens, model.max_tokens());
    if asked > limit {
        return Err(TaskError::TooLong { asked, limit }.into());
    }
    if config.adapter.method != Method::Full {
        // One layer stands for all; which of them a longer path means is known to the weights alone.
        let names = model.paper_names();
        let kinds = names.iter().flat_map(|(_, suffixes)| suffixes.iter());
        let kinds: Vec<String> = kinds.map(|kind| format!("0.{kind}")).collect();
        let is_of_layer = |target: &&String| !kinds.iter().any(|kind| reaches_beyond(target, kind));
        let targets = config.adapter.targets.iter().filter(is_of_layer);
        match_targets(&kinds, names, &targets.cloned().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Whether a target says more than the kind of matrix, as `layers.3.self_attn.q_proj` does of `q_proj`.
fn reaches_beyond(target: &str, kind: &str) -> bool {
    kind.strip_prefix('0')
        .is_some_and(|suffix| target.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lingo_core::models::opt::OptConfig;
    use lingo_core::nn::Activation;

    use super::*;
    use crate::config::{RunConfig, TokenizerKind};

    fn opt() -> ModelConfig {
        ModelConfig::Opt(OptConfig {
            vocab_size: 10,
            hidden_size: 4,
            word_embed_proj_dim: 4,
            ffn_dim: 8,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            max_position_embeddings: 100,
            do_layer_norm_before: true,
            activation: Activation::Relu,
            dropout: 0.0,
            attention_dropout: 0.0,
            pad_token_id: 1,
        })
    }

    fn check(change: impl FnOnce(&mut RunConfig)) -> Result<(), FitError> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, "model = \"m\"\n[data]\ndir = \"d\"").unwrap();
        let mut config = RunConfig::load(&path, &[]).unwrap();
        change(&mut config);
        check_fit(&config, &opt())
    }

    #[test]
    fn what_goes_with_the_shape_passes() {
        check(|_| ()).unwrap();
        check(|config| config.tokenizer.kind = Some(TokenizerKind::OneHot)).unwrap();
        check(|config| config.tokenizer.max_tokens = 100).unwrap();
        let targets = ["q_proj", "self_attn.v_proj", "decoder.layers.0.fc1"];
        check(|config| config.adapter.targets = targets.map(String::from).to_vec()).unwrap();
    }

    #[test]
    fn what_does_not_is_named_by_its_key() {
        let error = |change: fn(&mut RunConfig)| check(change).unwrap_err();
        let long = error(|config| config.tokenizer.max_tokens = 101);
        assert_eq!(long.key(), Some("tokenizer.max_tokens"));
        let target = error(|config| config.adapter.targets.push("output_proj".into()));
        assert_eq!(target.key(), Some("adapter.targets"));
        for error in [long, target] {
            let start = format!("{}: ", error.key().unwrap());
            assert!(error.to_string().starts_with(&start), "{error}");
        }
        let full = |config: &mut RunConfig| {
            config.adapter.method = Method::Full;
            config.adapter.targets = vec!["output_proj".into()];
        };
        check(full).unwrap();
    }
}
