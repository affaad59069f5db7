//! A few numbers of a model's weights, by which it is told from others of its shape.
//!
//! They are compared as numbers, so that a model is the same in whatever files it comes: a hash would take for another
//! one what was converted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Some numbers of some matrices, by canonical names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeightSample(BTreeMap<String, Vec<f32>>);

impl WeightSample {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How far the numbers of two models are apart, relative to their size: the root of the mean square over the matrices
    /// that both have. 0 for the same; below a hundredth where they were rounded to 16 or 8 bits; about √2 for models
    /// that have nothing to do with each other. None where no matrix is in both.
    pub fn distance(&self, other: &Self) -> Option<f64> {
        let square = |a: &[f32]| a.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>();
        let relative = |(name, a): (&String, &Vec<f32>)| {
            let b = other.0.get(name)?;
            let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            let size = (square(a) + square(b)) / 2.0;
            Some(match size > 0.0 {
                true => square(&difference) / size,
                false => 0.0,
            })
        };
        let squares: Vec<f64> = self.0.iter().filter_map(relative).collect();
        let mean = squares.iter().sum::<f64>() / squares.len() as f64;
        (!squares.is_empty()).then(|| mean.sqrt())
    }
}

impl FromIterator<(String, Vec<f32>)> for WeightSample {
    /// What is not finite cannot be written down, and counts as 0.
    fn from_iter<I: IntoIterator<Item = (String, Vec<f32>)>>(matrices: I) -> Self {
        let finite = |number: f32| if number.is_finite() { number } else { 0.0 };
        let matrices = matrices
            .into_iter()
            .map(|(name, numbers)| (name, numbers.into_iter().map(finite).collect()));
        Self(matrices.collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(matrices: &[(&str, &[f32])]) -> WeightSample {
        let owned = |(name, numbers): &(&str, &[f32])| ((*name).to_owned(), numbers.to_vec());
        matrices.iter().map(owned).collect()
    }

    #[test]
    fn the_distance_is_relative_to_the_size_of_each_matrix() {
        let one = sample(&[("a", &[3.0, 4.0]), ("b", &[300.0, -400.0])]);
        assert_eq!(one.distance(&one), Some(0.0));
        // A tenth of the one, none of the other.
        let other = sample(&[("a", &[3.3, 4.4]), ("b", &[300.0, -400.0])]);
        let expected = (0.25 / ((25.0 + 30.25) / 2.0) / 2.0_f64).sqrt();
        let found = one.distance(&other).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found}");
        assert_eq!(other.distance(&one), Some(found));
        let across = sample(&[("a", &[-4.0, 3.0])]);
        assert_eq!(one.distance(&across), Some(2_f64.sqrt()));
        assert_eq!(one.distance(&sample(&[("c", &[1.0])])), None);
        assert_eq!(one.distance(&WeightSample::default()), None);
        let nothing = sample(&[("a", &[0.0, 0.0])]);
        assert_eq!(nothing.distance(&nothing), Some(0.0));
    }

    #[test]
    fn what_is_written_is_read_back_to_the_last_bit() {
        let odd = [0.1, 1e-40, -f32::MAX, 1.0 / 3.0];
        let one = sample(&[("a", &odd), ("b", &[f32::NAN, f32::INFINITY])]);
        let text = serde_json::to_string(&one).unwrap();
        let again: WeightSample = serde_json::from_str(&text).unwrap();
        assert_eq!(again, one);
        assert_eq!(again, sample(&[("a", &odd), ("b", &[0.0, 0.0])]));
    }
}
