//! Metrics of a ranking: how well scores put positives before negatives.

/// Area under the ROC curve: the chance that a positive is scored above a negative, ties counting half.
///
/// `None` where there are no positives or no negatives.
///
/// # Panics
/// If the lengths differ.
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut area = 0.0;
    let (mut true_above, mut false_above) = (0.0, 0.0);
    for (trues, falses) in tied_groups(scores, positive) {
        // Trapezium between the thresholds just above and at the group's score.
        area += falses * (true_above + 0.5 * trues);
        true_above += trues;
        false_above += falses;
    }
    (true_above > 0.0 && false_above > 0.0).then(|| area / (true_above * false_above))
}

/// Average precision: precision at each distinct threshold, weighted by the recall gained there.
///
/// `None` where there are no positives or no negatives.
///
/// # Panics
/// If the lengths differ.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut sum = 0.0;
    let (mut true_above, mut false_above) = (0.0, 0.0);
    for (trues, falses) in tied_groups(scores, positive) {
        true_above += trues;
        false_above += falses;
        sum += trues * true_above / (true_above + false_above);
    }
    (true_above > 0.0 && false_above > 0.0).then(|| sum / true_above)
}

/// Positives and negatives at each distinct score, from the highest score down.
fn tied_groups(scores: &[f64], positive: &[bool]) -> Vec<(f64, f64)> {
    assert_eq!(scores.len(), positive.len(), "one score for each label");
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
        .chunk_by(|&a, &b| scores[a] == scores[b])
        .map(|group| {
            let trues = group.iter().filter(|&&i| positive[i]).count();
            (trues as f64, (group.len() - trues) as f64)
        })
        .collect()
}
