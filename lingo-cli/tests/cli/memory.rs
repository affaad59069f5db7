//! What saves memory: 16 bits, and layers that are computed again.

use crate::place::{Place, refused, succeeded};

/// The differences of two columns.
fn differences(a: &Place, b: &Place, name: &str) -> Vec<f64> {
    let of = |place: &Place| place.csv("run/train.csv").numbers(name);
    let (a, b) = (of(a), of(b));
    assert_eq!((a.len(), b.len()), (48, 48));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect()
}

/// The largest difference of two columns.
fn apart(a: &Place, b: &Place, name: &str) -> f64 {
    differences(a, b, name).into_iter().fold(0.0, f64::max)
}

#[test]
fn recomputed_layers_give_the_same_losses_and_ranks() {
    let method = "adaptive-rank-sampling";
    let plain = Place::trained(method, &[]);
    let again = Place::trained(method, &["--set", "train.gradient_checkpointing=true"]);
    let loss = apart(&plain, &again, "loss");
    assert!(loss < 1e-3, "{loss}");
    assert_eq!(plain.text("run/ranks.csv"), again.text("run/ranks.csv"));
}

#[test]
fn a_run_in_16_bits_follows_one_in_32_and_is_scored_in_what_it_was_trained_in() {
    for method in ["lora", "full"] {
        let exact = Place::trained(method, &[]);
        for precision in ["bf16", "f16"] {
            let set = format!("train.precision={precision}");
            let place = Place::trained(method, &["--set", &set]);
            // Of single steps, some grow apart at this learning rate.
            let losses = differences(&exact, &place, "loss");
            let loss = losses.iter().sum::<f64>() / 48.0;
            assert!(loss > 0.0 && loss < 0.04, "{method} {precision}: {loss}");

            let manifest = place.json("run/best/adapter.json");
            assert_eq!(manifest["precision"], precision);
            let bytes = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            assert!(
                file.iter()
                    .all(|(_, view)| view.dtype() == safetensors::Dtype::F32)
            );

            let eval = |more: &[&str]| -> serde_json::Value {
                let args = ["eval", "run", "--data", "data", "--json"];
                let output = place.lingo(&[&args[..], more].concat());
                succeeded(&output);
                serde_json::from_slice(&output.stdout).unwrap()
            };
            let (own, exact) = (eval(&[]), eval(&["--precision", "f32"]));
            let result = place.json("run/result.json");
            let loss = |scores: &serde_json::Value| scores["loss"].as_f64().unwrap();
            let far = (loss(&own) - loss(&result["test"])).abs();
            assert!(far < 1e-6, "{method} {precision}: {far}");
            let far = (loss(&own) - loss(&exact)).abs();
            assert!(far > 0.0 && far < 0.02, "{method} {precision}: {far}");
        }
    }
}

#[test]
fn a_precision_that_is_none_is_refused_before_anything_is_loaded() {
    let place = Place::new();
    place.run_file("lora");
    refused(
        &place.train(&["--set", "train.precision=f8"]),
        &["train.precision", "f32, bf16, f16"],
    );
    assert!(!place.path("run").exists());
}
