//! GUE's layout: a CSV file a split, with sequences and their labels.

use std::collections::BTreeSet;
use std::path::Path;

use super::answers::Wanted;
use super::finding::Finding;
use super::label::{Label, Objective};
use super::record::{DataError, Record};
use super::table;

/// Reads one split of a task: the column `sequence`, and either `label` or a column for each label, found by name in any
/// order.
///
/// Sequences become upper case, U becomes T. A column `id` names the records, else their row numbers do.
///
/// # Errors
/// With file and line: a malformed line, a label that is no answer to the task, a letter that is no IUPAC nucleotide, an
/// empty sequence; a missing column; a file without records.
pub fn read_gue(path: &Path, objective: &Objective) -> Result<Vec<Record>, DataError> {
    table::read(path, Wanted::Of(objective))
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
    /// What is asked, as the training split tells.
    pub objective: Objective,
    /// What a user should know before training.
    pub findings: Vec<Finding>,
}

impl GueData {
    /// Reads the three splits. `names` are those of labels: of a column each, or of what the lists in the column `label`
    /// hold. Without them that column tells what is asked: numbers are classes, as many as one more than the largest of
    /// the training split; lists hold labels.
    ///
    /// # Errors
    /// As for [`read_gue`]; if all of the training split has one class, or of some label it knows nothing.
    pub fn load(
        train: &Path,
        dev: &Path,
        test: &Path,
        names: Option<&[String]>,
    ) -> Result<GueData, DataError> {
        let (train_path, dev_path, test_path) = (train, dev, test);
        let mut train = table::read(train_path, Wanted::Any(names))?;
        let objective = objective_of(train_path, &train, names)?;
        let dev = read_gue(dev_path, &objective)?;
        let test = read_gue(test_path, &objective)?;
        let splits = [(train_path, &train), (dev_path, &dev), (test_path, &test)];
        let mut findings: Vec<Finding> = splits
            .into_iter()
            .filter_map(|(path, records)| Finding::of(path, labels(records), &objective))
            .collect();
        if let Some(Finding::ConstantLabels { path, unknown, .. }) = findings.first()
            && path == train_path
            && !unknown.is_empty()
        {
            return Err(DataError::UnknownLabels {
                path: path.clone(),
                labels: unknown.clone(),
            });
        }
        let examples = train.len();
        // They would take their place in batches and teach nothing.
        train.retain(|record| record.label.as_ref().is_some_and(|label| label.known() > 0));
        if train.len() < examples {
            findings.push(Finding::NothingKnown {
                path: train_path.to_owned(),
                examples: examples - train.len(),
            });
        }
        Ok(GueData {
            train,
            dev,
            test,
            objective,
            findings,
        })
    }
}

fn labels(records: &[Record]) -> impl Iterator<Item = &Label> {
    records.iter().filter_map(|record| record.label.as_ref())
}

/// What the training split asks.
fn objective_of(
    path: &Path,
    train: &[Record],
    names: Option<&[String]>,
) -> Result<Objective, DataError> {
    if let Some(names) = names {
        return Ok(Objective::Labels(names.into()));
    }
    if let Some(Label::Marks(marks)) = labels(train).next() {
        return Ok(Objective::unnamed_labels(marks.len()));
    }
    let classes: BTreeSet<usize> = labels(train).filter_map(Label::class).collect();
    match (classes.len(), classes.last()) {
        (2.., Some(largest)) => Ok(Objective::Classes(largest + 1)),
        (_, label) => Err(DataError::OneClass {
            path: path.to_owned(),
            label: label.copied().unwrap_or(0),
        }),
    }
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
        let objective = classes.map(Objective::Classes);
        let wanted = match &objective {
            Some(objective) => Wanted::Of(objective),
            None => Wanted::Any(None),
        };
        table::read(&path, wanted).map_err(|error| error.to_string())
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
            (
                "sequence,label\nAC,0\n\"GT,1\nAC,0\n",
                "train.csv, line 3: 1 fields where the header has 2",
            ),
            (
                "sequence,label\nA\0C,0\n",
                "train.csv, line 2: '\\0' at position 2",
            ),
            (
                "sequence,label\nAC,18446744073709551616\n",
                "train.csv, line 2: the label is `18446744073709551616`",
            ),
            ("\0\0\0\0", "line 1: there is no column `sequence`"),
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
        let found = read_gue(&path, &Objective::Classes(2))
            .unwrap_err()
            .to_string();
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
        GueData::load(&train, &dev, &test, None)
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

    fn load_labels(
        header: &str,
        [train, dev, test]: [&str; 3],
        names: Option<&[&str]>,
    ) -> Result<GueData, String> {
        let dir = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("{header}\n{text}")).unwrap();
            path
        };
        let names = names.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let paths = [("train.csv", train), ("dev.csv", dev), ("test.csv", test)];
        let [train, dev, test] = paths.map(|(name, text)| file(name, text));
        GueData::load(&train, &dev, &test, names.as_deref()).map_err(|error| error.to_string())
    }

    /// Marks as `1`, `0` and `?`.
    fn shown(records: &[Record]) -> Vec<String> {
        let letter = |mark: &Option<bool>| mark.map_or('?', |mark| if mark { '1' } else { '0' });
        let row = |label: &Label| label.marks().iter().map(letter).collect();
        labels(records).map(row).collect()
    }

    #[test]
    fn a_column_a_label_is_read_by_name_and_empty_cells_are_unknown() {
        let data = load_labels(
            "H4,id,sequence,H3,H3K9ac",
            [
                "1,a,AC,0,1\n,b,GT,1,\n0,c,GG,NA,0\n",
                "1,a,AC,nan,0.0\n0,b,AC,1.0,True\n",
                "1,a,AC,0,1\n0,b,AC,1,0\n",
            ],
            Some(&["H3", "H4"]),
        )
        .unwrap();
        let names = ["H3".to_owned(), "H4".to_owned()];
        assert_eq!(data.objective, Objective::Labels(names.into()));
        assert_eq!(shown(&data.train), ["01", "1?", "?0"]);
        assert_eq!(shown(&data.dev), ["?1", "10"]);
        assert_eq!(data.train[1].id, "b");
        let findings: Vec<String> = data.findings.iter().map(Finding::to_string).collect();
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].starts_with("label `H3` holds for every example of"),
            "{findings:?}"
        );
    }

    #[test]
    fn lists_are_of_any_length_with_commas_or_blanks_and_unknown_places() {
        let splits = [
            "AC,\"[0, 1, nan]\"\nGT,[1 0 1]\nGG,\"[null,,0]\"\nGG,[ 1. 0.  NaN ]\n",
            "AC,\"[0,1,0]\"\nAC,\"[1,0,1]\"\n",
            "AC,\"[0,1,0]\"\nAC,\"[1\n 0\n 1]\"\n",
        ];
        for (names, expected) in [
            (None, ["label_0", "label_1", "label_2"]),
            (Some(&["x", "y", "z"][..]), ["x", "y", "z"]),
        ] {
            let data = load_labels("sequence,label", splits, names).unwrap();
            let expected = expected.map(String::from);
            assert_eq!(data.objective, Objective::Labels(expected.into()));
            assert_eq!(shown(&data.train), ["01?", "101", "??0", "10?"]);
            assert_eq!(shown(&data.test), ["010", "101"]);
            assert!(data.findings.is_empty());
        }
    }

    #[test]
    fn examples_of_which_nothing_is_known_are_not_trained_on_and_are_counted() {
        let splits = [
            "AC,[0 1]\nGG,[nan nan]\nGT,[1 0]\nCC,[nan 0]\nTT,[NA null]\n",
            "AC,[0 1]\nGG,[nan nan]\nGT,[1 0]\n",
            "AC,[0 1]\nGT,[1 0]\n",
        ];
        let data = load_labels("sequence,label", splits, None).unwrap();
        assert_eq!(shown(&data.train), ["01", "10", "?0"]);
        let ids: Vec<&str> = data.train.iter().map(|record| &*record.id).collect();
        assert_eq!(ids, ["0", "2", "3"]);
        assert_eq!(data.dev.len(), 3);
        let findings: Vec<String> = data.findings.iter().map(Finding::to_string).collect();
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].ends_with("train.csv: of 2 examples no label is known, they are left out"),
            "{findings:?}"
        );
    }

    #[test]
    fn each_complaint_about_labels_names_file_and_line() {
        let (lists, columns) = ("sequence,label", "sequence,a,b");
        let (list, column) = ("AC,[0 1]\nAC,[1 0]\n", "AC,0,1\nAC,1,0\n");
        let two = Some(&["a", "b"][..]);
        let three = Some(&["a", "b", "c"][..]);
        let cases = [
            (
                lists,
                ["AC,[0 1]\nAC,[1]\n", list, list],
                None,
                "train.csv, line 3: the list has 1 labels, expected 2",
            ),
            (
                lists,
                [list, "AC,[0 1 1]\n", list],
                None,
                "dev.csv, line 2: the list has 3 labels, expected 2",
            ),
            (
                lists,
                [list, list, list],
                three,
                "train.csv, line 2: the list has 2 labels, expected 3",
            ),
            (
                lists,
                [list, "AC,1\n", list],
                None,
                "dev.csv, line 2: the label is `1`, expected a list",
            ),
            (
                lists,
                ["AC,1\nAC,[0 1]\n", list, list],
                None,
                "train.csv, line 3: the label is `[0 1]`, expected a whole",
            ),
            (
                lists,
                ["AC,1\nAC,0\n", list, list],
                None,
                "dev.csv, line 2: the label is `[0 1]`, expected a whole",
            ),
            (
                lists,
                ["AC,[]\n", list, list],
                None,
                "train.csv, line 2: the label is `[]`, expected a list",
            ),
            (
                lists,
                ["AC,[0 1\n", list, list],
                None,
                "train.csv, line 2: the label is `[0 1`, expected a list",
            ),
            (
                lists,
                ["AC,[0, 1]\n", list, list],
                None,
                "train.csv, line 2: 3 fields where the header has 2 (a cell",
            ),
            (
                lists,
                ["AC,[0 2]\n", list, list],
                None,
                "train.csv, line 2: the label `label_1` is `2`, expected 0 or 1",
            ),
            (
                lists,
                ["AC,[0 ...]\n", list, list],
                None,
                "train.csv, line 2: the label `label_1` is `...`",
            ),
            (
                lists,
                [list, list, "AC,[nan -1]\n"],
                two,
                "test.csv, line 2: the label `b` is `-1`, expected 0 or 1",
            ),
            (
                lists,
                ["AC,[0 nan]\nAC,[1 nan]\n", list, list],
                None,
                "train.csv: nothing is known of `label_1`",
            ),
            (
                columns,
                [column, column, "AC,0,1\nAC,0,0.5\n"],
                two,
                "test.csv, line 3: the label `b` is `0.5`",
            ),
            (
                columns,
                [column; 3],
                three,
                "train.csv, line 1: there is no column `c`; the header has `sequence`, `a`, `b`",
            ),
            (
                columns,
                [column; 3],
                Some(&["z"]),
                "train.csv, line 1: there is no column `z`",
            ),
            (
                columns,
                [column; 3],
                None,
                "train.csv, line 1: there is no column `label`",
            ),
            (
                "sequence,a,a",
                [column; 3],
                two,
                "train.csv, line 1: two columns are called `a`",
            ),
        ];
        for (header, splits, names, expected) in cases {
            let found = load_labels(header, splits, names).unwrap_err();
            assert!(found.contains(expected), "{splits:?}, {names:?}: {found}");
        }
    }
}
