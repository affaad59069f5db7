//! What stands in the layers of a run without being one of its keys.

use std::collections::BTreeSet;

use toml::Value;

use super::error::Problem;
use super::layers::{EXTENDS, Layer, Layers};
use super::names::{accepted_instead, is_section, section_of};
use super::origin::Origin;
use super::overrides;

/// A problem for each name that is not among the known keys, in whichever layer.
pub(super) fn unknown_keys(layers: &Layers, known: &BTreeSet<&'static str>) -> Vec<Problem> {
    let files = layers.files.iter();
    let mut problems: Vec<Problem> = files.flat_map(|layer| in_file(layer, known)).collect();
    let overrides = layers.overrides.iter();
    problems.extend(overrides.filter_map(|(key, set)| in_override(key, &set.value, known)));
    problems
}

fn in_file(layer: &Layer, known: &BTreeSet<&'static str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in &layer.table {
        match value {
            Value::Table(section) if is_section(name, known) => {
                for leaf in section.keys() {
                    let key = format!("{name}.{leaf}");
                    // A name in quotes may hold a dot.
                    if leaf.contains('.') || !known.contains(key.as_str()) {
                        problems.push(unknown(&key, layer.origin(&[name, leaf]), known));
                    }
                }
            }
            other if is_section(name, known) => {
                problems.push(no_section(name, other, layer.origin(&[name])));
            }
            _ if name.contains('.') || !known.contains(name.as_str()) => {
                problems.push(unknown(name, layer.origin(&[name]), known));
            }
            _ => {}
        }
    }
    problems
}

fn in_override(key: &str, value: &Value, known: &BTreeSet<&'static str>) -> Option<Problem> {
    let origin = Some(Origin::Override);
    if key == EXTENDS {
        return Some(Problem {
            key: key.into(),
            found: "is of files alone".into(),
            accepted: "give several files instead, the strongest last".into(),
            origin,
        });
    }
    if known.contains(key) {
        return None;
    }
    if is_section(key, known) {
        return Some(match value {
            Value::Table(_) => overrides::problem(key, "is a section"),
            other => no_section(key, other, origin),
        });
    }
    Some(match section_of(key) {
        Some(section) if known.contains(section) => {
            overrides::problem(key, &format!("`{section}` is not a section"))
        }
        _ => unknown(key, origin, known),
    })
}

fn unknown(key: &str, origin: Option<Origin>, known: &BTreeSet<&'static str>) -> Problem {
    Problem {
        key: key.into(),
        found: "unknown key".into(),
        accepted: accepted_instead(key, known),
        origin,
    }
}

fn no_section(name: &str, value: &Value, origin: Option<Origin>) -> Problem {
    Problem {
        key: name.into(),
        found: format!("is {}", kind_of(value)),
        accepted: format!("a section, [{name}]"),
        origin,
    }
}

/// What a value is, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}
