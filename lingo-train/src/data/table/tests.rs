#![allow(clippy::unwrap_used)]
use super::super::label::{Label, Objective};
use super::*;
use tempfile::TempDir;

fn records(text: &str, classes: Option<usize>) -> Result<Vec<Record>, String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("train.csv");
    std::fs::write(&path, text).unwrap();
    let objective = classes.map(Objective::Classes);
    let wanted = match &objective {
        Some(objective) => Wanted::Of(objective),
        None => Wanted::Any(None),
    };
    read(&path, wanted).map_err(|error| error.to_string())
}

fn complaint(text: &str, classes: Option<usize>) -> String {
    records(text, classes).unwrap_err()
}

#[test]
fn columns_are_found_by_name_and_sequences_normalised() {
    let records = records(
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
        records("\u{feff}sequence,label\nAC,0\n", None)
            .unwrap()
            .len(),
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
            "train.csv, line 3: a quote (\") is opened in this row and never closed",
        ),
        (
            "sequence,label,note\nAC,0,x\nGT,1,\"y\nAC,0,z\n",
            "train.csv, line 3: a quote (\") is opened in this row and never closed",
        ),
        (
            "sequence,\"label\nAC,0\nGT,1\n",
            "train.csv, line 1: a quote (\") is opened in this row and never closed",
        ),
        (
            "sequence,label,Sequence\nAC,0,GT\n",
            "train.csv, line 1: two columns are called `sequence`",
        ),
        (
            "label,sequence,label\n0,AC,1\n",
            "train.csv, line 1: two columns are called `label`",
        ),
        (
            "id,sequence,label,ID\na,AC,0,b\n",
            "train.csv, line 1: two columns are called `id`",
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
    let found = read(&path, Wanted::Of(&Objective::Classes(2)))
        .unwrap_err()
        .to_string();
    assert!(
        found.contains("dev.csv, line 3") && found.contains("UTF-8"),
        "{found}"
    );
}
