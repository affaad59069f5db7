//! Real weights: SmolLM2-135M-Instruct from a GGUF file, and all-MiniLM-L6-v2 (tools/minilm_embeddings.py).

use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::{Pretrained, TokenBatch};
use lingo_core::nn::{Loader, Noise};
use lingo_tests::{assets, fixture, one};
use serde::Deserialize;
use weights_import::Checkpoint;

#[test]
fn smollm2_knows_the_capital_of_france() {
    let Some(models) = assets("LINGO_MODELS") else {
        return;
    };
    let device = Device::flex();
    let mut checkpoint = Checkpoint::open(&models.join("smollm2")).unwrap();
    let text = checkpoint.tokenizer().unwrap();
    let config = checkpoint.config().clone();
    let mut loader = Loader::new(&mut checkpoint, &device, None);
    let model = Pretrained::load(&config, &mut loader).unwrap();
    checkpoint.check_complete().unwrap();

    let encoding = text
        .tokenizer
        .encode("The capital of France is", false)
        .unwrap();
    let ids: Vec<u32> = text
        .bos
        .into_iter()
        .chain(encoding.get_ids().iter().copied())
        .collect();
    let hidden = model.forward(&one(&ids, &device), &Noise::off()); // [1, T, D]
    let last = hidden
        .slice([0..1, ids.len() - 1..ids.len()])
        .squeeze_dim::<2>(0); // [1, D]
    let logits = last.matmul(model.token_embedding().weight.val().transpose()); // [1, V]
    let best = logits.argmax(1).into_scalar::<i64>() as u32;
    assert_eq!(text.tokenizer.decode(&[best], false).unwrap(), " Paris");
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f32>,
}

#[test]
fn minilm_gives_the_embeddings_that_transformers_gives() {
    let Some(models) = assets("LINGO_MODELS") else {
        return;
    };
    let device = Device::flex();
    let mut checkpoint = Checkpoint::open(&models.join("minilm")).unwrap();
    let text = checkpoint.tokenizer().unwrap();
    let config = checkpoint.config().clone();
    let mut loader = Loader::new(&mut checkpoint, &device, None);
    let model = Pretrained::load(&config, &mut loader).unwrap();
    checkpoint.check_complete().unwrap();

    let file = std::fs::read(fixture("minilm.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&file).unwrap();
    let lengths: Vec<usize> = cases.iter().map(|case| case.ids.len()).collect();
    let longest = lengths.iter().max().copied().unwrap();
    let mut padded = Vec::new();
    for case in &cases {
        let encoding = text.tokenizer.encode(case.text.as_str(), false).unwrap();
        let inner = encoding.get_ids().iter().copied();
        let ids: Vec<u32> = text.bos.into_iter().chain(inner).chain(text.eos).collect();
        assert_eq!(ids, case.ids, "{}", case.text);
        padded.extend(ids.iter().map(|id| *id as i32));
        padded.resize(padded.len() + longest - ids.len(), text.pad as i32);
    }
    let ids = TensorData::new(padded, [cases.len(), longest]);
    let tokens = TokenBatch {
        ids: Tensor::<2, Int>::from_data(ids, &device),
        lengths: lengths.clone(),
    };
    let hidden = model.forward(&tokens, &Noise::off()); // [B, T, D]
    for ((row, case), length) in cases.iter().enumerate().zip(lengths) {
        let states = hidden.clone().slice([row..row + 1, 0..length]); // [1, t, D]
        let mean: Vec<f32> = states.mean_dim(1).into_data().iter().collect();
        let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        for (ours, theirs) in mean.iter().zip(&case.embedding) {
            let far = (ours / norm - theirs).abs();
            assert!(far < 1e-5, "{}: {far}", case.text);
        }
    }
}
