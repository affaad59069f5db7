//! All metrics of one evaluation.

use serde::{Deserialize, Serialize};

use super::{ConfusionTable, LabelScores, MetricName, Ranking};

/// Why metrics cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// There is nothing to score.
    #[error("there are no examples to score")]
    Empty,
    /// A classifier needs at least two classes.
    #[error("there are {classes} classes; a classifier has at least 2")]
    Classes {
        /// The number of classes given.
        classes: usize,
    },
    /// Logits and labels do not belong together.
    #[error("{logits} logits do not fit {labels} examples with {classes} outputs each")]
    Shape {
        /// Logits given.
        logits: usize,
        /// Labels given.
        labels: usize,
        /// Outputs an example.
        classes: usize,
    },
    /// A label names no class.
    #[error("example {example} has label {label}, the classes are 0 to {}", classes - 1)]
    Label {
        /// Row of the example.
        example: usize,
        /// Its label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The model has diverged, or its weights are broken.
    #[error(
        "example {example} has a logit that is not finite ({value}); the model has diverged (try a lower \
         learning_rate or max_grad_norm = 1) or its weights are broken"
    )]
    NotFinite {
        /// Row of the example.
        example: usize,
        /// The logit.
        value: f32,
    },
}

/// All metrics of one evaluation, as scikit-learn computes them from the same logits.
///
/// ```
/// use lingo_train::metric::{MetricName, Scores};
///
/// let logits = [0.2, 1.1, 2.0, -1.0, 0.5, 0.4, -0.3, 0.9]; // [B, C]
/// let scores = Scores::from_logits(&logits, 2, &[1, 0, 1, 1])?;
/// assert_eq!(scores.accuracy, 0.75);
/// assert_eq!(scores.get(MetricName::Auroc), Some(1.0));
/// # Ok::<(), lingo_train::metric::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Number of examples.
    pub examples: usize,
    /// Mean cross-entropy, softmax's or sigmoid's.
    pub loss: f64,
    /// Share of right predictions; for labels, of all that are known.
    pub accuracy: f64,
    /// Matthews' correlation coefficient; for labels, the mean of theirs.
    pub mcc: f64,
    /// Macro F1 over the classes that occur among labels or predictions, or over labels of which anything is known.
    pub f1: f64,
    /// Macro precision, 0 for a class never predicted.
    pub precision: f64,
    /// Macro recall, 0 for a class without labels.
    pub recall: f64,
    /// Area under the ROC curve: of class 1 for two classes, else the mean one-vs-rest over the classes where it
    /// is defined; for labels, the mean where it is defined. `None` where it is nowhere.
    pub auroc: Option<f64>,
    /// Average precision, averaged as `auroc` is.
    pub auprc: Option<f64>,
    /// Brier score: of class 1 for two classes, else summed over the classes; for labels, the mean over all that is known.
    pub brier: f64,
    /// Of labels: share of examples all of whose known labels are predicted right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_match: Option<f64>,
    /// Classes or labels left out of `auroc` and `auprc`, because every example has it or none has. For two classes
    /// both or neither.
    #[serde(alias = "classes_without_auc")]
    pub without_auc: usize,
    /// The labels one by one; none for classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelScores>,
}

impl Scores {
    /// Scores logits, row-major, against labels.
    ///
    /// # Shapes
    /// `logits` `[B, C]`, `labels` `[B]`, each below C = `classes`.
    ///
    /// # Errors
    /// If there is nothing to score, sizes or labels do not fit, or a logit is not finite.
    pub fn from_logits(
        logits: &[f32],
        classes: usize,
        labels: &[usize],
    ) -> Result<Scores, MetricError> {
        check(logits, classes, labels)?;
        let examples = labels.len();
        let probabilities = probabilities(logits, classes);
        let table = ConfusionTable::new(classes, labels, &predictions(logits, classes));
        // Of two classes one ranking is the other's reverse.
        let ranked = if classes == 2 { 1..2 } else { 0..classes };
        let rankings: Vec<Ranking> = ranked
            .map(|class| one_vs_rest(&probabilities, classes, labels, class))
            .collect();
        let undefined = rankings.iter().filter(|of| of.auroc.is_none()).count();
        Ok(Scores {
            examples,
            loss: cross_entropy(logits, classes, labels),
            accuracy: table.accuracy(),
            mcc: table.mcc(),
            f1: table.f1(),
            precision: table.precision(),
            recall: table.recall(),
            auroc: mean(rankings.iter().filter_map(|of| of.auroc)),
            auprc: mean(rankings.iter().filter_map(|of| of.average_precision)),
            brier: brier(&probabilities, classes, labels),
            exact_match: None,
            without_auc: undefined * classes / rankings.len(),
            labels: Vec::new(),
        })
    }

    /// A metric by name; `None` where it is undefined.
    pub fn get(&self, name: MetricName) -> Option<f64> {
        match name {
            MetricName::Loss => Some(self.loss),
            MetricName::Accuracy => Some(self.accuracy),
            MetricName::Mcc => Some(self.mcc),
            MetricName::F1 => Some(self.f1),
            MetricName::Precision => Some(self.precision),
            MetricName::Recall => Some(self.recall),
            MetricName::Auroc => self.auroc,
            MetricName::Auprc => self.auprc,
            MetricName::Brier => Some(self.brier),
        }
    }
}

fn check(logits: &[f32], classes: usize, labels: &[usize]) -> Result<(), MetricError> {
    if labels.is_empty() {
        return Err(MetricError::Empty);
    }
    if classes < 2 {
        return Err(MetricError::Classes { classes });
    }
    if logits.len() != labels.len() * classes {
        let (logits, labels) = (logits.len(), labels.len());
        return Err(MetricError::Shape {
            logits,
            labels,
            classes,
        });
    }
    for (example, (row, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        if label >= classes {
            return Err(MetricError::Label {
                example,
                label,
                classes,
            });
        }
        if let Some(&value) = row.iter().find(|logit| !logit.is_finite()) {
            return Err(MetricError::NotFinite { example, value });
        }
    }
    Ok(())
}

/// Softmax over the classes of each row, in f64.
///
/// # Shapes
/// `logits` [B, C] to [B, C], C = `classes`.
///
/// # Panics
/// If `classes` is 0.
pub fn probabilities(logits: &[f32], classes: usize) -> Vec<f64> {
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let highest = highest(row);
        let weights = row.iter().map(|&logit| (f64::from(logit) - highest).exp());
        let sum: f64 = weights.clone().sum();
        probabilities.extend(weights.map(|weight| weight / sum));
    }
    probabilities
}

/// The class with the highest logit of each row; the first of them where several are.
///
/// # Shapes
/// `logits` `[B, C]` to `[B]`, C = `classes`.
///
/// # Panics
/// If `classes` is 0.
pub fn predictions(logits: &[f32], classes: usize) -> Vec<usize> {
    let first_highest = |row: &[f32]| {
        (1..classes).fold(
            0,
            |best, class| if row[class] > row[best] { class } else { best },
        )
    };
    logits.chunks_exact(classes).map(first_highest).collect()
}

fn highest(row: &[f32]) -> f64 {
    f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

fn cross_entropy(logits: &[f32], classes: usize, labels: &[usize]) -> f64 {
    let total: f64 = logits
        .chunks_exact(classes)
        .zip(labels)
        .map(|(row, &label)| {
            let highest = highest(row);
            let sum: f64 = row
                .iter()
                .map(|&logit| (f64::from(logit) - highest).exp())
                .sum();
            sum.ln() + highest - f64::from(row[label])
        })
        .sum();
    total / labels.len() as f64
}

fn one_vs_rest(probabilities: &[f64], classes: usize, labels: &[usize], class: usize) -> Ranking {
    let scores = probabilities.iter().skip(class).step_by(classes).copied();
    let positive = labels.iter().map(|&label| label == class);
    Ranking::new(scores.zip(positive).collect())
}

fn brier(probabilities: &[f64], classes: usize, labels: &[usize]) -> f64 {
    let first = if classes == 2 { 1 } else { 0 };
    let total: f64 = probabilities
        .chunks_exact(classes)
        .zip(labels)
        .flat_map(|(row, &label)| {
            (first..classes).map(move |class| row[class] - f64::from(u8::from(label == class)))
        })
        .map(|difference| difference * difference)
        .sum();
    total / labels.len() as f64
}

/// The mean of what there is.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        classes: usize,
        labels: Vec<usize>,
        logits: Vec<f32>,
        expected: serde_json::Map<String, serde_json::Value>,
        classes_without_auc: usize,
    }

    fn cases() -> Vec<Case> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/metrics.json"
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_metric_equals_scikit_learns() {
        let cases = cases();
        assert!(cases.len() >= 6);
        for case in cases {
            let scores = Scores::from_logits(&case.logits, case.classes, &case.labels).unwrap();
            assert_eq!(case.expected.len(), MetricName::ALL.len(), "{}", case.name);
            for metric in MetricName::ALL {
                let expected = case.expected[metric.name()].as_f64();
                let found = scores.get(metric);
                let near = match (found, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                    (a, b) => a.is_none() && b.is_none(),
                };
                assert!(
                    near,
                    "{}: {metric} is {found:?}, scikit-learn has {expected:?}",
                    case.name
                );
            }
            assert_eq!(
                scores.without_auc, case.classes_without_auc,
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn a_logit_that_is_not_a_number_is_an_error_that_names_the_example() {
        let error = Scores::from_logits(&[0.0, 1.0, f32::NAN, 0.0], 2, &[0, 1]).unwrap_err();
        assert!(matches!(error, MetricError::NotFinite { example: 1, .. }));
        assert!(error.to_string().contains("example 1"));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let of = |logits: &[f32], classes, labels: &[usize]| {
            Scores::from_logits(logits, classes, labels).unwrap_err()
        };
        assert_eq!(of(&[], 2, &[]), MetricError::Empty);
        assert_eq!(of(&[1.0], 1, &[0]), MetricError::Classes { classes: 1 });
        assert!(matches!(
            of(&[1.0; 3], 2, &[0, 1]),
            MetricError::Shape { logits: 3, .. }
        ));
        assert!(matches!(
            of(&[1.0; 4], 2, &[0, 2]),
            MetricError::Label {
                example: 1,
                label: 2,
                ..
            }
        ));
    }

    #[test]
    fn the_better_of_two_values_depends_on_the_metric_and_nan_always_loses() {
        assert!(MetricName::Mcc.is_better(0.5, 0.4));
        assert!(!MetricName::Mcc.is_better(0.5, 0.5));
        assert!(MetricName::Loss.is_better(0.4, 0.5));
        assert!(!MetricName::Loss.is_better(f64::NAN, 0.5));
        assert!(MetricName::Loss.is_better(0.5, f64::NAN));
    }

    #[test]
    fn metric_names_are_those_that_records_are_written_with() {
        for metric in MetricName::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
    }
}
