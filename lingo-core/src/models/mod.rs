//! Pretrained architectures, one file each, and what they have in common.

/// Lists the adaptable matrices of a [`Backbone`], to read and to change, from one table: where the layers stand in
/// the checkpoint and in the struct, and each matrix by its name in a layer of either.
macro_rules! projections {
    ($stem:literal, $($layers:ident).+, { $($name:literal => $($field:ident).+),+ $(,)? }) => {
        fn projections(&self) -> Vec<(String, &Projection)> {
            let mut list = Vec::new();
            for (i, layer) in self.$($layers).+.iter().enumerate() {
                $(list.push((format!(concat!($stem, ".{}.", $name), i), &layer.$($field).+));)+
            }
            list
        }

        fn projections_mut(&mut self) -> Vec<&mut Projection> {
            let mut list = Vec::new();
            for layer in &mut self.$($layers).+ {
                $(list.push(&mut layer.$($field).+);)+
            }
            list
        }
    };
}

pub mod bert;
mod check;
pub mod classifier;
pub mod dnabert2;
pub mod esm;
pub mod head;
pub mod language_model;
pub mod llama;
pub mod opt;
pub mod recompute;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Int, Tensor};

use bert::{Bert, BertConfig};
pub use check::{Misfit, check};
pub use classifier::Classifier;
use dnabert2::{DnaBert2, DnaBert2Config};
use esm::{Esm, EsmConfig};
pub use head::{HeadLayout, Pooling};
pub use language_model::LanguageModel;
use llama::{Llama, LlamaConfig};
use opt::{Opt, OptConfig};

use crate::nn::attention::AttentionMask;
use crate::nn::rotary::Rotary;
use crate::nn::token_embedding::TokenEmbedding;
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

/// What is known of a pretrained network from its configuration alone.
pub trait Architecture {
    /// Hugging Face's `model_type`, or our own name where theirs is taken.
    fn model_type(&self) -> &'static str;

    /// Whether it was pretrained on language, so that a prompt means something to it.
    fn reads_text(&self) -> bool;

    /// The shape in a line, for people.
    fn summary(&self) -> String;

    /// Longest input, in tokens.
    fn max_tokens(&self) -> usize;

    /// The paper's names for the matrices.
    fn paper_names(&self) -> &'static [PaperName];

    /// `[V, D]` of the token table.
    fn token_table(&self) -> [usize; 2];

    /// `D`, the width of the layers and of what a head reads.
    fn width(&self) -> usize;

    /// Id of the padding token, where the configuration names one.
    fn pad_token_id(&self) -> Option<u32>;

    /// The classification head that Hugging Face puts on it.
    fn head(&self) -> HeadLayout;
}

/// What every layer of a forward pass sees, beside its input.
#[derive(Clone, Debug)]
pub struct LayerContext {
    /// Who may see whom.
    pub mask: AttentionMask,
    /// How queries and keys are turned, in networks that do so.
    pub rotary: Option<Rotary>,
}

impl LayerContext {
    /// Turns queries or keys `[B, H, T, K]` by their positions, in networks that do so.
    fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.rotary {
            Some(rotary) => rotary.apply(x),
            None => x,
        }
    }
}

/// A pretrained network from token ids to hidden states: embeddings, layers, and what follows the last of them.
pub trait Backbone {
    /// The first layer's input `[B, T, D]`, and what every layer sees.
    fn embed(&self, tokens: &TokenBatch, noise: &Noise) -> (Tensor<3>, LayerContext);

    /// Number of layers.
    fn depth(&self) -> usize;

    /// Layer number `index`: `[B, T, D]` to `[B, T, D]`.
    fn layer(&self, index: usize, x: Tensor<3>, context: &LayerContext, noise: &Noise)
    -> Tensor<3>;

    /// The last layer's output to the network's, `[B, T, D]`.
    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        x
    }

    /// Hidden states of the last layer, `[B, T, D]`; `inspect` sees the input of each layer and the result.
    fn forward_with(
        &self,
        tokens: &TokenBatch,
        noise: &Noise,
        inspect: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let (mut x, context) = self.embed(tokens, noise); // [B, T, D]
        for index in 0..self.depth() {
            inspect(&x);
            x = self.layer(index, x, &context, noise);
        }
        x = self.finish(x);
        inspect(&x);
        x
    }

    /// Hidden states of the last layer, `[B, T, D]`.
    fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<3> {
        self.forward_with(tokens, noise, &mut |_| {})
    }

    /// `D`, the width of the hidden states.
    fn width(&self) -> usize;

    /// The token embeddings: with tied ones, hidden states times the transposed table are the logits of the next token.
    fn token_embedding(&self) -> &TokenEmbedding;

    /// The layer from the token table's width to the layers', where the two differ.
    fn project_in(&self) -> Option<&Linear> {
        None
    }

    /// The layer from the layers' width back to the token table's, where the two differ.
    fn project_out(&self) -> Option<&Linear> {
        None
    }

    /// The pretrained layer between the pooled state and the head, where the checkpoint has one.
    fn pooler(&self) -> Option<&Linear> {
        None
    }

    /// Every adaptable matrix with its path in the checkpoint.
    fn projections(&self) -> Vec<(String, &Projection)>;

    /// The same matrices, in the same order, to change.
    fn projections_mut(&mut self) -> Vec<&mut Projection>;
}

/// Gathers the architectures: a new one costs a line here.
macro_rules! architectures {
    ($($(#[$doc:meta])+ $name:ident($config:ident, $network:ident),)+) => {
        /// The shape of a pretrained network.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ModelConfig {
            $($(#[$doc])+ $name($config),)+
        }

        impl std::ops::Deref for ModelConfig {
            type Target = dyn Architecture;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$name(config) => config,)+
                }
            }
        }

        /// Any of the supported networks.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)] // one value a process
        pub enum Pretrained {
            $($(#[$doc])+ $name($network),)+
        }

        impl Pretrained {
            /// Reads the tensors of the network that `config` describes.
            ///
            /// # Errors
            /// If a tensor cannot be had.
            pub fn load(config: &ModelConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
                match config {
                    $(ModelConfig::$name(config) => $network::load(config, loader).map(Self::$name),)+
                }
            }
        }

        impl std::ops::Deref for Pretrained {
            type Target = dyn Backbone;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$name(network) => network,)+
                }
            }
        }

        impl std::ops::DerefMut for Pretrained {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$name(network) => network,)+
                }
            }
        }
    };
}

architectures! {
    /// OPT.
    Opt(OptConfig, Opt),
    /// LLaMA and models of its form.
    Llama(LlamaConfig, Llama),
    /// BERT and models of its form.
    Bert(BertConfig, Bert),
    /// ESM, and with it the Nucleotide Transformer.
    Esm(EsmConfig, Esm),
    /// DNABERT-2.
    DnaBert2(DnaBert2Config, DnaBert2),
}
