//! Tokens with and without the prompt against transformers (tools/prompt_tokens.py).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use lingo_core::models::ModelConfig;
use lingo_core::models::dnabert2::DnaBert2Config;
use lingo_tests::{assets, fixture};
use lingo_train::config::PromptConfig;
use lingo_train::data::{Encoder, Prompt, Record, normalise};
use lingo_train::task::{Layout, SequenceEncoder, Text};
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

/// A model of `folder`'s form whose vocabulary has another size.
fn esm_of_size(vocab_size: usize) -> ModelConfig {
    let checkpoint = Checkpoint::open(&fixture("esm_learned")).unwrap();
    let ModelConfig::Esm(esm) = checkpoint.config().clone() else {
        panic!("the fixture is of another type");
    };
    ModelConfig::Esm(lingo_core::models::esm::EsmConfig {
        vocab_size,
        max_position_embeddings: 1002,
        ..esm
    })
}

/// What a run without any setting makes of a sequence.
fn ids_by_default(model: &ModelConfig, text: Option<Text>, sequence: &str) -> Vec<u32> {
    let layout = Layout::choose(None, &PromptConfig::default(), text.as_ref(), model).unwrap();
    assert_eq!(layout.prompt, Prompt::default());
    let encoder = SequenceEncoder::new(text, layout, 0, false, model).unwrap();
    let record = Record {
        id: String::new(),
        sequence: normalise(sequence).unwrap(),
        label: None,
    };
    encoder.encoder.encode(&[record]).unwrap().0[0].ids.clone()
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn the_nucleotide_transformers_tokens_equal_those_of_transformers_in_both_generations() {
    let file = File::open(fixture("kmer_tokens.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_reader(file).unwrap();
    assert_eq!(cases.len(), 40);
    for (generation, size) in [("v1", 4105), ("v2", 4107)] {
        let model = esm_of_size(size);
        for case in &cases {
            let sequence = case["sequence"].as_str().unwrap();
            let expected = numbers(&case[generation]);
            assert_eq!(ids_by_default(&model, None, sequence), expected);
            let rna = sequence.to_lowercase().replace('t', "u");
            assert_eq!(ids_by_default(&model, None, &rna), expected);
            let ambiguous = sequence.replace('N', "R");
            assert_eq!(ids_by_default(&model, None, &ambiguous), expected);
        }
    }
}

/// The published tokens of real sequences, where their files are at hand.
fn golden(check: impl Fn(&Path, &str, &Value)) {
    let Some(assets) = assets("LINGO_ASSETS") else {
        return;
    };
    let tokenizers = assets.join("tokenizers");
    let file = File::open(tokenizers.join("golden.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_reader(file).unwrap();
    assert_eq!(cases.len(), 20);
    for case in &cases {
        check(&tokenizers, case["sequence"].as_str().unwrap(), case);
    }
}

#[test]
fn the_nucleotide_transformers_tokens_of_real_dna_equal_the_reference() {
    let model = esm_of_size(4105);
    golden(|_, sequence, case| {
        let expected = numbers(&case["nt_v1_ids"]);
        assert_eq!(ids_by_default(&model, None, sequence), expected);
    });
}

#[test]
fn dnabert2s_tokens_of_real_dna_equal_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("dnabert2").join(name), folder.path().join(name)).unwrap();
    }
    let published = |model: &ModelConfig| match model.clone() {
        ModelConfig::DnaBert2(config) => ModelConfig::DnaBert2(DnaBert2Config {
            vocab_size: 4096,
            ..config
        }),
        other => panic!("{}", other.model_type()),
    };
    golden(|tokenizers, sequence, case| {
        let from = tokenizers.join("dnabert2/tokenizer.json");
        std::fs::copy(from, folder.path().join("tokenizer.json")).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let TextTokenizer {
            tokenizer,
            bos,
            eos,
            pad,
        } = checkpoint.tokenizer().unwrap();
        assert_eq!((bos, eos, pad), (Some(1), Some(2), 3));
        let text = Text {
            tokenizer,
            bos,
            eos,
            pad,
        };
        let ids = ids_by_default(&published(checkpoint.config()), Some(text), sequence);
        assert_eq!(ids, numbers(&case["dnabert2_ids"]));
    });
}
