//! `config.json` to a model's configuration. Both spellings are read, that of transformers 4 and of 5; whatever
//! would make the reference compute something else than our models do is refused by name.

use lingo_core::models::ModelConfig;
use lingo_core::models::bert::BertConfig;
use lingo_core::models::dnabert2::DnaBert2Config;
use lingo_core::models::esm::{EsmConfig, EsmMlp, EsmPositions};
use lingo_core::models::llama::LlamaConfig;
use lingo_core::models::opt::OptConfig;
use lingo_core::nn::Activation;
use serde_json::Value;

use crate::checkpoint::Problem;
use crate::error::ImportError;
use crate::json::JsonFile;

/// The values of `model_type` that can be read.
pub(crate) const MODEL_TYPES: &[&str] = &["opt", "llama", "bert", "esm"];

/// The model that a `config.json` describes.
pub(crate) fn parse(file: &JsonFile) -> Result<ModelConfig, ImportError> {
    if let Some(scheme) = file.get("quantization_config") {
        let method = scheme.get("quant_method").unwrap_or(scheme);
        return Err(file.unsupported("quantization_config", method, "none, or a GGUF file"));
    }
    match file.text("model_type")? {
        Some("opt") => opt(file).map(ModelConfig::Opt),
        Some("llama") => llama(file).map(ModelConfig::Llama),
        // DNABERT-2 calls itself a BERT, but brings code of its own.
        Some("bert") if is_mosaic(file) => dnabert2(file).map(ModelConfig::DnaBert2),
        Some("bert") => bert(file).map(ModelConfig::Bert),
        Some("esm") => esm(file).map(ModelConfig::Esm),
        // Some published versions of the second Nucleotide Transformer.
        None if file.get("add_bias_fnn").is_some() => esm(file).map(ModelConfig::Esm),
        other => Err(ImportError::Architecture {
            path: file.path().to_owned(),
            key: "model_type",
            found: other.map_or_else(|| "missing".to_owned(), |name| format!("`{name}`")),
            supported: MODEL_TYPES,
        }),
    }
}

fn opt(file: &JsonFile) -> Result<OptConfig, ImportError> {
    file.require_flag("enable_bias", true)?;
    file.require_flag("layer_norm_elementwise_affine", true)?;
    let do_layer_norm_before = file.flag_or("do_layer_norm_before", true)?;
    if do_layer_norm_before {
        // Pre-LN without a final norm: early conversions only. Post-LN has none anyway.
        file.require_flag("_remove_final_layer_norm", false)?;
    }
    if file.number_or("layerdrop", 0.0)? != 0.0 {
        return Err(file.unsupported("layerdrop", file.number_or("layerdrop", 0.0)?, "0"));
    }
    let (hidden_size, num_attention_heads) = width_and_heads(file)?;
    Ok(OptConfig {
        vocab_size: file.size("vocab_size")?,
        hidden_size,
        word_embed_proj_dim: file
            .optional_size("word_embed_proj_dim")?
            .unwrap_or(hidden_size),
        ffn_dim: file.size("ffn_dim")?,
        num_hidden_layers: file.size("num_hidden_layers")?,
        num_attention_heads,
        max_position_embeddings: file.size("max_position_embeddings")?,
        do_layer_norm_before,
        activation: activation(file, "activation_function", Activation::Relu)?,
        dropout: file.probability("dropout", 0.1)?,
        attention_dropout: file.probability("attention_dropout", 0.0)?,
        pad_token_id: file.token_id("pad_token_id")?.unwrap_or(1),
    })
}

/// `hidden_size` and `num_attention_heads`, the latter a divisor of the former.
fn width_and_heads(file: &JsonFile) -> Result<(usize, usize), ImportError> {
    let hidden_size = file.size("hidden_size")?;
    let num_attention_heads = file.size("num_attention_heads")?;
    if hidden_size.is_multiple_of(num_attention_heads) {
        return Ok((hidden_size, num_attention_heads));
    }
    let expected = format!("a divisor of hidden_size ({hidden_size})");
    Err(file.bad("num_attention_heads", expected))
}

fn activation(file: &JsonFile, key: &str, default: Activation) -> Result<Activation, ImportError> {
    match file.text(key)? {
        None => Ok(default),
        Some("relu") => Ok(Activation::Relu),
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some(other) => Err(file.unsupported(
            key,
            other,
            "relu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu or swish",
        )),
    }
}

/// Whether a BERT is MosaicML's, with ALiBi.
fn is_mosaic(file: &JsonFile) -> bool {
    let code = |map: &Value| map.to_string().contains("bert_layers.");
    file.get("alibi_starting_size").is_some() || file.get("auto_map").is_some_and(code)
}

/// Refuses what makes an encoder something else.
fn plain_encoder(file: &JsonFile) -> Result<(), ImportError> {
    file.require_flag("is_decoder", false)?;
    file.require_flag("add_cross_attention", false)
}

fn bert(file: &JsonFile) -> Result<BertConfig, ImportError> {
    plain_encoder(file)?;
    match file.text("position_embedding_type")? {
        None | Some("absolute") => {}
        Some(other) => {
            return Err(file.unsupported("position_embedding_type", other, "absolute"));
        }
    }
    let (hidden_size, num_attention_heads) = width_and_heads(file)?;
    let hidden_dropout_prob = file.probability("hidden_dropout_prob", 0.1)?;
    Ok(BertConfig {
        vocab_size: file.size("vocab_size")?,
        hidden_size,
        intermediate_size: file.size("intermediate_size")?,
        num_hidden_layers: file.size("num_hidden_layers")?,
        num_attention_heads,
        max_position_embeddings: file.size("max_position_embeddings")?,
        type_vocab_size: file.optional_size("type_vocab_size")?.unwrap_or(2),
        layer_norm_eps: positive(file, "layer_norm_eps", 1e-12)?,
        activation: activation(file, "hidden_act", Activation::Gelu)?,
        hidden_dropout_prob,
        attention_probs_dropout_prob: file.probability("attention_probs_dropout_prob", 0.1)?,
        classifier_dropout: file.probability("classifier_dropout", hidden_dropout_prob)?,
        pad_token_id: file.token_id("pad_token_id")?.unwrap_or(0),
    })
}

fn dnabert2(file: &JsonFile) -> Result<DnaBert2Config, ImportError> {
    plain_encoder(file)?;
    match file.text("hidden_act")? {
        None | Some("gelu") => {}
        Some(other) => return Err(file.unsupported("hidden_act", other, "gelu")),
    }
    let (hidden_size, num_attention_heads) = width_and_heads(file)?;
    let hidden_dropout_prob = file.probability("hidden_dropout_prob", 0.1)?;
    Ok(DnaBert2Config {
        vocab_size: file.size("vocab_size")?,
        hidden_size,
        intermediate_size: file.size("intermediate_size")?,
        num_hidden_layers: file.size("num_hidden_layers")?,
        num_attention_heads,
        type_vocab_size: file.optional_size("type_vocab_size")?.unwrap_or(2),
        layer_norm_eps: positive(file, "layer_norm_eps", 1e-12)?,
        hidden_dropout_prob,
        attention_probs_dropout_prob: file.probability("attention_probs_dropout_prob", 0.0)?,
        classifier_dropout: file.probability("classifier_dropout", hidden_dropout_prob)?,
    })
}

fn esm(file: &JsonFile) -> Result<EsmConfig, ImportError> {
    plain_encoder(file)?;
    file.require_flag("is_folding_model", false)?;
    let positions = match file.text("position_embedding_type")? {
        None | Some("absolute") => EsmPositions::Learned,
        Some("rotary") => EsmPositions::Rotary,
        Some(other) => {
            let supported = "absolute or rotary";
            return Err(file.unsupported("position_embedding_type", other, supported));
        }
    };
    let mlp = match file.get("add_bias_fnn") {
        // Only the gated MLP of the second Nucleotide Transformer has the key.
        Some(_) => EsmMlp::Gated {
            bias: file.flag_or("add_bias_fnn", true)?,
        },
        None => EsmMlp::Gelu,
    };
    let (hidden_size, num_attention_heads) = width_and_heads(file)?;
    let head_width = hidden_size / num_attention_heads;
    if positions == EsmPositions::Rotary && !head_width.is_multiple_of(2) {
        let expected =
            "a divisor of hidden_size that leaves heads of even width, for rotary positions";
        return Err(file.bad("num_attention_heads", expected));
    }
    let pad_token_id = file.token_id("pad_token_id")?.unwrap_or(1);
    let max_position_embeddings = file.size("max_position_embeddings")?;
    if max_position_embeddings <= pad_token_id as usize + 1 {
        let expected = format!("more than pad_token_id ({pad_token_id}) and one");
        return Err(file.bad("max_position_embeddings", expected));
    }
    Ok(EsmConfig {
        vocab_size: file.size("vocab_size")?,
        hidden_size,
        intermediate_size: file.size("intermediate_size")?,
        num_hidden_layers: file.size("num_hidden_layers")?,
        num_attention_heads,
        max_position_embeddings,
        positions,
        mlp,
        emb_layer_norm_before: file.flag_or("emb_layer_norm_before", false)?,
        token_dropout: file.flag_or("token_dropout", false)?,
        layer_norm_eps: positive(file, "layer_norm_eps", 1e-12)?,
        hidden_dropout_prob: file.probability("hidden_dropout_prob", 0.1)?,
        attention_probs_dropout_prob: file.probability("attention_probs_dropout_prob", 0.1)?,
        pad_token_id,
    })
}

fn llama(file: &JsonFile) -> Result<LlamaConfig, ImportError> {
    file.require_flag("attention_bias", false)?;
    file.require_flag("mlp_bias", false)?;
    match file.text("hidden_act")? {
        None | Some("silu" | "swish") => {}
        Some(other) => return Err(file.unsupported("hidden_act", other, "silu")),
    }
    let hidden_size = file.size("hidden_size")?;
    let num_attention_heads = file.size("num_attention_heads")?;
    let num_key_value_heads = file
        .optional_size("num_key_value_heads")?
        .unwrap_or(num_attention_heads);
    if !num_attention_heads.is_multiple_of(num_key_value_heads) {
        return Err(file.bad(
            "num_key_value_heads",
            format!("a divisor of num_attention_heads ({num_attention_heads})"),
        ));
    }
    let head_dim = match file.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(num_attention_heads) => {
            hidden_size / num_attention_heads
        }
        None => {
            return Err(file.bad(
                "num_attention_heads",
                format!("a divisor of hidden_size ({hidden_size})"),
            ));
        }
    };
    if !head_dim.is_multiple_of(2) {
        return Err(file.bad("head_dim", "an even number, for rotary positions"));
    }
    Ok(LlamaConfig {
        vocab_size: file.size("vocab_size")?,
        hidden_size,
        intermediate_size: file.size("intermediate_size")?,
        num_hidden_layers: file.size("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings: file.size("max_position_embeddings")?,
        rms_norm_eps: positive(file, "rms_norm_eps", 1e-6)?,
        rope_theta: rope_theta(file)?,
        attention_dropout: file.probability("attention_dropout", 0.0)?,
        pad_token_id: file.token_id("pad_token_id")?,
    })
}

fn positive(file: &JsonFile, key: &str, default: f64) -> Result<f64, ImportError> {
    let value = file.number_or(key, default)?;
    if value > 0.0 {
        Ok(value)
    } else {
        Err(file.bad(key, "a number above 0"))
    }
}

/// The base of the rotary frequencies: `rope_parameters.rope_theta` in transformers 5, `rope_theta` in 4.
/// Positions stretched by any scheme are another model.
fn rope_theta(file: &JsonFile) -> Result<f64, ImportError> {
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(rope) = file.get(key) else { continue };
        let kind = ["rope_type", "type"].iter().find_map(|name| rope.get(name));
        match kind {
            // Version 4 wrote a scheme without a name only for linear scaling.
            None if rope.get("factor").is_some() => {
                return Err(file.unsupported(key, rope, "the type `default`"));
            }
            None => {}
            Some(kind) if kind.as_str() == Some("default") => {}
            Some(kind) => return Err(file.unsupported(key, kind, "the type `default`")),
        }
    }
    for key in [Some("rope_scaling"), Some("rope_parameters"), None] {
        let factor = match key {
            Some(key) => file
                .get(key)
                .and_then(|rope| rope.get("partial_rotary_factor")),
            None => file.get("partial_rotary_factor"),
        };
        if let Some(factor) = factor.filter(|factor| factor.as_f64() != Some(1.0)) {
            return Err(file.unsupported("partial_rotary_factor", factor, "1"));
        }
    }
    let nested = file
        .get("rope_parameters")
        .and_then(|rope| rope.get("rope_theta"))
        .filter(|theta| !theta.is_null());
    match nested {
        Some(theta) => theta
            .as_f64()
            .filter(|theta| theta.is_finite() && *theta > 0.0)
            .ok_or_else(|| file.bad("rope_parameters", "an object whose rope_theta is above 0")),
        None => positive(file, "rope_theta", 10_000.0),
    }
}

/// The class names of `id2label`, unless they are the generic `LABEL_0`, `LABEL_1`, ...
pub(crate) fn labels(file: &JsonFile) -> Result<Option<Vec<String>>, ImportError> {
    let Some(map) = file.get("id2label") else {
        return Ok(None);
    };
    let expected = "class names under \"0\", \"1\", ... without a gap";
    let map = map
        .as_object()
        .ok_or_else(|| file.bad("id2label", expected))?;
    let names = (0..map.len())
        .map(|id| {
            map.get(&id.to_string())
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| file.bad("id2label", expected))?;
    let generic = names
        .iter()
        .enumerate()
        .all(|(id, name)| *name == format!("LABEL_{id}"));
    Ok((!generic).then_some(names))
}

/// What `problem_type` says, where it is set.
pub(crate) fn problem(file: &JsonFile) -> Result<Problem, ImportError> {
    match file.get("problem_type").map(Value::as_str) {
        None | Some(Some("single_label_classification")) => Ok(Problem::Classes),
        Some(Some("multi_label_classification")) => Ok(Problem::Labels),
        Some(Some("regression")) => Ok(Problem::Regression),
        Some(_) => Err(file.bad(
            "problem_type",
            "single_label_classification, multi_label_classification or regression",
        )),
    }
}
