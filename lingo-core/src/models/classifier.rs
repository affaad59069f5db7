//! A pretrained network with a classification head, as Hugging Face builds it for decoders.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Int, Tensor, TensorData};

use super::{Backbone, Pretrained, TokenBatch};
use crate::adapter::init::normal;
use crate::adapter::{LowRank, LowRankConfig};
use crate::nn::{Loader, Noise};
use crate::weights::WeightError;

/// Standard deviation of a new head, as in the checkpoints' own configurations.
const HEAD_STD: f64 = 0.02;

/// A backbone and a linear head without bias over the last token that is not padding.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The pretrained network.
    pub backbone: Pretrained,
    /// The head, weight `[D, C]`.
    pub score: Linear,
}

impl Classifier {
    /// A classifier with a new head for `classes`, drawn from `seed` on the host.
    pub fn with_new_head(backbone: Pretrained, classes: usize, seed: u64) -> Self {
        let width = backbone.width();
        let device = backbone.token_table().device();
        let data = normal(seed, "score.weight", [classes, width], HEAD_STD);
        let weight: Tensor<2> = Tensor::from_data(data, &device);
        let score = Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: None,
        };
        Self { backbone, score }
    }

    /// A classifier with the checkpoint's own head, `score.weight` of shape `[C, D]`.
    ///
    /// # Errors
    /// If the head's tensor cannot be had.
    pub fn with_own_head(
        backbone: Pretrained,
        classes: usize,
        loader: &mut Loader<'_>,
    ) -> Result<Self, WeightError> {
        let score = loader.linear("score", [backbone.width(), classes], false)?;
        Ok(Self { backbone, score })
    }

    /// Logits `[B, C]`.
    pub fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<2> {
        let hidden = self.backbone.forward(tokens, noise); // [B, T, D]
        self.score.forward(last_token(hidden, &tokens.lengths))
    }

    /// `C`.
    pub fn classes(&self) -> usize {
        self.score.weight.dims()[1]
    }

    /// Puts a new adapter on each of the matrices `targets`, indices into the backbone's projections.
    pub fn attach(&mut self, targets: &[usize], config: &LowRankConfig, seed: u64) {
        let device = self.score.weight.device();
        let paths: Vec<String> = self.projection_paths();
        let mut projections = self.backbone.projections_mut();
        for i in targets {
            let projection = &mut projections[*i];
            let adapter = config.init(seed, &paths[*i], projection.dims(), &device);
            projection.adapter = Some(adapter);
        }
    }

    /// The paths of all matrices that can be adapted, in the checkpoint's order.
    pub fn projection_paths(&self) -> Vec<String> {
        let projections = self.backbone.projections();
        projections.into_iter().map(|(path, _)| path).collect()
    }

    /// The adapters with the paths of their matrices, in the order of the backbone's projections.
    pub fn adapters(&self) -> Vec<(String, &LowRank)> {
        let projections = self.backbone.projections();
        projections
            .into_iter()
            .filter_map(|(path, projection)| Some((path, projection.adapter.as_ref()?)))
            .collect()
    }

    /// The adapters alone, in the same order.
    pub fn low_ranks(&self) -> Vec<&LowRank> {
        self.adapters().into_iter().map(|(_, a)| a).collect()
    }

    /// The same adapters, in the same order, to change.
    pub fn adapters_mut(&mut self) -> Vec<&mut LowRank> {
        let projections = self.backbone.projections_mut();
        projections
            .into_iter()
            .filter_map(|projection| projection.adapter.as_mut())
            .collect()
    }

    /// Scalars of all adapters.
    pub fn adapter_parameters(&self) -> usize {
        self.low_ranks().iter().map(|a| a.num_params()).sum()
    }
}

/// The hidden state of each sequence's last real token: `[B, T, D]` to `[B, D]`.
fn last_token(hidden: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [b, t, d] = hidden.dims();
    let rows: Vec<i64> = lengths
        .iter()
        .enumerate()
        .map(|(i, length)| (i * t + length - 1) as i64)
        .collect();
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(rows, [b]), &hidden.device());
    hidden.reshape([b * t, d]).select(0, rows)
}
