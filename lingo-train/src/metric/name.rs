//! The metrics by name, as run files and records write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A metric of [`Scores`](super::Scores).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricName {
    /// Mean cross-entropy.
    Loss,
    /// Share of right predictions.
    Accuracy,
    /// Matthews' correlation coefficient.
    Mcc,
    /// F1, macro average.
    F1,
    /// Precision, macro average.
    Precision,
    /// Recall, macro average.
    Recall,
    /// Area under the ROC curve; more than two classes: macro one-vs-rest.
    Auroc,
    /// Average precision; more than two classes: macro one-vs-rest.
    Auprc,
    /// Brier score; more than two classes: summed over them.
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

    /// Whether it is undefined where every example has the same label.
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
