//! Models in bf16 and f16 against transformers and PEFT (tools/half_fixtures.py).
//!
//! Two programs that round after other operations never agree to the last bit of 16. What is asked for: from the values
//! of f32, ours are as near as the reference's, and both are near each other, as far as the type can say.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use lingo_core::adapter::LowRank;
use lingo_core::models::{Classifier, Pretrained};
use lingo_core::nn::{Loader, Noise, Precision};
use lingo_tests::{Expected, classifier_in, fixture};
use lingo_train::data::Label;
use weights_import::Checkpoint;

const MODELS: [&str; 2] = ["opt_pre_ln", "llama_tied"];

/// What a few roundings may do, relative to a value.
fn unit(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::Bf16 | Precision::F16 => 2f64.powi(-6),
    }
}

fn load(name: &str, precision: Precision, masters: bool, device: &Device) -> Classifier {
    classifier_in(&fixture(name), device, precision, masters)
}

/// ‖a − b‖ / ‖c‖.
fn apart(a: &TensorData, b: &TensorData, c: &TensorData) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let square = |x: f32| f64::from(x).powi(2);
    let differences = a.iter::<f32>().zip(b.iter::<f32>());
    let difference: f64 = differences.map(|(a, b)| square(a - b)).sum();
    (difference / c.iter::<f32>().map(square).sum::<f64>()).sqrt()
}

/// Compares ours with the reference of the type and with that of f32.
fn near(found: TensorData, expected: &Expected, name: &str, tensor: &str, precision: Precision) {
    let of = |kind: Precision| expected.f32(&format!("{name}.{}.{tensor}", kind.name()));
    let (reference, exact) = (of(precision), of(Precision::F32));
    let what = format!("{name} {} {tensor}", precision.name());
    let (ours, theirs) = (
        apart(&found, &exact, &exact),
        apart(&reference, &exact, &exact),
    );
    assert!(
        ours < 2.0 * theirs + unit(precision),
        "{what}: {ours} from f32, {theirs}"
    );
    let between = apart(&found, &reference, &exact);
    assert!(
        between < 2.0 * theirs + unit(precision),
        "{what}: {between} apart, {theirs}"
    );
}

#[test]
fn logits_are_as_near_to_those_of_f32_as_transformers_are() {
    let device = Device::flex();
    let expected = Expected::read("half.safetensors");
    for name in MODELS {
        let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
        let tokens = batch.to_tokens(&device);
        for precision in Precision::ALL {
            let model = load(name, precision, false, &device);
            let logits = model.forward(&tokens, &Noise::off());
            assert_eq!(logits.dtype(), DType::F32);
            near(logits.into_data(), &expected, name, "logits", precision);
        }
    }
}

#[test]
fn gradients_of_lora_are_as_near_to_those_of_f32_as_pefts_are() {
    let device = Device::flex().autodiff();
    let expected = Expected::read("half.safetensors");
    for name in MODELS {
        let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
        let tokens = batch.to_tokens(&device);
        let labels = batch.labels.iter().filter_map(Label::class);
        let labels: Vec<i64> = labels.map(|class| class as i64).collect();
        let targets = TensorData::new(labels, [batch.shape[0]]);
        for precision in Precision::ALL {
            let mut model = load(name, precision, false, &device);
            let paths = model.projection_paths();
            for (path, projection) in paths.iter().zip(model.backbone.projections_mut()) {
                let part = |part: &str| expected.f32(&format!("{name}.{part}.{path}"));
                if !expected.has(&format!("{name}.A.{path}")) {
                    continue;
                }
                let (a, b) = (
                    Tensor::from_data(part("A"), &device),
                    Tensor::from_data(part("B"), &device),
                );
                projection.adapter = Some(LowRank::new(b, a, None, 8.0, 0.0));
            }
            model.score.weight = Param::from_tensor(model.score.weight.val());
            let logits = model.forward(&tokens, &Noise::off());
            near(logits.to_data(), &expected, name, "lora.logits", precision);
            let targets = Tensor::<1, Int>::from_data(targets.clone(), &device);
            let loss = CrossEntropyLossConfig::new().init(&device);
            let loss = loss.forward(logits, targets);
            near(loss.to_data(), &expected, name, "lora.loss", precision);
            let scale = match precision {
                Precision::F16 => 1024.0,
                _ => 1.0,
            };
            let gradients = GradientsParams::from_grads((loss * scale).backward(), &model);
            let of = |param: &Param<Tensor<2>>| {
                let gradient = gradients.get::<2>(param.id).unwrap();
                assert_eq!(gradient.dtype(), DType::F32);
                gradient / scale
            };
            for (path, adapter) in model.adapters() {
                for (part, param) in [("A", &adapter.q), ("B", &adapter.p)] {
                    let tensor = format!("grad.{part}.{path}");
                    near(of(param).into_data(), &expected, name, &tensor, precision);
                }
            }
            let head = of(&model.score.weight).transpose().into_data();
            near(head, &expected, name, "grad.score.weight", precision);
        }
    }
}

#[test]
fn a_frozen_model_is_held_in_16_bits_but_for_norms_and_head() {
    let device = Device::flex();
    for name in [
        "opt_post_ln",
        "llama_untied",
        "bert",
        "esm_rotary",
        "dnabert2",
    ] {
        let model = load(name, Precision::Bf16, false, &device);
        for (path, projection) in model.backbone.projections() {
            assert_eq!(
                projection.base.weight.val().dtype(),
                DType::BF16,
                "{name} {path}"
            );
        }
        assert_eq!(
            model.backbone.token_embedding().weight.val().dtype(),
            DType::BF16
        );
        assert_eq!(model.score.weight.val().dtype(), DType::F32);
        // Read as rows, and as a whole: the same numbers, rounded once.
        let mut checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        let config = checkpoint.config().clone();
        let rows: Vec<u32> = (0..config.token_table()[0] as u32).collect();
        let mut loader =
            Loader::new(&mut checkpoint, &device, Some(&rows)).with_precision(Precision::Bf16);
        let restricted = Pretrained::load(&config, &mut loader).unwrap();
        let whole = load(name, Precision::F32, false, &device);
        let rounded = whole
            .backbone
            .token_embedding()
            .weight
            .val()
            .cast(DType::BF16)
            .into_data();
        assert_eq!(
            restricted.token_embedding().weight.val().into_data(),
            rounded
        );
        assert_eq!(
            model.backbone.token_embedding().weight.val().into_data(),
            rounded
        );
    }
}

#[test]
fn a_model_that_is_trained_whole_keeps_its_weights_in_f32_and_computes_the_same() {
    let device = Device::flex();
    for name in [
        "opt_post_ln",
        "llama_untied",
        "bert",
        "esm_rotary",
        "dnabert2",
    ] {
        let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
        let tokens = batch.to_tokens(&device);
        let frozen = load(name, Precision::Bf16, false, &device);
        let masters = load(name, Precision::Bf16, true, &device);
        let mut states = Vec::new();
        let mut keep = |state: &Tensor<3>| states.push(state.dtype());
        let noise = Noise::off();
        masters.backbone.forward_with(&tokens, &noise, &mut keep);
        assert!(states.iter().all(|dtype| *dtype == DType::BF16), "{name}");
        // Weights are rounded when they are read, or when they are used.
        let of = |model: &Classifier| model.forward(&tokens, &noise).into_data();
        assert_eq!(of(&frozen), of(&masters), "{name}");
        for (path, projection) in masters.backbone.projections() {
            assert_eq!(
                projection.base.weight.val().dtype(),
                DType::F32,
                "{name} {path}"
            );
        }
        assert_eq!(masters.num_params(), frozen.num_params());
    }
}
