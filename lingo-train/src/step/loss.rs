//! What training lowers.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Int, Tensor, TensorData};

use crate::data::Label;

/// The mean loss `[1]` of logits `[B, C]` over what is known of their rows: softmax cross-entropy over classes, or binary
/// cross-entropy of each label's sigmoid; 0 where nothing is known.
pub(super) fn mean_loss(logits: Tensor<2>, labels: &[Label]) -> Tensor<1> {
    match labels.first() {
        Some(Label::Marks(_)) => of_marks(logits, labels),
        Some(Label::Class(_)) | None => of_classes(logits, labels),
    }
}

fn of_classes(logits: Tensor<2>, labels: &[Label]) -> Tensor<1> {
    let device = logits.device();
    let labels = labels.iter().filter_map(Label::class);
    let labels: Vec<i64> = labels.map(|class| class as i64).collect();
    let targets: Tensor<1, Int> =
        Tensor::from_data(TensorData::new(labels, [logits.dims()[0]]), &device);
    CrossEntropyLossConfig::new()
        .init(&device)
        .forward(logits, targets)
}

/// -log σ(x) of a label that holds and -log σ(-x) of one that does not: no subtraction in which small losses or large
/// logits are lost.
fn of_marks(logits: Tensor<2>, labels: &[Label]) -> Tensor<1> {
    let (device, shape) = (logits.device(), logits.dims());
    let known: usize = labels.iter().map(Label::known).sum();
    let marks = labels.iter().flat_map(Label::marks);
    let signs: Vec<f32> = marks
        .map(|mark| mark.map_or(0.0, |holds| if holds { 1.0 } else { -1.0 }))
        .collect();
    let weights: Vec<f32> = signs
        .iter()
        .map(|s| s.abs() / known.max(1) as f32)
        .collect();
    let [signs, weights] =
        [signs, weights].map(|v| Tensor::<2>::from_data(TensorData::new(v, shape), &device)); // [B, C]
    -(log_sigmoid(logits * signs) * weights).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::tensor::Device;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        marks: Vec<Vec<Option<u8>>>,
        logits: Vec<Vec<f32>>,
        loss: f64,
        gradient: Vec<Vec<f32>>,
    }

    fn labels(marks: &[Vec<Option<u8>>]) -> Vec<Label> {
        let mark = |mark: &Option<u8>| mark.map(|mark| mark == 1);
        let label = |row: &Vec<Option<u8>>| Label::Marks(row.iter().map(mark).collect());
        marks.iter().map(label).collect()
    }

    fn logits(rows: &[Vec<f32>]) -> Tensor<2> {
        let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
        Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    #[test]
    fn loss_and_gradient_of_labels_equal_torchs_with_and_without_unknown_ones() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/label_loss.json"
        );
        let cases: Vec<Case> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let logits = logits(&case.logits);
            let loss = mean_loss(logits.clone(), &labels(&case.marks));
            let gradient = logits.grad(&loss.backward()).unwrap().into_data();
            let loss = loss.into_scalar::<f64>();
            let near = |a: f64, b: f64| (a - b).abs() < 2e-7 * b.abs().max(1.0);
            assert!(
                near(loss, case.loss),
                "{}: {loss}, torch {}",
                case.name,
                case.loss
            );
            let expected = case.gradient.concat();
            let found: Vec<f32> = gradient.iter().collect();
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.into_iter().zip(expected) {
                assert!(near(a.into(), b.into()), "{}: {a}, torch {b}", case.name);
            }
        }
    }

    #[test]
    fn where_nothing_is_known_there_is_no_loss_and_no_gradient() {
        let logits = logits(&[vec![3.0, -2.0]]);
        let loss = mean_loss(logits.clone(), &labels(&[vec![None, None]]));
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
        assert!(gradient.iter::<f32>().all(|value| value == 0.0));
    }
}
