//! Causal language modelling against transformers (tools/language_model_fixture.py), and models that were pretrained here
//! as folders that are read again.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::initial_weights::InitialWeights;
use lingo_core::models::{LanguageModel, TokenBatch};
use lingo_core::nn::{Loader, Noise, Precision};
use lingo_tests::{Expected, distance, fixture, magnitude};
use lingo_train::pretrain::{BOUNDARY, Documents, SMALLEST_VOCABULARY, byte_level_bpe};
use lingo_train::saved::named_tensors;
use weights_import::export::{NewModel, write_new};
use weights_import::{Blueprint, Checkpoint, TextTokenizer};

const TOLERANCE: f32 = 2e-5;

fn load(checkpoint: &mut Checkpoint, device: &Device) -> LanguageModel {
    let config = checkpoint.config().clone();
    LanguageModel::load(&config, &mut Loader::new(checkpoint, device, None)).unwrap()
}

/// Rows `[B, T]` of tokens, and the tokens that follow each.
fn shifted(rows: &[i32], width: usize, device: &Device) -> (TokenBatch, Vec<i32>) {
    let rows: Vec<&[i32]> = rows.chunks(width).collect();
    let inputs: Vec<i32> = rows
        .iter()
        .flat_map(|row| &row[..width - 1])
        .copied()
        .collect();
    let targets = rows.iter().flat_map(|row| &row[1..]).copied().collect();
    let shape = [rows.len(), width - 1];
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(inputs, shape), device);
    let lengths = vec![width - 1; rows.len()];
    (TokenBatch { ids, lengths }, targets)
}

/// Puts gradients in the place of parameters.
struct IntoGradients(GradientsParams);

impl ModuleMapper for IntoGradients {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = self
            .0
            .remove::<D>(param.id)
            .expect("every parameter is trained");
        Param::from_tensor(gradient)
    }
}

#[test]
fn loss_and_gradients_of_next_tokens_are_those_of_transformers() {
    let device = Device::flex().autodiff();
    let expected = Expected::read("language_model.safetensors");
    for name in ["opt_pre_ln", "opt_post_ln", "llama_tied"] {
        let mut checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        let model = load(&mut checkpoint, &device);
        let (shape, rows) = expected.i32(&format!("{name}.ids"));
        let (tokens, targets) = shifted(&rows, shape[1], &device);
        let weight = 1.0 / targets.len() as f64;
        // Dropout of post-LN's configuration is for training; transformers' model was in evaluation.
        let found = model.gradients(&tokens, &targets, &Noise::off(), weight);
        let loss = expected
            .f32(&format!("{name}.loss"))
            .iter::<f64>()
            .next()
            .unwrap();
        let mean = found.loss.into_scalar::<f64>() * weight;
        assert!(
            (mean - loss).abs() < 1e-6 * loss,
            "{name}: {mean}, transformers {loss}"
        );

        let (plain, plain_tokens) = (model.valid(), shifted(&rows, shape[1], &Device::flex()).0);
        let alone = plain.loss(&plain_tokens, &targets).into_scalar::<f64>() * weight;
        assert!(
            (alone - loss).abs() < 1e-6 * loss,
            "{name}: {alone} in evaluation"
        );

        let layout = checkpoint.config().head();
        let gradients = model.map(&mut IntoGradients(found.gradients));
        let gradients = named_tensors(&gradients, &layout, &|_| true);
        let prefix = format!("{name}.grad.");
        let wanted = expected.names().filter_map(|key| key.strip_prefix(&prefix));
        let mut compared = 0;
        for tensor in wanted {
            let reference = expected.f32(&format!("{prefix}{tensor}"));
            let size = magnitude(&reference);
            let apart = distance(&gradients[tensor], &reference);
            assert!(
                apart < TOLERANCE * size,
                "{name} {tensor}: {apart} of {size}"
            );
            compared += 1;
        }
        assert!(compared >= 4, "{name}");
    }
}

#[test]
fn a_model_that_is_written_is_read_again_with_the_same_predictions() {
    let device = Device::flex();
    let documents = Documents {
        path: "corpus.txt".into(),
        texts: vec!["a corpus of a corpus of a text".to_owned()],
    };
    let tokenizer = byte_level_bpe(&documents, SMALLEST_VOCABULARY + 4).unwrap();
    let entries = tokenizer.get_vocab_size(true);
    let tokenizer = TextTokenizer {
        bos: tokenizer.token_to_id(BOUNDARY),
        eos: None,
        pad: 1,
        tokenizer,
    };
    let dir = tempfile::tempdir().unwrap();
    for name in ["opt_pre_ln", "opt_post_ln", "llama_tied"] {
        let blueprint = Blueprint::open(&fixture(name))
            .unwrap()
            .with_entries(entries);
        let mut weights = InitialWeights {
            seed: 3,
            spread: blueprint.spread(),
        };
        let mut loader = Loader::new(&mut weights, &device, None);
        let model = LanguageModel::load(blueprint.config(), &mut loader).unwrap();
        let tensors = named_tensors(&model, &blueprint.config().head(), &|_| true);
        let (tokens, _) = shifted(&[2, 5, 9, 60, 7, 2, 8, 4], 4, &device);
        let logits = model.logits(&tokens).into_data();
        for (dtype, tolerance) in [
            (Precision::F32, 0.0),
            (Precision::F16, 2e-3),
            (Precision::Bf16, 2e-2),
        ] {
            let out = dir.path().join(format!("{name}-{}", dtype.name()));
            let new = NewModel {
                blueprint: &blueprint,
                tokenizer: &tokenizer,
                tokenizer_from: None,
                tensors: &tensors,
                dtype,
            };
            write_new(&new, &out, false).unwrap();
            assert!(write_new(&new, &out, false).is_err(), "it is there already");
            write_new(&new, &out, true).unwrap();
            let mut checkpoint = Checkpoint::open(&out).unwrap();
            let (found, made) = (checkpoint.config(), blueprint.config());
            assert_eq!(found.summary(), made.summary());
            let text = checkpoint.tokenizer().unwrap();
            assert_eq!((text.bos, text.eos, text.pad), (Some(2), None, 1));
            let again = load(&mut checkpoint, &device).logits(&tokens).into_data();
            let apart = distance(&again, &logits);
            assert!(
                apart <= tolerance * magnitude(&logits),
                "{name} {}: {apart}",
                dtype.name()
            );
        }
    }
}
