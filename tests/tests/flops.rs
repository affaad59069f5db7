//! FLOPs of a training step against PyTorch's own counter (tools/flops_reference.py).

#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use lingo_core::flops::{Flops, StepFlops};
use lingo_core::models::{Classifier, Pretrained};
use lingo_core::nn::{AddedTokens, Loader};
use lingo_tests::fixture;
use lingo_train::config::{AdapterConfig, Method, RunConfig};
use lingo_train::flops::reference_step;
use lingo_train::run::adapt;
use serde::Deserialize;
use weights_import::Checkpoint;

const CLASSES: usize = 3;

#[derive(Deserialize)]
struct Case {
    model: String,
    shape: [usize; 2],
    method: Method,
    targets: Vec<String>,
    rank: usize,
    trained_rows: bool,
    forward: u64,
    backward: u64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(fixture("flops.json")).unwrap()).unwrap()
}

impl Case {
    fn adapter(&self) -> AdapterConfig {
        AdapterConfig {
            method: self.method,
            targets: self.targets.clone(),
            rank: self.rank,
            initial_rank: self.rank,
            ..AdapterConfig::default()
        }
    }

    fn check(&self, step: StepFlops) {
        let of = |flops: Flops| flops.of_batch(self.shape);
        let backward = of(step.activations) + of(step.weights);
        assert_eq!(
            (of(step.forward), backward),
            (self.forward, self.backward),
            "{}, {} of {:?}, trained rows: {}",
            self.model,
            self.method.name(),
            self.targets,
            self.trained_rows
        );
        assert_eq!(of(step.total()), self.forward + self.backward);
    }
}

#[test]
fn counts_are_pytorchs_for_every_architecture_method_and_depth_of_gradients() {
    let device = Device::flex().autodiff();
    for case in cases() {
        let model = Checkpoint::shape(&fixture(&case.model)).unwrap();
        let added = AddedTokens {
            count: if case.trained_rows { 5 } else { 0 },
            seed: 1,
        };
        let mut loader = Loader::of_shapes(&device).with_added_tokens(added);
        let backbone = Pretrained::load(&model, &mut loader).unwrap();
        let classifier = Classifier::with_new_head(backbone, model.head(), CLASSES, 1);
        let (classifier, _) = adapt(classifier, &model, &case.adapter(), 1).unwrap();
        case.check(StepFlops::of(&classifier, &*model));
    }
}

#[test]
fn a_model_with_weights_counts_as_its_shape_does() {
    let device = Device::flex().autodiff();
    for case in cases().iter().filter(|case| !case.trained_rows) {
        let mut checkpoint = Checkpoint::open(&fixture(&case.model)).unwrap();
        let model = checkpoint.config().clone();
        let mut loader = Loader::new(&mut checkpoint, &device, None);
        let backbone = Pretrained::load(&model, &mut loader).unwrap();
        let classifier = Classifier::with_new_head(backbone, model.head(), CLASSES, 1);
        let (classifier, _) = adapt(classifier, &model, &case.adapter(), 1).unwrap();
        case.check(StepFlops::of(&classifier, &*model));
    }
}

#[test]
fn the_reference_is_opt_125m_under_adaptive_rank_sampling_whatever_the_run_trains() {
    // What tools/flops_reference.py counts by hand for OPT-125M: 276 tokens, of which 14 are the prompt's.
    let by_hand = 833_044_488_192.0;
    let quickstart = fixture("../../configs/quickstart.toml");
    let load = |set: &[(&str, &str)]| {
        let set: Vec<_> = set
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        RunConfig::load(&quickstart, &set).unwrap()
    };
    let device = Device::flex();
    let of = |set: &[(&str, &str)]| reference_step(&load(set), 262.0 * 1.91, 2, &device).unwrap();
    let eight = of(&[("train.batch_size", "8")]);
    assert!((eight / by_hand - 1.0).abs() < 1e-4, "{eight}");
    let full = of(&[
        ("train.batch_size", "4"),
        ("train.gradient_accumulation", "2"),
        ("adapter.method", "full"),
    ]);
    assert_eq!(full, eight);
    assert_eq!(of(&[("train.flops_reference", "5e11")]), 5e11);
}
