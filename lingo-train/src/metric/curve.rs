//! Metrics of a ranking: how well scores put positives before negatives.

/// How well scores rank, for one sorting of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Examples that are positive.
    pub positives: usize,
    /// Examples that are not.
    pub negatives: usize,
    /// Area under the ROC curve: the chance that a positive is scored above a negative, ties counting half. `None` where
    /// there are no positives or no negatives.
    pub auroc: Option<f64>,
    /// Precision at each distinct threshold, weighted by the recall gained there. `None` where there are no positives or
    /// no negatives.
    pub average_precision: Option<f64>,
}

impl Ranking {
    /// Ranks pairs of a score and whether it is that of a positive.
    pub fn new(mut scored: Vec<(f64, bool)>) -> Self {
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (mut area, mut precision) = (0.0, 0.0);
        let (mut true_above, mut false_above) = (0, 0);
        for tied in scored.chunk_by(|a, b| a.0 == b.0) {
            let trues = tied.iter().filter(|(_, positive)| *positive).count();
            let falses = tied.len() - trues;
            // Trapezium between the thresholds just above and at the tied score.
            area += falses as f64 * (true_above as f64 + 0.5 * trues as f64);
            true_above += trues;
            false_above += falses;
            precision += trues as f64 * true_above as f64 / (true_above + false_above) as f64;
        }
        let (positives, negatives) = (true_above, false_above);
        let both = positives > 0 && negatives > 0;
        Self {
            positives,
            negatives,
            auroc: both.then(|| area / (positives as f64 * negatives as f64)),
            average_precision: both.then(|| precision / positives as f64),
        }
    }

    /// Ranks scores with what they are of.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn of(scores: &[f64], positive: &[bool]) -> Self {
        assert_eq!(scores.len(), positive.len(), "one score for each label");
        Self::new(
            scores
                .iter()
                .copied()
                .zip(positive.iter().copied())
                .collect(),
        )
    }
}
