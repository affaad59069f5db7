//! The weights of a network that is pretrained from nothing.

use burn::tensor::TensorData;

use crate::adapter::init::normal;
use crate::nn::Precision;
use crate::weights::{WeightError, WeightSource};

/// Draws each tensor from a seed and its name when a model asks for it: matrices and tables from N(0, `spread`²), gains 1,
/// biases 0. So do OPT and LLaMA, whose configurations call the spread `init_std` and `initializer_range`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InitialWeights {
    /// What the draws follow from.
    pub seed: u64,
    /// Standard deviation of matrices and tables.
    pub spread: f64,
}

impl WeightSource for InitialWeights {
    fn take_as(
        &mut self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let data = match shape {
            [rows, columns] => normal(self.seed, name, [*rows, *columns], self.spread),
            _ if name.ends_with(".bias") => TensorData::zeros::<f32, _>(shape),
            _ => TensorData::ones::<f32, _>(shape),
        };
        Ok(data.convert_dtype(burn::tensor::DType::from(precision.dtype())))
    }

    fn take_rows_as(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let table = self.take_as(name, &shape, Precision::F32)?;
        let unreadable = |reason: String| WeightError::Unreadable {
            name: name.to_owned(),
            reason,
        };
        let values = table
            .as_slice::<f32>()
            .map_err(|error| unreadable(format!("{error:?}")))?;
        let width = shape[1];
        let mut taken = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let start = *row as usize * width;
            let values = values.get(start..start + width);
            taken.extend_from_slice(
                values.ok_or_else(|| unreadable(format!("row {row} of {}", shape[0])))?,
            );
        }
        let taken = TensorData::new(taken, [rows.len(), width]);
        Ok(taken.convert_dtype(burn::tensor::DType::from(precision.dtype())))
    }

    fn check(&mut self, _name: &str, _shape: &[usize]) -> Result<(), WeightError> {
        Ok(())
    }

    fn has(&self, _name: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gains_are_one_biases_zero_and_matrices_have_the_asked_spread() {
        let mut weights = InitialWeights {
            seed: 7,
            spread: 0.02,
        };
        let values = |data: TensorData| data.iter::<f64>().collect::<Vec<_>>();
        let mut take = |name: &str, shape: &[usize]| values(weights.take(name, shape).unwrap());
        assert_eq!(take("norm.weight", &[3]), [1.0; 3]);
        assert_eq!(take("norm.bias", &[2]), [0.0; 2]);
        let (first, second) = (take("a.weight", &[64, 64]), take("b.weight", &[64, 64]));
        assert_ne!(first, second);
        assert_eq!(first, take("a.weight", &[64, 64]));
        let square = first.iter().map(|x| x * x).sum::<f64>() / 4096.0;
        assert!((square.sqrt() - 0.02).abs() < 0.001, "{square}");
    }

    #[test]
    fn rows_are_those_of_the_whole_table_and_others_are_refused() {
        let mut weights = InitialWeights {
            seed: 7,
            spread: 0.02,
        };
        let whole = weights.take("t.weight", &[5, 3]).unwrap();
        let whole: Vec<f32> = whole.iter().collect();
        let rows = weights.take_rows("t.weight", [5, 3], &[4, 1]).unwrap();
        let rows: Vec<f32> = rows.iter().collect();
        assert_eq!(rows, [&whole[12..15], &whole[3..6]].concat());
        assert!(weights.take_rows("t.weight", [5, 3], &[5]).is_err());
    }
}
