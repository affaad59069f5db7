//! Tokens with and without the prompt against transformers (tools/prompt_tokens.py).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use lingo_tests::{assets, fixture};
use lingo_train::data::{Encoder, Prompt, Record};
use serde_json::Value;
use weights_import::{Checkpoint, TextTokenizer};

/// Encodes every case as it stands, with and without the prompt, and compares with the ids under `name`.
fn check(text: &TextTokenizer, name: &str) {
    let file = File::open(fixture("prompt_tokens.json")).unwrap();
    let expected: Value = serde_json::from_reader(file).unwrap();
    let part = |key: &str| expected[key].as_str().unwrap();
    let prompts = [
        (Prompt::default(), name.to_owned()),
        (
            Prompt::new(part("prefix"), part("suffix")),
            format!("{name}_prompt"),
        ),
    ];
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for (prompt, key) in prompts {
        let encoder = Encoder::new(text.tokenizer.clone(), [text.bos, text.eos], prompt, 0);
        for case in cases {
            let sequence = case["sequence"].as_str().unwrap().to_owned();
            let record = Record {
                id: String::new(),
                sequence,
                label: None,
            };
            let (samples, _) = encoder.encode(&[record]).unwrap();
            let ids: Vec<u64> = samples[0].ids.iter().map(|id| u64::from(*id)).collect();
            let reference: Vec<u64> = case[&key]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap())
                .collect();
            assert_eq!(ids, reference, "{key}: {}", case["sequence"]);
        }
    }
}

fn unpack(from: &Path, to: &Path) {
    let mut text = String::new();
    GzDecoder::new(File::open(from).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    std::fs::write(to, text).unwrap();
}

#[test]
fn opts_tokens_equal_those_of_transformers() {
    // OPT's tokenizer beside the tiny model: the published checkpoints hold these two files and no tokenizer.json.
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("opt_pre_ln").join(name), folder.path().join(name)).unwrap();
    }
    for name in ["vocab.json", "merges.txt"] {
        let packed = fixture("opt_tokenizer").join(format!("{name}.gz"));
        unpack(&packed, &folder.path().join(name));
    }
    let text = Checkpoint::open(folder.path())
        .unwrap()
        .tokenizer()
        .unwrap();
    assert_eq!(text.bos, Some(2));
    check(&text, "opt");
}

#[test]
fn smollm2s_tokens_equal_those_of_transformers() {
    let Some(models) = assets("LINGO_MODELS") else {
        return;
    };
    let text = Checkpoint::open(&models.join("smollm2"))
        .unwrap()
        .tokenizer()
        .unwrap();
    assert_eq!(text.bos, None);
    check(&text, "smollm2");
}
