//! The values of a run, in layers: files, each over those that it extends and those before it, and overrides over all.
//! Nothing is merged: a key is looked up from the top, so that what is found has its place.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Problem};
use super::origin::{Origin, Source};
use super::overrides::{self, Override};
use crate::readable;

/// The key that names the files below a file.
pub(super) const EXTENDS: &str = "extends";

/// One file.
pub(super) struct Layer {
    pub(super) source: Arc<Source>,
    pub(super) table: Table,
    /// Of each key, and of each section's header.
    lines: BTreeMap<Vec<String>, usize>,
    /// The line of each file in `extends`.
    extended_lines: Vec<usize>,
}

impl Layer {
    fn parse(text: &str, source: Arc<Source>) -> Result<Self, ConfigError> {
        let syntax = |error| ConfigError::Syntax {
            file: source.clone(),
            source: Box::new(error),
        };
        let table: Table = text.parse().map_err(syntax)?;
        let spans = DeTable::parse(text).map_err(syntax)?;
        let mut layer = Self {
            source,
            table,
            lines: BTreeMap::new(),
            extended_lines: Vec::new(),
        };
        let starts: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let line = |at: usize| 1 + starts.partition_point(|start| *start <= at);
        for (key, value) in spans.get_ref() {
            let name = key.get_ref().to_string();
            layer
                .lines
                .insert(vec![name.clone()], line(key.span().start));
            match value.get_ref() {
                DeValue::Table(section) => {
                    let keys = section.keys();
                    layer.lines.extend(keys.map(|key| {
                        let path = vec![name.clone(), key.get_ref().to_string()];
                        (path, line(key.span().start))
                    }));
                }
                DeValue::Array(items) if name == EXTENDS => {
                    let at = |item: &Spanned<DeValue<'_>>| line(item.span().start);
                    layer.extended_lines = items.iter().map(at).collect();
                }
                _ => {}
            }
        }
        Ok(layer)
    }

    /// The value of a key by its path.
    fn get(&self, path: &[&str]) -> Option<&Value> {
        match path {
            [section, leaf] => self.table.get(*section)?.as_table()?.get(*leaf),
            [name] => self.table.get(*name),
            _ => None,
        }
    }

    /// Where a key stands in the file.
    pub(super) fn origin(&self, path: &[&str]) -> Option<Origin> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let line = *self.lines.get(&path)?;
        let source = self.source.clone();
        Some(Origin::File { source, line })
    }

    /// The files that it extends, relative to its folder, each with its place.
    fn extends(&self, problems: &mut Vec<Problem>) -> Vec<(String, Origin)> {
        let names = match self.table.get(EXTENDS) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
            Some(_) => vec![None],
        };
        let mut extended = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            let origin = match self.extended_lines.get(i) {
                Some(line) => Some(Origin::File {
                    source: self.source.clone(),
                    line: *line,
                }),
                None => self.origin(&[EXTENDS]),
            };
            match (name, origin) {
                (Some(name), Some(origin)) if !name.trim().is_empty() => {
                    extended.push((name.to_owned(), origin));
                }
                (_, origin) => problems.push(Problem {
                    key: EXTENDS.into(),
                    found: "is something else than a list of files".into(),
                    accepted: "extends = [\"task/h3.toml\", \"model/opt-125m.toml\"], from this file's folder"
                        .into(),
                    origin,
                }),
            }
        }
        extended
    }
}

/// A value, and what its place means for it.
pub(super) struct Found<'a> {
    pub(super) value: &'a Value,
    pub(super) origin: Origin,
    /// The folder of the file that it stands in.
    pub(super) folder: Option<&'a Path>,
    /// As it was typed, in an override.
    pub(super) typed: Option<&'a str>,
}

/// All values of a run.
#[derive(Default)]
pub(super) struct Layers {
    /// The weakest first.
    pub(super) files: Vec<Layer>,
    pub(super) overrides: BTreeMap<String, Override>,
    /// What is wrong with the layers themselves.
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// Reads files, each stronger than those before it, and overrides.
    pub(super) fn load(
        files: &[impl AsRef<Path>],
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        for path in files {
            layers.add(Source::named(path.as_ref()))?;
        }
        layers.set(overrides);
        Ok(layers)
    }

    /// Puts a file on top, and below it those that it extends.
    fn add(&mut self, source: Arc<Source>) -> Result<(), ConfigError> {
        let read = |path: &Path| {
            #[cfg(unix)]
            {
                use std::os::unix::fs::FileTypeExt as _;
                if path.metadata()?.file_type().is_fifo() {
                    let pipe =
                        "it is a pipe, and is read more than once; save what it gives to a file";
                    return Err(Error::new(ErrorKind::InvalidInput, pipe));
                }
            }
            let text = std::io::read_to_string(readable::open(path)?)?;
            Ok((path.canonicalize()?, text))
        };
        let (path, text) = read(source.path()).map_err(|error| ConfigError::Read {
            file: source.clone(),
            source: error,
        })?;
        let is_same = |other: &Source| other.path().canonicalize().is_ok_and(|other| other == path);
        if source.chain().skip(1).any(is_same) {
            return Err(ConfigError::Cycle { file: source });
        }
        self.add_text(&text, source)
    }

    /// The same, from the text of the file.
    pub(super) fn add_text(&mut self, text: &str, source: Arc<Source>) -> Result<(), ConfigError> {
        let layer = Layer::parse(text, source)?;
        for (name, origin) in layer.extends(&mut self.problems) {
            let path = layer.source.folder().join(name);
            self.add(Source::extended(path, origin))?;
        }
        self.files.push(layer);
        Ok(())
    }

    /// Puts overrides on top.
    pub(super) fn set(&mut self, overrides: &[(String, String)]) {
        self.overrides = overrides::read(overrides, &mut self.problems);
    }

    /// The files that the user named.
    pub(super) fn named(&self) -> Vec<PathBuf> {
        let sources = self.files.iter().map(|layer| &layer.source);
        let named = sources.filter(|source| source.chain().count() == 1);
        named.map(|source| source.path().to_owned()).collect()
    }

    /// The value of a dotted key.
    pub(super) fn find(&self, key: &str) -> Option<Found<'_>> {
        if let Some(Override { text, value }) = self.overrides.get(key) {
            return Some(Found {
                value,
                origin: Origin::Override,
                folder: None,
                typed: Some(text),
            });
        }
        let path: Vec<&str> = key.split('.').collect();
        self.files.iter().rev().find_map(|layer| {
            Some(Found {
                value: layer.get(&path)?,
                origin: layer.origin(&path)?,
                folder: Some(layer.source.folder()),
                typed: None,
            })
        })
    }
}
