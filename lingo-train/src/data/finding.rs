//! What a user should know of a split before training.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::label::{Label, Objective};
use super::tokenize::EncodingReport;

/// Names that are told; of more, how many there are must do.
const TOLD: usize = 5;

/// Something about the data that is no error but that a user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Some classes have no example in a split. In the training split they cannot be learned; in another one, they
    /// are left out of AUROC and AUPRC.
    MissingClasses {
        /// The split's file.
        path: PathBuf,
        /// The classes.
        classes: Vec<usize>,
    },
    /// Some labels are the same for all examples of a split. In the training split they teach nothing; in another one,
    /// they are left out of AUROC and AUPRC.
    ConstantLabels {
        /// The split's file.
        path: PathBuf,
        /// Labels that hold for all of them.
        always: Vec<String>,
        /// Labels that hold for none.
        never: Vec<String>,
        /// Labels of which nothing is known.
        unknown: Vec<String>,
    },
    /// Of some examples of the training split no label is known: they are left out.
    NothingKnown {
        /// The split's file.
        path: PathBuf,
        /// How many they are.
        examples: usize,
    },
    /// Some sequences of a split are in another one too: what is measured on them is memory.
    Duplicates {
        /// The file of the split that they should not be known to.
        path: PathBuf,
        /// The file of the other one.
        other: PathBuf,
        /// How many different sequences.
        count: usize,
    },
    /// Stored tokens were damaged, and have been made anew.
    MadeAnew {
        /// Their file.
        path: PathBuf,
        /// What was wrong with it.
        reason: &'static str,
    },
}

impl Finding {
    /// What of a training split is not trained on.
    pub(super) fn left_out(path: &Path, report: EncodingReport) -> Option<Self> {
        (report.left_out > 0).then(|| Self::NothingKnown {
            path: path.to_owned(),
            examples: report.left_out,
        })
    }

    /// What there is to tell of a split's labels.
    pub(super) fn of(
        path: &Path,
        labels: impl Iterator<Item = Label>,
        objective: &Objective,
    ) -> Option<Self> {
        let path = path.to_owned();
        match objective {
            Objective::Classes(classes) => {
                let present: BTreeSet<usize> = labels.filter_map(|label| label.class()).collect();
                let missing = (0..*classes).filter(|class| !present.contains(class));
                let classes: Vec<usize> = missing.collect();
                (!classes.is_empty()).then_some(Self::MissingClasses { path, classes })
            }
            Objective::Labels(names) => {
                let counts = count(labels, names.len());
                let of = |wanted: fn(&[usize; 2]) -> bool| -> Vec<String> {
                    let named = names.iter().zip(&counts);
                    let named = named.filter(|(_, counts)| wanted(counts));
                    named.map(|(name, _)| name.clone()).collect()
                };
                let always = of(|[against, for_it]| *against == 0 && *for_it > 0);
                let never = of(|[against, for_it]| *against > 0 && *for_it == 0);
                let unknown = of(|[against, for_it]| *against == 0 && *for_it == 0);
                let found = !(always.is_empty() && never.is_empty() && unknown.is_empty());
                found.then_some(Self::ConstantLabels {
                    path,
                    always,
                    never,
                    unknown,
                })
            }
        }
    }
}

/// For how many examples each label does not hold, and for how many it does.
fn count(labels: impl Iterator<Item = Label>, outputs: usize) -> Vec<[usize; 2]> {
    let mut counts = vec![[0; 2]; outputs];
    for label in labels {
        for (counts, mark) in counts.iter_mut().zip(label.marks()) {
            if let Some(mark) = mark {
                counts[usize::from(*mark)] += 1;
            }
        }
    }
    counts
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::MissingClasses { path, classes } => {
                let names: Vec<String> = classes.iter().map(usize::to_string).collect();
                let (class, names) = (
                    if names.len() == 1 { "class" } else { "classes" },
                    names.join(", "),
                );
                write!(f, "{} has no example of {class} {names}", path.display())
            }
            Finding::MadeAnew { path, reason } => {
                write!(
                    f,
                    "{} was damaged ({reason}) and has been made anew",
                    path.display()
                )
            }
            Finding::Duplicates { path, other, count } => {
                let (sequences, are) = match count {
                    1 => ("sequence", "is"),
                    _ => ("sequences", "are"),
                };
                let (path, other) = (path.display(), other.display());
                write!(f, "{count} {sequences} of {path} {are} in {other} too")
            }
            Finding::ConstantLabels {
                path,
                always,
                never,
                unknown,
            } => {
                let kinds = [
                    (always, "holds for every example of"),
                    (never, "holds for no example of"),
                    (unknown, "is known for no example of"),
                ];
                let kinds = kinds.iter().filter(|(names, _)| !names.is_empty());
                for (i, (names, what)) in kinds.enumerate() {
                    let separator = if i > 0 { "; " } else { "" };
                    write!(f, "{separator}{} {what} {}", named(names), path.display())?;
                }
                Ok(())
            }
            Finding::NothingKnown { path, examples } => write!(
                f,
                "{}: of {examples} examples no label is known, they are left out",
                path.display()
            ),
        }
    }
}

/// One label by its name; more by their number and the first names.
fn named(names: &[String]) -> String {
    let told = names.iter().take(TOLD).map(|name| format!("`{name}`"));
    let told = told.collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("label {told}"),
        count if count > TOLD => format!("each of {count} labels ({told}, ...)"),
        count => format!("each of {count} labels ({told})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(marks: &[&str], names: &[&str]) -> Option<String> {
        let mark = |letter| match letter {
            '1' => Some(true),
            '0' => Some(false),
            _ => None,
        };
        let labels: Vec<Label> = marks
            .iter()
            .map(|row| Label::Marks(row.chars().map(mark).collect()))
            .collect();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let objective = Objective::Labels(names);
        let finding = Finding::of(Path::new("dev.csv"), labels.into_iter(), &objective);
        finding.map(|finding| finding.to_string())
    }

    #[test]
    fn labels_that_are_alike_everywhere_are_told_by_kind_and_counted() {
        assert_eq!(told(&["10", "01"], &["a", "b"]), None);
        assert_eq!(
            told(&["101?", "00?1", "0?1?", "?0?1"], &["a", "b", "c", "d"]).unwrap(),
            "each of 2 labels (`c`, `d`) holds for every example of dev.csv; label `b` holds for no example of dev.csv"
        );
        assert_eq!(
            told(&["??????0"], &["a", "b", "c", "d", "e", "f", "g"]).unwrap(),
            "label `g` holds for no example of dev.csv; each of 6 labels (`a`, `b`, `c`, `d`, `e`, ...) is known for no \
             example of dev.csv"
        );
    }
}
