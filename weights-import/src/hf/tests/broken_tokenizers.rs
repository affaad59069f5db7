//! Files of tokenizers that are damaged, contradict themselves or would never end: each is one error that names the file.

use super::*;
use crate::allocation::peak;

/// What a small tokenizer may cost, with the program that a regular expression becomes.
const MOST_BYTES: usize = 1 << 25;

/// A model beside which there is nothing.
fn bare() -> (TempDir, Checkpoint) {
    let folder = model(&config(), &tensors(""));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    (folder, checkpoint)
}

#[track_caller]
fn refused(checkpoint: &Checkpoint, file: &str, part: &str) {
    let (result, bytes) = peak(|| checkpoint.tokenizer());
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(bytes < MOST_BYTES, "{bytes} bytes were allocated: {error}");
    for part in [file, part] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// A whole `tokenizer.json`.
fn whole() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{
            "id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "unk_token": "<s>", "vocab": {"<s>": 0, "A": 1, "C": 2, "AC": 3}, "merges": ["A C"]},
    })
}

#[test]
fn a_tokenizer_json_cut_anywhere_is_an_error() {
    const FILE: &str = "tokenizer.json";
    let (folder, checkpoint) = bare();
    let path = folder.path().join(FILE);
    let text = whole().to_string();
    std::fs::write(&path, &text).unwrap();
    assert_eq!(checkpoint.tokenizer().unwrap().bos, Some(0));
    for end in (0..text.len()).step_by(3) {
        std::fs::write(&path, &text[..end]).unwrap();
        refused(&checkpoint, FILE, "tokenizer");
    }
}

#[test]
fn a_tokenizer_json_that_contradicts_itself_is_an_error() {
    const FILE: &str = "tokenizer.json";
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let cases = [
        ("/model", json!(null)),
        ("/model", json!({"type": "Perceptron"})),
        ("/model/vocab", json!(["A"])),
        ("/model/vocab/A", json!(-1)),
        ("/model/vocab/A", json!(1_u64 << 40)),
        ("/model/vocab/A", json!("1")),
        ("/model/merges", json!(["A"])),
        ("/model/merges", json!(["A X"])),
        ("/model/merges", json!([["A"]])),
        ("/model/merges", json!(["C C"])),
        ("/model/merges", json!({"A": "C"})),
        ("/added_tokens", json!({})),
        ("/added_tokens/0/id", json!(-1)),
        ("/added_tokens/0/id", json!(1_u64 << 40)),
        ("/pre_tokenizer", json!({"type": "Whatever"})),
        ("/pre_tokenizer", split("(")),
        ("/pre_tokenizer", split("a{1000000000}")),
        ("/pre_tokenizer", split("(?:(?:a{1000}){1000}){1000}")),
        (
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        ),
        (
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "//////////8="}),
        ),
        (
            "/normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "["}, "content": ""}),
        ),
        ("/post_processor/special_tokens", json!({})),
        ("/post_processor/single", json!([])),
        (
            "/post_processor/single",
            json!([{"Sequence": {"id": "B", "type_id": 0}}]),
        ),
        ("/post_processor/special_tokens/<s>", json!(null)),
        ("/truncation", json!({"max_length": -1})),
        ("/padding", json!({"strategy": {"Fixed": -1}})),
    ];
    let (folder, checkpoint) = bare();
    for (place, value) in cases {
        let mut file = whole();
        *file.pointer_mut(place).unwrap() = value.clone();
        std::fs::write(folder.path().join(FILE), file.to_string()).unwrap();
        println!("{place} {value}");
        refused(&checkpoint, FILE, "tokenizer");
    }
    let path = folder.path().join(FILE);
    let deep = "{\"model\":".repeat(1 << 12);
    for bytes in [
        &b""[..],
        b"[]",
        b"null",
        b"\xff\xfe{\x00}\x00",
        deep.as_bytes(),
    ] {
        std::fs::write(&path, bytes).unwrap();
        refused(&checkpoint, FILE, "tokenizer");
    }
}

#[test]
fn vocabularies_and_merges_that_are_none_are_errors_of_their_file() {
    let cases: [(&str, &[u8], &str); 14] = [
        ("vocab.json", b"", "JSON"),
        ("vocab.json", b"[]", "JSON"),
        ("vocab.json", b"{\"A\": -1}", "`A`"),
        ("vocab.json", b"{\"A\": 1099511627776}", "`A`"),
        ("vocab.json", b"{\"A\": 1.5}", "`A`"),
        ("vocab.json", b"{\"A\": {}}", "`A`"),
        ("vocab.json", b"{\"\xff\": 1}", "JSON"),
        ("merges.txt", b"A C\n\xff\xfe\n", "UTF-8"),
        ("merges.txt", b"A C\n\nAC\n", "`AC`"),
        ("merges.txt", b"A  C\n", "`A  C`"),
        ("added_tokens.json", b"{\"<dna>\": \"6\"}", "`<dna>`"),
        ("added_tokens.json", b"{\"<dna>\": 4294967296}", "`<dna>`"),
        (
            "tokenizer_config.json",
            b"{\"add_bos_token\": \"yes\"}",
            "`add_bos_token`",
        ),
        ("special_tokens_map.json", b"{\"bos_token\": ", "JSON"),
    ];
    for (file, content, part) in cases {
        let (folder, checkpoint) = bare();
        let put = |name: &str, content: &[u8]| {
            std::fs::write(folder.path().join(name), content).unwrap();
        };
        put(
            "vocab.json",
            b"{\"<pad>\": 1, \"</s>\": 2, \"A\": 3, \"C\": 4, \"AC\": 5, \"<s>\": 0}",
        );
        put("merges.txt", b"#version: 0.2\nA C\n");
        checkpoint.tokenizer().unwrap();
        put(file, content);
        refused(&checkpoint, file, part);
    }
    let bert = json!({
        "model_type": "bert", "vocab_size": 6, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16,
    });
    let folder = model(&bert, &Tensors::new());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), b"[UNK]\nA\n\xff\n").unwrap();
    refused(&checkpoint, "vocab.txt", "UTF-8");
}
