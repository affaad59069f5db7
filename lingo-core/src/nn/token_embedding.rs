//! Token embeddings, with rows of their own for tokens that the checkpoint does not know.

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};

use super::Precision;

/// A pretrained table and, where a task brings tokens of its own, trained rows behind it.
#[derive(Module, Debug)]
pub struct TokenEmbedding {
    /// The checkpoint's table `[V, D]`, or the rows of it that a task can reach.
    pub weight: Param<Tensor<2>>,
    /// Rows `[N, D]` of the tokens V to V + N - 1.
    pub added: Option<Param<Tensor<2>>>,
    /// The type of the rows that are given out, and with it of the whole network's activations.
    #[module(skip)]
    pub precision: Precision,
}

impl TokenEmbedding {
    /// Whether training changes any of the rows.
    pub fn is_trained(&self) -> bool {
        let added = self.added.as_ref();
        added.is_some_and(|rows| rows.is_require_grad()) || self.weight.is_require_grad()
    }

    /// Ids `[B, T]` below V + N to rows `[B, T, D]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let dtype = self.precision.dtype();
        let Some(added) = &self.added else {
            return embedding(self.weight.val(), ids).cast(dtype); // [B, T, D]
        };
        let [known, width] = self.weight.dims();
        let [b, t] = ids.dims();
        let known = known as i64;
        let of_table = embedding(self.weight.val(), ids.clone().clamp_max(known - 1)).cast(dtype); // [B, T, D]
        let of_added = embedding(added.val(), (ids.clone() - known).clamp_min(0)).cast(dtype); // [B, T, D]
        let is_added = ids.greater_equal_scalar(known).unsqueeze_dim::<3>(2); // [B, T, 1]
        of_table.mask_where(is_added.expand([b, t, width]), of_added)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn ids_beyond_the_table_are_rows_of_the_added_one_and_alone_get_gradients() {
        let device = Device::flex().autodiff();
        let rows = |values: [[f32; 2]; 2]| Tensor::<2>::from_data(values, &device);
        let table = rows([[1.0, 2.0], [3.0, 4.0]]).set_require_grad(false);
        let embeddings = TokenEmbedding {
            weight: Param::from_tensor(table).set_require_grad(false),
            added: Some(Param::from_tensor(rows([[5.0, 6.0], [7.0, 8.0]]))),
            precision: Precision::F32,
        };
        let ids = Tensor::<2, Int>::from_data([[3, 0, 1], [1, 3, 0]], &device);
        let y = embeddings.forward(ids);
        let expected = [
            [[7.0f32, 8.0], [1.0, 2.0], [3.0, 4.0]],
            [[3.0, 4.0], [7.0, 8.0], [1.0, 2.0]],
        ];
        assert_eq!(y.to_data(), TensorData::from(expected));
        let gradients = y.sum().backward();
        let added = embeddings.added.unwrap().val();
        let of_added = added.grad(&gradients).unwrap().into_data();
        assert_eq!(of_added, TensorData::from([[0.0f32, 0.0], [2.0, 2.0]]));
        assert!(embeddings.weight.val().grad(&gradients).is_none());
    }
}
