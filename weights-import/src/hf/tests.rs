#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::bf16;
use lingo_core::models::ModelConfig;
use lingo_core::nn::Activation;
use lingo_core::weights::{WeightError, WeightSource};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Checkpoint, ImportError, Role};

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
fn a_truncated_safetensors_file_says_how_much_is_missing() {
    let folder = model(&config(), &tensors(""));
    let path = folder.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(5).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(matches!(error, ImportError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("{end} bytes")),
            "{error}"
        );
    }
    let mut longer = whole.clone();
    longer.push(0);
    std::fs::write(&path, longer).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(&format!("a file of {} bytes", whole.len())),
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

#[test]
fn a_missing_shard_and_a_shard_without_its_tensor_are_named() {
    let folder = sharded();
    let mut second = tensors("model.decoder.").split_off("model.decoder.layers.0.fc2.bias");
    second.remove("model.decoder.layers.0.fc2.weight");
    write_safetensors(&folder.path().join("b.safetensors"), &second);
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::ShardTensor { .. }), "{error}");
    std::fs::remove_file(folder.path().join("b.safetensors")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, ImportError::ShardMissing { shard, .. } if shard == "b.safetensors"),
        "{error}"
    );
}

#[test]
fn an_index_cannot_lead_out_of_the_folder() {
    let folder = sharded();
    for file in [
        "../b.safetensors",
        "/etc/passwd",
        "sub/b.safetensors",
        "..",
        "",
    ] {
        write_index(folder.path(), &json!({"decoder.x": file}));
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(
            matches!(error, ImportError::OutsideFolder { .. }),
            "{file}: {error}"
        );
    }
    write_index(folder.path(), &json!({"decoder.x": 3}));
    assert!(matches!(
        Checkpoint::open(folder.path()),
        Err(ImportError::Key { .. })
    ));
}

#[test]
fn each_problem_of_a_folder_has_its_own_message() {
    let error = Checkpoint::open(Path::new("no/such/model")).unwrap_err();
    assert!(matches!(error, ImportError::NotFound { .. }));

    let empty = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(empty.path()).unwrap_err();
    assert!(
        matches!(&error, ImportError::NoConfig { .. }) && error.to_string().contains("nothing")
    );

    let folder = folder(&config());
    std::fs::write(folder.path().join("flax_model.msgpack"), b"x").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("no weights") && error.contains("flax_model.msgpack"),
        "{error}"
    );

    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for name in ["pytorch_model.bin", "model.safetensors"] {
        std::fs::write(folder.path().join(name), pointer).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(matches!(error, ImportError::LfsPointer { .. }), "{error}");
    }

    std::fs::write(folder.path().join("config.json"), b"{\"model_type\": ").unwrap();
    assert!(matches!(
        Checkpoint::open(folder.path()),
        Err(ImportError::Json { .. })
    ));
}

#[test]
fn a_pytorch_file_that_is_none_is_an_error() {
    let folder = folder(&config());
    std::fs::write(
        folder.path().join("pytorch_model.bin"),
        b"PK\x03\x04 cut short",
    )
    .unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::Pytorch { .. }), "{error}");
}

#[test]
fn an_unknown_or_missing_model_type_lists_the_supported_ones() {
    let mut config = config();
    config["model_type"] = json!("mamba");
    let error = opened(&config).unwrap_err().to_string();
    assert!(
        error.contains("`mamba`; supported are opt, llama"),
        "{error}"
    );
    config["model_type"] = Value::Null;
    let error = opened(&config).unwrap_err().to_string();
    assert!(
        error.contains("missing; supported are opt, llama"),
        "{error}"
    );
}

#[test]
fn both_spellings_of_rotary_positions_are_read() {
    let theta = |value: Value, key: &str| {
        let mut config = llama_config();
        config[key] = value;
        match opened(&config).map(|checkpoint| checkpoint.config().clone()) {
            Ok(ModelConfig::Llama(llama)) => Ok(llama.rope_theta),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(theta(Value::Null, "rope_scaling"), Ok(1e4));
    assert_eq!(theta(json!(5e5), "rope_theta"), Ok(5e5));
    let five = json!({"rope_theta": 1e5, "rope_type": "default"});
    assert_eq!(theta(five, "rope_parameters"), Ok(1e5));
    let stretched = json!({"type": "linear", "factor": 2.0});
    assert!(
        theta(stretched, "rope_scaling")
            .unwrap_err()
            .contains("rope_scaling")
    );
    let stretched = json!({"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0});
    assert!(
        theta(stretched, "rope_parameters")
            .unwrap_err()
            .contains("llama3")
    );
    assert!(
        theta(json!(0.5), "partial_rotary_factor")
            .unwrap_err()
            .contains("partial")
    );
}

#[test]
fn features_that_would_change_the_model_are_refused_by_name() {
    for (key, value) in [
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("hidden_act", json!("relu")),
        ("quantization_config", json!({"quant_method": "gptq"})),
    ] {
        let mut config = llama_config();
        config[key] = value;
        let error = opened(&config).unwrap_err();
        assert!(
            matches!(&error, ImportError::Unsupported { feature, .. } if feature == key),
            "{error}"
        );
    }
    for (key, value) in [
        ("enable_bias", json!(false)),
        ("layer_norm_elementwise_affine", json!(false)),
        ("_remove_final_layer_norm", json!(true)),
        ("activation_function", json!("mish")),
        ("layerdrop", json!(0.1)),
    ] {
        let mut config = config();
        config[key] = value;
        let error = opened(&config).unwrap_err();
        assert!(
            matches!(&error, ImportError::Unsupported { feature, .. } if feature == key),
            "{error}"
        );
    }
}

#[test]
fn impossible_sizes_are_errors_with_their_key() {
    for (key, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-4)),
        ("hidden_size", json!("4")),
        ("vocab_size", Value::Null),
        ("num_attention_heads", json!(3)),
        ("dropout", json!(1.5)),
    ] {
        let mut config = config();
        config[key] = value;
        let error = opened(&config).unwrap_err();
        assert!(
            matches!(&error, ImportError::Key { key: found, .. } if found == key),
            "{error}"
        );
    }
}

#[test]
fn a_post_norm_opt_has_projections_and_no_last_norm() {
    let mut config = config();
    config["do_layer_norm_before"] = json!(false);
    config["_remove_final_layer_norm"] = json!(true);
    config["word_embed_proj_dim"] = json!(2);
    config["activation_function"] = json!("gelu");
    let mut all = tensors("");
    all.insert("project_in.weight".to_owned(), counting(&[4, 2]));
    let checkpoint = Checkpoint::open(model(&config, &all).path()).unwrap();
    let ModelConfig::Opt(opt) = checkpoint.config() else {
        panic!("not an OPT");
    };
    assert_eq!(
        (opt.word_embed_proj_dim, opt.activation),
        (2, Activation::Gelu)
    );
    for tensor in checkpoint.tensors() {
        let expected = if tensor.name.starts_with("final_layer_norm") {
            Role::Unknown
        } else {
            Role::Used
        };
        assert_eq!(tensor.role, expected, "{}", tensor.name);
    }
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

/// A BPE of a few tokens, as OPT's files are.
fn write_vocabulary(folder: &Path) {
    let vocabulary = json!({"<s>": 0, "<pad>": 1, "</s>": 2, "A": 3, "C": 4, "AC": 5});
    std::fs::write(folder.join("vocab.json"), vocabulary.to_string()).unwrap();
    std::fs::write(folder.join("merges.txt"), "#version: 0.2\nA C\n").unwrap();
}

#[test]
fn opt_texts_begin_with_its_end_of_text_token() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    assert_eq!((found.bos, found.pad), (Some(2), 1));
    assert_eq!(
        found.tokenizer.encode("ACA</s>", false).unwrap().get_ids(),
        [5, 3, 2]
    );

    let settings = json!({"add_bos_token": false, "tokenizer_class": "GPT2Tokenizer"});
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    assert_eq!(checkpoint.tokenizer().unwrap().bos, None);
    let settings = json!({"add_bos_token": true, "bos_token": {"content": "<s>"}, "tokenizer_class": "GPT2Tokenizer"});
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    assert_eq!(checkpoint.tokenizer().unwrap().bos, Some(0));
}

#[test]
fn a_saved_tokenizer_reads_back_the_same() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let found = Checkpoint::open(folder.path())
        .unwrap()
        .tokenizer()
        .unwrap();
    let path = folder.path().join("saved.json");
    found.save(&path).unwrap();
    let again = crate::TextTokenizer::from_file(&path, found.bos, found.pad).unwrap();
    let ids = |tokenizer: &crate::TextTokenizer| {
        tokenizer
            .tokenizer
            .encode("CACAC<pad>", false)
            .unwrap()
            .get_ids()
            .to_vec()
    };
    assert_eq!(ids(&found), ids(&again));
}

#[test]
fn added_tokens_must_have_the_ids_they_claim() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let path = folder.path().join("added_tokens.json");
    std::fs::write(&path, json!({"<dna>": 6}).to_string()).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    assert_eq!(
        found.tokenizer.encode("A<dna>C", false).unwrap().get_ids(),
        [3, 6, 4]
    );
    std::fs::write(&path, json!({"<dna>": 9}).to_string()).unwrap();
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(error.contains("<dna>") && error.contains('9'), "{error}");
}

#[test]
fn tokenizer_problems_are_clear() {
    let folder = model(&config(), &tensors(""));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(
        checkpoint.tokenizer(),
        Err(ImportError::NoTokenizer { .. })
    ));
    write_vocabulary(folder.path());
    std::fs::write(folder.path().join("merges.txt"), "A C\nAC AC\n").unwrap();
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(error.contains("ACAC"), "{error}");
    std::fs::write(folder.path().join("merges.txt"), "A C A\n").unwrap();
    assert!(
        checkpoint
            .tokenizer()
            .unwrap_err()
            .to_string()
            .contains("A C A")
    );
    std::fs::write(folder.path().join("tokenizer.json"), b"{}").unwrap();
    assert!(matches!(
        checkpoint.tokenizer(),
        Err(ImportError::Tokenizer { .. })
    ));
}

#[test]
fn a_vocabulary_of_an_unknown_class_is_refused() {
    let folder = model(&llama_config(), &Tensors::new());
    write_vocabulary(folder.path());
    let error = Checkpoint::open(folder.path())
        .unwrap()
        .tokenizer()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("GPT2Tokenizer") && error.contains("tokenizer.json"),
        "{error}"
    );
}

#[test]
fn the_template_of_a_tokenizer_json_says_what_goes_in_front() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    let mut file: Value = serde_json::from_str(&found.tokenizer.to_string(false).unwrap()).unwrap();
    let template = |before: Value, after: Value| {
        let sequence = json!([{"Sequence": {"id": "A", "type_id": 0}}]);
        let single: Vec<Value> = [before, sequence, after]
            .iter()
            .flat_map(|part| part.as_array().unwrap().clone())
            .collect();
        json!({
            "type": "TemplateProcessing", "single": single, "pair": single,
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        })
    };
    let special = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    let mut read = |template: Value| {
        file["post_processor"] = template;
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        checkpoint.tokenizer().map(|found| found.bos)
    };
    assert_eq!(read(Value::Null).unwrap(), None);
    assert_eq!(read(template(special.clone(), json!([]))).unwrap(), Some(0));
    let error = read(template(json!([]), special.clone()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("add_bos_token"), "{error}");
}
