//! The three splits of a task, what they ask, and what a user should know of them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::answers::Wanted;
use super::deepsea::Columns;
use super::finding::Finding;
use super::label::{Label, Objective};
use super::record::DataError;
use super::samples::Samples;
use super::source::is_deepsea;
use super::store::StoreError;

/// The three splits of a task.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Trained on.
    pub train: Samples,
    /// Selected on.
    pub dev: Samples,
    /// Scored once, after selection.
    pub test: Samples,
    /// What is asked, as the training split tells.
    pub objective: Objective,
    /// What a user should know before training.
    pub findings: Vec<Finding>,
}

impl Splits {
    /// Has the splits at `[train, dev, test]` read. `names` are those of labels: of a column each, or of what the lists in
    /// the column `label` hold. Without them that column tells what is asked: numbers are classes, as many as one more than
    /// the largest of the training split; lists hold labels. Where the splits are DeepSEA's files, `names` choose columns.
    ///
    /// # Errors
    /// If one cannot be read; if all of the training split has one class, or of some label it knows nothing; if dev or test
    /// knows nothing of all labels.
    pub(crate) fn load<E: From<DataError> + From<StoreError>>(
        [train_path, dev_path, test_path]: [&Path; 3],
        names: Option<&[String]>,
        mut read: impl FnMut(&Path, Wanted<'_>) -> Result<Samples, E>,
    ) -> Result<Self, E> {
        // Names such as deepsea-histone stand for many columns.
        let columns = match is_deepsea(train_path) {
            true => Some(Columns::select(names).map_err(DataError::from)?.names()),
            false => None,
        };
        let names = columns.as_deref().or(names);
        let train = read(train_path, Wanted::Any(names))?;
        if train.is_empty() {
            return Err(DataError::UnknownLabels {
                path: train_path.to_owned(),
                labels: vec!["label".to_owned()],
            }
            .into());
        }
        let objective = match names {
            Some(names) => Objective::Labels(names.into()),
            None => objective_of::<E>(train_path, &train)?,
        };
        let dev = read(dev_path, Wanted::Of(&objective))?;
        let test = read(test_path, Wanted::Of(&objective))?;
        let splits = [(train_path, &train), (dev_path, &dev), (test_path, &test)];
        let mut findings = Vec::new();
        for (path, samples) in splits {
            findings.extend(on_labels(path, samples, &objective)?);
        }
        for finding in &findings {
            let Finding::ConstantLabels { path, unknown, .. } = finding else {
                continue;
            };
            // Of another split it is enough that something can be scored.
            let too_many = match path == train_path {
                true => 1,
                false => objective.outputs(),
            };
            if unknown.len() >= too_many {
                return Err(DataError::UnknownLabels {
                    path: path.clone(),
                    labels: unknown.clone(),
                }
                .into());
            }
        }
        findings.extend(on_duplicates(splits)?);
        Ok(Self {
            train,
            dev,
            test,
            objective,
            findings,
        })
    }
}

/// What the training split asks, where nobody has named labels.
fn objective_of<E: From<DataError> + From<StoreError>>(
    path: &Path,
    train: &Samples,
) -> Result<Objective, E> {
    let mut classes = BTreeSet::new();
    for label in train.labels() {
        match label? {
            Some(Label::Marks(marks)) => return Ok(Objective::unnamed_labels(marks.len())),
            Some(Label::Class(class)) => classes.insert(class),
            None => continue,
        };
    }
    match (classes.len(), classes.last()) {
        (2.., Some(largest)) => Ok(Objective::Classes(largest + 1)),
        (_, label) => Err(DataError::OneClass {
            path: path.to_owned(),
            label: label.copied().unwrap_or(0),
        }
        .into()),
    }
}

fn on_labels(
    path: &Path,
    samples: &Samples,
    objective: &Objective,
) -> Result<Option<Finding>, StoreError> {
    let mut failed = None;
    let labels = samples.labels().map_while(|label| match label {
        Ok(label) => Some(label),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let finding = Finding::of(path, labels.flatten(), objective);
    failed.map_or(Ok(finding), Err)
}

/// Sequences that dev or test have in common with another split. Those of the training split, which may be many, are not
/// held.
fn on_duplicates([train, dev, test]: [(&Path, &Samples); 3]) -> Result<Vec<Finding>, StoreError> {
    let held = |(_, samples): (&Path, &Samples)| samples.fingerprints().collect();
    let (of_dev, of_test): (HashSet<u64>, HashSet<u64>) = match (held(dev), held(test)) {
        (Ok(dev), Ok(test)) => (dev, test),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let (mut dev_in_train, mut test_in_train) = (HashSet::new(), HashSet::new());
    for fingerprint in train.1.fingerprints() {
        let fingerprint = fingerprint?;
        for (of, found) in [(&of_dev, &mut dev_in_train), (&of_test, &mut test_in_train)] {
            if of.contains(&fingerprint) {
                found.insert(fingerprint);
            }
        }
    }
    let test_in_dev = of_test.intersection(&of_dev).count();
    let pairs = [
        (test, train, test_in_train.len()),
        (dev, train, dev_in_train.len()),
        (test, dev, test_in_dev),
    ];
    let found = pairs.into_iter().filter(|(_, _, count)| *count > 0);
    let finding =
        |((path, _), (other, _), count): ((&Path, _), (&Path, _), _)| Finding::Duplicates {
            path: path.to_owned(),
            other: other.to_owned(),
            count,
        };
    Ok(found.map(finding).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::super::cache::LoadError;
    use super::super::samples::fingerprint;
    use super::super::table;
    use super::super::tokenize::Sample;
    use super::*;

    /// The splits of tables, without tokens.
    fn splits(paths: [&Path; 3], names: Option<&[String]>) -> Result<Splits, LoadError> {
        Splits::load(paths, names, |path, wanted| {
            let records = table::read(path, wanted)?;
            let fingerprints = records
                .iter()
                .map(|record| fingerprint(&record.sequence))
                .collect();
            let samples = records.into_iter().map(|record| Sample {
                ids: vec![0],
                label: record.label,
            });
            Ok(Samples::in_memory(samples.collect(), fingerprints))
        })
    }

    fn written(dir: &TempDir, header: &str, texts: [&str; 3]) -> [PathBuf; 3] {
        let mut names = ["train.csv", "dev.csv", "test.csv"].into_iter();
        texts.map(|text| {
            let path = dir.path().join(names.next().unwrap());
            std::fs::write(&path, format!("{header}\n{text}")).unwrap();
            path
        })
    }

    /// All findings but those on duplicates: in these tables nearly all sequences are alike.
    fn on_labels_alone(splits: &Splits) -> Vec<String> {
        let findings = splits.findings.iter();
        let findings = findings.filter(|finding| !matches!(finding, Finding::Duplicates { .. }));
        findings.map(Finding::to_string).collect()
    }

    #[test]
    fn sequences_that_splits_have_in_common_are_counted() {
        let dir = TempDir::new().unwrap();
        let texts = [
            "AC,0\nAC,1\nGT,1\nGG,0\n",
            "ac,0\nTT,1\n",
            "TT,0\nGG,1\nGT,1\nCC,1\n",
        ];
        let paths = written(&dir, "sequence,label", texts);
        let splits = splits(paths.each_ref().map(PathBuf::as_path), None).unwrap();
        let told: Vec<(usize, String)> = splits
            .findings
            .iter()
            .map(|finding| match finding {
                Finding::Duplicates { path, other, count } => {
                    let name =
                        |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
                    (*count, format!("{} {}", name(path), name(other)))
                }
                other => panic!("{other}"),
            })
            .collect();
        let expected = [(2, "test train"), (1, "dev train"), (1, "test dev")];
        assert_eq!(told, expected.map(|(count, pair)| (count, pair.to_owned())));
        let said = splits.findings[0].to_string();
        assert!(
            said.contains("2 sequences of") && said.contains("are in"),
            "{said}"
        );
    }

    fn load(train: &str, dev: &str, test: &str) -> Result<Splits, LoadError> {
        let dir = TempDir::new().unwrap();
        let paths = written(&dir, "sequence,label", [train, dev, test]);
        splits(paths.each_ref().map(PathBuf::as_path), None)
    }

    #[test]
    fn the_training_split_determines_the_classes_and_a_gap_is_a_finding() {
        let data = load("A,0\nC,2\n", "A,0\nC,1\nG,2\n", "A,0\n").unwrap();
        assert_eq!(data.objective, Objective::Classes(3));
        let findings = on_labels_alone(&data);
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
        assert!(matches!(
            error,
            LoadError::Data(DataError::OneClass { label: 1, .. })
        ));
    }

    fn load_labels(
        header: &str,
        texts: [&str; 3],
        names: Option<&[&str]>,
    ) -> Result<Splits, String> {
        let dir = TempDir::new().unwrap();
        let names = names.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let paths = written(&dir, header, texts);
        splits(paths.each_ref().map(PathBuf::as_path), names.as_deref())
            .map_err(|error| error.to_string())
    }

    /// Marks as `1`, `0` and `?`.
    fn shown(samples: &Samples) -> Vec<String> {
        let letter = |mark: &Option<bool>| mark.map_or('?', |mark| if mark { '1' } else { '0' });
        let row = |label: Label| label.marks().iter().map(letter).collect();
        samples
            .labels()
            .filter_map(Result::unwrap)
            .map(row)
            .collect()
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
        let findings = on_labels_alone(&data);
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
            assert!(on_labels_alone(&data).is_empty());
        }
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
