//! What is known of a sequence, and what a task asks for.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is known of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// One of the classes.
    Class(usize),
    /// Whether each label holds; `None` where not known.
    Marks(Box<[Option<bool>]>),
}

impl Label {
    /// The class, of a task with classes.
    pub fn class(&self) -> Option<usize> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Marks(_) => None,
        }
    }

    /// The marks; none of a task with classes.
    pub fn marks(&self) -> &[Option<bool>] {
        match self {
            Self::Class(_) => &[],
            Self::Marks(marks) => marks,
        }
    }

    /// How many answers it gives: one class, or the marks that are known.
    pub fn known(&self) -> usize {
        match self {
            Self::Class(_) => 1,
            Self::Marks(marks) => marks.iter().flatten().count(),
        }
    }
}

/// What a task asks for. As part of a larger record, its variant is a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// One of so many classes: a softmax over them.
    Classes(usize),
    /// Whether each of these labels holds: a sigmoid for each.
    Labels(#[serde(with = "names")] Arc<[String]>),
}

impl Objective {
    /// Labels that nobody has named.
    pub fn unnamed_labels(count: usize) -> Self {
        Self::Labels((0..count).map(|label| format!("label_{label}")).collect())
    }

    /// `C`: outputs of the head.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(classes) => *classes,
            Self::Labels(names) => names.len(),
        }
    }

    /// The fewest outputs that make sense.
    pub fn fewest_outputs(&self) -> usize {
        match self {
            Self::Classes(_) => 2,
            Self::Labels(_) => 1,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes(classes) => write!(f, "{classes} classes"),
            Self::Labels(names) if names.len() == 1 => write!(f, "1 label"),
            Self::Labels(names) => write!(f, "{} labels", names.len()),
        }
    }
}

/// The first name of a label that one before it has, too: each is the name of a column of predictions.
pub fn first_twice(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// Whether no two labels differ in what both of them know: there is nothing to tell apart.
pub fn all_alike<'a>(labels: impl Iterator<Item = &'a Label>) -> bool {
    let (mut class, mut marks) = (None, Vec::new());
    for label in labels {
        let alike = match label {
            Label::Class(found) => *class.get_or_insert(*found) == *found,
            Label::Marks(found) => {
                marks.resize(found.len(), None);
                let known = marks.iter_mut().zip(found);
                let mut known = known.filter_map(|(mark, found)| Some((mark, (*found)?)));
                known.all(|(mark, found)| *mark.get_or_insert(found) == found)
            }
        };
        if !alike {
            return false;
        }
    }
    true
}

mod names {
    use std::sync::Arc;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        names: &Arc<[String]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        names.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Arc<[String]>, D::Error> {
        let names: Vec<String> = Vec::deserialize(deserializer)?;
        match super::first_twice(&names) {
            Some(twice) => Err(D::Error::custom(format_args!(
                "the label `{twice}` is there twice"
            ))),
            None => Ok(names.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_differ_where_one_question_has_two_answers() {
        let marks = |marks: &[Option<bool>]| Label::Marks(marks.into());
        let (yes, no) = (Some(true), Some(false));
        assert!(all_alike([].iter()));
        assert!(all_alike([Label::Class(1), Label::Class(1)].iter()));
        assert!(!all_alike([Label::Class(1), Label::Class(0)].iter()));
        let alike = [marks(&[yes, None]), marks(&[None, no]), marks(&[yes, no])];
        assert!(all_alike(alike.iter()));
        let differ = [marks(&[None, no]), marks(&[yes, None]), marks(&[yes, yes])];
        assert!(!all_alike(differ.iter()));
    }
}
