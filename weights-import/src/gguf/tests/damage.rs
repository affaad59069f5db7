//! Files that are cut, changed, hostile or of another kind.

use super::*;

#[test]
fn a_file_cut_anywhere_is_an_error_and_never_a_panic() {
    let bytes = tiny().bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for end in (0..bytes.len())
        .step_by(7)
        .chain(bytes.len() - 40..bytes.len())
    {
        std::fs::write(&path, &bytes[..end]).unwrap();
        assert!(
            Checkpoint::open(&path).is_err(),
            "cut at {end} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_file_with_any_byte_changed_never_panics() {
    let bytes = tiny().bytes();
    let head = bytes.len() - 2048;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for at in 0..head {
        for value in [0x00, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(mut checkpoint) = Checkpoint::open(&path) {
                for tensor in checkpoint.tensors() {
                    let _ = checkpoint.take(&tensor.name, &tensor.shape);
                }
                // Putting a tokenizer together is slow; every place of the texts is hit often enough.
                if at % 7 == 0 {
                    let _ = checkpoint.tokenizer();
                }
            }
        }
    }
}

#[test]
fn claimed_counts_are_held_against_the_file() {
    let bytes = tiny().bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (place, name) in [(8, "number of tensors"), (16, "number of metadata")] {
        for claim in [u64::MAX, 1 << 40, 100_000] {
            let mut bytes = bytes.clone();
            bytes[place..place + 8].copy_from_slice(&claim.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let error = Checkpoint::open(&path).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains(&claim.to_string()),
                "{error}"
            );
        }
    }
}

#[test]
fn hostile_tensor_sizes_are_errors() {
    for dimensions in [
        vec![u64::MAX, u64::MAX],
        vec![1 << 40, 1 << 40],
        vec![0, 8],
        vec![8, 1 << 61],
        vec![1; 9],
    ] {
        let mut writer = tiny();
        writer.tensors[10].1 = dimensions.clone();
        let error = writer.open().unwrap_err();
        assert!(
            matches!(error, ImportError::Damaged { .. }),
            "{dimensions:?}: {error}"
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    type Change = fn(&mut Writer);
    let changes: [(Change, &str); 8] = [
        (
            |w| w.text("general.architecture", "qwen2"),
            "`qwen2`; supported are llama",
        ),
        (
            |w| w.text("llama.rope.scaling.type", "yarn"),
            "llama.rope.scaling.type",
        ),
        (|w| w.integer("llama.expert_count", 8), "llama.expert_count"),
        (
            |w| w.integer("llama.rope.dimension_count", 2),
            "llama.rope.dimension_count",
        ),
        (
            |w| w.integer("llama.attention.head_count_kv", 3),
            "head_count_kv",
        ),
        (|w| w.tensors[2].2 = 10, "Q2_K"),
        (
            |w| w.tensor("rope_freqs.weight", &[2], 1.0),
            "llama3 rope scaling",
        ),
        (|w| w.metadata.clear(), "general.architecture"),
    ];
    for (change, word) in changes {
        let mut writer = tiny();
        change(&mut writer);
        let error = writer.open().unwrap_err().to_string();
        assert!(
            error.contains(word) && error.contains("model.gguf"),
            "{word}: {error}"
        );
    }
}

/// Not as the program would print it for itself.
#[test]
fn what_is_found_in_place_of_something_else_is_said_as_it_stands() {
    type Change = fn(&mut Writer);
    let changes: [(Change, &str); 5] = [
        (
            |w| w.integer("llama.expert_count", 8),
            "`llama.expert_count` = 8 is not supported",
        ),
        (
            |w| w.integer("llama.block_count", 0),
            "a whole number from 1 to 2147483647, found 0",
        ),
        (
            |w| w.text("llama.block_count", "two"),
            "a whole number from 1 to 2147483647, found \"two\"",
        ),
        (
            |w| w.integer("general.architecture", 7),
            "expected a text, found 7",
        ),
        (
            |w| w.text("general.alignment", "32"),
            "expected a number, found \"32\"",
        ),
    ];
    for (change, said) in changes {
        let mut writer = tiny();
        change(&mut writer);
        let error = writer.open().unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn another_file_is_not_taken_for_gguf() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, b"PK\x03\x04 something else").unwrap();
    assert!(matches!(
        Checkpoint::open(&path),
        Err(ImportError::NotACheckpoint { .. })
    ));
    std::fs::write(
        &path,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    )
    .unwrap();
    assert!(matches!(
        Checkpoint::open(&path),
        Err(ImportError::LfsPointer { .. })
    ));
    let mut old = tiny().bytes();
    old[4] = 1;
    std::fs::write(&path, old).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("GGUF version") && error.contains('1'),
        "{error}"
    );
}
