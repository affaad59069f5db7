//! BERT (Devlin et al. 2019): learned positions, post-LN layers, a pooler over the first token.

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::Tensor;

use super::{Architecture, Backbone, HeadLayout, LayerContext, PaperName, TokenBatch};
use crate::nn::attention::{AttentionMask, attention, split_heads};
use crate::nn::norm::layer_norm;
use crate::nn::token_embedding::TokenEmbedding;
use crate::nn::{Activation, Input, Loader, Noise, Projection};
use crate::weights::WeightError;

/// The paper's names for the matrices, which ESM has by the same names.
pub const PAPER_NAMES: &[PaperName] = &[
    ("Wq", &["attention.self.query"]),
    ("Wk", &["attention.self.key"]),
    ("Wv", &["attention.self.value"]),
    ("Wo", &["attention.output.dense"]),
    ("Wf1", &["intermediate.dense"]),
    ("Wf2", &["output.dense"]),
];

/// The shape of a BERT model; names as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
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
    /// Longest input, in tokens.
    pub max_position_embeddings: usize,
    /// Rows of the table of segments; the first is added to every token.
    pub type_vocab_size: usize,
    /// Added to the variance before its root.
    pub layer_norm_eps: f64,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// Dropout after embeddings, attention and MLP, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout of the attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classification layer, in training.
    pub classifier_dropout: f64,
    /// Id of the padding token.
    pub pad_token_id: u32,
}

impl Architecture for BertConfig {
    fn model_type(&self) -> &'static str {
        "bert"
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn summary(&self) -> String {
        format!(
            "{} layers of width {}, {} heads, MLP {}, vocabulary {}",
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size
        )
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn paper_names(&self) -> &'static [PaperName] {
        PAPER_NAMES
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
        HeadLayout::pooled("pooler.dense", "classifier", self.classifier_dropout)
    }
}

/// The BERT encoder.
#[derive(Module, Debug)]
pub struct Bert {
    /// From token ids to the first layer.
    pub embeddings: BertEmbeddings,
    /// The layers.
    pub encoder: BertEncoder,
    /// Over the first token, where the checkpoint has it.
    pub pooler: Option<BertPooler>,
    width: usize,
}

/// Tokens, positions and segments.
#[derive(Module, Debug)]
pub struct BertEmbeddings {
    /// Token table `[vocab_size, hidden_size]`, or the reachable rows of it.
    pub word_embeddings: TokenEmbedding,
    /// Position table `[max_position_embeddings, hidden_size]`.
    pub position_embeddings: Embedding,
    /// Segment table `[type_vocab_size, hidden_size]`.
    pub token_type_embeddings: Embedding,
    /// Over the sum of the three.
    pub layer_norm: LayerNorm,
    dropout: f64,
}

/// The stack of layers.
#[derive(Module, Debug)]
pub struct BertEncoder {
    /// First to last.
    pub layer: Vec<BertLayer>,
}

/// `tanh` of this is what a classifier sees.
#[derive(Module, Debug)]
pub struct BertPooler {
    /// Weight `[hidden_size, hidden_size]`.
    pub dense: Linear,
}

/// One layer: attention and MLP, each with a residual and a norm behind it.
#[derive(Module, Debug)]
pub struct BertLayer {
    /// Self-attention with its output.
    pub attention: BertAttention,
    /// Up to the MLP's width.
    pub intermediate: BertIntermediate,
    /// Down from the MLP's width.
    pub output: BertOutput,
    #[module(skip)]
    activation: Activation,
}

/// Self-attention with its output.
#[derive(Module, Debug)]
pub struct BertAttention {
    /// `self` in the checkpoint.
    pub self_attention: BertSelfAttention,
    /// Back into the residual.
    pub output: BertOutput,
}

/// Queries, keys and values.
#[derive(Module, Debug)]
pub struct BertSelfAttention {
    /// Queries.
    pub query: Projection,
    /// Keys.
    pub key: Projection,
    /// Values.
    pub value: Projection,
    head_width: usize,
    dropout: f64,
}

/// The MLP's first matrix.
#[derive(Module, Debug)]
pub struct BertIntermediate {
    /// Up to the MLP's width.
    pub dense: Projection,
}

/// A matrix, dropout, the residual, and the norm of their sum.
#[derive(Module, Debug)]
pub struct BertOutput {
    /// To the layer's width.
    pub dense: Projection,
    /// `LayerNorm` in the checkpoint.
    pub layer_norm: LayerNorm,
    dropout: f64,
}

impl Bert {
    /// Reads the model's tensors; a pooler only where there is one.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &BertConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let width = config.hidden_size;
        let embeddings = BertEmbeddings {
            word_embeddings: loader
                .token_embedding("embeddings.word_embeddings", [config.vocab_size, width])?,
            position_embeddings: loader.table(
                "embeddings.position_embeddings",
                [config.max_position_embeddings, width],
            )?,
            token_type_embeddings: loader.table(
                "embeddings.token_type_embeddings",
                [config.type_vocab_size, width],
            )?,
            layer_norm: loader.layer_norm("embeddings.LayerNorm", width, config.layer_norm_eps)?,
            dropout: config.hidden_dropout_prob,
        };
        let layer = (0..config.num_hidden_layers)
            .map(|i| BertLayer::load(config, &format!("encoder.layer.{i}"), loader))
            .collect::<Result<_, _>>()?;
        let pooler = match loader.has("pooler.dense.weight") {
            true => Some(BertPooler {
                dense: loader.head("pooler.dense", [width, width], true)?,
            }),
            false => None,
        };
        Ok(Self {
            embeddings,
            encoder: BertEncoder { layer },
            pooler,
            width,
        })
    }
}

impl BertEmbeddings {
    /// `[B, T]` to `[B, T, D]`.
    fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<3> {
        let x = self.word_embeddings.forward(tokens.ids.clone()); // [B, T, D]
        let [_, t, _] = x.dims();
        let own = x.dtype();
        let positions = self.position_embeddings.weight.val().narrow(0, 0, t); // [T, D]
        let segment = self.token_type_embeddings.weight.val().narrow(0, 0, 1); // [1, D]
        let x = x + (positions.cast(own) + segment.cast(own)).unsqueeze();
        noise.dropout(layer_norm(&self.layer_norm, x), self.dropout)
    }
}

impl Backbone for Bert {
    fn embed(&self, tokens: &TokenBatch, noise: &Noise) -> (Tensor<3>, LayerContext) {
        let x = self.embeddings.forward(tokens, noise); // [B, T, D]
        let mask = AttentionMask::real_tokens(&tokens.lengths, x.dims()[1], &x.device());
        (x, LayerContext { mask, rotary: None })
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

    fn width(&self) -> usize {
        self.width
    }

    fn token_embedding(&self) -> &TokenEmbedding {
        &self.embeddings.word_embeddings
    }

    fn pooler(&self) -> Option<&Linear> {
        self.pooler.as_ref().map(|pooler| &pooler.dense)
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

impl BertLayer {
    fn load(config: &BertConfig, path: &str, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let mut projection =
            |name: &str, dims: [usize; 2]| loader.projection(&format!("{path}.{name}"), dims, true);
        let self_attention = BertSelfAttention {
            query: projection("attention.self.query", [width, width])?,
            key: projection("attention.self.key", [width, width])?,
            value: projection("attention.self.value", [width, width])?,
            head_width: width / config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
        };
        let intermediate = BertIntermediate {
            dense: projection("intermediate.dense", [width, inner])?,
        };
        let mut output = |name: &str, d_input: usize| {
            let (path, dims) = (format!("{path}.{name}"), [d_input, width]);
            let dropout = config.hidden_dropout_prob;
            BertOutput::load(&path, dims, config.layer_norm_eps, dropout, loader)
        };
        Ok(Self {
            attention: BertAttention {
                self_attention,
                output: output("attention.output", width)?,
            },
            intermediate,
            output: output("output", inner)?,
            activation: config.activation,
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let attention = &self.attention.self_attention;
        let seen = attention.forward(x.clone(), &context.mask, noise);
        let x = self.attention.output.forward(seen, x, noise);
        let inner = self
            .intermediate
            .dense
            .forward(&Input::new(x.clone(), noise)); // [B, T, F]
        self.output
            .forward(self.activation.forward(inner), x, noise) // [B, T, D]
    }
}

impl BertSelfAttention {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, mask: &AttentionMask, noise: &Noise) -> Tensor<3> {
        let heads = |x| split_heads(x, self.head_width);
        let scale = (self.head_width as f64).powf(-0.5);
        let input = Input::new(x, noise);
        let q = heads(self.query.forward(&input) * scale); // [B, H, T, K]
        let k = heads(self.key.forward(&input)); // [B, H, T, K]
        let v = heads(self.value.forward(&input)); // [B, H, T, K]
        attention(q, k, v, mask, self.dropout, noise) // [B, T, D]
    }
}

impl BertOutput {
    /// Reads the tensors at `path`.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(
        path: &str,
        [d_input, width]: [usize; 2],
        epsilon: f64,
        dropout: f64,
        loader: &mut Loader<'_>,
    ) -> Result<Self, WeightError> {
        Ok(Self {
            dense: loader.projection(&format!("{path}.dense"), [d_input, width], true)?,
            layer_norm: loader.layer_norm(&format!("{path}.LayerNorm"), width, epsilon)?,
            dropout,
        })
    }

    /// `norm(residual + drop(dense(x)))`: `[B, T, d_input]` and `[B, T, D]` to `[B, T, D]`.
    pub fn forward(&self, x: Tensor<3>, residual: Tensor<3>, noise: &Noise) -> Tensor<3> {
        let x = self.dense.forward(&Input::new(x, noise)); // [B, T, D]
        let sum = noise.dropout(x, self.dropout) + residual;
        layer_norm(&self.layer_norm, sum)
    }
}
