//! Pretrained architectures, one file each, and what they have in common.

pub mod classifier;
pub mod llama;
pub mod opt;

use burn::module::Module;
use burn::tensor::{Int, Tensor};

pub use classifier::Classifier;
use llama::{Llama, LlamaConfig};
use opt::{Opt, OptConfig};

use crate::nn::{Loader, Noise, Projection};
use crate::weights::WeightError;

/// A name of the LINGO paper (`Wq`, `Wf1`, ...) and the suffixes of projection paths that it stands for.
pub type PaperName = (&'static str, &'static [&'static str]);

/// Token ids of a batch, padded on the right.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Ids `[B, T]`; what stands behind a sequence's end is never read.
    pub ids: Tensor<2, Int>,
    /// Tokens of each sequence, padding not counted.
    pub lengths: Vec<usize>,
}

/// A pretrained network from token ids to hidden states.
pub trait Backbone: Module {
    /// Hidden states of the last layer, `[B, T, D]`; `inspect` sees the input of each layer and the result.
    fn forward_with(
        &self,
        tokens: &TokenBatch,
        noise: &Noise,
        inspect: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3>;

    /// Hidden states of the last layer, `[B, T, D]`.
    fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<3> {
        self.forward_with(tokens, noise, &mut |_| {})
    }

    /// `D`, the width of the hidden states.
    fn width(&self) -> usize;

    /// The token table `[V, D]`: with tied embeddings, hidden states times its transpose are the logits of the
    /// next token.
    fn token_table(&self) -> Tensor<2>;

    /// Every adaptable matrix with its path in the checkpoint, in the checkpoint's order.
    fn projections(&self) -> Vec<(String, &Projection)>;

    /// The same matrices, in the same order, to change.
    fn projections_mut(&mut self) -> Vec<&mut Projection>;

    /// The paper's names for the matrices.
    fn paper_names(&self) -> &'static [PaperName];
}

/// The shape of a pretrained network.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelConfig {
    /// OPT.
    Opt(OptConfig),
    /// LLaMA and models of its form.
    Llama(LlamaConfig),
}

impl ModelConfig {
    /// Hugging Face's `model_type`.
    pub fn model_type(&self) -> &'static str {
        match self {
            Self::Opt(_) => "opt",
            Self::Llama(_) => "llama",
        }
    }

    /// Longest input, in tokens.
    pub fn max_tokens(&self) -> usize {
        match self {
            Self::Opt(config) => config.max_position_embeddings,
            Self::Llama(config) => config.max_position_embeddings,
        }
    }

    /// The paper's names for the matrices.
    pub fn paper_names(&self) -> &'static [PaperName] {
        match self {
            Self::Opt(_) => opt::PAPER_NAMES,
            Self::Llama(_) => llama::PAPER_NAMES,
        }
    }

    /// `[V, D]` of the token table.
    pub fn token_table(&self) -> [usize; 2] {
        match self {
            Self::Opt(config) => [config.vocab_size, config.word_embed_proj_dim],
            Self::Llama(config) => [config.vocab_size, config.hidden_size],
        }
    }
}

/// Any of the supported networks.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one value a process
pub enum Pretrained {
    /// OPT.
    Opt(Opt),
    /// LLaMA and models of its form.
    Llama(Llama),
}

impl Pretrained {
    /// Reads the tensors of the network that `config` describes.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &ModelConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        match config {
            ModelConfig::Opt(config) => Opt::load(config, loader).map(Self::Opt),
            ModelConfig::Llama(config) => Llama::load(config, loader).map(Self::Llama),
        }
    }
}

macro_rules! each {
    ($self:ident, $model:ident => $call:expr) => {
        match $self {
            Pretrained::Opt($model) => $call,
            Pretrained::Llama($model) => $call,
        }
    };
}

impl Backbone for Pretrained {
    fn forward_with(
        &self,
        tokens: &TokenBatch,
        noise: &Noise,
        inspect: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        each!(self, model => model.forward_with(tokens, noise, inspect))
    }

    fn width(&self) -> usize {
        each!(self, model => model.width())
    }

    fn token_table(&self) -> Tensor<2> {
        each!(self, model => model.token_table())
    }

    fn projections(&self) -> Vec<(String, &Projection)> {
        each!(self, model => model.projections())
    }

    fn projections_mut(&mut self) -> Vec<&mut Projection> {
        each!(self, model => model.projections_mut())
    }

    fn paper_names(&self) -> &'static [PaperName] {
        each!(self, model => model.paper_names())
    }
}
