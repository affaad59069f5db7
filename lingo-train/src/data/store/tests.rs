#![allow(clippy::unwrap_used)]
use tempfile::TempDir;

use super::super::batch::tests::Draws;
use super::*;
use crate::data::Label;

fn samples(count: usize, label: impl Fn(usize, &mut Draws) -> Option<Label>) -> Vec<Sample> {
    let mut draws = Draws::new(11);
    let sample = |index| Sample {
        ids: (0..1 + draws.below(40))
            .map(|_| draws.below(60_000) as u32)
            .collect(),
        label: label(index, &mut draws),
    };
    (0..count).map(sample).collect()
}

fn classes(count: usize) -> Vec<Sample> {
    samples(count, |index, _| {
        (index % 7 > 0).then_some(Label::Class(index % 3))
    })
}

fn marks(count: usize) -> Vec<Sample> {
    let mark = |draws: &mut Draws| [None, Some(false), Some(true)][draws.below(3)];
    samples(count, |_, draws| {
        Some(Label::Marks((0..105).map(|_| mark(draws)).collect()))
    })
}

fn written(dir: &TempDir, samples: &[Sample], rows: usize) -> Store {
    let fingerprints: Vec<u64> = (0..samples.len() as u64).map(|i| i * i).collect();
    let mut writer = StoreWriter::new(dir.path(), rows).unwrap();
    let report = |count| EncodingReport {
        sequences: count,
        ..EncodingReport::default()
    };
    for (samples, fingerprints) in samples.chunks(100).zip(fingerprints.chunks(100)) {
        writer
            .push(samples, fingerprints, report(samples.len()))
            .unwrap();
    }
    writer.finish(&dir.path().join("tokens")).unwrap()
}

#[test]
fn samples_come_back_as_they_were_in_any_order() {
    for samples in [classes(777), marks(777), Vec::new()] {
        for rows in [60_000, 70_000] {
            let dir = TempDir::new().unwrap();
            let store = written(&dir, &samples, rows);
            assert_eq!(store.len(), samples.len());
            assert_eq!(store.report().sequences, samples.len());
            for index in (0..samples.len()).rev() {
                assert_eq!(store.get(index).unwrap(), samples[index]);
            }
            let entries: Vec<Entry> = store.entries().map(Result::unwrap).collect();
            let found = entries
                .iter()
                .map(|entry| (entry.tokens, entry.label.clone()));
            let expected = samples
                .iter()
                .map(|sample| (sample.ids.len(), sample.label.clone()));
            assert!(found.eq(expected));
            assert!(
                entries
                    .iter()
                    .enumerate()
                    .all(|(i, entry)| entry.fingerprint == (i * i) as u64)
            );
            // The name of the finished file is the only one left.
            assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        }
    }
}

#[test]
fn damage_anywhere_is_found() {
    let dir = TempDir::new().unwrap();
    let samples = marks(20);
    let store = written(&dir, &samples, 60_000);
    let path = store.path().to_owned();
    let whole = std::fs::read(&path).unwrap();
    let entries_at = store.description.entries_at as usize;
    let read_all = || -> Result<(), StoreError> {
        let store = Store::open(&path)?;
        (0..store.len()).try_for_each(|index| store.get(index).map(drop))
    };
    read_all().unwrap();
    for at in (0..whole.len())
        .step_by(3)
        .chain(entries_at..entries_at + 100)
    {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&path, damaged).unwrap();
        let error = read_all().unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
    for length in (0..whole.len()).step_by(101) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(Store::open(&path), Err(StoreError::Damaged { .. })),
            "{length}"
        );
    }
}

#[test]
fn labels_of_two_kinds_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut writer = StoreWriter::new(dir.path(), 9).unwrap();
    let sample = |label| Sample {
        ids: vec![1],
        label: Some(label),
    };
    let two = [
        sample(Label::Class(1)),
        sample(Label::Marks([Some(true)].into())),
    ];
    let error = writer
        .push(&two, &[0, 1], EncodingReport::default())
        .unwrap_err();
    assert!(error.to_string().contains("two kinds"), "{error}");
}

#[test]
fn what_a_process_that_has_ended_left_half_written_goes_and_what_another_writes_stays() {
    let dir = TempDir::new().unwrap();
    for (name, age_secs) in [(".tmpA.tokens.part", 90_000), (".tmpB.tokens.part", 0)] {
        let file = std::fs::File::create(dir.path().join(name)).unwrap();
        let age = std::time::Duration::from_secs(age_secs);
        file.set_modified(std::time::SystemTime::now() - age)
            .unwrap();
    }
    std::fs::write(dir.path().join("of somebody.part"), "theirs").unwrap();
    let _first = StoreWriter::new(dir.path(), 9).unwrap();
    let _second = StoreWriter::new(dir.path(), 9).unwrap();
    let names = dir.path().read_dir().unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // It may be another machine's, whose locks are not seen here.
    // Names of new ones are drawn, and may begin alike.
    let has = |name: &str| names.iter().any(|found| found == name);
    assert!(has(".tmpB.tokens.part"));
    assert!(has("of somebody.part"));
    assert!(!has(".tmpA.tokens.part"));
}
