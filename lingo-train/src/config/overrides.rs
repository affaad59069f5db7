//! Overrides from the command line: a dotted key and a value each.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::error::Problem;
use super::origin::Origin;

/// What one `--set` says.
pub(super) struct Override {
    /// As typed.
    pub(super) text: String,
    /// As TOML has it, or the text where that is none.
    pub(super) value: Value,
}

/// The overrides by key, the last one of a key; what is no key is a problem.
pub(super) fn read(
    overrides: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Override> {
    let mut by_key = BTreeMap::new();
    for (key, text) in overrides {
        let parts: Vec<&str> = key.split('.').map(str::trim).collect();
        if parts.iter().any(|part| part.is_empty()) {
            problems.push(problem(key, "is no key"));
            continue;
        }
        let (text, value) = (text.clone(), parse_value(text));
        by_key.insert(parts.join("."), Override { text, value });
    }
    by_key
}

/// An override whose key has the wrong form.
pub(super) fn problem(key: &str, found: &str) -> Problem {
    Problem {
        key: key.into(),
        found: found.into(),
        accepted: "an override is written section.key=value".into(),
        origin: Some(Origin::Override),
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
