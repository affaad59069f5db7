//! Metrics of hard predictions, from the table of labels against predictions.

/// How often each label met each prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionTable {
    classes: usize,
    /// Row: label; column: prediction.
    counts: Vec<f64>,
}

impl ConfusionTable {
    /// Counts pairs of a label and a prediction.
    ///
    /// # Panics
    /// If the lengths differ, or a label or prediction is not below `classes`.
    pub fn new(classes: usize, labels: &[usize], predictions: &[usize]) -> Self {
        assert_eq!(
            labels.len(),
            predictions.len(),
            "one prediction for each label"
        );
        let mut counts = vec![0.0; classes * classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            assert!(
                label < classes && prediction < classes,
                "labels and predictions are below {classes}"
            );
            counts[label * classes + prediction] += 1.0;
        }
        Self { classes, counts }
    }

    /// The table of a label that holds or not: `counts[truth][prediction]`.
    pub(super) fn of_two(counts: [[usize; 2]; 2]) -> Self {
        let counts = counts.as_flattened().iter();
        Self {
            classes: 2,
            counts: counts.map(|count| *count as f64).collect(),
        }
    }

    fn right(&self, class: usize) -> f64 {
        self.counts[class * self.classes + class]
    }

    fn labelled(&self, class: usize) -> f64 {
        self.counts[class * self.classes..][..self.classes]
            .iter()
            .sum()
    }

    fn predicted(&self, class: usize) -> f64 {
        self.counts.iter().skip(class).step_by(self.classes).sum()
    }

    fn total(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// How many predictions are right.
    pub(super) fn correct(&self) -> f64 {
        (0..self.classes).map(|class| self.right(class)).sum()
    }

    /// Share of right predictions.
    pub fn accuracy(&self) -> f64 {
        self.correct() / self.total()
    }

    /// Matthews' correlation coefficient, for any number of classes (Gorodkin's R_K); 0 where labels or
    /// predictions are all alike.
    pub fn mcc(&self) -> f64 {
        let total = self.total();
        let sum = |f: &dyn Fn(usize) -> f64| (0..self.classes).map(f).sum::<f64>();
        let both =
            self.correct() * total - sum(&|class| self.labelled(class) * self.predicted(class));
        let labels = total * total - sum(&|class| self.labelled(class).powi(2));
        let predictions = total * total - sum(&|class| self.predicted(class).powi(2));
        if labels == 0.0 || predictions == 0.0 {
            0.0
        } else {
            both / (labels * predictions).sqrt()
        }
    }

    pub(super) fn f1_of(&self, class: usize) -> f64 {
        ratio(
            2.0 * self.right(class),
            self.labelled(class) + self.predicted(class),
        )
    }

    pub(super) fn precision_of(&self, class: usize) -> f64 {
        ratio(self.right(class), self.predicted(class))
    }

    pub(super) fn recall_of(&self, class: usize) -> f64 {
        ratio(self.right(class), self.labelled(class))
    }

    /// Macro average of 2tp / (labelled + predicted).
    pub fn f1(&self) -> f64 {
        self.macro_average(|class| self.f1_of(class))
    }

    /// Macro average of tp / predicted, 0 for a class never predicted.
    pub fn precision(&self) -> f64 {
        self.macro_average(|class| self.precision_of(class))
    }

    /// Macro average of tp / labelled, 0 for a class without labels.
    pub fn recall(&self) -> f64 {
        self.macro_average(|class| self.recall_of(class))
    }

    /// The mean over the classes that occur among labels or predictions, as in scikit-learn.
    fn macro_average(&self, of: impl Fn(usize) -> f64) -> f64 {
        let occurs = |class: &usize| self.labelled(*class) + self.predicted(*class) > 0.0;
        let values: Vec<f64> = (0..self.classes).filter(occurs).map(of).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
