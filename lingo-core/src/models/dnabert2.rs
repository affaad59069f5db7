//! DNABERT-2 (Zhou et al. 2024), a MosaicBERT (Portes et al. 2023): ALiBi in place of positions, one matrix for
//! queries, keys and values, a gated MLP, post-LN layers.

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm};
use burn::tensor::{Tensor, activation::gelu};

use super::bert::BertOutput;
use super::{Architecture, Backbone, HeadLayout, LayerContext, PaperName, TokenBatch};
use crate::nn::attention::{AttentionMask, attention, split_heads};
use crate::nn::norm::layer_norm;
use crate::nn::token_embedding::TokenEmbedding;
use crate::nn::{Input, Loader, Noise, Projection};
use crate::weights::WeightError;

/// The paper's names for the matrices; queries, keys and values share one.
pub const PAPER_NAMES: &[PaperName] = &[
    ("Wq", &["Wqkv"]),
    ("Wk", &["Wqkv"]),
    ("Wv", &["Wqkv"]),
    ("Wo", &["attention.output.dense"]),
    ("Wf1", &["gated_layers"]),
    ("Wf2", &["wo"]),
];

/// The shape of a DNABERT-2 model; names as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct DnaBert2Config {
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
    /// Rows of the table of segments; the first is added to every token.
    pub type_vocab_size: usize,
    /// Added to the variance before its root.
    pub layer_norm_eps: f64,
    /// Dropout after embeddings, attention and MLP, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout of the attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classification layer, in training.
    pub classifier_dropout: f64,
}

impl Architecture for DnaBert2Config {
    fn model_type(&self) -> &'static str {
        "dnabert2"
    }

    fn reads_text(&self) -> bool {
        false
    }

    fn summary(&self) -> String {
        format!(
            "{} layers of width {}, {} heads with ALiBi, gated MLP {}, vocabulary {}",
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size
        )
    }

    /// ALiBi has no table to run out of.
    fn max_tokens(&self) -> usize {
        usize::MAX
    }

    fn paper_names(&self) -> &'static [PaperName] {
        PAPER_NAMES
    }

    fn token_table(&self) -> [usize; 2] {
        [self.vocab_size, self.hidden_size]
    }

    /// Its configuration names none, and the default of BERT's would be wrong.
    fn pad_token_id(&self) -> Option<u32> {
        None
    }

    /// The published checkpoint was trained without a pooler: a run trains one of its own.
    fn width(&self) -> usize {
        self.hidden_size
    }

    fn head(&self) -> HeadLayout {
        HeadLayout::pooled("pooler.dense", "classifier", self.classifier_dropout)
    }
}

/// The DNABERT-2 encoder.
#[derive(Module, Debug)]
pub struct DnaBert2 {
    /// From token ids to the first layer.
    pub embeddings: DnaBert2Embeddings,
    /// The layers.
    pub encoder: DnaBert2Encoder,
    heads: usize,
    width: usize,
}

/// Tokens and segments.
#[derive(Module, Debug)]
pub struct DnaBert2Embeddings {
    /// Token table `[vocab_size, hidden_size]`, or the reachable rows of it.
    pub word_embeddings: TokenEmbedding,
    /// Segment table `[type_vocab_size, hidden_size]`.
    pub token_type_embeddings: Embedding,
    /// Over the sum of the two; `LayerNorm` in the checkpoint.
    pub layer_norm: LayerNorm,
    dropout: f64,
}

/// The stack of layers.
#[derive(Module, Debug)]
pub struct DnaBert2Encoder {
    /// First to last.
    pub layer: Vec<DnaBert2Layer>,
}

/// One layer: attention and MLP, each with a residual and a norm behind it.
#[derive(Module, Debug)]
pub struct DnaBert2Layer {
    /// Self-attention with its output.
    pub attention: DnaBert2Attention,
    /// The gated MLP.
    pub mlp: DnaBert2Mlp,
}

/// Self-attention with its output.
#[derive(Module, Debug)]
pub struct DnaBert2Attention {
    /// `self` in the checkpoint.
    pub self_attention: DnaBert2SelfAttention,
    /// Back into the residual.
    pub output: BertOutput,
}

/// Queries, keys and values.
#[derive(Module, Debug)]
pub struct DnaBert2SelfAttention {
    /// All three, in this order; `Wqkv` in the checkpoint.
    pub wqkv: Projection,
    heads: usize,
    dropout: f64,
}

/// GEGLU (Shazeer 2020): `wo(gelu(first half) ∘ second half)`, the residual, and the norm of their sum.
#[derive(Module, Debug)]
pub struct DnaBert2Mlp {
    /// Both halves.
    pub gated_layers: Projection,
    /// Back to the layer's width.
    pub wo: Projection,
    /// Behind the residual.
    pub layernorm: LayerNorm,
    dropout: f64,
}

impl DnaBert2 {
    /// Reads the model's tensors.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &DnaBert2Config, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let width = config.hidden_size;
        let embeddings = DnaBert2Embeddings {
            word_embeddings: loader
                .token_embedding("embeddings.word_embeddings", [config.vocab_size, width])?,
            token_type_embeddings: loader.table(
                "embeddings.token_type_embeddings",
                [config.type_vocab_size, width],
            )?,
            layer_norm: loader.layer_norm("embeddings.LayerNorm", width, config.layer_norm_eps)?,
            dropout: config.hidden_dropout_prob,
        };
        let layer = (0..config.num_hidden_layers)
            .map(|i| DnaBert2Layer::load(config, &format!("encoder.layer.{i}"), loader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            embeddings,
            encoder: DnaBert2Encoder { layer },
            heads: config.num_attention_heads,
            width,
        })
    }
}

impl DnaBert2Embeddings {
    /// `[B, T]` to `[B, T, D]`.
    fn forward(&self, tokens: &TokenBatch, noise: &Noise) -> Tensor<3> {
        let x = self.word_embeddings.forward(tokens.ids.clone()); // [B, T, D]
        let segment = self.token_type_embeddings.weight.val().narrow(0, 0, 1); // [1, D]
        let sum = x.clone() + segment.cast(x.dtype()).unsqueeze();
        noise.dropout(layer_norm(&self.layer_norm, sum), self.dropout)
    }
}

impl Backbone for DnaBert2 {
    fn embed(&self, tokens: &TokenBatch, noise: &Noise) -> (Tensor<3>, LayerContext) {
        let x = self.embeddings.forward(tokens, noise); // [B, T, D]
        let (t, device) = (x.dims()[1], x.device());
        let mask = AttentionMask::real_tokens(&tokens.lengths, t, &device)
            .with_alibi(self.heads, t, &device);
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

    projections! { "encoder.layer", encoder.layer, {
        "attention.self.Wqkv" => attention.self_attention.wqkv,
        "attention.output.dense" => attention.output.dense,
        "mlp.gated_layers" => mlp.gated_layers,
        "mlp.wo" => mlp.wo,
    } }
}

impl DnaBert2Layer {
    fn load(
        config: &DnaBert2Config,
        path: &str,
        loader: &mut Loader<'_>,
    ) -> Result<Self, WeightError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let mut projection = |name: &str, dims: [usize; 2], bias: bool| {
            loader.projection(&format!("{path}.{name}"), dims, bias)
        };
        let self_attention = DnaBert2SelfAttention {
            wqkv: projection("attention.self.Wqkv", [width, 3 * width], true)?,
            heads: config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
        };
        let gated_layers = projection("mlp.gated_layers", [width, 2 * inner], false)?;
        let wo = projection("mlp.wo", [inner, width], true)?;
        let (epsilon, dropout) = (config.layer_norm_eps, config.hidden_dropout_prob);
        let layernorm = loader.layer_norm(&format!("{path}.mlp.layernorm"), width, epsilon)?;
        let output = format!("{path}.attention.output");
        Ok(Self {
            attention: DnaBert2Attention {
                self_attention,
                output: BertOutput::load(&output, [width, width], epsilon, dropout, loader)?,
            },
            mlp: DnaBert2Mlp {
                gated_layers,
                wo,
                layernorm,
                dropout,
            },
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let attention = &self.attention.self_attention;
        let seen = attention.forward(x.clone(), &context.mask, noise);
        let x = self.attention.output.forward(seen, x, noise);
        self.mlp.forward(x, noise)
    }
}

impl DnaBert2SelfAttention {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, mask: &AttentionMask, noise: &Noise) -> Tensor<3> {
        let d = x.dims()[2];
        let head_width = d / self.heads;
        let qkv = self.wqkv.forward(&Input::new(x, noise)); // [B, T, 3 D]
        let part = |i: usize| split_heads(qkv.clone().narrow(2, i * d, d), head_width);
        let q = part(0) * (head_width as f64).powf(-0.5); // [B, H, T, K]
        attention(q, part(1), part(2), mask, self.dropout, noise) // [B, T, D]
    }
}

impl DnaBert2Mlp {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, noise: &Noise) -> Tensor<3> {
        let both = self.gated_layers.forward(&Input::new(x.clone(), noise)); // [B, T, 2 F]
        let inner = both.dims()[2] / 2;
        let gate = both.clone().narrow(2, 0, inner); // [B, T, F]
        let inner = gelu(gate) * both.narrow(2, inner, inner); // [B, T, F]
        let inner = noise.dropout(inner, self.dropout);
        let y = self.wo.forward(&Input::new(inner, noise)); // [B, T, D]
        layer_norm(&self.layernorm, y + x)
    }
}
