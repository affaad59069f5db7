//! Real weights: SmolLM2-135M-Instruct from a GGUF file.

use burn::tensor::Device;
use lingo_core::models::Pretrained;
use lingo_core::nn::{Loader, Noise};
use lingo_tests::{assets, one};
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
    let logits = last.matmul(model.token_table().transpose()); // [1, V]
    let best = logits.argmax(1).into_scalar::<i64>() as u32;
    assert_eq!(text.tokenizer.decode(&[best], false).unwrap(), " Paris");
}
