//! Early stopping: whether the evaluations so far say that more training brings nothing.

use crate::metric::MetricName;

/// When a run ends before its last step.
///
/// ```
/// use lingo_train::metric::MetricName;
/// use lingo_train::stopping::Stopping;
///
/// let stopping = Stopping {
///     metric: MetricName::Mcc,
///     patience: 2,
///     min_delta: 0.01,
/// };
/// assert!(!stopping.is_due([0.30, 0.42, 0.40]));
/// assert!(stopping.is_due([0.30, 0.42, 0.40, 0.425]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stopping {
    /// What is watched on dev; its direction is its own.
    pub metric: MetricName,
    /// Evaluations in a row without improvement that end the run; 0 for never.
    pub patience: usize,
    /// What a value must be better by than the best one, to be an improvement.
    pub min_delta: f64,
}

impl Stopping {
    /// How many evaluations have passed since the last improvement, given the values of all that count, in their
    /// order. A value that is not a number is no improvement.
    pub fn waited(&self, values: impl IntoIterator<Item = f64>) -> usize {
        let mut best = f64::NAN;
        let mut waited = 0;
        for value in values {
            waited += 1;
            if self.improves(value, best) {
                (best, waited) = (value, 0);
            }
        }
        waited
    }

    /// Whether the run ends behind the last of these values.
    pub fn is_due(&self, values: impl IntoIterator<Item = f64>) -> bool {
        self.patience > 0 && self.waited(values) >= self.patience
    }

    fn improves(&self, value: f64, best: f64) -> bool {
        let needed = match self.metric.higher_is_better() {
            true => best + self.min_delta,
            false => best - self.min_delta,
        };
        self.metric.is_better(value, needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    fn stopping(metric: MetricName, patience: usize, min_delta: f64) -> Stopping {
        Stopping {
            metric,
            patience,
            min_delta,
        }
    }

    /// The evaluation, counted from 1, behind which a run with these values stops.
    fn stops_at(stopping: Stopping, values: &[f64]) -> Option<usize> {
        (1..=values.len()).find(|n| stopping.is_due(values[..*n].iter().copied()))
    }

    #[test]
    fn as_long_as_values_improve_training_goes_on() {
        let rising = [0.1, 0.2, 0.3, 0.4, 0.5];
        let falling = [0.5, 0.4, 0.3, 0.2, 0.1];
        assert_eq!(stops_at(stopping(MetricName::Mcc, 1, 0.0), &rising), None);
        assert_eq!(stops_at(stopping(MetricName::Loss, 1, 0.0), &falling), None);
        assert_eq!(
            stops_at(stopping(MetricName::Mcc, 1, 0.0), &falling),
            Some(2)
        );
        assert_eq!(
            stops_at(stopping(MetricName::Loss, 3, 0.0), &rising),
            Some(4)
        );
    }

    #[test]
    fn a_plateau_is_no_improvement() {
        let flat = [0.5; 6];
        assert_eq!(
            stops_at(stopping(MetricName::Auroc, 4, 0.0), &flat),
            Some(5)
        );
        assert_eq!(stops_at(stopping(MetricName::Auroc, 6, 0.0), &flat), None);
    }

    #[test]
    fn patience_begins_anew_at_each_improvement() {
        let values = [0.3, 0.2, 0.4, 0.3, 0.2, 0.5, 0.1, 0.1, 0.1];
        assert_eq!(
            stops_at(stopping(MetricName::Mcc, 3, 0.0), &values),
            Some(9)
        );
        assert_eq!(
            stops_at(stopping(MetricName::Mcc, 2, 0.0), &values),
            Some(5)
        );
    }

    #[test]
    fn an_improvement_by_no_more_than_min_delta_does_not_count_however_often() {
        // From the value that counted last, 1.0, on: 0.75 is the first that is better by more than 0.2.
        let values = [1.0, 0.9, 0.875, 0.75, 0.7, 0.65];
        let by = |min_delta| stopping(MetricName::Loss, 3, min_delta);
        assert_eq!(by(0.2).waited(values), 2);
        assert_eq!(stops_at(by(0.2), &values), None);
        assert_eq!(stops_at(by(0.25), &values), Some(4));
        assert_eq!(stops_at(by(0.0), &values), None);
        // Exactly by min_delta is not better by more.
        assert_eq!(by(0.25).waited([1.0, 0.75]), 1);
    }

    #[test]
    fn a_value_that_is_undefined_counts_as_no_improvement_and_is_never_the_best() {
        let values = [NAN, 0.5, NAN, NAN, 0.6];
        assert_eq!(stops_at(stopping(MetricName::Auroc, 3, 0.0), &values), None);
        assert_eq!(
            stops_at(stopping(MetricName::Auroc, 2, 0.0), &values),
            Some(4)
        );
        assert_eq!(
            stops_at(stopping(MetricName::Auroc, 2, 0.0), &[NAN; 3]),
            Some(2)
        );
    }

    #[test]
    fn the_first_evaluation_is_an_improvement_and_none_is_nothing_to_stop_for() {
        let impatient = stopping(MetricName::Mcc, 1, 0.5);
        assert!(!impatient.is_due([]));
        assert!(!impatient.is_due([-1.0]));
        assert!(impatient.is_due([-1.0, -0.9]));
        assert!(!stopping(MetricName::Mcc, 0, 0.0).is_due([0.5; 100]));
    }
}
