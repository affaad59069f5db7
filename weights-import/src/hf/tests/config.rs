//! What `config.json` says, and may not say.

use super::*;

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
    all.insert("embed_tokens.weight".to_owned(), counting(&[6, 2]));
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

#[test]
fn a_vocabulary_that_the_table_does_not_have_is_an_error_before_anything_is_made_of_its_size() {
    for size in [5, 7, i32::MAX] {
        let mut config = config();
        config["vocab_size"] = json!(size);
        let folder = model(&config, &tensors(""));
        let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("embed_tokens.weight"), "{error}");
    }
}
