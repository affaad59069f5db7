//! Adapters that are damaged, contradict themselves or claim what they do not hold.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::super::{PICKLE_FILE, TENSORS_FILE};
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
        ("r", json!(5), "says 5"),
        ("rank_pattern", json!({"fc1": 3}), "says 3"),
        ("rank_pattern", json!({}), "says 4"),
    ];
    for (key, value, part) in ranks {
        let folder = with("lora", key, value);
        refused(folder.path(), &model, &[TENSORS_FILE, CONFIG_FILE, part]);
    }
}

/// A copy of an adapter with one key of its configuration changed.
fn with(kind: &str, key: &str, value: Value) -> TempDir {
    let folder = copy(kind);
    let path = folder.path().join(CONFIG_FILE);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(&path, config.to_string()).unwrap();
    folder
}

/// Printed as they stand there: 2^64 - 1 is no round number.
#[test]
fn a_rank_that_none_can_be_is_refused_by_key_and_as_it_stands() {
    let model = model();
    for rank in ["0", "-1", "4.5", "1099511627776", "18446744073709551615"] {
        let value: Value = serde_json::from_str(rank).unwrap();
        let keys = [("lora", "r"), ("adalora", "init_r")];
        for (kind, key) in keys {
            let folder = with(kind, key, value.clone());
            let found = format!("found {rank}");
            refused(
                folder.path(),
                &model,
                &[CONFIG_FILE, &format!("`{key}`"), &found],
            );
        }
        let folder = with("lora", "rank_pattern", json!({"fc1": value}));
        refused(
            folder.path(),
            &model,
            &[CONFIG_FILE, "`rank_pattern`", rank],
        );
    }
}

#[test]
fn a_scale_that_f32_does_not_hold_is_refused_by_key() {
    let model = model();
    for alpha in [1e308, -1e308, 1e-300] {
        refused(
            with("lora", "lora_alpha", json!(alpha)).path(),
            &model,
            &[CONFIG_FILE, "`lora_alpha`", "f32"],
        );
        refused(
            with("lora", "alpha_pattern", json!({"fc1": alpha})).path(),
            &model,
            &[CONFIG_FILE, "`alpha_pattern`", "f32"],
        );
    }
}

#[test]
fn matrices_that_contradict_the_targets_are_refused() {
    let model = model();
    for targets in [
        json!(["fc1", "fc2", "q_proj"]),
        json!(".*(fc1|fc2|q_proj)"),
        json!(["zzz"]),
    ] {
        let folder = with("lora", "target_modules", targets);
        refused(folder.path(), &model, &[TENSORS_FILE, "target_modules"]);
    }
    for (key, value) in [
        ("exclude_modules", json!(["fc1"])),
        ("layers_to_transform", json!([0, 1])),
    ] {
        let folder = with("lora", key, value);
        refused(folder.path(), &model, &[TENSORS_FILE, "target_modules"]);
    }
    let more = json!(["fc1", "fc2", "q_proj", "v_proj", "k_proj"]);
    let folder = with("lora", "target_modules", more);
    refused(
        folder.path(),
        &model,
        &[CONFIG_FILE, "`target_modules`", "`k_proj`"],
    );
    // A list for several architectures is what many write; expressions of Python's are not all ours.
    for targets in [
        json!(["fc1", "fc2", "q_proj", "v_proj", "query", "gate_proj"]),
        json!(".*decoder.*(fc1|fc2|q_proj|v_proj)"),
        json!("(?!lm_head).*"),
        json!("all-linear"),
    ] {
        let folder = with("lora", "target_modules", targets);
        PeftAdapter::open(folder.path(), &model).unwrap();
    }
}

#[test]
fn where_no_targets_are_named_an_adapter_is_of_those_that_peft_then_takes() {
    let folder = with("lora", "target_modules", json!(null));
    let parts = ["`layers.0.fc1`", "names nothing", "q_proj, v_proj alone"];
    refused(folder.path(), &model(), &parts);
    // With singular values PEFT takes all of OPT's, and this one lacks some.
    let folder = with("adalora", "target_modules", json!(null));
    let parts = [CONFIG_FILE, "`target_modules`", "unlike `k_proj`"];
    refused(folder.path(), &model(), &parts);
}

#[test]
fn tensors_that_no_score_can_come_of_are_refused_by_name() {
    let name = "base_model.model.model.decoder.layers.0.fc1.lora_B.weight";
    for (number, said) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let folder = copy("lora");
        let path = folder.path().join(TENSORS_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = {
            let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let data = file.tensor(name).unwrap().data();
            data.as_ptr() as usize - bytes.as_ptr() as usize + data.len() - 4
        };
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        refused(
            folder.path(),
            &model(),
            &[TENSORS_FILE, name, &format!("holds {said},")],
        );
    }
}

#[test]
fn an_adapter_of_another_architecture_is_told_by_its_matrices() {
    let folder = fixture("peft/bert_lora");
    refused(
        &folder,
        &model(),
        &[
            TENSORS_FILE,
            "encoder.layer.0",
            "of type opt",
            "it says bert",
        ],
    );
}

#[test]
fn an_adapter_of_other_shapes_does_not_fit() {
    let mut adapter = PeftAdapter::open(copy("lora").path(), &model()).unwrap();
    let model = Checkpoint::open(&fixture("opt_pre_ln")).unwrap();
    let folder = Path::new("adapter");
    adapter.check_fits(folder, &model).unwrap();
    let (path, factors) = adapter.matrices.pop_first().unwrap();
    let mut said = |path: &str| {
        adapter.matrices.insert(path.to_owned(), factors.clone());
        let error = adapter.check_fits(folder, &model).unwrap_err().to_string();
        adapter.matrices.remove(path);
        error
    };
    let error = said("layers.9.fc1");
    assert!(
        error.contains("decoder.layers.9.fc1`: the model has no such"),
        "{error}"
    );
    let error = said(&path.replace("fc1", "fc2"));
    assert!(error.contains("the model has one of"), "{error}");

    let zeros = |shape: [usize; 2]| {
        let numbers = vec![0.0_f32; shape[0] * shape[1]];
        burn::tensor::TensorData::new(numbers, shape)
    };
    adapter
        .head
        .insert("score.weight".to_owned(), zeros([3, 5]));
    let error = adapter.check_fits(folder, &model).unwrap_err().to_string();
    for part in [
        "`base_model.model.score.weight`",
        "shape [3, 5]",
        "has [3, ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // What has no output at all is no misfit, but no classifier: whoever needs one says so.
    let head = adapter.head.remove("score.weight").unwrap();
    adapter.head.insert("score.bias".to_owned(), head);
    adapter.check_fits(folder, &model).unwrap();
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

/// `adapter_model.bin` of the same tensors, by `torch.save`.
#[test]
fn an_adapter_in_a_pickle_is_the_same_as_in_safetensors() {
    let model = model();
    let folder = copy("lora");
    let expected = PeftAdapter::open(folder.path(), &model).unwrap();
    std::fs::remove_file(folder.path().join(TENSORS_FILE)).unwrap();
    let neither = ["adapter_model.safetensors", "no adapter_model.bin"];
    refused(folder.path(), &model, &neither);
    let pickle = folder.path().join(PICKLE_FILE);
    std::fs::copy(
        fixture("peft/opt_pre_ln_lora_bin").join(PICKLE_FILE),
        &pickle,
    )
    .unwrap();
    assert_eq!(PeftAdapter::open(folder.path(), &model).unwrap(), expected);
    let mut bytes = std::fs::read(&pickle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pickle, bytes).unwrap();
    refused(folder.path(), &model, &["adapter_model.bin", "hecksum"]);
}
