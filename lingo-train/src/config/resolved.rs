//! A configuration with the places that its values come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::adapter::AdapterConfig;
use super::error::ConfigError;
use super::keys::read_run;
use super::layers::{Layer, Layers};
use super::origin::Origin;
use super::read::Reader;
use super::{Method, RunConfig};

/// Where comments of [`Resolved::annotated`] begin, behind lines that leave the room.
const COMMENT_COLUMN: usize = 48;

/// A configuration, and where each of its values was set.
#[derive(Debug, Clone)]
pub struct Resolved<C = RunConfig> {
    /// The configuration.
    pub config: C,
    /// Keys that were set on purpose and change nothing.
    pub idle: Vec<Idle>,
    origins: BTreeMap<&'static str, Origin>,
}

/// A key that changes nothing under the method that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// The dotted key.
    pub key: &'static str,
    /// The method.
    pub method: Method,
    /// Where the key was set.
    pub origin: Origin,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, method, origin) = (self.key, self.method.name(), &self.origin);
        write!(f, "{key} ({origin}) changes nothing under {method}")
    }
}

impl Resolved {
    /// Reads run files, each stronger than those before it, and applies `overrides`, pairs of a dotted key and a value
    /// as `--set` gives them. The files that a file names under `extends`, looked up in its folder, are weaker than it
    /// is, the later ones stronger.
    ///
    /// An override's value is read as a TOML value, and as plain text where it is none: `train.epochs=2`,
    /// `adapter.targets=["Wq"]`, `device=wgpu:0`. Escapes such as `\n` need TOML's quotes:
    /// `prompt.suffix="\nAnnotation:"`.
    ///
    /// A relative path in a file is taken from that file's folder if it exists there, else from the current directory;
    /// in an override, and in `output.dir`, always from the current directory. `data.dir` is looked for in `data.root`
    /// first, and the splits `data.train`, `data.dev` and `data.test` in `data.dir`. All paths are absolute in the
    /// result, so that the resolved configuration means the same wherever it is read; a `model` of the form
    /// `owner/name` that is no path stays as it is.
    ///
    /// # Errors
    /// If a file cannot be read, is no TOML or extends itself; else one error that lists every unknown key, wrong type
    /// and impossible value.
    pub fn load(
        files: &[impl AsRef<Path>],
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let layers = Layers::load(files, overrides)?;
        Self::read(&layers)
    }

    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let mut resolved = Self::checked(layers, read_run)?;
        resolved.idle = idle(&resolved.config, &resolved.origins, layers)?;
        Ok(resolved)
    }
}

impl<C: Serialize> Resolved<C> {
    /// The configuration that `read` makes of the keys, unless something is wrong with them.
    pub(super) fn checked(
        layers: &Layers,
        read: impl FnOnce(&mut Reader<'_>) -> Option<C>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(layers);
        let config = read(&mut reader);
        let origins = reader.origins();
        let problems = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(Self {
                config,
                idle: Vec::new(),
                origins,
            }),
            _ => Err(ConfigError::Invalid {
                files: layers.named(),
                problems,
            }),
        }
    }

    /// Where a dotted key was set; `None` where it has its default.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// The configuration in full as TOML, a comment behind each key saying where its value comes from.
    ///
    /// # Errors
    /// If a path is not valid Unicode.
    pub fn annotated(&self) -> Result<String, ConfigError> {
        let plain = toml::to_string(&self.config).map_err(ConfigError::Write)?;
        let mut comments = BTreeMap::new();
        for (key, line) in last_lines(&plain) {
            comments.insert(line, self.comment(&key));
        }
        let lines = plain.lines().enumerate().map(|(i, line)| {
            let comment = comments.get(&i).map(|comment| format!("  # {comment}"));
            match comment {
                Some(comment) => format!("{line:COMMENT_COLUMN$}{comment}\n"),
                None => format!("{line}\n"),
            }
        });
        Ok(lines.collect())
    }

    /// Every key with its value and where that comes from, for programs.
    ///
    /// # Errors
    /// If a path is not valid Unicode.
    pub fn entries(&self) -> Result<BTreeMap<String, Entry>, ConfigError> {
        let mut entries = BTreeMap::new();
        let mut enter = |key: String, value: Value| {
            let from = self.comment(&key);
            entries.insert(key, Entry { value, from });
        };
        for (name, value) in table(&self.config)? {
            match value {
                Value::Table(section) => {
                    for (leaf, value) in section {
                        enter(format!("{name}.{leaf}"), value);
                    }
                }
                value => enter(name, value),
            }
        }
        Ok(entries)
    }

    fn comment(&self, key: &str) -> String {
        let origin = self.origin(key).map(Origin::to_string);
        origin.unwrap_or_else(|| "default".into())
    }
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// A file with a line, `--set` or `default`.
    pub from: String,
}

/// Each key of a TOML text of sections, with the line on which its value ends, counted from 0.
fn last_lines(text: &str) -> Vec<(String, usize)> {
    let Ok(spans) = DeTable::parse(text) else {
        return Vec::new();
    };
    let line = |end: usize| text[..end].matches('\n').count();
    let mut lines = Vec::new();
    for (key, value) in spans.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) => lines.extend(section.iter().map(|(leaf, value)| {
                let key = format!("{}.{}", key.get_ref(), leaf.get_ref());
                (key, line(value.span().end))
            })),
            _ => lines.push((key.get_ref().to_string(), line(value.span().end))),
        }
    }
    lines
}

fn table(values: &impl Serialize) -> Result<Table, ConfigError> {
    Table::try_from(values).map_err(ConfigError::Write)
}

/// Keys of `[adapter]` that the run's own file, or the command line, sets to something else than their default and that
/// the method does not use. What an extended file sets may be there for other methods, and a file that sets every key,
/// as a resolved one does, sets none on purpose.
fn idle(
    config: &RunConfig,
    origins: &BTreeMap<&'static str, Origin>,
    layers: &Layers,
) -> Result<Vec<Idle>, ConfigError> {
    let (values, defaults) = (table(&config.adapter)?, table(&AdapterConfig::default())?);
    let method = config.adapter.method;
    let is_whole = |layer: &Layer| {
        let section = layer.table.get("adapter").and_then(Value::as_table);
        section.is_some_and(|section| values.keys().all(|key| section.contains_key(key)))
    };
    let own = layers.files.last().filter(|layer| !is_whole(layer));
    let own = own.map(|layer| &layer.source);
    let mut idle = Vec::new();
    for (key, origin) in origins {
        let Some(leaf) = key.strip_prefix("adapter.") else {
            continue;
        };
        let is_own = match origin {
            Origin::Override => true,
            Origin::File { source, .. } => Some(source) == own,
        };
        if is_own && !method.uses(leaf) && values.get(leaf) != defaults.get(leaf) {
            idle.push(Idle {
                key,
                method,
                origin: origin.clone(),
            });
        }
    }
    Ok(idle)
}

#[cfg(test)]
mod tests;
