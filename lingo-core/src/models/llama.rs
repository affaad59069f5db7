//! LLaMA (Touvron et al. 2023) and the models of its form: RMSNorm, rotary positions, grouped-query attention,
//! SwiGLU, no biases.

use burn::module::Module;
use burn::nn::RmsNorm;
use burn::tensor::Tensor;

use super::{Architecture, Backbone, HeadLayout, LayerContext, PaperName, TokenBatch};
use crate::nn::attention::{AttentionMask, attention, split_heads};
use crate::nn::gated::swiglu;
use crate::nn::norm::rms_norm;
use crate::nn::rotary::Rotary;
use crate::nn::token_embedding::TokenEmbedding;
use crate::nn::{Input, Loader, Noise, Projection};
use crate::weights::WeightError;

/// The paper's names for the matrices.
pub const PAPER_NAMES: &[PaperName] = &[
    ("Wq", &["q_proj"]),
    ("Wk", &["k_proj"]),
    ("Wv", &["v_proj"]),
    ("Wo", &["o_proj"]),
    ("Wf1", &["gate_proj", "up_proj"]),
    ("Wf2", &["down_proj"]),
];

/// The shape of a LLaMA model; names as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the layers.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest input, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Dropout of the attention weights, in training.
    pub attention_dropout: f64,
    /// Id of the padding token, where the checkpoint names one.
    pub pad_token_id: Option<u32>,
}

impl Architecture for LlamaConfig {
    fn model_type(&self) -> &'static str {
        "llama"
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn summary(&self) -> String {
        format!(
            "{} layers of width {}, {} heads ({} for keys) of {}, MLP {}, vocabulary {}",
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
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
        self.pad_token_id
    }

    fn width(&self) -> usize {
        self.hidden_size
    }

    fn head(&self) -> HeadLayout {
        HeadLayout::last_token("score")
    }
}

/// The LLaMA decoder without its language-model head.
#[derive(Module, Debug)]
pub struct Llama {
    /// Token table `[vocab_size, hidden_size]`, or the reachable rows of it.
    pub embed_tokens: TokenEmbedding,
    /// The layers, first to last.
    pub layers: Vec<LlamaLayer>,
    /// After the last layer.
    pub norm: RmsNorm,
    head_dim: usize,
    group: usize,
    rope_theta: f64,
    width: usize,
}

/// One layer: attention and MLP, each with a residual.
#[derive(Module, Debug)]
pub struct LlamaLayer {
    /// Self-attention.
    pub self_attn: LlamaAttention,
    /// The gated MLP.
    pub mlp: LlamaMlp,
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// Before the MLP.
    pub post_attention_layernorm: RmsNorm,
}

/// Self-attention of one layer.
#[derive(Module, Debug)]
pub struct LlamaAttention {
    /// Queries.
    pub q_proj: Projection,
    /// Keys.
    pub k_proj: Projection,
    /// Values.
    pub v_proj: Projection,
    /// Output.
    pub o_proj: Projection,
    head_dim: usize,
    dropout: f64,
}

/// SwiGLU (Shazeer 2020): `down(silu(gate(x)) ∘ up(x))`.
#[derive(Module, Debug)]
pub struct LlamaMlp {
    /// Through the non-linearity.
    pub gate_proj: Projection,
    /// The linear branch.
    pub up_proj: Projection,
    /// Back to the layer's width.
    pub down_proj: Projection,
}

impl Llama {
    /// Reads the model's tensors.
    ///
    /// # Errors
    /// If a tensor cannot be had.
    pub fn load(config: &LlamaConfig, loader: &mut Loader<'_>) -> Result<Self, WeightError> {
        let width = config.hidden_size;
        Ok(Self {
            embed_tokens: loader.token_embedding("embed_tokens", [config.vocab_size, width])?,
            layers: (0..config.num_hidden_layers)
                .map(|i| LlamaLayer::load(config, &format!("layers.{i}"), loader))
                .collect::<Result<_, _>>()?,
            norm: loader.rms_norm("norm", width, config.rms_norm_eps)?,
            head_dim: config.head_dim,
            group: config.num_attention_heads / config.num_key_value_heads,
            rope_theta: config.rope_theta,
            width,
        })
    }
}

impl Backbone for Llama {
    fn embed(&self, tokens: &TokenBatch, _noise: &Noise) -> (Tensor<3>, LayerContext) {
        let x = self.embed_tokens.forward(tokens.ids.clone()); // [B, T, D]
        let (t, device) = (x.dims()[1], x.device());
        let context = LayerContext {
            mask: AttentionMask::causal(t, self.group, &device),
            rotary: Some(Rotary::new(t, self.head_dim, self.rope_theta, &device)),
        };
        (x, context)
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
        rms_norm(&self.norm, x)
    }

    fn width(&self) -> usize {
        self.width
    }

    fn token_embedding(&self) -> &TokenEmbedding {
        &self.embed_tokens
    }

    projections! { "layers", layers, {
        "self_attn.q_proj" => self_attn.q_proj,
        "self_attn.k_proj" => self_attn.k_proj,
        "self_attn.v_proj" => self_attn.v_proj,
        "self_attn.o_proj" => self_attn.o_proj,
        "mlp.gate_proj" => mlp.gate_proj,
        "mlp.up_proj" => mlp.up_proj,
        "mlp.down_proj" => mlp.down_proj,
    } }
}

impl LlamaLayer {
    fn load(
        config: &LlamaConfig,
        path: &str,
        loader: &mut Loader<'_>,
    ) -> Result<Self, WeightError> {
        let (width, inner, k) = (
            config.hidden_size,
            config.intermediate_size,
            config.head_dim,
        );
        let queries = config.num_attention_heads * k;
        let keys = config.num_key_value_heads * k;
        let mut projection =
            |name: &str, dims| loader.projection(&format!("{path}.{name}"), dims, false);
        let self_attn = LlamaAttention {
            q_proj: projection("self_attn.q_proj", [width, queries])?,
            k_proj: projection("self_attn.k_proj", [width, keys])?,
            v_proj: projection("self_attn.v_proj", [width, keys])?,
            o_proj: projection("self_attn.o_proj", [queries, width])?,
            head_dim: k,
            dropout: config.attention_dropout,
        };
        let mlp = LlamaMlp {
            gate_proj: projection("mlp.gate_proj", [width, inner])?,
            up_proj: projection("mlp.up_proj", [width, inner])?,
            down_proj: projection("mlp.down_proj", [inner, width])?,
        };
        let mut norm =
            |name: &str| loader.rms_norm(&format!("{path}.{name}"), width, config.rms_norm_eps);
        Ok(Self {
            self_attn,
            mlp,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
        })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let normed = rms_norm(&self.input_layernorm, x.clone());
        let x = x + self.self_attn.forward(normed, context, noise);
        let normed = rms_norm(&self.post_attention_layernorm, x.clone());
        x + self.mlp.forward(normed, noise)
    }
}

impl LlamaAttention {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, context: &LayerContext, noise: &Noise) -> Tensor<3> {
        let heads = |x| split_heads(x, self.head_dim);
        let input = Input::new(x, noise);
        let q = context.turn(heads(self.q_proj.forward(&input))); // [B, H, T, K]
        let k = context.turn(heads(self.k_proj.forward(&input))); // [B, G, T, K]
        let v = heads(self.v_proj.forward(&input)); // [B, G, T, K]
        let q = q * (self.head_dim as f64).powf(-0.5);
        let x = attention(q, k, v, &context.mask, self.dropout, noise); // [B, T, H·K]
        self.o_proj.forward(&Input::new(x, noise)) // [B, T, D]
    }
}

impl LlamaMlp {
    /// `[B, T, D]` to `[B, T, D]`.
    fn forward(&self, x: Tensor<3>, noise: &Noise) -> Tensor<3> {
        let input = Input::new(x, noise);
        let gate = self.gate_proj.forward(&input); // [B, T, F]
        let up = self.up_proj.forward(&input); // [B, T, F]
        self.down_proj.forward(&Input::new(swiglu(gate, up), noise))
    }
}
