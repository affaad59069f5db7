//! Which triplets keep their singular values.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The `budget` largest scores: true where a triplet is among them. Ties go to the lower index, and a score that
/// is not a number is the smallest of all.
pub fn top(scores: &[f32], budget: usize) -> Vec<bool> {
    let rank = |i: &usize| match scores[*i] {
        score if score.is_nan() => f32::NEG_INFINITY,
        score => score,
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then(a.cmp(b)));
    let mut kept = vec![false; scores.len()];
    for i in order.into_iter().take(budget) {
        kept[i] = true;
    }
    kept
}

/// Adaptive rank sampling (LINGO eq. 4): an important triplet is dropped with chance `p`, another is let back with
/// chance `p`. Returns who keeps its singular value. The draws depend on `seed` and `step` alone.
pub fn sample(important: &[bool], p: f64, seed: u64, step: u64) -> Vec<bool> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed ^ 0x7261_6E6B_7361_6D70);
    generator.set_stream(step);
    important
        .iter()
        .map(|important| important ^ generator.random_bool(p))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_budget_is_kept_and_ties_go_to_the_lower_index() {
        let scores = [0.5, 2.0, 0.5, f32::NAN, 0.5, 1.0];
        let kept = |budget| -> Vec<usize> {
            let mask = top(&scores, budget);
            (0..6).filter(|i| mask[*i]).collect()
        };
        assert_eq!(kept(0), [0; 0]);
        assert_eq!(kept(2), [1, 5]);
        assert_eq!(kept(4), [0, 1, 2, 5]);
        assert_eq!(kept(5), [0, 1, 2, 4, 5]);
        assert_eq!(kept(9), [0, 1, 2, 3, 4, 5]);
        assert_eq!(top(&[0.0; 4], 2), [true, true, false, false]);
    }

    #[test]
    fn sampling_drops_the_important_and_lets_the_others_back_with_chance_p() {
        let important: Vec<bool> = (0..200).map(|i| i < 120).collect();
        let (runs, p) = (400, 0.1);
        let (mut dropped, mut let_back) = (0u32, 0u32);
        for seed in 0..runs {
            for (was, is) in important.iter().zip(sample(&important, p, seed, 300)) {
                match (was, is) {
                    (true, false) => dropped += 1,
                    (false, true) => let_back += 1,
                    _ => {}
                }
            }
        }
        // Four standard deviations of the binomials.
        for (count, trials) in [(dropped, 120.0), (let_back, 80.0)] {
            let trials = trials * runs as f64;
            let error = (f64::from(count) - trials * p).abs();
            assert!(error < 4.0 * (trials * p * (1.0 - p)).sqrt(), "{count}");
        }
    }

    #[test]
    fn draws_depend_on_seed_and_step_and_p_zero_changes_nothing() {
        let important: Vec<bool> = (0..500).map(|i| i % 3 == 0).collect();
        let draw = |seed, step| sample(&important, 0.2, seed, step);
        assert_eq!(draw(1, 100), draw(1, 100));
        assert_ne!(draw(1, 100), draw(1, 200));
        assert_ne!(draw(1, 100), draw(2, 100));
        assert_eq!(sample(&important, 0.0, 1, 100), important);
    }
}
