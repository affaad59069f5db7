//! GUE's layout: a CSV file `sequence,label` a split.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::label::{Label, Objective};
use super::record::{DataError, Record};
use super::table::{self, Labels};

/// Reads one split: the columns `sequence` and `label`, found by name in any order and case.
///
/// Sequences become upper case, U becomes T. A column `id` names the records, else their row numbers do.
///
/// # Errors
/// With file and line: a malformed line, a label that is no whole number (below `classes`, where given), a letter
/// that is no IUPAC nucleotide, an empty sequence; a missing column; a file without records.
pub fn read_gue(path: &Path, classes: Option<usize>) -> Result<Vec<Record>, DataError> {
    table::read(path, Labels::Required(classes))
}

/// The three splits of a task.
#[derive(Debug, Clone)]
pub struct GueData {
    /// Trained on.
    pub train: Vec<Record>,
    /// Selected on.
    pub dev: Vec<Record>,
    /// Scored once, after selection.
    pub test: Vec<Record>,
    /// What is asked: as many classes as one more than the largest label of the training split.
    pub objective: Objective,
    /// What a user should know before training.
    pub findings: Vec<Finding>,
}

impl GueData {
    /// Reads the three splits; the classes are those of the training split.
    ///
    /// # Errors
    /// As for [`read_gue`]; if all of the training split has one label, or another split has a label above its
    /// largest.
    pub fn load(train: &Path, dev: &Path, test: &Path) -> Result<GueData, DataError> {
        let (train_path, dev_path, test_path) = (train, dev, test);
        let train = read_gue(train_path, None)?;
        let labels = classes_of(&train);
        let label = labels.last().copied().unwrap_or(0);
        if labels.len() < 2 {
            let path = train_path.to_owned();
            return Err(DataError::OneClass { path, label });
        }
        let classes = label + 1;
        let dev = read_gue(dev_path, Some(classes))?;
        let test = read_gue(test_path, Some(classes))?;
        let splits = [(train_path, &train), (dev_path, &dev), (test_path, &test)];
        let findings = splits
            .into_iter()
            .filter_map(|(path, records)| missing_classes(path, records, classes))
            .collect();
        Ok(GueData {
            train,
            dev,
            test,
            objective: Objective::Classes(classes),
            findings,
        })
    }
}

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
        }
    }
}

fn classes_of(records: &[Record]) -> BTreeSet<usize> {
    let labels = records.iter().filter_map(|record| record.label.as_ref());
    labels.filter_map(Label::class).collect()
}

fn missing_classes(path: &Path, records: &[Record], classes: usize) -> Option<Finding> {
    let present = classes_of(records);
    let missing: Vec<usize> = (0..classes)
        .filter(|class| !present.contains(class))
        .collect();
    (!missing.is_empty()).then(|| Finding::MissingClasses {
        path: path.to_owned(),
        classes: missing,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;

    fn read(text: &str, classes: Option<usize>) -> Result<Vec<Record>, String> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("train.csv");
        std::fs::write(&path, text).unwrap();
        read_gue(&path, classes).map_err(|error| error.to_string())
    }

    fn complaint(text: &str, classes: Option<usize>) -> String {
        read(text, classes).unwrap_err()
    }

    #[test]
    fn columns_are_found_by_name_and_sequences_normalised() {
        let records = read(
            "Label,extra,SEQUENCE\n1,x,acgu\r\n0,\"y,z\", NNRY \n\n",
            None,
        )
        .unwrap();
        let record = |id: &str, sequence: &str, label| Record {
            id: id.into(),
            sequence: sequence.into(),
            label: Some(Label::Class(label)),
        };
        assert_eq!(records, [record("0", "ACGT", 1), record("1", "NNRY", 0)]);
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_first_column() {
        assert_eq!(
            read("\u{feff}sequence,label\nAC,0\n", None).unwrap().len(),
            1
        );
    }

    #[test]
    fn each_complaint_names_file_and_line() {
        let cases = [
            (
                "sequence,label\nAC,0\nGT\n",
                "train.csv, line 3: 1 fields where the header has 2",
            ),
            (
                "sequence,label\nAC,0\nGT,one\n",
                "train.csv, line 3: the label is `one`",
            ),
            (
                "sequence,label\nAC,0\nGT,\n",
                "train.csv, line 3: the label is ``",
            ),
            (
                "sequence,label\nAC,-1\n",
                "train.csv, line 2: the label is `-1`",
            ),
            (
                "sequence,label\nAC,0.5\n",
                "train.csv, line 2: the label is `0.5`",
            ),
            (
                "sequence,label\nAC,99999999999\n",
                "train.csv, line 2: the label is `99999999999`",
            ),
            (
                "sequence,label\nAC,0\nACXT,1\n",
                "train.csv, line 3: 'X' at position 3",
            ),
            (
                "sequence,label\nAC,0\nAC GT,1\n",
                "train.csv, line 3: ' ' at position 3",
            ),
            (
                "sequence,label\nAC,0\n,1\n",
                "train.csv, line 3: the sequence is empty",
            ),
            (
                "seq,label\nAC,0\n",
                "line 1: there is no column `sequence`; the header has `seq`, `label`",
            ),
            ("sequence\nAC\n", "line 1: there is no column `label`"),
            ("sequence,label\n", "train.csv holds no sequences"),
            ("", "train.csv holds no sequences"),
        ];
        for (text, expected) in cases {
            let found = complaint(text, None);
            assert!(found.contains(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_label_outside_the_classes_is_an_error() {
        let found = complaint("sequence,label\nAC,0\nGT,2\n", Some(2));
        assert!(
            found.contains("line 3") && found.contains("one of the 2 classes, 0 to 1"),
            "{found}"
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error_with_its_line() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("dev.csv");
        std::fs::write(&path, b"sequence,label\nAC,0\nA\xff,1\n").unwrap();
        let found = read_gue(&path, None).unwrap_err().to_string();
        assert!(
            found.contains("dev.csv, line 3") && found.contains("UTF-8"),
            "{found}"
        );
    }

    fn load(train: &str, dev: &str, test: &str) -> Result<GueData, DataError> {
        let dir = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("sequence,label\n{text}")).unwrap();
            path
        };
        let (train, dev, test) = (
            file("train.csv", train),
            file("dev.csv", dev),
            file("test.csv", test),
        );
        GueData::load(&train, &dev, &test)
    }

    #[test]
    fn the_training_split_determines_the_classes_and_a_gap_is_a_finding() {
        let data = load("A,0\nC,2\n", "A,0\nC,1\nG,2\n", "A,0\n").unwrap();
        assert_eq!(data.objective, Objective::Classes(3));
        let findings: Vec<String> = data.findings.iter().map(Finding::to_string).collect();
        assert!(
            findings[0].ends_with("train.csv has no example of class 1"),
            "{findings:?}"
        );
        assert!(
            findings[1].ends_with("test.csv has no example of classes 1, 2"),
            "{findings:?}"
        );
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_label_that_training_never_sees_is_an_error_with_its_line() {
        for (dev, test, file) in [
            ("A,0\nC,2\n", "A,0\n", "dev.csv"),
            ("A,0\n", "A,0\nC,7\n", "test.csv"),
        ] {
            let error = load("A,0\nC,1\n", dev, test).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{file}, line 3: the label is"))
                    && error.contains("0 to 1"),
                "{error}"
            );
        }
    }

    #[test]
    fn one_class_in_training_is_an_error() {
        let error = load("A,1\nC,1\n", "A,0\n", "A,0\n").unwrap_err();
        assert!(matches!(error, DataError::OneClass { label: 1, .. }));
    }
}
