//! Files that claim what they do not hold: each is one error that names the file and the place, and costs no more memory
//! than it has bytes.

use super::*;
use crate::allocation::peak;

/// What a small file may cost: buffers of fixed sizes, and the message.
const MOST_BYTES: usize = 1 << 20;

#[track_caller]
fn refused<T>(result: impl FnOnce() -> Result<T, ImportError>, parts: &[&str]) {
    let (result, bytes) = peak(result);
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(bytes < MOST_BYTES, "{bytes} bytes were allocated: {error}");
    for part in [&["model.gguf"][..], parts].concat() {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// The error of a changed file.
#[track_caller]
fn refused_with(change: impl FnOnce(&mut Writer), parts: &[&str]) {
    let mut writer = tiny();
    change(&mut writer);
    let (_folder, path) = writer.file();
    refused(|| Checkpoint::open(&path), parts);
}

/// The error of the tokenizer in a changed file.
#[track_caller]
fn tokenizer_refused_with(change: impl FnOnce(&mut Writer), parts: &[&str]) {
    let mut writer = tiny();
    change(&mut writer);
    let (_folder, path) = writer.file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    refused(|| checkpoint.tokenizer(), parts);
}

#[test]
fn counts_and_lengths_that_no_file_can_have_are_refused() {
    let whole = tiny().bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    // The counts of tensors and of metadata, and the length of the first key.
    for (place, name) in [
        (8, "number of tensors"),
        (16, "number of metadata"),
        (24, "a key of the metadata"),
    ] {
        for claim in [1_u64 << 60, 1 << 63, u64::MAX, u64::MAX / 24 + 1] {
            let mut bytes = whole.clone();
            bytes[place..place + 8].copy_from_slice(&claim.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            refused(|| Checkpoint::open(&path), &[name, &claim.to_string()]);
        }
    }
    for claim in [1_u64 << 32, 1 << 61, 1 << 63, u64::MAX] {
        let length = claim.to_le_bytes();
        refused_with(
            |w| w.entry("x.text", 8, &[&length[..], b"abc"].concat()),
            &["x.text", &claim.to_string()],
        );
        for kind in [0_u32, 3, 5, 6, 7, 8, 9, 10, 12] {
            let list = [&kind.to_le_bytes()[..], &length, &[0; 64]].concat();
            refused_with(
                |w| w.entry("x.list", 9, &list),
                &["x.list", &claim.to_string()],
            );
        }
        let mut texts = [8_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec()].concat();
        texts.extend([&text("one")[..], &length].concat());
        refused_with(
            |w| w.entry("x.texts", 9, &texts),
            &["x.texts", &claim.to_string()],
        );
    }
}

#[test]
fn arrays_nested_without_end_are_refused() {
    let nested = |depth: usize| {
        let mut list = Vec::new();
        for _ in 0..depth {
            list.extend(9_u32.to_le_bytes());
            list.extend(1_u64.to_le_bytes());
        }
        list.extend(0_u32.to_le_bytes());
        list.extend(0_u64.to_le_bytes());
        list
    };
    let mut writer = tiny();
    writer.entry("x.nested", 9, &nested(3));
    writer.open().unwrap();
    for depth in [4, 5, 1 << 14] {
        refused_with(
            |w| w.entry("x.nested", 9, &nested(depth)),
            &["x.nested", "nested at most 4 deep"],
        );
    }
    for kind in [13_u32, 255, u32::MAX] {
        let number = kind.to_le_bytes();
        refused_with(
            |w| w.entry("x", kind, &[0; 8]),
            &["a value type from 0 to 12"],
        );
        let list = [&number[..], &[0; 8]].concat();
        refused_with(|w| w.entry("x", 9, &list), &["a value type from 0 to 12"]);
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    refused_with(
        |w| {
            let mut entry = text("llama.block_count");
            entry.extend(4_u32.to_le_bytes());
            entry.extend(2_u32.to_le_bytes());
            w.metadata.push(entry);
        },
        &["llama.block_count", "one value", "a second one"],
    );
    refused_with(
        |w| w.tensor("blk.0.attn_norm.weight", &[8], 0.0),
        &["`blk.0.attn_norm.weight`", "both stand for"],
    );
}

/// The offsets stand at the end of each entry of the table.
#[test]
fn tensors_that_share_bytes_or_lie_outside_the_file_are_refused() {
    let whole = tiny().bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let name = text("blk.0.attn_norm.weight");
    let at = whole
        .windows(name.len())
        .position(|part| part == name)
        .unwrap();
    let offset = at + name.len() + 4 + 8 + 4;
    assert_eq!(whole[offset..offset + 8], 256_u64.to_le_bytes());
    for (claim, part) in [
        (0_u64, "32 bytes of tensor"),
        (224, "32 bytes of tensor `token_embd.weight`"),
        (288, "32 bytes of tensor"),
        (1 << 40, "bytes of data"),
        (u64::MAX, "bytes of data"),
        (u64::MAX - 31, "bytes of data"),
    ] {
        let mut bytes = whole.clone();
        bytes[offset..offset + 8].copy_from_slice(&claim.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        refused(|| Checkpoint::open(&path), &["tensor `", part]);
    }
    for alignment in [0, 3, 1 << 31, u32::MAX] {
        refused_with(
            |w| w.integer("general.alignment", alignment),
            &["general.alignment", "a power of two"],
        );
    }
}

#[test]
fn sizes_that_no_model_has_are_refused_by_key() {
    for key in [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.attention.key_length",
        "llama.rope.dimension_count",
    ] {
        for (kind, value) in [
            (4_u32, 0_u64),
            (11, u64::MAX),
            (10, u64::MAX),
            (10, 1 << 40),
            (4, 1 << 31),
            (7, 1),
            (12, 4.0_f64.to_bits()),
        ] {
            let bytes = value.to_le_bytes();
            let bytes = match kind {
                4 => &bytes[..4],
                7 => &bytes[..1],
                _ => &bytes,
            };
            refused_with(
                |w| w.entry(key, kind, bytes),
                &[key, "whole number from 1 to 2147483647"],
            );
        }
    }
    refused_with(
        |w| w.integer("llama.attention.head_count", 3),
        &["head_count", "a divisor"],
    );
    for key in [
        "llama.rope.freq_base",
        "llama.attention.layer_norm_rms_epsilon",
    ] {
        for value in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
            refused_with(|w| w.float(key, value), &[key, "a number above 0"]);
        }
    }
}

#[test]
fn a_tokenizer_that_contradicts_itself_is_refused_by_key() {
    type Change = fn(&mut Writer);
    let changes: [(Change, &[&str]); 12] = [
        (
            |w| w.remove("tokenizer.ggml.tokens"),
            &["tokens", "a list of texts"],
        ),
        (
            |w| w.integers("tokenizer.ggml.tokens", &[1]),
            &["tokens", "1 integers"],
        ),
        (
            |w| w.texts("tokenizer.ggml.tokens", &[]),
            &["an id below 0"],
        ),
        (
            |w| w.texts("tokenizer.ggml.tokens", &["A"; 8]),
            &["differ from each other", "`A` as 0 and 1"],
        ),
        (
            |w| w.integers("tokenizer.ggml.token_type", &[1; 7]),
            &["token_type", "8 integers", "found 7"],
        ),
        (
            |w| w.remove("tokenizer.ggml.merges"),
            &["merges", "a list of texts"],
        ),
        (
            |w| w.texts("tokenizer.ggml.merges", &["AC"]),
            &["one space between", "`AC`"],
        ),
        (
            |w| w.texts("tokenizer.ggml.merges", &[" "]),
            &["one space between"],
        ),
        (
            |w| w.texts("tokenizer.ggml.merges", &["A x"]),
            &["no token `x`"],
        ),
        (
            |w| w.integer("tokenizer.ggml.bos_token_id", 8),
            &["bos_token_id", "an id below 8"],
        ),
        (
            |w| w.integer("tokenizer.ggml.padding_token_id", u32::MAX),
            &["padding_token_id", "below 8"],
        ),
        (
            |w| w.text("tokenizer.ggml.model", "unigram"),
            &["gpt2 or llama", "unigram"],
        ),
    ];
    for (change, parts) in changes {
        tokenizer_refused_with(
            |writer| {
                if parts == ["an id below 0"] {
                    writer.integers("tokenizer.ggml.token_type", &[]);
                    writer.texts("tokenizer.ggml.merges", &[]);
                }
                change(writer);
            },
            parts,
        );
    }
    for scores in [&[][..], &[0.0; 7], &[f32::NAN; 8]] {
        tokenizer_refused_with(
            |w| {
                w.text("tokenizer.ggml.model", "llama");
                w.floats("tokenizer.ggml.scores", scores);
                w.integer("tokenizer.ggml.unknown_token_id", 99);
            },
            &["tokenizer"],
        );
    }
}
