//! A decoder as it is pretrained: each token's hidden state predicts the next one, by the token table itself.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::{ModelConfig, Pretrained, TokenBatch};
use crate::nn::tied_cross_entropy;
use crate::nn::{Loader, Noise};
use crate::weights::WeightError;

/// A decoder with tied embeddings: the logits of the next token are its hidden states times the transposed token table.
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// The decoder.
    pub backbone: Pretrained,
}

/// Losses of a batch and their gradients.
pub struct LanguageGradients {
    /// The sum `[1]` of -log p over the targets, in nats.
    pub loss: Tensor<1>,
    /// Of all parameters.
    pub gradients: GradientsParams,
}

impl LanguageModel {
    /// Reads a decoder in f32, all of which is trained.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &ModelConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let backbone = Pretrained::load(config, loader)?;
        Ok(Self { backbone }.set_require_grad(true))
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.backbone.token_embedding().weight.device()
    }

    /// Logits `[B, T, V]` of the tokens that follow each of `tokens`.
    pub fn logits(&self, tokens: &TokenBatch) -> Tensor<3> {
        let hidden = self.backbone.forward(tokens, &Noise::off()); // [B, T, D]
        let table = self.backbone.token_embedding().weight.val(); // [V, D]
        hidden.matmul(table.transpose().unsqueeze()) // [B, T, V]
    }

    /// The sum `[1]` of -log p over `targets`, the B · T tokens that follow each of `tokens`; of a model without autodiff.
    pub fn loss(&self, tokens: &TokenBatch, targets: &[i32]) -> Tensor<1> {
        let hidden = rows(self.backbone.forward(tokens, &Noise::off())); // [B·T, D]
        let table = self.backbone.token_embedding().weight.val();
        tied_cross_entropy::loss(&hidden, &table, targets)
    }

    /// The same of a model that is trained, with the gradients of `weight` times it.
    pub fn gradients(
        &self,
        tokens: &TokenBatch,
        targets: &[i32],
        noise: &Noise,
        weight: f64,
    ) -> LanguageGradients {
        let hidden = rows(self.backbone.forward(tokens, noise)); // [B·T, D]
        let table = &self.backbone.token_embedding().weight;
        let of_head = tied_cross_entropy::gradients(
            &hidden.clone().inner(),
            &table.val().inner(),
            targets,
            weight,
        );
        // A scalar whose gradient for the hidden states is the one that is known.
        let scalar = (hidden * Tensor::from_inner(of_head.hidden)).sum();
        let mut gradients = GradientsParams::from_grads(scalar.backward(), self);
        // The table is used twice.
        let of_table = match gradients.remove::<2>(table.id) {
            Some(of_input) => of_input + of_head.table,
            None => of_head.table,
        };
        gradients.register(table.id, of_table);
        LanguageGradients {
            loss: of_head.loss,
            gradients,
        }
    }
}

/// `[B, T, D]` to `[B · T, D]`.
fn rows(hidden: Tensor<3>) -> Tensor<2> {
    let [b, t, d] = hidden.dims();
    hidden.reshape([b * t, d])
}
