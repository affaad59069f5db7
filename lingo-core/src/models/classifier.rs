//! A pretrained network with a classification head, as Hugging Face builds it.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use super::{HeadLayout, ModelConfig, Pooling, Pretrained, TokenBatch};
use crate::adapter::init::normal;
use crate::adapter::{LowRank, LowRankConfig};
use crate::nn::precision::linear;
use crate::nn::{Loader, Noise};
use crate::weights::WeightError;

/// Standard deviation of a new head, as in the checkpoints' own configurations.
const HEAD_STD: f64 = 0.02;

/// A backbone and a head over one of its hidden states.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The pretrained network.
    pub backbone: Pretrained,
    /// The head's first layer, weight `[D, D]`, where the layout has one and the backbone brings none.
    pub pooler: Option<Linear>,
    /// The output layer, weight `[D, C]`.
    pub score: Linear,
    #[module(skip)]
    layout: HeadLayout,
}

impl Classifier {
    /// A classifier with a new head for `classes`, drawn from `seed` on the host. A pooler that the checkpoint brings
    /// is kept, and belongs to what is pretrained.
    pub fn with_new_head(
        backbone: Pretrained,
        layout: HeadLayout,
        classes: usize,
        seed: u64,
    ) -> Self {
        let width = backbone.width();
        let device = backbone.token_embedding().weight.device();
        let pooler = new_pooler(&backbone, &layout)
            .map(|name| new_linear(seed, name, [width, width], true, &device));
        let shape = [width, classes];
        let score = new_linear(seed, layout.output, shape, layout.output_bias, &device);
        Self {
            backbone,
            pooler,
            score,
            layout,
        }
    }

    /// A classifier with the checkpoint's own head.
    ///
    /// # Errors
    /// If one of the head's tensors cannot be had.
    pub fn with_own_head(
        backbone: Pretrained,
        layout: HeadLayout,
        classes: usize,
        loader: &mut Loader<'_>,
    ) -> Result<Self, WeightError> {
        let width = backbone.width();
        let pooler = new_pooler(&backbone, &layout)
            .map(|name| loader.head(name, [width, width], true))
            .transpose()?;
        let score = loader.head(layout.output, [width, classes], layout.output_bias)?;
        Ok(Self {
            backbone,
            pooler,
            score,
            layout,
        })
    }

    /// A classifier that has shapes and no weights, for whoever counts: it takes hardly any memory.
    ///
    /// # Errors
    /// As loading has it; shapes alone give none.
    pub fn of_shapes(
        model: &ModelConfig,
        classes: usize,
        device: &Device,
    ) -> Result<Self, WeightError> {
        let backbone = Pretrained::load(model, &mut Loader::of_shapes(device))?;
        Ok(Self::with_new_head(backbone, model.head(), classes, 0))
    }

    /// Logits `[B, C]`.
    pub fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<2> {
        let hidden = self.backbone.forward(tokens, noise); // [B, T, D]
        self.head(hidden, &tokens.lengths, noise)
    }

    /// Logits `[B, C]`, in f32, of the backbone's hidden states `[B, T, D]`, of sequences of `lengths` tokens.
    pub fn head(&self, hidden: Tensor<3>, lengths: &[usize], noise: &Noise) -> Tensor<2> {
        let x = match self.layout.pooling {
            Pooling::FirstToken => hidden.narrow(1, 0, 1).squeeze_dim(1), // [B, D]
            Pooling::LastToken => last_token(hidden, lengths),            // [B, D]
        };
        let x = x.cast(FloatDType::F32);
        let x = match self.pooler.as_ref().or(self.backbone.pooler()) {
            Some(pooler) => {
                let x = noise.dropout(x, self.layout.input_dropout);
                linear(pooler, x).tanh()
            }
            None => x,
        };
        self.score.forward(noise.dropout(x, self.layout.dropout)) // [B, C]
    }

    /// The form of the head.
    pub fn layout(&self) -> &HeadLayout {
        &self.layout
    }

    /// Scalars of the head, without what is pretrained.
    pub fn head_parameters(&self) -> usize {
        self.score.num_params() + self.pooler.num_params()
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.score.weight.device()
    }

    /// `C`.
    pub fn classes(&self) -> usize {
        self.score.weight.dims()[1]
    }

    /// Puts a new adapter on each of the matrices `targets`, indices into the backbone's projections.
    pub fn attach(&mut self, targets: &[usize], config: &LowRankConfig, seed: u64) {
        let device = self.device();
        let paths: Vec<String> = self.projection_paths();
        let mut projections = self.backbone.projections_mut();
        for i in targets {
            let projection = &mut projections[*i];
            let adapter = config.init(seed, &paths[*i], projection.dims(), &device);
            projection.adapter = Some(adapter);
        }
    }

    /// Adds every correction to its matrix: the same model as one without adapters.
    pub fn merge(&mut self) {
        for projection in self.backbone.projections_mut() {
            projection.merge();
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

/// The name of the layer that `layout` wants between the backbone and the output, where the backbone brings none.
pub(super) fn new_pooler(backbone: &Pretrained, layout: &HeadLayout) -> Option<&'static str> {
    match backbone.pooler() {
        Some(_) => None,
        None => layout.pooler,
    }
}

/// A layer that is trained: weights N(0, 0.02²), biases 0.
fn new_linear(
    seed: u64,
    name: &str,
    [d_input, d_output]: [usize; 2],
    bias: bool,
    device: &Device,
) -> Linear {
    let data = normal(
        seed,
        &format!("{name}.weight"),
        [d_output, d_input],
        HEAD_STD,
    );
    let weight: Tensor<2> = Tensor::from_data(data, device);
    Linear {
        weight: Param::from_tensor(weight.transpose()),
        bias: bias.then(|| Param::from_tensor(Tensor::zeros([d_output], device))),
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
