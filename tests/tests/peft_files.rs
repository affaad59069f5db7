//! Adapters as PEFT saves them (tools/peft_adapters.py), read and written again.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use lingo_core::adapter::LowRank;
use lingo_core::models::Classifier;
use lingo_core::nn::Noise;
use lingo_tests::{Expected, classifier, distance, fixture};
use weights_import::Checkpoint;
use weights_import::peft::PeftAdapter;

const TOLERANCE: f32 = 1e-4;
const MODELS: [&str; 4] = ["opt_pre_ln", "llama_tied", "esm_rotary", "bert"];

/// Puts the adapter and its head on a model that has a head.
fn put_on(mut model: Classifier, adapter: &PeftAdapter, device: &Device) -> Classifier {
    let paths = model.projection_paths();
    let mut left: Vec<&String> = adapter.matrices.keys().collect();
    for (path, projection) in paths.iter().zip(model.backbone.projections_mut()) {
        let Some(factors) = adapter.matrices.get(path) else {
            continue;
        };
        left.retain(|name| *name != path);
        let factors = factors.clone();
        let [p, q] = [factors.p, factors.q].map(|data| Tensor::from_data(data, device));
        let lambda = factors.lambda.map(|data| Tensor::from_data(data, device));
        projection.adapter = Some(LowRank::new(p, q, lambda, adapter.scale, 0.0));
    }
    assert!(left.is_empty(), "{left:?} are no matrices of the model");
    let linear = |layer: &str| -> Option<Linear> {
        let tensor = |end: &str| adapter.head.get(&format!("{layer}.{end}")).cloned();
        let weight: Tensor<2> = Tensor::from_data(tensor("weight")?, device);
        Some(Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: tensor("bias").map(|data| Param::from_tensor(Tensor::from_data(data, device))),
        })
    };
    let layout = model.layout().clone();
    model.score = linear(layout.output).expect("the adapter has a head");
    if let Some(pooler) = layout.pooler.and_then(linear) {
        model.pooler = Some(pooler);
    }
    model
}

/// The logits of the model's own batch, with the adapter.
fn logits(name: &str, adapter: &PeftAdapter) -> burn::tensor::TensorData {
    let device = Device::flex();
    let model = put_on(classifier(&fixture(name), &device), adapter, &device);
    let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
    model
        .forward(&batch.to_tokens(&device), &Noise::off())
        .into_data()
}

#[test]
fn logits_with_pefts_adapters_equal_pefts() {
    for name in MODELS {
        let config = Checkpoint::open(&fixture(name)).unwrap().config().clone();
        for kind in ["lora", "adalora"] {
            let folder = format!("peft/{name}_{kind}");
            let adapter = PeftAdapter::open(&fixture(&folder), &config).unwrap();
            assert_eq!(adapter.singular_values, kind == "adalora");
            assert_eq!(adapter.base_model.as_deref(), Some(name));
            // Three layers of four matrices, of which AdaLoRA pruned some altogether.
            let pruned = adapter.matrices.len() < 12;
            assert_eq!(pruned, kind == "adalora", "{folder}");
            let expected = Expected::read(&format!("{folder}/expected.safetensors")).f32("logits");
            let far = distance(&logits(name, &adapter), &expected);
            assert!(far < TOLERANCE, "{folder}: {far}");
        }
    }
}

#[test]
fn rank_stabilised_lora_is_scaled_by_the_root_of_the_rank() {
    let config = Checkpoint::open(&fixture("opt_pre_ln"))
        .unwrap()
        .config()
        .clone();
    let adapter = PeftAdapter::open(&fixture("peft/opt_pre_ln_rslora"), &config).unwrap();
    assert_eq!(adapter.scale, 4.0); // 8 / √4
    let expected = Expected::read("peft/opt_pre_ln_rslora/expected.safetensors").f32("logits");
    let far = distance(&logits("opt_pre_ln", &adapter), &expected);
    assert!(far < TOLERANCE, "{far}");
}

#[test]
fn a_merged_model_gives_the_same_logits_without_adapter() {
    let device = Device::flex();
    for name in MODELS {
        let config = Checkpoint::open(&fixture(name)).unwrap().config().clone();
        for kind in ["lora", "adalora"] {
            let adapter = PeftAdapter::open(&fixture(&format!("peft/{name}_{kind}")), &config);
            let mut model = put_on(
                classifier(&fixture(name), &device),
                &adapter.unwrap(),
                &device,
            );
            model.merge();
            assert!(model.adapters().is_empty());
            let batch = Expected::read(&format!("{name}/expected.safetensors")).batch("");
            let logits = model.forward(&batch.to_tokens(&device), &Noise::off());
            let folder = format!("peft/{name}_{kind}/expected.safetensors");
            let expected = Expected::read(&folder).f32("logits");
            let far = distance(&logits.into_data(), &expected);
            assert!(far < TOLERANCE, "{name}, {kind}: {far}");
        }
    }
}

#[test]
fn a_written_adapter_gives_the_same_logits_again_also_as_lora() {
    for name in MODELS {
        let config = Checkpoint::open(&fixture(name)).unwrap().config().clone();
        for kind in ["lora", "adalora"] {
            let adapter = PeftAdapter::open(&fixture(&format!("peft/{name}_{kind}")), &config);
            let adapter = adapter.unwrap();
            let before = logits(name, &adapter);
            for form in [adapter.clone(), adapter.clone().into_lora()] {
                let folder = tempfile::tempdir().unwrap();
                form.write(folder.path(), &config).unwrap();
                let again = PeftAdapter::open(folder.path(), &config).unwrap();
                assert_eq!(again.singular_values, form.singular_values);
                let far = distance(&logits(name, &again), &before);
                assert!(far < TOLERANCE, "{name}, {kind}: {far}");
            }
        }
    }
}
