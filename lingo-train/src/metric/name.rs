//! The metrics by name, as run files and records write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A metric of [`Scores`](super::Scores).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricName {
    /// Mean cross-entropy: of the softmax over classes, or of the sigmoid of each label that is known.
    Loss,
    /// Share of right predictions: of examples, or of all labels that are known.
    Accuracy,
    /// Matthews' correlation coefficient; of labels, the mean of theirs.
    Mcc,
    /// F1, macro average over classes, or that of labels' positives over labels.
    F1,
    /// Precision, macro average as for F1.
    Precision,
    /// Recall, macro average as for F1.
    Recall,
    /// Area under the ROC curve; more than two classes: macro one-vs-rest; labels: macro.
    Auroc,
    /// Average precision; more than two classes: macro one-vs-rest; labels: macro.
    Auprc,
    /// Brier score; more than two classes: summed over them; labels: the mean over all that is known.
    Brier,
}

impl MetricName {
    /// Every metric, in the order of reports.
    pub const ALL: [MetricName; 9] = [
        MetricName::Loss,
        MetricName::Accuracy,
        MetricName::Mcc,
        MetricName::F1,
        MetricName::Precision,
        MetricName::Recall,
        MetricName::Auroc,
        MetricName::Auprc,
        MetricName::Brier,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            MetricName::Loss => "loss",
            MetricName::Accuracy => "accuracy",
            MetricName::Mcc => "mcc",
            MetricName::F1 => "f1",
            MetricName::Precision => "precision",
            MetricName::Recall => "recall",
            MetricName::Auroc => "auroc",
            MetricName::Auprc => "auprc",
            MetricName::Brier => "brier",
        }
    }

    /// Whether a higher value is the better one.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, MetricName::Loss | MetricName::Brier)
    }

    /// Whether it is undefined where all examples are alike, in their class or in each label.
    pub fn needs_two_labels(self) -> bool {
        matches!(self, MetricName::Auroc | MetricName::Auprc)
    }

    /// Whether `new` is strictly better than `old`; a value that is not a number never is, and always loses.
    pub fn is_better(self, new: f64, old: f64) -> bool {
        if new.is_nan() || old.is_nan() {
            return !new.is_nan();
        }
        if self.higher_is_better() {
            new > old
        } else {
            new < old
        }
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
