//! What a run follows from. A run that goes on must have the same, or it would be another run.

use blake3::Hasher;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use lingo_core::models::ModelConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::{ConfigError, RunConfig};
use crate::data::{Samples, StoreError};

/// The keys of a run file that may differ in a run that goes on: where things are and how often they are saved.
pub const MAY_DIFFER: [&str; 10] = [
    "model",
    "device",
    "data.cache",
    "data.dir",
    "data.train",
    "data.dev",
    "data.test",
    "adapter.from",
    "train.checkpoint_every",
    "output.dir",
];

/// Why it cannot be told what a run follows from.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Samples cannot be read.
    #[error(transparent)]
    Samples(#[from] StoreError),
}

/// All that decides how a run goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Every setting but those that [may differ](MAY_DIFFER).
    pub config: Table,
    /// Of the samples of train, dev and test, as the model is given them.
    pub splits: [String; 3],
    /// Of all weights before the first step.
    pub weights: String,
    /// The architecture with its settings, of which weights tell nothing: heads, activations, norms, dropout.
    #[serde(default)]
    pub network: String,
    /// The device as asked for.
    pub device: String,
    /// Threads that share a batch, which decides how it is rounded.
    pub workers: usize,
    /// Version of lingo.
    pub version: String,
}

impl Origin {
    /// What a run with these settings, splits and weights follows from.
    ///
    /// # Errors
    /// If a path in the configuration is not valid Unicode, or samples cannot be read.
    pub fn new(
        config: &RunConfig,
        splits: [&Samples; 3],
        model: &impl Module,
        network: &ModelConfig,
        device: &str,
        workers: usize,
    ) -> Result<Self, OriginError> {
        let [train, dev, test] = splits;
        let table = Table::try_from(config).map_err(ConfigError::Write)?;
        Ok(Self {
            splits: [train.digest()?, dev.digest()?, test.digest()?],
            ..Self::of(table, &MAY_DIFFER, model, network, device, workers)
        })
    }

    /// What a run with these settings, but for those that may differ, and weights follows from; it has no splits.
    pub fn of(
        mut config: Table,
        may_differ: &[&str],
        model: &impl Module,
        network: &ModelConfig,
        device: &str,
        workers: usize,
    ) -> Self {
        for key in may_differ {
            remove(&mut config, key);
        }
        Self {
            config,
            splits: Default::default(),
            weights: of_weights(model),
            network: format!("{network:?}"),
            device: device.to_owned(),
            workers,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What of `self`, which a run was begun with, is not the same `now`.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let (before, after) = (flat(&self.config), flat(&now.config));
        let value = |of: &[(String, String)], key: &str| {
            let found = of.iter().find(|(name, _)| name == key);
            found.map_or("not set".to_owned(), |(_, value)| value.clone())
        };
        let keys = before.iter().chain(&after).map(|(key, _)| key);
        let keys: std::collections::BTreeSet<&String> = keys.collect();
        let settings = keys.into_iter().filter_map(|key| {
            let (was, is) = (value(&before, key), value(&after, key));
            (was != is).then(|| format!("{key} was {was} and is {is}"))
        });
        let names = ["data.train", "data.dev", "data.test"];
        let splits = self.splits.iter().zip(&now.splits).zip(names);
        let splits = splits.filter(|((was, is), _)| was != is).map(|(_, name)| {
            format!("{name}: the sequences, labels or tokens are not those it began with")
        });
        let weights = (self.weights != now.weights).then(|| {
            "model: the weights before the first step are not those it began with; model (or adapter.from) has changed"
                .to_owned()
        });
        // Another version may describe the same one otherwise; the first versions did not note it.
        let comparable = self.version == now.version && !self.network.is_empty();
        let network = (comparable && self.network != now.network).then(|| {
            "model: config.json no longer describes the network that it began with (heads, norms, dropout or the like)"
                .to_owned()
        });
        settings
            .chain(splits)
            .chain(weights)
            .chain(network)
            .collect()
    }
}

fn remove(table: &mut Table, key: &str) {
    match key.split_once('.') {
        Some((section, leaf)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                inner.remove(leaf);
            }
        }
        None => {
            table.remove(key);
        }
    }
}

/// Dotted keys and their values.
fn flat(table: &Table) -> Vec<(String, String)> {
    table
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Table(inner) => flat(inner)
                .into_iter()
                .map(|(leaf, value)| (format!("{key}.{leaf}"), value))
                .collect(),
            other => vec![(key.clone(), other.to_string())],
        })
        .collect()
}

fn of_weights(model: &impl Module) -> String {
    let mut weights = Weights(Hasher::new());
    model.visit(&mut weights);
    weights.0.finalize().to_hex().to_string()
}

/// Hashes every parameter, in the order of the model.
struct Weights(Hasher);

impl Weights {
    fn add(&mut self, data: &TensorData) {
        self.0.update(format!("{:?}", data.shape()).as_bytes());
        self.0.update(data.as_bytes());
    }
}

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(&param.val().into_data());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(&param.val().into_data());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(&param.val().into_data());
    }
}
