//! What can be predicted without reading: each token by how frequent it is.

/// Frequencies of tokens, as yardstick of a model that reads.
#[derive(Clone, Debug)]
pub struct UnigramModel {
    counts: Vec<u64>,
    total: u64,
}

impl UnigramModel {
    /// Counts tokens out of `entries`, each of which is taken to have occurred once more than it did (Laplace), so that
    /// none is impossible.
    pub fn new(ids: &[u32], entries: usize) -> Self {
        let mut counts = vec![1; entries];
        for id in ids {
            counts[*id as usize] += 1;
        }
        let total = counts.iter().sum();
        Self { counts, total }
    }

    /// The mean of -log p over tokens, in nats.
    pub fn loss(&self, ids: &[u32]) -> f64 {
        let sum: f64 = ids
            .iter()
            .map(|id| -(self.counts[*id as usize] as f64 / self.total as f64).ln())
            .sum();
        sum / ids.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_loss_is_the_cross_entropy_of_smoothed_frequencies() {
        // (3 + 1) / 8, (1 + 1) / 8, 1 / 8, 1 / 8
        let model = UnigramModel::new(&[0, 0, 1, 0], 4);
        let bits = model.loss(&[0, 1, 2, 3]) / std::f64::consts::LN_2;
        assert!(
            (bits - (1.0 + 2.0 + 3.0 + 3.0) / 4.0).abs() < 1e-12,
            "{bits}"
        );
    }
}
