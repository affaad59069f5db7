//! Metrics of labels that each hold or not, where some may be unknown.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::scores::mean;
use super::{ConfusionTable, MetricError, Ranking, Scores};

/// How well one label is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// The label.
    pub label: String,
    /// Examples for which it holds.
    pub positives: usize,
    /// Examples for which it does not.
    pub negatives: usize,
    /// Examples for which nobody knows; they count nowhere.
    pub unknown: usize,
    /// Area under its ROC curve, where there are positives and negatives.
    pub auroc: Option<f64>,
    /// Its average precision, where there are positives and negatives.
    pub auprc: Option<f64>,
}

/// The probability of each logit, in f64.
pub fn sigmoid(logit: f32) -> f64 {
    let decay = (-f64::from(logit).abs()).exp();
    match logit < 0.0 {
        true => decay / (1.0 + decay),
        false => 1.0 / (1.0 + decay),
    }
}

/// Whether a logit says that its label holds: by a probability above one half.
pub fn holds(logit: f32) -> bool {
    logit > 0.0
}

/// -ln of the probability that a logit gives to the truth.
fn surprise(logit: f32, truth: bool) -> f64 {
    let logit = f64::from(logit);
    let against = if truth { -logit } else { logit };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

impl Scores {
    /// Scores logits of labels called `names` against what is known of them.
    ///
    /// Loss, accuracy and Brier are means over all that is known; MCC, F1, precision and recall, of predictions at one
    /// half, are means over the labels of which anything is known, AUROC and AUPRC over those that hold for some
    /// examples and not for others. An example counts where any of its labels is known.
    ///
    /// # Shapes
    /// `logits` `[B, C]` row by row, `marks` `[B][C]`; C is the number of `names`.
    ///
    /// # Errors
    /// If nothing is known, sizes do not fit, or a logit is not finite.
    pub fn from_marks(
        logits: &[f32],
        names: &[String],
        marks: &[&[Option<bool>]],
    ) -> Result<Scores, MetricError> {
        check(logits, names.len(), marks)?;
        let labels: Vec<OfLabel> = names
            .par_iter()
            .enumerate()
            .map(|(label, name)| OfLabel::new(name, label, logits, names.len(), marks))
            .collect();
        let known: usize = labels.iter().map(OfLabel::known).sum();
        if known == 0 {
            return Err(MetricError::Empty);
        }
        let of_known = |of: fn(&OfLabel) -> f64| labels.iter().map(of).sum::<f64>() / known as f64;
        let of_labels = |of: fn(&ConfusionTable) -> f64| {
            let labels = labels.iter().filter(|label| label.known() > 0);
            mean(labels.map(|label| of(&label.table))).unwrap_or(f64::NAN)
        };
        let rows = logits.chunks_exact(names.len()).zip(marks);
        let rows = rows.filter(|(_, marks)| marks.iter().any(Option::is_some));
        let (mut examples, mut exact) = (0, 0);
        for (logits, marks) in rows {
            let right = |(logit, mark): (&f32, &Option<bool>)| {
                mark.is_none_or(|mark| mark == holds(*logit))
            };
            examples += 1;
            exact += usize::from(logits.iter().zip(*marks).all(right));
        }
        Ok(Scores {
            examples,
            loss: of_known(|label| label.surprise),
            accuracy: of_known(|label| label.table.correct()),
            mcc: of_labels(ConfusionTable::mcc),
            f1: of_labels(|table| table.f1_of(1)),
            precision: of_labels(|table| table.precision_of(1)),
            recall: of_labels(|table| table.recall_of(1)),
            auroc: mean(labels.iter().filter_map(|label| label.scores.auroc)),
            auprc: mean(labels.iter().filter_map(|label| label.scores.auprc)),
            brier: of_known(|label| label.squares),
            exact_match: Some(exact as f64 / examples as f64),
            without_auc: labels.iter().filter(|l| l.scores.auroc.is_none()).count(),
            labels: labels.into_iter().map(|label| label.scores).collect(),
        })
    }
}

fn check(logits: &[f32], outputs: usize, marks: &[&[Option<bool>]]) -> Result<(), MetricError> {
    if outputs == 0 || marks.is_empty() {
        return Err(MetricError::Empty);
    }
    if logits.len() != marks.len() * outputs || marks.iter().any(|row| row.len() != outputs) {
        return Err(MetricError::Shape {
            logits: logits.len(),
            labels: marks.len(),
            classes: outputs,
        });
    }
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(at) => Err(MetricError::NotFinite {
            example: at / outputs,
            value: logits[at],
        }),
        None => Ok(()),
    }
}

/// Of one label: its scores, and its part of what is computed over all of them.
struct OfLabel {
    scores: LabelScores,
    table: ConfusionTable,
    surprise: f64,
    squares: f64,
}

impl OfLabel {
    fn new(
        name: &str,
        label: usize,
        logits: &[f32],
        outputs: usize,
        marks: &[&[Option<bool>]],
    ) -> Self {
        let (mut surprise, mut squares) = (0.0, 0.0);
        let mut counts = [[0; 2]; 2];
        let mut ranked = Vec::with_capacity(marks.len());
        for (row, marks) in marks.iter().enumerate() {
            let Some(truth) = marks[label] else {
                continue;
            };
            let logit = logits[row * outputs + label];
            let probability = sigmoid(logit);
            surprise += self::surprise(logit, truth);
            squares += (probability - f64::from(u8::from(truth))).powi(2);
            counts[usize::from(truth)][usize::from(holds(logit))] += 1;
            ranked.push((probability, truth));
        }
        let known = ranked.len();
        let ranking = Ranking::new(ranked);
        Self {
            scores: LabelScores {
                label: name.to_owned(),
                positives: ranking.positives,
                negatives: ranking.negatives,
                unknown: marks.len() - known,
                auroc: ranking.auroc,
                auprc: ranking.average_precision,
            },
            table: ConfusionTable::of_two(counts),
            surprise,
            squares,
        }
    }

    fn known(&self) -> usize {
        self.scores.positives + self.scores.negatives
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::MetricName;
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        marks: Vec<Vec<Option<u8>>>,
        logits: Vec<Vec<f32>>,
        expected: serde_json::Map<String, serde_json::Value>,
        exact_match: f64,
        without_auc: usize,
        auroc: Vec<Option<f64>>,
        auprc: Vec<Option<f64>>,
        counts: Vec<[usize; 3]>,
    }

    fn cases() -> Vec<Case> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/labels.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn score(logits: &[f32], marks: &[Vec<Option<bool>>]) -> Result<Scores, MetricError> {
        let marks: Vec<&[Option<bool>]> = marks.iter().map(Vec::as_slice).collect();
        let names: Vec<String> = (0..marks[0].len()).map(|i| i.to_string()).collect();
        Scores::from_marks(logits, &names, &marks)
    }

    fn near(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs().max(1.0),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    #[test]
    fn every_metric_of_labels_equals_scikit_learns_on_what_is_known() {
        let cases = cases();
        assert!(cases.len() >= 6);
        for case in cases {
            let mark = |mark: &Option<u8>| mark.map(|mark| mark == 1);
            let row = |row: &Vec<Option<u8>>| row.iter().map(mark).collect();
            let marks: Vec<Vec<Option<bool>>> = case.marks.iter().map(row).collect();
            let scores = score(&case.logits.concat(), &marks).unwrap();
            assert_eq!(case.expected.len(), MetricName::ALL.len(), "{}", case.name);
            for metric in MetricName::ALL {
                let expected = case.expected[metric.name()].as_f64();
                let found = scores.get(metric);
                assert!(
                    near(found, expected),
                    "{}: {metric} is {found:?}, scikit-learn has {expected:?}",
                    case.name
                );
            }
            assert!(
                near(scores.exact_match, Some(case.exact_match)),
                "{}",
                case.name
            );
            assert_eq!(scores.without_auc, case.without_auc, "{}", case.name);
            assert_eq!(scores.labels.len(), case.counts.len());
            for (i, label) in scores.labels.iter().enumerate() {
                let of = format!("{}, label {i}", case.name);
                assert!(near(label.auroc, case.auroc[i]), "{of}: {label:?}");
                assert!(near(label.auprc, case.auprc[i]), "{of}: {label:?}");
                let counts = [label.positives, label.negatives, label.unknown];
                assert_eq!(counts, case.counts[i], "{of}");
            }
        }
    }

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        let (yes, no) = (Some(true), Some(false));
        let error = |logits: &[f32], marks: &[Vec<Option<bool>>]| score(logits, marks).unwrap_err();
        assert_eq!(error(&[1.0, 2.0], &[vec![None, None]]), MetricError::Empty);
        let ragged = error(&[1.0; 4], &[vec![yes, no], vec![yes]]);
        assert!(matches!(ragged, MetricError::Shape { .. }));
        let short = error(&[1.0; 3], &[vec![yes, no], vec![yes, no]]);
        assert!(matches!(short, MetricError::Shape { logits: 3, .. }));
        let infinite = error(
            &[1.0, 1.0, 1.0, f32::INFINITY],
            &[vec![yes, no], vec![yes, no]],
        );
        assert!(matches!(
            infinite,
            MetricError::NotFinite { example: 1, .. }
        ));
    }

    #[test]
    fn a_probability_never_overflows() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!((sigmoid(1e30), sigmoid(-1e30)), (1.0, 0.0));
        // 1 / (1 + e^50), by which a loss computed from the probability alone would be rounded to 0.
        assert!((surprise(50.0, true) - 1.928_749_847_963_917_7e-22).abs() < 1e-36);
        assert_eq!(surprise(-1e4, true), 1e4);
    }
}
