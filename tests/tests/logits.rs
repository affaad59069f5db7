//! Logits and hidden states against transformers and, where it has no such model, against torch (tools/model_fixtures.py,
//! tools/encoder_fixtures.py).

use burn::tensor::{Device, Tensor, TensorData};
use lingo_core::nn::Noise;
use lingo_tests::{Expected, classifier, distance, fixture};

const TOLERANCE: f32 = 1e-4;

const MODELS: [&str; 10] = [
    "opt_pre_ln",
    "opt_post_ln",
    "llama_tied",
    "llama_untied",
    "bert",
    "esm_learned",
    "esm_rotary",
    "esm_gated",
    "dnabert2",
    "dnabert2_pow2",
];

/// Compares a model with the values that transformers computed for `expected`.
fn check(folder: &str, expected: &str) {
    let device = Device::flex();
    let model = classifier(&fixture(folder), &device);
    let expected = Expected::read(&format!("{expected}/expected.safetensors"));
    let batch = expected.batch("");
    let tokens = batch.to_tokens(&device);

    let mut states = Vec::new();
    let mut keep = |state: &Tensor<3>| states.push(state.clone());
    model
        .backbone
        .forward_with(&tokens, &Noise::off(), &mut keep);
    let layers = expected
        .names()
        .filter(|name| name.starts_with("hidden."))
        .count();
    assert_eq!(states.len(), layers);
    for (layer, state) in states.into_iter().enumerate() {
        let reference = expected.f32(&format!("hidden.{layer}"));
        let far = distance_of_real_tokens(state.into_data(), reference, &batch.lengths);
        assert!(far < TOLERANCE, "{folder}, hidden state {layer}: {far}");
    }
    let logits = model.forward(&tokens, &Noise::off()).into_data();
    let far = distance(&logits, &expected.f32("logits"));
    assert!(far < TOLERANCE, "{folder}, logits: {far}");
}

/// The largest difference at positions that are not padding.
fn distance_of_real_tokens(a: TensorData, b: TensorData, lengths: &[usize]) -> f32 {
    let real = |data: TensorData| -> TensorData {
        let (rows, t) = (lengths.len(), data.shape()[1]);
        let width = data.num_elements() / rows / t;
        let values: Vec<f32> = data.iter::<f32>().collect();
        let kept: Vec<f32> = lengths
            .iter()
            .enumerate()
            .flat_map(|(row, length)| &values[row * t * width..(row * t + length) * width])
            .copied()
            .collect();
        let shape = [kept.len()];
        TensorData::new(kept, shape)
    };
    distance(&real(a), &real(b))
}

#[test]
fn opt_with_norms_first_equals_transformers() {
    check("opt_pre_ln", "opt_pre_ln");
}

#[test]
fn opt_with_norms_last_and_projected_embeddings_equals_transformers() {
    check("opt_post_ln", "opt_post_ln");
}

#[test]
fn llama_with_tied_embeddings_equals_transformers() {
    check("llama_tied", "llama_tied");
}

#[test]
fn llama_with_a_language_head_of_its_own_equals_transformers() {
    check("llama_untied", "llama_untied");
}

#[test]
fn bert_equals_transformers() {
    check("bert", "bert");
}

#[test]
fn esm_with_learned_positions_and_token_dropout_equals_transformers() {
    check("esm_learned", "esm_learned");
}

#[test]
fn esm_with_rotary_positions_and_normalised_embeddings_equals_transformers() {
    check("esm_rotary", "esm_rotary");
}

#[test]
fn esm_with_a_gated_mlp_equals_its_equations() {
    check("esm_gated", "esm_gated");
}

#[test]
fn dnabert2_with_six_heads_equals_its_equations() {
    check("dnabert2", "dnabert2");
}

#[test]
fn dnabert2_with_a_power_of_two_of_heads_equals_its_equations() {
    check("dnabert2_pow2", "dnabert2_pow2");
}

#[test]
fn a_pickled_checkpoint_gives_the_same_logits() {
    check("layouts/opt_bin", "opt_pre_ln");
}

#[test]
fn a_sharded_checkpoint_gives_the_same_logits() {
    check("layouts/llama_sharded", "llama_untied");
}

#[test]
fn padding_changes_nothing() {
    let device = Device::flex();
    for folder in MODELS {
        let model = classifier(&fixture(folder), &device);
        let batch = Expected::read(&format!("{folder}/expected.safetensors")).batch("");
        let together = model.forward(&batch.to_tokens(&device), &Noise::off());
        for (row, length) in batch.lengths.iter().enumerate() {
            let start = row * batch.shape[1];
            let ids: Vec<u32> = batch.ids[start..start + length]
                .iter()
                .map(|id| *id as u32)
                .collect();
            let alone = model.forward(&lingo_tests::one(&ids, &device), &Noise::off());
            let row = together.clone().narrow(0, row, 1);
            let far = distance(&alone.into_data(), &row.into_data());
            assert!(far < TOLERANCE, "{folder}: {far}");
        }
    }
}
