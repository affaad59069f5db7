//! ESM (Lin et al. 2023) as the Nucleotide Transformer (Dalla-Torre et al. 2024) uses it: pre-LN layers, with learned
//! positions and a GELU MLP (version 1) or rotary positions and a gated one (version 2).

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm};
use burn::tensor::{Device, Tensor, activation::gelu};

use super::{Architecture, Backbone, HeadLayout, LayerContext, PaperName, TokenBatch, bert};
use crate::nn::attention::{AttentionMask, attention, split_heads};
use crate::nn::gated::swiglu;
use crate::nn::norm::layer_norm;
use crate::nn::rotary::Rotary;
use crate::nn::token_embedding::TokenEmbedding;
use crate::nn::{Input, Loader, Noise, Projection};
use crate::weights::WeightError;

/// What `token_dropout` multiplies embeddings with where no token is masked: the share of tokens that were not masked
/// in pretraining, 1 - 0.15 · 0.8.
const UNMASKED_SHARE: f64 = 0.88;
const ROTARY_THETA: f64 = 10_000.0;

/// Where tokens get their order from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EsmPositions {
    /// A table, whose rows up to `pad_token_id` stand for no position.
    Learned,
    /// Rotary positions in each layer.
    Rotary,
}

/// The MLP of each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EsmMlp {
    /// GELU between two matrices with biases.
    Gelu,
    /// SwiGLU, gate and linear branch in one matrix, the gate first.
    Gated {
        /// Whether its matrices have biases (`add_bias_fnn`).
        bias: bool,
    },
}

/// The shape of an ESM model; names as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct EsmConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the layers.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Positions, those up to `pad_token_id` included.
    pub max_position_embeddings: usize,
    /// Where tokens get their order from.
    pub positions: EsmPositions,
    /// The MLP of each layer.
    pub mlp: EsmMlp,
    /// Normalise the embeddings.
    pub emb_layer_norm_before: bool,
    /// Scale the embeddings as if masked tokens were missing from them.
    pub token_dropout: bool,
    /// Added to the variance before its root.
    pub layer_norm_eps: f64,
    /// Dropout after attention and MLP and in the head, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout of the attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// Id of the padding token.
    pub pad_token_id: u32,
}

impl EsmConfig {
    /// Row of the first token's position.
    fn first_position(&self) -> usize {
        self.pad_token_id as usize + 1
    }
}

impl Architecture for EsmConfig {
    fn model_type(&self) -> &'static str {
        "esm"
    }

    fn reads_text(&self) -> bool {
        false
    }

    fn summary(&self) -> String {
        let positions = match self.positions {
            EsmPositions::Learned => "learned",
            EsmPositions::Rotary => "rotary",
        };
        let gated = match self.mlp {
            EsmMlp::Gelu => "",
            EsmMlp::Gated { .. } => "gated ",
        };
        format!(
            "{} layers of width {}, {} heads, {positions} positions, {gated}MLP {}, vocabulary {}",
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size
        )
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }

    fn paper_names(&self) -> &'static [PaperName] {
        bert::PAPER_NAMES
    }

    fn token_table(&self) -> [usize; 2] {
        [self.vocab_size, self.hidden_size]
    }

    fn pad_token_id(&self) -> Option<u32> {
        Some(self.pad_token_id)
    }

    fn width(&self) -> usize {
        self.hidden_size
    }

    fn head(&self) -> HeadLayout {
        HeadLayout {
            input_dropout: self.hidden_dropout_prob,
            ..HeadLayout::pooled(
                "classifier.dense",
                "classifier.out_proj",
                self.hidden_dropout_prob,
            )
        }
    }
}

/// The ESM encoder.
#[derive(Module, Debug)]
pub struct Esm {
    /// From token ids to the first layer.
    pub embeddings: EsmEmbeddings,
    /// The layers.
    pub encoder: EsmEncoder,
    head_width: usize,
    width: usize,
}

/// Tokens and, where they are learned, positions.
#[derive(Module, Debug)]
pub struct EsmEmbeddings {
    /// Token table `[vocab_size, hidden_size]`, or the reachable rows of it.
    pub word_embeddings: TokenEmbedding,
    /// Position table `[max_position_embeddings, hidden_size]`.
    pub position_embeddings: Option<Embedding>,
    /// Over the sum of the two; `layer_norm` in the checkpoint.
    pub emb_layer_norm_before: Option<LayerNorm>,
    first_position: usize,
    scale: f64,
}

/// The stack of layers.
#[derive(Module, Debug)]
pub struct EsmEncoder {
    /// First to last.
    pub layer: Vec<EsmLayer>,
    /// After the last layer.
    pub emb_layer_norm_after: LayerNorm,
}

/// One layer: attention and MLP, each with a norm before it and a residual.
#[derive(Module, Debug)]
pub struct EsmLayer {
    /// Self-attention with its norm and output.
    pub attention: EsmAttention,
    /// Up to the MLP's width, or to twice of it where it is gated.
    pub intermediate: EsmDense,
    /// Down from the MLP's width.
    pub output: EsmDense,
    /// Before the MLP; `LayerNorm` in the checkpoint.
    pub layer_norm: LayerNorm,
    gated: bool,
    dropout: f64,
}

/// Self-attention with its norm and output.
#[derive(Module, Debug)]
pub struct EsmAttention {
    /// Before attention; `LayerNorm` in the checkpoint.
    pub layer_norm: LayerNorm,
    /// `self` in the checkpoint.
    pub self_attention: EsmSelfAttention,
    /// Back into the residual.
    pub output: EsmDense,
}

/// Queries, keys and values.
#[derive(Module, Debug)]
pub struct EsmSelfAttention {
    /// Queries.
    pub query: Projection,
    /// Keys.
    pub key: Projection,
    /// Values.
    pub value: Projection,
    head_width: usize,
    dropout: f64,
}

/// A matrix by itself.
#[derive(Module, Debug)]
pub struct EsmDense {
    /// The matrix.
    pub dense: Projection,
}

impl Esm {
    /// Reads the model's tensors.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &EsmConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let (width, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = EsmEmbeddings {
            word_embeddings: loader
                .token_embedding("embeddings.word_embeddings", [config.vocab_size, width])?,
            position_embeddings: match config.positions {
                EsmPositions::Learned => Some(loader.table(
                    "embeddings.position_embeddings",
                    [config.max_position_embeddings, width],
                )?),
                EsmPositions::Rotary => None,
            },
            emb_layer_norm_before: config
                .emb_layer_norm_before
                .then(|| loader.layer_norm("embeddings.layer_norm", width, epsilon))
                .transpose()?,
            first_position: config.first_position(),
            scale: if config.token_dropout {
                UNMASKED_SHARE
            } else {
                1.0
            },
        };
        let encoder = EsmEncoder {
            layer: (0..config.num_hidden_layers)
                .map(|i| EsmLayer::load(config, &format!("encoder.layer.{i}"), loader))
                .collect::<Result<_, _>>()?,
            emb_layer_norm_after: loader.layer_norm(
                "encoder.emb_layer_norm_after",
                width,
                epsilon,
            )?,
        };
        Ok(Self {
            embeddings,
            encoder,
            head_width: width / config.num_attention_heads,
            width,
        })
    }

    fn rotary(&self, tokens: usize, device: &Device) -> Option<Rotary> {
        match self.embeddings.position_embeddings {
            Some(_) => None,
            None => Some(Rotary::new(tokens, self.head_width, ROTARY_THETA, device)),
        }
    }
}

impl EsmEmbeddings {
    /// `[B, T]` to `[B, T, D]`. Inputs hold no masked token.
    fn forward(&self, tokens: &TokenBatch) -> Tensor<3> {
        let mut x = self.word_embeddings.forward(tokens.ids.clone()); // [B, T, D]
        let t = x.dims()[1];
        if self.scale != 1.0 {
            x = x * self.scale;
        }
        if let Some(table) = &self.position_embeddings {
            let rows = self.first_position..self.first_position + t;
            let positions = table.weight.val().slice([rows]); // [T, D]
            x = x.clone() + positions.cast(x.dtype()).unsqueeze();
        }
        match &self.emb_layer_norm_before {
            Some(norm) => layer_norm(norm, x),
            None => x,
        }
    }
}

impl Backbone for Esm {
    fn embed(&self, tokens: &TokenBatch, _noise: &Noise) -> (Tensor<3>, LayerContext) {
        let x = self.embeddings.forward(tokens); // [B, T, D]
        let (t, device) = (x.dims()[1], x.device());
        let context = LayerContext {
            mask: AttentionMask::real_tokens(&tokens.lengths, t, &device),
            rotary: self.rotary(t, &device),
        };
        (x, context)
    }

    fn depth(&self) -> usize {
        self.encoder.layer.len()
    }

    fn layer(
        &self,
        index: usize,
        x: Tensor<3>,
        context: &LayerContext,
        noise: &Noise,
    ) -> Tensor<3> {
        self.encoder.layer[index].forward(x, context, noise)
    }

    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        layer_norm(&self.encoder.emb_layer_norm_after, x)
    }

    fn width(&self) -> usize {
        self.width
    }

    fn token_embedding(&self) -> &TokenEmbedding {
        &self.embeddings.word_embeddings
    }

    projections! { "encoder.layer", encoder.layer, {
        "attention.self.query" => attention.self_attention.query,
        "attention.self.key" => attention.self_attention.key,
        "attention.self.value" => attention.self_attention.value,
        "attention.output.dense" => attention.output.dense,
        "intermediate.dense" => intermediate.dense,
        "output.dense" => output.dense,
    } }
}

impl EsmLayer {
    fn load(config: &EsmConfig, path: &str, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let (gated, upper, bias) = match config.mlp {
            EsmMlp::Gelu => (false, inner, true),
            EsmMlp::Gated { bias } => (true, 2 * inner, bias),
        };
        let mut projection = |name: &str, dims: [usize; 2], bias: bool| {
            loader.projection(&format!("{path}.{name}"), dims, bias)
        };
        let square = [width, width];
        let self_attention = EsmSelfAttention {
            query: projection("attention.self.query", square, true)?,
            key: projection("attention.self.key", square, true)?,
            value: projection("attention.self.value", square, true)?,
            head_width: width / config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
        };
        let mut dense = |name: &str, dims: [usize; 2], bias: bool| {
            projection(name, dims, bias).map(|dense| EsmDense { dense })
        };
        let attended = dense("attention.output.dense", square, true)?;
        let intermediate = dense("intermediate.dense", [width, upper], bias)?;
        let output = dense("output.dense", [inner, width], bias)?;
        let mut norm =
            |name: &str| loader.layer_norm(&format!("{path}.{name}"), width, config.layer_norm_eps);
        Ok(Self {
            attention: EsmAttention {
                layer_norm: norm("attention.LayerNorm")?,
                self_attention,
                output: attended,
            },
            intermediate,
            output,
            layer_norm: norm("LayerNorm")?,
            gated,
            dropout: config.hidden_dropout_prob,
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let attention = &self.attention;
        let normed = layer_norm(&attention.layer_norm, x.clone());
        let seen = attention.self_attention.forward(normed, context, noise);
        let x = x + noise.dropout(attention.output.forward(seen, noise), self.dropout);
        let normed = layer_norm(&self.layer_norm, x.clone());
        let inner = self.activate(self.intermediate.forward(normed, noise)); // [B, T, F]
        x + noise.dropout(self.output.forward(inner, noise), self.dropout)
    }

    /// `[B, T, F]` or, gated, `[B, T, 2 F]`, to `[B, T, F]`.
    fn activate(&self, x: Tensor<3>) -> Tensor<3> {
        if !self.gated {
            return gelu(x);
        }
        let inner = x.dims()[2] / 2;
        let gate = x.clone().narrow(2, 0, inner);
        swiglu(gate, x.narrow(2, inner, inner))
    }
}

impl EsmSelfAttention {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let heads = |x| split_heads(x, self.head_width);
        let turned = |x| context.turn(x);
        let scale = (self.head_width as f64).powf(-0.5);
        let input = Input::new(x, noise);
        let q = turned(heads(self.query.forward(&input) * scale)); // [B, H, T, K]
        let k = turned(heads(self.key.forward(&input))); // [B, H, T, K]
        let v = heads(self.value.forward(&input)); // [B, H, T, K]
        attention(q, k, v, &context.mask, self.dropout, noise) // [B, T, D]
    }
}

impl EsmDense {
    fn forward(&self, x: Tensor<3>, noise: &Noise) -> Tensor<3> {
        self.dense.forward(&Input::new(x, noise))
    }
}
