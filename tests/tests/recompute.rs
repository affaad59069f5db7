//! Gradient checkpointing: the same gradients from the graph of one layer at a time.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::adapter::LowRankConfig;
use lingo_core::models::{Classifier, recompute};
use lingo_core::nn::Noise;
use lingo_core::nn::noise::MaskSource;
use lingo_tests::{Expected, classifier, distance, fixture, magnitude};
use lingo_train::data::Label;

/// An architecture that is trained whole, with an adapter on every matrix.
fn model(name: &str, device: &Device) -> Classifier {
    let mut model = classifier(&fixture(name), device).set_require_grad(true);
    let adapter = LowRankConfig {
        rank: 3,
        alpha: 6.0,
        dropout: 0.3,
        singular_values: false,
    };
    let all: Vec<usize> = (0..model.projection_paths().len()).collect();
    model.attach(&all, &adapter, 7);
    model
}

struct Values<'a> {
    gradients: &'a GradientsParams,
    found: BTreeMap<String, TensorData>,
    path: Vec<String>,
}

impl ModuleVisitor for Values<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.insert(self.path.join("."), gradient.into_data());
        }
    }
}

fn values(model: &Classifier, gradients: &GradientsParams) -> BTreeMap<String, TensorData> {
    let mut values = Values {
        gradients,
        found: BTreeMap::new(),
        path: Vec::new(),
    };
    model.visit(&mut values);
    values.found
}

#[test]
fn gradients_of_every_parameter_are_those_of_the_whole_graph_dropout_included() {
    let device = Device::flex().autodiff();
    for name in [
        "opt_pre_ln",
        "opt_post_ln",
        "llama_tied",
        "llama_untied",
        "bert",
        "dnabert2",
        "esm_learned",
        "esm_rotary",
        "esm_gated",
    ] {
        let model = model(name, &device);
        let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
        let tokens = batch.to_tokens(&device);
        let labels = batch.labels.iter().filter_map(Label::class);
        let labels: Vec<i64> = labels.map(|class| class as i64).collect();
        let targets = TensorData::new(labels, [batch.shape[0]]);
        let loss = |logits| {
            let targets = Tensor::<1, Int>::from_data(targets.clone(), &device);
            let loss = CrossEntropyLossConfig::new().init(&device);
            loss.forward(logits, targets)
        };
        let noise = || Noise::new(MaskSource::Host, &device, 5, 2, 0..batch.shape[0]);

        let whole = loss(model.forward(&tokens, &noise()));
        let expected = (whole.clone() * 0.5).backward();
        let expected = values(&model, &GradientsParams::from_grads(expected, &model));
        let (value, found) = recompute::gradients(&model, &tokens, &noise(), 0.5, loss);
        let found = values(&model, &found);

        assert_eq!(value.into_data(), whole.into_data(), "{name}");
        let names = |values: &BTreeMap<String, TensorData>| values.keys().cloned().collect();
        let (expected_names, found_names): (Vec<String>, Vec<String>) =
            (names(&expected), names(&found));
        assert_eq!(found_names, expected_names, "{name}");
        let trained = model.num_params();
        let reached: usize = expected.values().map(TensorData::num_elements).sum();
        assert!(2 * reached > trained, "{name}: {reached} of {trained}");
        for (path, expected) in &expected {
            let far = distance(&found[path], expected);
            assert!(far <= 1e-6 * magnitude(expected), "{name} {path}: {far}");
        }
    }
}

#[test]
fn a_frozen_backbone_is_left_alone_and_masks_of_the_device_are_drawn_again() {
    let device = Device::flex().autodiff();
    let mut model = classifier(&fixture("opt_pre_ln"), &device);
    let adapter = LowRankConfig {
        rank: 3,
        alpha: 6.0,
        dropout: 0.3,
        singular_values: false,
    };
    model.attach(&[1, 8], &adapter, 7);
    let batch = Expected::read("opt_pre_ln/expected.safetensors").batch("");
    let tokens = batch.to_tokens(&device);
    let run = || {
        let noise = Noise::new(MaskSource::Device, &device, 5, 2, 0..batch.shape[0]);
        let loss = |logits: Tensor<2>| logits.square().sum();
        let (value, gradients) = recompute::gradients(&model, &tokens, &noise, 1.0, loss);
        (value.into_data(), values(&model, &gradients))
    };
    let (first, again) = (run(), run());
    // P is zero at first, so that Q has no gradient but a zero one.
    assert_eq!(first.1.len(), 4);
    assert_eq!(first, again);
}
