#![allow(clippy::unwrap_used)]

mod broken_tokenizers;
mod config;
mod damage;
mod hostile;
mod pickles;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::bf16;
use lingo_core::models::ModelConfig;
use lingo_core::nn::Activation;
use lingo_core::weights::{WeightError, WeightSource};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Checkpoint, ImportError, Problem, Role};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn config() -> Value {
    json!({
        "model_type": "opt", "vocab_size": 6, "hidden_size": 4, "word_embed_proj_dim": 4, "ffn_dim": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
        "do_layer_norm_before": true, "activation_function": "relu", "dropout": 0.1, "pad_token_id": 1,
    })
}

fn llama_config() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 6, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16, "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
    })
}

/// An f32 tensor that counts up from 0.
fn counting(shape: &[usize]) -> (Dtype, Vec<usize>, Vec<u8>) {
    let numbers: usize = shape.iter().product();
    let bytes = (0..numbers)
        .flat_map(|i| (i as f32).to_le_bytes())
        .collect();
    (Dtype::F32, shape.to_vec(), bytes)
}

/// All tensors of [`config`], under the prefix.
fn tensors(prefix: &str) -> Tensors {
    let mut all = Tensors::new();
    let mut add =
        |name: &str, shape: &[usize]| all.insert(format!("{prefix}{name}"), counting(shape));
    add("embed_tokens.weight", &[6, 4]);
    add("embed_positions.weight", &[18, 4]);
    for norm in [
        "final_layer_norm",
        "layers.0.self_attn_layer_norm",
        "layers.0.final_layer_norm",
    ] {
        add(&format!("{norm}.weight"), &[4]);
        add(&format!("{norm}.bias"), &[4]);
    }
    for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        add(&format!("layers.0.self_attn.{projection}.weight"), &[4, 4]);
        add(&format!("layers.0.self_attn.{projection}.bias"), &[4]);
    }
    add("layers.0.fc1.weight", &[8, 4]);
    add("layers.0.fc1.bias", &[8]);
    add("layers.0.fc2.weight", &[4, 8]);
    add("layers.0.fc2.bias", &[4]);
    all
}

fn write_safetensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn folder(config: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn model(config: &Value, tensors: &Tensors) -> TempDir {
    let folder = folder(config);
    write_safetensors(&folder.path().join("model.safetensors"), tensors);
    folder
}

/// Two shards with an index.
fn sharded() -> TempDir {
    let folder = folder(&config());
    let mut first = tensors("model.decoder.");
    let second = first.split_off("model.decoder.layers.0.fc2.bias");
    let mut map = serde_json::Map::new();
    for (name, shard) in [("a.safetensors", &first), ("b.safetensors", &second)] {
        write_safetensors(&folder.path().join(name), shard);
        map.extend(shard.keys().map(|key| (key.clone(), json!(name))));
    }
    write_index(folder.path(), &Value::Object(map));
    folder
}

fn write_index(folder: &Path, map: &Value) {
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(path, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
}

fn take_used(checkpoint: &mut Checkpoint) {
    for tensor in checkpoint.tensors() {
        if tensor.role == Role::Used {
            checkpoint.take(&tensor.name, &tensor.shape).unwrap();
        }
    }
}

fn opened(config: &Value) -> Result<Checkpoint, ImportError> {
    Checkpoint::open(model(config, &Tensors::new()).path())
}

#[test]
fn every_prefix_in_use_loads_and_is_complete() {
    for prefix in ["model.decoder.", "decoder.", "model.", ""] {
        let mut all = tensors(prefix);
        all.insert("lm_head.weight".to_owned(), counting(&[6, 4]));
        let mut checkpoint = Checkpoint::open(model(&config(), &all).path()).unwrap();
        assert_eq!(checkpoint.format(), "safetensors");
        assert!(checkpoint.has("layers.0.fc1.bias"));
        take_used(&mut checkpoint);
        checkpoint.check_complete().unwrap();
    }
}

#[test]
fn a_head_of_its_own_gives_the_classes_and_may_be_left_alone() {
    let mut all = tensors("model.decoder.");
    all.insert("score.weight".to_owned(), counting(&[3, 4]));
    let mut config = config();
    config["id2label"] = json!({"0": "none", "1": "weak", "2": "strong"});
    let mut checkpoint = Checkpoint::open(model(&config, &all).path()).unwrap();
    assert_eq!(checkpoint.classes(), Some(3));
    assert_eq!(checkpoint.labels().unwrap(), ["none", "weak", "strong"]);
    take_used(&mut checkpoint);
    checkpoint.check_complete().unwrap();
    checkpoint.take("score.weight", &[3, 4]).unwrap();

    config["id2label"] = json!({"0": "LABEL_0", "1": "LABEL_1"});
    let checkpoint = Checkpoint::open(model(&config, &all).path()).unwrap();
    assert_eq!(checkpoint.labels(), None);
    config["id2label"] = json!({"0": "no", "1": "yes"});
    let error = Checkpoint::open(model(&config, &all).path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("id2label") && error.contains('3'), "{error}");
}

#[test]
fn a_head_of_labels_is_told_by_the_type_of_its_problem() {
    let mut all = tensors("model.decoder.");
    all.insert("score.weight".to_owned(), counting(&[1, 4]));
    let mut config = config();
    config["id2label"] = json!({"0": "H3K4me3"});
    let mut open = |problem| {
        config["problem_type"] = problem;
        Checkpoint::open(model(&config, &all).path())
    };
    for (name, problem) in [
        (json!(null), Problem::Classes),
        (json!("single_label_classification"), Problem::Classes),
        (json!("multi_label_classification"), Problem::Labels),
        (json!("regression"), Problem::Regression),
    ] {
        let checkpoint = open(name).unwrap();
        assert_eq!(checkpoint.problem(), problem);
        assert_eq!(checkpoint.labels().unwrap(), ["H3K4me3"]);
    }
    for name in [json!("multi_label"), json!(3)] {
        let error = open(name).unwrap_err().to_string();
        assert!(error.contains("problem_type"), "{error}");
    }
}

#[test]
fn rows_are_read_in_the_order_asked_for() {
    let mut all = tensors("");
    let narrow = (0..24)
        .flat_map(|i| bf16::from_f32(i as f32).to_le_bytes())
        .collect();
    all.insert(
        "embed_tokens.weight".to_owned(),
        (Dtype::BF16, vec![6, 4], narrow),
    );
    let mut checkpoint = Checkpoint::open(model(&config(), &all).path()).unwrap();
    let rows = checkpoint
        .take_rows("embed_tokens.weight", [6, 4], &[5, 0, 5])
        .unwrap();
    assert_eq!(rows.shape().as_slice(), [3, 4]);
    let rows = rows.try_into_vec::<f32>().unwrap();
    assert_eq!(
        rows,
        [20., 21., 22., 23., 0., 1., 2., 3., 20., 21., 22., 23.]
    );
}

#[test]
fn missing_unknown_and_misshapen_tensors_are_named() {
    let mut all = tensors("decoder.");
    all.remove("decoder.layers.0.fc1.bias");
    all.insert("decoder.layers.1.fc1.bias".to_owned(), counting(&[8]));
    all.insert("decoder.adapter.weight".to_owned(), counting(&[1]));
    let mut checkpoint = Checkpoint::open(model(&config(), &all).path()).unwrap();
    let error = checkpoint.take("layers.0.fc1.bias", &[8]).unwrap_err();
    assert!(
        matches!(error, WeightError::Missing { .. })
            && error.to_string().contains("layers.0.fc1.bias")
    );
    let error = checkpoint.take("layers.0.fc1.weight", &[4, 8]).unwrap_err();
    assert!(matches!(error, WeightError::Shape { .. }));
    take_used(&mut checkpoint);
    let error = checkpoint.check_complete().unwrap_err().to_string();
    for key in ["decoder.layers.1.fc1.bias", "decoder.adapter.weight"] {
        assert!(error.contains(key), "{error}");
    }
    assert!(!error.contains("fc1.weight"), "{error}");
}

#[test]
fn a_known_tensor_that_nobody_takes_is_reported() {
    let checkpoint = Checkpoint::open(model(&config(), &tensors("")).path()).unwrap();
    assert!(checkpoint.check_complete().is_err());
}

#[test]
fn two_keys_for_one_tensor_are_an_error() {
    let mut all = tensors("decoder.");
    all.insert("model.decoder.layers.0.fc1.bias".to_owned(), counting(&[8]));
    let error = Checkpoint::open(model(&config(), &all).path()).unwrap_err();
    assert!(matches!(error, ImportError::Duplicate { .. }), "{error}");
}

#[test]
fn weights_of_integers_are_refused_by_name() {
    let mut all = tensors("");
    all.insert(
        "layers.0.fc1.bias".to_owned(),
        (Dtype::I8, vec![8], vec![0; 8]),
    );
    let error = Checkpoint::open(model(&config(), &all).path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("layers.0.fc1.bias") && error.contains("I8"),
        "{error}"
    );
}

#[test]
fn shards_load_as_one() {
    let folder = sharded();
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.format(), "safetensors, 2 shards");
    take_used(&mut checkpoint);
    checkpoint.check_complete().unwrap();
}

/// A file that transformers wrote.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/layouts")
        .join(name)
}

#[test]
fn torch_files_and_shards_written_by_transformers_load() {
    for (name, format) in [
        ("opt_bin", "pytorch_model.bin"),
        ("llama_sharded", "safetensors, 2 shards"),
    ] {
        let mut checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        assert_eq!(checkpoint.format(), format);
        for tensor in checkpoint.tensors() {
            if tensor.role != Role::Used {
                continue;
            }
            let whole = checkpoint.take(&tensor.name, &tensor.shape).unwrap();
            let whole = whole.try_into_vec::<f32>().unwrap();
            assert!(
                whole.iter().all(|number| number.is_finite()),
                "{}",
                tensor.name
            );
            if let &[height, width] = tensor.shape.as_slice() {
                let last = height as u32 - 1;
                let rows = checkpoint
                    .take_rows(&tensor.name, [height, width], &[last])
                    .unwrap();
                let row = rows.try_into_vec::<f32>().unwrap();
                assert_eq!(row, &whole[whole.len() - width..], "{}", tensor.name);
            }
        }
        checkpoint.check_complete().unwrap();
    }
}

#[test]
fn torch_files_and_shards_are_read_in_16_bits_too() {
    for name in ["opt_bin", "llama_sharded"] {
        crate::tensors::tests::check_halves(&mut Checkpoint::open(&fixture(name)).unwrap());
    }
}
