//! Adapters that are damaged, contradict themselves or claim what they do not hold.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::super::TENSORS_FILE;
use super::*;
use crate::Checkpoint;
use crate::allocation::peak;

/// What a small adapter may cost, with the program that a regular expression becomes.
const MOST_BYTES: usize = 1 << 22;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

fn model() -> ModelConfig {
    let checkpoint = Checkpoint::open(&fixture("opt_pre_ln")).unwrap();
    checkpoint.config().clone()
}

/// A copy of an adapter that PEFT wrote.
fn copy(kind: &str) -> TempDir {
    let from = fixture(&format!("peft/opt_pre_ln_{kind}"));
    let folder = TempDir::new().unwrap();
    for file in [CONFIG_FILE, TENSORS_FILE] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[track_caller]
fn refused(folder: &Path, model: &ModelConfig, parts: &[&str]) {
    let (result, bytes) = peak(|| PeftAdapter::open(folder, model));
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(bytes < MOST_BYTES, "{bytes} bytes were allocated: {error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_key() {
    let model = model();
    let cases = [
        ("lora", "peft_type", json!(null)),
        ("lora", "peft_type", json!(1)),
        ("lora", "peft_type", json!("IA3")),
        ("lora", "use_dora", json!(true)),
        ("lora", "use_dora", json!("no")),
        ("lora", "layer_replication", json!([[0, 4]])),
        ("lora", "init_lora_weights", json!("pissa")),
        ("lora", "bias", json!("all")),
        ("lora", "bias", json!(["none"])),
        ("lora", "lora_alpha", json!("8")),
        ("lora", "lora_alpha", json!(0)),
        ("lora", "lora_dropout", json!(-0.1)),
        ("lora", "lora_dropout", json!(1)),
        ("lora", "use_rslora", json!(1)),
        ("lora", "r", json!([4])),
        ("lora", "alpha_pattern", json!(["fc1"])),
        ("lora", "alpha_pattern", json!({"fc1": "20"})),
        ("lora", "alpha_pattern", json!({"fc1": null})),
        ("lora", "alpha_pattern", json!({"(": 1})),
        ("lora", "alpha_pattern", json!({"a{1000000000}": 1})),
        (
            "lora",
            "alpha_pattern",
            json!({"((a{1000}){1000}){1000}": 1}),
        ),
        ("lora", "alpha_pattern", json!({"\\p{Klingon}": 1})),
        ("lora", "rank_pattern", json!({"(?P<x>": 1})),
        ("lora", "base_model_name_or_path", json!({})),
        ("adalora", "init_r", json!("12")),
    ];
    for (kind, key, value) in cases {
        let folder = copy(kind);
        let path = folder.path().join(CONFIG_FILE);
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        refused(folder.path(), &model, &[CONFIG_FILE, &format!("`{key}`")]);
    }
    let folder = copy("lora");
    let path = folder.path().join(CONFIG_FILE);
    let deep = "{\"r\":".repeat(1 << 12);
    for text in [
        "",
        "[]",
        "{\"peft_type\": \"LORA\"",
        "{\"r\": 1e999}",
        &deep,
    ] {
        std::fs::write(&path, text).unwrap();
        refused(folder.path(), &model, &[CONFIG_FILE]);
    }
}

/// Nested repetitions, over which engines that try one way after another never end.
#[test]
fn a_pattern_that_others_choke_on_is_only_one_that_fits_nothing() {
    let folder = copy("lora");
    let path = folder.path().join(CONFIG_FILE);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["alpha_pattern"]["((([a-z_.0-9]+)+)+)+!"] = json!(1);
    std::fs::write(&path, config.to_string()).unwrap();
    let found = PeftAdapter::open(folder.path(), &model()).unwrap();
    let plain = PeftAdapter::open(copy("lora").path(), &model()).unwrap();
    assert_eq!(found, plain);
}

#[test]
fn a_rank_that_the_tensors_do_not_have_is_refused() {
    let model = model();
    let ranks = [
        ("r", json!(1_u64 << 40), "1099511627776"),
        ("r", json!(-4), "-4"),
        ("r", json!(4.5), "4.5"),
        ("rank_pattern", json!({"fc1": 1_u64 << 40}), "1099511627776"),
        ("rank_pattern", json!({}), "says 4"),
    ];
    for (key, value, part) in ranks {
        let folder = copy("lora");
        let path = folder.path().join(CONFIG_FILE);
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        refused(folder.path(), &model, &[TENSORS_FILE, CONFIG_FILE, part]);
    }
}

#[test]
fn tensors_that_do_not_go_together_are_refused_by_name() {
    let model = model();
    let path = "base_model.model.model.decoder.layers.0.fc2.lora_";
    let (a, b, e) = (
        format!("{path}A.weight"),
        format!("{path}B.weight"),
        format!("{path}E"),
    );
    let huge = 1_usize << 40;
    type Shapes<'a> = Vec<(&'a str, Vec<usize>)>;
    let cases: [(&str, Shapes<'_>, &str); 12] = [
        ("lora", vec![(&a, vec![4, 8])], "lora_B"),
        ("lora", vec![(&b, vec![8, 4])], "lora_A"),
        (
            "lora",
            vec![(&a, vec![4, 8]), (&b, vec![8, 3])],
            "does not go with",
        ),
        (
            "lora",
            vec![(&a, vec![8]), (&b, vec![8, 4])],
            "does not go with",
        ),
        (
            "lora",
            vec![(&a, vec![1, 4, 8]), (&b, vec![8, 4])],
            "does not go with",
        ),
        (
            "lora",
            vec![(&a, vec![huge, 0]), (&b, vec![0, huge])],
            "does not go with",
        ),
        (
            "lora",
            vec![(&a, vec![4, 0]), (&b, vec![8, 4])],
            "does not go with",
        ),
        (
            "lora",
            vec![(&a, vec![4, 8]), (&b, vec![8, 4]), (&e, vec![4, 1])],
            "no complete correction",
        ),
        (
            "adalora",
            vec![(&a, vec![4, 8]), (&b, vec![8, 4])],
            "lora_E",
        ),
        (
            "adalora",
            vec![(&a, vec![4, 8]), (&b, vec![8, 4]), (&e, vec![3, 1])],
            "does not go with rank 4",
        ),
        (
            "lora",
            vec![
                (&a, vec![4, 8]),
                (&b, vec![8, 4]),
                ("base_model.model.layers.0.fc2.lora_A.weight", vec![4, 8]),
            ],
            "stands for the same",
        ),
        (
            "lora",
            vec![("base_model.model.lm_head.weight", vec![4, 8])],
            "nor of the classification head",
        ),
    ];
    for (kind, tensors, part) in cases {
        let folder = copy(kind);
        let bytes = vec![0; 4 * 64];
        let views = tensors.iter().map(|(name, shape)| {
            let len = 4 * shape.iter().product::<usize>();
            let view = ::safetensors::tensor::TensorView::new(
                ::safetensors::Dtype::F32,
                shape.clone(),
                &bytes[..len],
            );
            (*name, view.unwrap())
        });
        let file = ::safetensors::serialize(views, None).unwrap();
        std::fs::write(folder.path().join(TENSORS_FILE), file).unwrap();
        refused(folder.path(), &model, &[TENSORS_FILE, part]);
    }
    let folder = copy("lora");
    let tensors = folder.path().join(TENSORS_FILE);
    let whole = std::fs::read(&tensors).unwrap();
    for end in (0..whole.len()).step_by(997) {
        std::fs::write(&tensors, &whole[..end]).unwrap();
        refused(folder.path(), &model, &[TENSORS_FILE, "damaged"]);
    }
    std::fs::remove_file(&tensors).unwrap();
    refused(folder.path(), &model, &[TENSORS_FILE]);
}
