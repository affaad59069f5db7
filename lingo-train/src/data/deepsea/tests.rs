//! Files of scipy and h5py against what went into them, and files with something wrong.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/deepsea")
        .join(name)
}

fn open(path: &Path, columns: &Columns) -> Result<DeepSea, DataError> {
    DeepSea::open(path, columns, &std::env::temp_dir())
}

fn columns(labels: &[&str]) -> Columns {
    let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
    Columns::select(Some(&labels)).unwrap()
}

/// Compares every sample with what the fixture was made of.
fn agrees(name: &str, chosen: &Columns) {
    let text = fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let expected = &expected[name];
    let samples = open(&fixture(&format!("{name}.mat")), chosen).unwrap();
    let sequences = expected["sequences"].as_array().unwrap();
    assert_eq!(samples.len(), sequences.len(), "{name}");
    assert_eq!(samples.size_hint().0, sequences.len());
    let mut found = 0;
    for (row, record) in samples.enumerate() {
        let record = record.unwrap();
        assert_eq!(record.id, row.to_string());
        assert_eq!(
            record.sequence,
            sequences[row].as_str().unwrap(),
            "{name}, {row}"
        );
        let holds: Vec<u64> = expected["labels"][row]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column.as_u64().unwrap())
            .collect();
        let marks = chosen
            .numbers()
            .iter()
            .map(|column| Some(holds.contains(&(*column as u64))));
        assert_eq!(
            record.label,
            Some(Label::Marks(marks.collect())),
            "{name}, {row}"
        );
        found += 1;
    }
    assert_eq!(found, sequences.len());
}

#[test]
fn every_sample_of_either_format_is_read_as_it_was_written() {
    for name in ["train", "other_train", "valid", "test", "integers"] {
        for chosen in [
            Columns::select(None).unwrap(),
            columns(&["deepsea-histone"]),
            columns(&["deepsea-dnase"]),
            columns(&["919", "125", "1", "816"]),
        ] {
            agrees(name, &chosen);
        }
    }
}

fn complaint(bytes: &[u8]) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("some.mat");
    fs::write(&path, bytes).unwrap();
    let error = open(&path, &columns(&["deepsea-histone"])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("some.mat: "), "{text}");
    text
}

fn complains(bytes: &[u8], expected: &str) {
    let found = complaint(bytes);
    assert!(found.contains(expected), "{found}\nlacks {expected}");
}

#[test]
fn wrong_hdf5_is_refused_with_the_reason() {
    for (name, expected) in [
        (
            "bad_no_labels",
            "no variable has a name that ends in `data`; there are `trainxdata`",
        ),
        (
            "bad_three_rows",
            "`trainxdata` has the dimensions [2, 3, 3] (samples first), expected [samples, 4, positions]",
        ),
        (
            "bad_two_bases",
            "`trainxdata`, sample 1 (counted from 0), position 3 (counted from 1): more than one of A, G, C and T is 1",
        ),
        (
            "bad_integer",
            "`trainxdata`, sample 1 (counted from 0), position 2 (counted from 1): a value is neither 0 nor 1",
        ),
        (
            "bad_text",
            "`my_data` holds text, expected integers, logical, single or double",
        ),
        (
            "bad_half",
            "`traindata`, sample 1 (counted from 0), column 816 (counted from 1): a value is neither 0 nor 1",
        ),
    ] {
        complains(
            &fs::read(fixture(&format!("{name}.mat"))).unwrap(),
            expected,
        );
    }
}

#[test]
fn what_is_of_no_known_format_is_refused() {
    complains(b"", "neither a MATLAB 5 nor a MATLAB 7.3 (HDF5) file");
    complains(b"MATLAB 4", "neither a MATLAB 5 nor");
    complains(&[0; 4096], "neither a MATLAB 5 nor");
    let path = fixture("there_is_none.mat");
    let error = open(&path, &columns(&["1"])).unwrap_err();
    assert!(matches!(error, DataError::Read { .. }), "{error}");
}

/// Wherever a file is cut off, something is said and nothing panics.
#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for name in ["train", "other_train", "valid", "test"] {
        let bytes = fs::read(fixture(&format!("{name}.mat"))).unwrap();
        for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let found = complaint(&bytes[..length]);
            if length > 1024 {
                let cut = ["ends too early", "no variable has a name"];
                assert!(
                    cut.iter().any(|cut| found.contains(cut)),
                    "{name}, {length}: {found}"
                );
            }
        }
    }
}

/// A byte that is changed may go unnoticed only where nothing is said by it.
#[test]
fn changed_bytes_never_panic_and_compressed_ones_never_pass() {
    let chosen = columns(&["deepsea-all"]);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("some.mat");
    for name in ["train", "other_train", "valid", "test", "integers"] {
        let bytes = fs::read(fixture(&format!("{name}.mat"))).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let samples = open(&path, &chosen)?;
            samples.collect::<Result<Vec<_>, _>>()
        };
        let whole = read(&bytes).unwrap();
        for at in (0..bytes.len()).step_by(41) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            if let Ok(records) = read(&changed)
                && name == "valid"
            {
                assert!(records == whole, "{name}, byte {at}");
            }
        }
    }
}

/// One MATLAB 5 array of bytes.
fn array(name: &str, class: u8, dims: &[u32], number: u32, values: &[u8]) -> Vec<u8> {
    let element = |kind: u32, content: &[u8]| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let dims: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let content = [
        element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &dims),
        element(1, name.as_bytes()),
        element(number, values),
    ];
    element(14, &content.concat())
}

fn compress(array: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(array).unwrap();
    let bytes = encoder.finish().unwrap();
    let mut element = 15_u32.to_le_bytes().to_vec();
    element.extend((bytes.len() as u32).to_le_bytes());
    element.extend(bytes);
    element
}

fn matlab5(arrays: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend(b"\x00\x01IM");
    bytes.extend(arrays.concat());
    bytes
}

const BYTE: u8 = 9;

fn sequences(samples: u32) -> Vec<u8> {
    array(
        "xdata",
        BYTE,
        &[samples, 4, 3],
        2,
        &vec![0; samples as usize * 12],
    )
}

fn labels(samples: u32) -> Vec<u8> {
    array(
        "data",
        BYTE,
        &[samples, 919],
        2,
        &vec![0; samples as usize * 919],
    )
}

#[test]
fn wrong_matlab_5_is_refused_with_the_reason() {
    let good = matlab5(&[sequences(2), labels(2)]);
    let change = |at: usize, to: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let labelled = |array: Vec<u8>| matlab5(&[labels(2), array]);
    let xdata = |class, dims: &[u32], number, values: &[u8]| {
        labelled(array("xdata", class, dims, number, values))
    };
    let mut complex = sequences(2);
    complex[8 + 8 + 1] = 0x08;
    let cases = [
        (change(126, b"MI"), "written on a big-endian machine"),
        (
            change(125, b"\x03"),
            "damaged at byte 124: neither version 1 nor",
        ),
        (
            matlab5(&[]),
            "no variable has a name that ends in `xdata`; there are none",
        ),
        (matlab5(&[labels(2)]), "ends in `xdata`; there are `data`"),
        (
            matlab5(&[sequences(2), labels(3)]),
            "2 sequences, but labels of 3 samples",
        ),
        (
            matlab5(&[sequences(2), labels(2), sequences(2)]),
            "two variables could be the sequences, `xdata` and `xdata`",
        ),
        (
            xdata(BYTE, &[2, 3, 4], 2, &[0; 24]),
            "[2, 3, 4] (samples first), expected [samples, 4, positions]",
        ),
        (
            xdata(BYTE, &[0, 4, 3], 2, &[]),
            "[0, 4, 3] (samples first), expected [samples, 4, positions], of which none is 0",
        ),
        (xdata(BYTE, &[2, 12], 2, &[0; 24]), "the dimensions [2, 12]"),
        (
            xdata(BYTE, &[2, 4, 3], 2, &[0; 23]),
            "`xdata` has 23 bytes of values where its dimensions take 24",
        ),
        (
            xdata(4, &[2, 4, 3], 2, &[0; 24]),
            "`xdata` holds text, expected integers, logical, single or double",
        ),
        (
            xdata(5, &[2, 4, 3], 2, &[0; 24]),
            "`xdata` holds a sparse matrix",
        ),
        (labelled(complex), "`xdata` holds complex numbers"),
        (
            xdata(BYTE, &[2, 4, 3], 18, &[0; 24]),
            "`xdata` has values of the type 18",
        ),
        (
            matlab5(&[sequences(1), array("data", BYTE, &[1, 918], 2, &[0; 918])]),
            "`data` has the dimensions [1, 918] (samples first), expected [samples, 919]",
        ),
        (
            // As many as 4096 times 1 TB in a few bytes.
            matlab5(&[compress(&array(
                "xdata",
                BYTE,
                &[u32::MAX, 4, u32::MAX],
                2,
                &[],
            ))]),
            "`xdata` claims 18446744073709551615 bytes, more than the file can hold",
        ),
        (
            matlab5(&[array("xdata", BYTE, &[2, 4, 1 << 20], 2, &[0; 24])]),
            "`xdata` claims 8388608 bytes, more than the file can hold",
        ),
        (
            matlab5(&[sequences(1), compress(&[0; 64])]),
            "no variable has a name that ends in `data`; there are `xdata`",
        ),
    ];
    for (bytes, expected) in cases {
        complains(&bytes, expected);
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("good.mat");
    fs::write(&path, &good).unwrap();
    let mut samples = open(&path, &columns(&["7"])).unwrap();
    assert_eq!(samples.next().unwrap().unwrap().sequence, "NNN");
    assert_eq!(samples.count(), 1);
}

#[test]
fn a_value_that_is_no_0_or_1_is_refused_with_its_place() {
    let mut values = vec![0; 2 * 919];
    values[2 * 815 + 1] = 3; // second sample, column 816
    let data = array("data", BYTE, &[2, 919], 2, &values);
    let expected = "`data`, sample 1 (counted from 0), column 816 (counted from 1): a value is neither 0 nor 1";
    complains(&matlab5(&[sequences(2), data.clone()]), expected);
    complains(&matlab5(&[sequences(2), compress(&data)]), expected);
    let mut values = [0; 24];
    values[8 + 2] = 1; // position 2, G, first sample
    values[8 + 6] = 1; // position 2, T, first sample
    let xdata = array("xdata", BYTE, &[2, 4, 3], 2, &values);
    let expected = "`xdata`, sample 0 (counted from 0), position 2 (counted from 1): more than one";
    complains(&matlab5(&[labels(2), xdata]), expected);
}

#[test]
fn blocks_of_samples_follow_one_another() {
    let count = 100;
    let mut values = vec![0; count * 12];
    let mut marks = vec![0; count * 919];
    for sample in 0..count {
        values[sample % 4 * count + sample] = 1;
        marks[sample] = (sample % 3 == 0).into();
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("long.mat");
    let count32 = count as u32;
    let arrays = [
        compress(&array("xdata", BYTE, &[count32, 4, 3], 2, &values)),
        compress(&array("data", BYTE, &[count32, 919], 2, &marks)),
    ];
    fs::write(&path, matlab5(&arrays)).unwrap();
    let mut samples = open(&path, &columns(&["1"])).unwrap();
    samples.block_bytes = 7 * (3 + 1);
    assert_eq!(samples.len(), count);
    let expected = ["ANN", "GNN", "CNN", "TNN"];
    for (sample, record) in samples.enumerate() {
        let record = record.unwrap();
        assert_eq!(record.sequence, expected[sample % 4], "{sample}");
        assert_eq!(record.label.unwrap().marks(), [Some(sample % 3 == 0)]);
    }
}
