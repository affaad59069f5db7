//! Reads keys out of a TOML table one at a time and collects what is wrong, instead of stopping at the first error.

mod paths;

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::bound::Bound;
use super::error::Problem;
use super::layers::{EXTENDS, Found, Layers};
use super::names::{is_section, section_of};
use super::origin::Origin;
use super::unknown::{kind_of, unknown_keys};

/// Hands out the keys of a run and remembers which were asked for.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    known: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            known: BTreeSet::from([EXTENDS]),
            problems: layers.problems.clone(),
        }
    }

    /// Every key that was asked for.
    #[cfg(test)]
    pub(super) fn known(&self) -> &BTreeSet<&'static str> {
        &self.known
    }

    /// Where the keys that were asked for are set.
    pub(super) fn origins(&self) -> BTreeMap<&'static str, Origin> {
        let found = |key: &&'static str| Some((*key, self.layers.find(key)?.origin));
        self.known.iter().filter_map(found).collect()
    }

    /// Adds the unknown keys to the problems and returns them all, ordered by key.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.extend(unknown_keys(self.layers, &self.known));
        let mut seen = Vec::new();
        self.problems.retain(|problem| {
            let is_new = !seen.contains(problem);
            seen.push(problem.clone());
            is_new
        });
        self.problems.sort_by(|a, b| a.key.cmp(&b.key));
        self.problems
    }

    /// Records that `key` is wrong.
    pub(super) fn problem(&mut self, key: &str, found: &str, accepted: &str) {
        let origin = match is_section(key, &self.known) {
            true => None,
            false => self.layers.find(key).map(|found| found.origin),
        };
        self.problems.push(Problem {
            key: key.into(),
            found: found.into(),
            accepted: accepted.into(),
            origin,
        });
    }

    /// Records that `key` is missing, unless something else is wrong with it already.
    pub(super) fn require(&mut self, key: &str, accepted: &str) {
        if !self.problems.iter().any(|problem| problem.key == key) {
            self.problem(key, "is missing and has no default", accepted);
        }
    }

    /// Whether anything in the section has been found wrong.
    pub(super) fn has_problem_below(&self, section: &str) -> bool {
        let is_below = |key: &str| key == section || section_of(key) == Some(section);
        self.problems.iter().any(|problem| is_below(&problem.key))
    }

    /// The value of a dotted key as it stands.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<&'a Value> {
        self.find(key).map(|found| found.value)
    }

    /// The same, with its place.
    fn find(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.known.insert(key);
        self.layers.find(key)
    }

    fn wrong_type(&mut self, key: &str, value: &Value, accepted: &str) {
        let found = match value {
            Value::Array(_) | Value::Table(_) => format!("is {}", kind_of(value)),
            _ => format!("{value} is {}", kind_of(value)),
        };
        self.problem(key, &found, accepted);
    }

    /// A text. An override of a key that wants text is text, whatever else it looks like.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let Found { value, typed, .. } = self.find(key)?;
        match (value, typed) {
            (Value::String(text), _) => Some(text.clone()),
            (_, Some(typed)) => Some(typed.to_owned()),
            (other, None) => {
                self.wrong_type(key, other, "a text in quotes");
                None
            }
        }
    }

    /// A text in which an override without quotes writes a line break as \n.
    pub(super) fn language(&mut self, key: &'static str) -> Option<String> {
        let text = self.text(key)?;
        match self.find(key)?.typed {
            Some(typed) if typed == text => Some(text.replace("\\n", "\n")),
            _ => Some(text),
        }
    }

    /// A list of texts, none empty, or one text alone; in an override commas may separate them.
    pub(super) fn texts(&mut self, key: &'static str, example: &str) -> Option<Vec<String>> {
        let accepted = &format!("a list of texts, for example {example}");
        let Found { value, typed, .. } = self.find(key)?;
        let items: Vec<Option<&str>> = match value {
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            Value::String(text) if typed.is_some() => {
                text.split(',').map(|part| Some(part.trim())).collect()
            }
            Value::String(text) => vec![Some(text.as_str())],
            _ => {
                self.wrong_type(key, value, accepted);
                return None;
            }
        };
        let is_text = |text: &&str| !text.trim().is_empty();
        let texts = items.iter().copied().flatten().filter(is_text);
        let texts: Vec<String> = texts.map(String::from).collect();
        if texts.len() < items.len() {
            self.problem(
                key,
                "holds something else than texts, or an empty one",
                accepted,
            );
            return None;
        }
        Some(texts)
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.raw(key)? {
            Value::Boolean(flag) => Some(*flag),
            other => {
                self.wrong_type(key, other, "true or false");
                None
            }
        }
    }

    /// A whole number of at least `low`.
    pub(super) fn count(&mut self, key: &'static str, low: usize) -> Option<usize> {
        let accepted = format!("a whole number, {low} or above");
        let Found { value, typed, .. } = self.find(key)?;
        let Value::Integer(number) = value else {
            // TOML has no whole numbers beyond 64 bits.
            match typed.filter(|typed| is_whole(typed)) {
                Some(typed) => self.problem(key, &format!("{typed} is too large"), &accepted),
                None => self.wrong_type(key, value, &accepted),
            }
            return None;
        };
        match usize::try_from(*number) {
            Ok(number) if number >= low => Some(number),
            _ => {
                self.problem(key, &format!("{number} is too small"), &accepted);
                None
            }
        }
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, key: &'static str, bound: Bound) -> Option<f64> {
        let value = self.raw(key)?;
        let number = match value {
            Value::Float(number) => *number,
            Value::Integer(number) => *number as f64,
            other => {
                self.wrong_type(key, other, &bound.accepted());
                return None;
            }
        };
        if bound.holds(number) {
            Some(number)
        } else {
            self.problem(key, &format!("{value} is out of range"), &bound.accepted());
            None
        }
    }

    /// One of a fixed set of names.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(key)?;
        let choice = all.iter().copied().find(|item| name(*item) == text);
        if choice.is_none() {
            let names: Vec<&str> = all.iter().map(|item| name(*item)).collect();
            let found = format!("there is no `{text}`");
            self.problem(key, &found, &format!("one of {}", names.join(", ")));
        }
        choice
    }
}

/// Whether a text is a whole number of any size.
fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
