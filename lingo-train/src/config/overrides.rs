//! Overrides from the command line, written into the run file's table before it is read.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::error::Problem;

/// What `--set` changed.
pub(super) struct Overrides {
    /// The text of each, by dotted key.
    pub(super) raw: BTreeMap<String, String>,
    /// What could not be applied.
    pub(super) problems: Vec<Problem>,
}

impl Overrides {
    /// Writes each override into the table.
    pub(super) fn apply(table: &mut Table, overrides: &[(String, String)]) -> Self {
        let mut applied = Overrides {
            raw: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (key, text) in overrides {
            match insert(table, key, parse_value(text)) {
                Ok(()) => {
                    applied.raw.insert(key.clone(), text.clone());
                }
                Err(problem) => applied.problems.push(problem),
            }
        }
        applied
    }
}

/// A TOML value, or the text itself where it is none.
fn parse_value(text: &str) -> Value {
    let parsed: Option<Table> = format!("value = {text}").parse().ok();
    parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.into()))
}

fn insert(table: &mut Table, key: &str, value: Value) -> Result<(), Problem> {
    let problem = |found: String| Problem {
        key: key.into(),
        found,
        accepted: "an override is written section.key=value".into(),
    };
    let mut path: Vec<&str> = key.split('.').map(str::trim).collect();
    if path.iter().any(|part| part.is_empty()) {
        return Err(problem("is no key".into()));
    }
    let Some(last) = path.pop() else {
        return Err(problem("is no key".into()));
    };
    let mut table = table;
    for part in path {
        let entry = table
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => table = inner,
            _ => return Err(problem(format!("`{part}` is not a section"))),
        }
    }
    table.insert(last.into(), value);
    Ok(())
}
