//! Metrics of a classifier, as scikit-learn computes them, in f64 over plain data.

mod curve;
mod labels;
mod name;
mod scores;
mod table;

pub use curve::Ranking;
pub use labels::{LabelScores, holds, sigmoid};
pub use name::MetricName;
pub use scores::{MetricError, Scores, predictions, probabilities};
pub use table::ConfusionTable;
