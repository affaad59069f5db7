//! OPT (Zhang et al. 2022), in both of its layouts: pre-LN (125M and most others) and post-LN with projected
//! embeddings (350M).

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::Tensor;

use super::{Architecture, Backbone, HeadLayout, LayerContext, PaperName, TokenBatch};
use crate::nn::attention::{AttentionMask, attention, split_heads};
use crate::nn::norm::layer_norm;
use crate::nn::precision::linear;
use crate::nn::token_embedding::TokenEmbedding;
use crate::nn::{Activation, Input, Loader, Noise, Projection};
use crate::weights::WeightError;

/// Rows of the position table before position 0.
const POSITION_OFFSET: usize = 2;
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// The paper's names for the matrices.
pub const PAPER_NAMES: &[PaperName] = &[
    ("Wq", &["q_proj"]),
    ("Wk", &["k_proj"]),
    ("Wv", &["v_proj"]),
    ("Wo", &["out_proj"]),
    ("Wf1", &["fc1"]),
    ("Wf2", &["fc2"]),
];

/// The shape of an OPT model; names as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct OptConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the layers.
    pub hidden_size: usize,
    /// Width of the embeddings, and of the hidden states that the head sees.
    pub word_embed_proj_dim: usize,
    /// Width of the MLP.
    pub ffn_dim: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Longest input, in tokens.
    pub max_position_embeddings: usize,
    /// Normalise before each block (and once at the end) rather than after it.
    pub do_layer_norm_before: bool,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// Dropout after attention and MLP, in training.
    pub dropout: f64,
    /// Dropout of the attention weights, in training.
    pub attention_dropout: f64,
    /// Id of the padding token.
    pub pad_token_id: u32,
}

impl OptConfig {
    fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

impl Architecture for OptConfig {
    fn model_type(&self) -> &'static str {
        "opt"
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn summary(&self) -> String {
        let layout = match self.do_layer_norm_before {
            true => "pre-LN",
            false => "post-LN",
        };
        format!(
            "{} layers of width {}, {} heads, MLP {}, vocabulary {} x {}, {layout}",
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.ffn_dim,
            self.vocab_size,
            self.word_embed_proj_dim,
        )
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn paper_names(&self) -> &'static [PaperName] {
        PAPER_NAMES
    }

    fn token_table(&self) -> [usize; 2] {
        [self.vocab_size, self.word_embed_proj_dim]
    }

    fn pad_token_id(&self) -> Option<u32> {
        Some(self.pad_token_id)
    }

    fn width(&self) -> usize {
        self.hidden_size
    }

    fn head(&self) -> HeadLayout {
        HeadLayout::last_token("score")
    }
}

/// The OPT decoder without its language-model head.
#[derive(Module, Debug)]
pub struct Opt {
    /// Token table `[vocab_size, word_embed_proj_dim]`, or the reachable rows of it.
    pub embed_tokens: TokenEmbedding,
    /// Position table `[max_position_embeddings + 2, hidden_size]`.
    pub embed_positions: Embedding,
    /// From the embedding's width to the layers'.
    pub project_in: Option<Linear>,
    /// From the layers' width to the embedding's.
    pub project_out: Option<Linear>,
    /// Of the pre-LN layout.
    pub final_layer_norm: Option<LayerNorm>,
    /// The layers, first to last.
    pub layers: Vec<OptLayer>,
    width: usize,
}

/// One layer: attention and MLP, each with a residual.
#[derive(Module, Debug)]
pub struct OptLayer {
    /// Self-attention.
    pub self_attn: OptAttention,
    /// Before or after attention.
    pub self_attn_layer_norm: LayerNorm,
    /// Up to the MLP's width.
    pub fc1: Projection,
    /// Down from the MLP's width.
    pub fc2: Projection,
    /// Before or after the MLP.
    pub final_layer_norm: LayerNorm,
    #[module(skip)]
    activation: Activation,
    norm_first: bool,
    dropout: f64,
}

/// Self-attention of one layer.
#[derive(Module, Debug)]
pub struct OptAttention {
    /// Keys.
    pub k_proj: Projection,
    /// Values.
    pub v_proj: Projection,
    /// Queries.
    pub q_proj: Projection,
    /// Output.
    pub out_proj: Projection,
    head_width: usize,
    dropout: f64,
}

impl Opt {
    /// Reads the model's tensors.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &OptConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let (width, embedding) = (config.hidden_size, config.word_embed_proj_dim);
        let projected = embedding != width;
        Ok(Self {
            embed_tokens: loader.token_embedding("embed_tokens", [config.vocab_size, embedding])?,
            embed_positions: loader.table(
                "embed_positions",
                [config.max_position_embeddings + POSITION_OFFSET, width],
            )?,
            project_in: projected
                .then(|| loader.linear("project_in", [embedding, width], false))
                .transpose()?,
            project_out: projected
                .then(|| loader.linear("project_out", [width, embedding], false))
                .transpose()?,
            final_layer_norm: config
                .do_layer_norm_before
                .then(|| loader.layer_norm("final_layer_norm", width, LAYER_NORM_EPSILON))
                .transpose()?,
            layers: (0..config.num_hidden_layers)
                .map(|i| OptLayer::load(config, &format!("layers.{i}"), loader))
                .collect::<Result<_, _>>()?,
            width: embedding,
        })
    }

    /// `[B, T]` to `[B, T, D]`.
    fn embeddings(&self, tokens: &TokenBatch) -> Tensor<3> {
        let x = self.embed_tokens.forward(tokens.ids.clone()); // [B, T, E]
        let x = match &self.project_in {
            Some(project_in) => linear(project_in, x), // [B, T, D]
            None => x,
        };
        let [_, t, _] = x.dims();
        let rows = POSITION_OFFSET..POSITION_OFFSET + t;
        let positions = self.embed_positions.weight.val().slice([rows]); // [T, D]
        x.clone() + positions.cast(x.dtype()).unsqueeze()
    }
}

impl Backbone for Opt {
    fn embed(&self, tokens: &TokenBatch, _noise: &Noise) -> (Tensor<3>, LayerContext) {
        let x = self.embeddings(tokens); // [B, T, D]
        let mask = AttentionMask::causal(x.dims()[1], 1, &x.device());
        (x, LayerContext { mask, rotary: None })
    }

    fn depth(&self) -> usize {
        self.layers.len()
    }

    fn layer(
        &self,
        index: usize,
        x: Tensor<3>,
        context: &LayerContext,
        noise: &Noise,
    ) -> Tensor<3> {
        self.layers[index].forward(x, context, noise)
    }

    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.final_layer_norm {
            Some(norm) => layer_norm(norm, x),
            None => x,
        };
        match &self.project_out {
            Some(project_out) => linear(project_out, x), // [B, T, E]
            None => x,
        }
    }

    fn width(&self) -> usize {
        self.width
    }

    fn token_embedding(&self) -> &TokenEmbedding {
        &self.embed_tokens
    }

    fn project_in(&self) -> Option<&Linear> {
        self.project_in.as_ref()
    }

    fn project_out(&self) -> Option<&Linear> {
        self.project_out.as_ref()
    }

    projections! { "layers", layers, {
        "self_attn.k_proj" => self_attn.k_proj,
        "self_attn.v_proj" => self_attn.v_proj,
        "self_attn.q_proj" => self_attn.q_proj,
        "self_attn.out_proj" => self_attn.out_proj,
        "fc1" => fc1,
        "fc2" => fc2,
    } }
}

impl OptLayer {
    fn load(config: &OptConfig, path: &str, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let (width, inner) = (config.hidden_size, config.ffn_dim);
        Ok(Self {
            self_attn: OptAttention::load(config, &format!("{path}.self_attn"), loader)?,
            self_attn_layer_norm: loader.layer_norm(
                &format!("{path}.self_attn_layer_norm"),
                width,
                LAYER_NORM_EPSILON,
            )?,
            fc1: loader.projection(&format!("{path}.fc1"), [width, inner], true)?,
            fc2: loader.projection(&format!("{path}.fc2"), [inner, width], true)?,
            final_layer_norm: loader.layer_norm(
                &format!("{path}.final_layer_norm"),
                width,
                LAYER_NORM_EPSILON,
            )?,
            activation: config.activation,
            norm_first: config.do_layer_norm_before,
            dropout: config.dropout,
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let x = self.residual(x, &self.self_attn_layer_norm, noise, |x| {
            self.self_attn.forward(x, &context.mask, noise)
        });
        self.residual(x, &self.final_layer_norm, noise, |x| {
            let x = self.fc1.forward(&Input::new(x, noise)); // [B, T, F]
            let x = self.activation.forward(x);
            self.fc2.forward(&Input::new(x, noise)) // [B, T, D]
        })
    }

    /// `x + drop(block(norm(x)))`, or `norm(x + drop(block(x)))` in the post-LN layout.
    fn residual(
        &self,
        x: Tensor<3>,
        norm: &LayerNorm,
        noise: &Noise,
        block: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        match self.norm_first {
            true => x.clone() + noise.dropout(block(layer_norm(norm, x)), self.dropout),
            false => layer_norm(norm, x.clone() + noise.dropout(block(x), self.dropout)),
        }
    }
}

impl OptAttention {
    fn load(config: &OptConfig, path: &str, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let square = [config.hidden_size, config.hidden_size];
        Ok(Self {
            k_proj: loader.projection(&format!("{path}.k_proj"), square, true)?,
            v_proj: loader.projection(&format!("{path}.v_proj"), square, true)?,
            q_proj: loader.projection(&format!("{path}.q_proj"), square, true)?,
            out_proj: loader.projection(&format!("{path}.out_proj"), square, true)?,
            head_width: config.head_width(),
            dropout: config.attention_dropout,
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, mask: &AttentionMask, noise: &Noise) -> Tensor<3> {
        let heads = |x| split_heads(x, self.head_width);
        let scale = (self.head_width as f64).powf(-0.5);
        let input = Input::new(x, noise);
        let q = heads(self.q_proj.forward(&input) * scale); // [B, H, T, K]
        let k = heads(self.k_proj.forward(&input)); // [B, H, T, K]
        let v = heads(self.v_proj.forward(&input)); // [B, H, T, K]
        let x = attention(q, k, v, mask, self.dropout, noise); // [B, T, D]
        self.out_proj.forward(&Input::new(x, noise))
    }
}
