//! Floating-point operations of a training step, counted from shapes.
//!
//! Counted are matrix products, `2·m·n·k` for `[m, k]` times `[k, n]`: a multiplication and an addition each, as
//! PyTorch's `torch.utils.flop_counter` has it. For a linear layer over `N` tokens that is `2·N·d_in·d_out` forward, as
//! much again for the gradient of its input where anything before it is trained, and as much for that of its weight
//! where the weight is (Kaplan et al. 2020, section 2.1, without their shortcut of 6 operations a parameter and token,
//! which holds for full training alone). Attention adds `2·B·T²·H·K` for each of q·kᵀ and weights·v, and for each of
//! the four gradients of their factors that is needed; the whole square, since a causal mask saves nothing here.
//!
//! Gradients go as deep as something is trained: below the lowest adapted matrix, and into the embeddings unless
//! rows of them are trained, there is no backward pass to count. Adapters count with all ranks that they hold. The
//! batch's shape is the true one, padding included, before a batch is parted among workers.
//!
//! Not counted are softmax, norms, activation functions, dropout and the optimizer, which are element-wise; the
//! orthogonality penalty, whose `8·R²·(d_in + d_out)` for each adapter and batch, of no token, are below a thousandth;
//! and what is computed twice to save memory: it is the model's work that is compared.

use burn::nn::Linear;

use crate::adapter::target::paper_names_of;
use crate::models::{Architecture, Classifier};
use crate::nn::Projection;

/// Operations of a batch `[B, T]`: `per_token·B·T + per_pair·B·T² + per_sequence·B`.
///
/// ```
/// use lingo_core::flops::Flops;
///
/// // A layer of 64 x 64, and attention of width 64.
/// let layer = Flops { per_token: 2 * 64 * 64, ..Flops::default() };
/// let attention = Flops { per_pair: 2 * 2 * 64, ..Flops::default() };
/// assert_eq!((layer + attention).of_batch([8, 100]), 8 * 100 * (8192 + 100 * 256));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flops {
    /// For each token.
    pub per_token: u64,
    /// For each token and each token that it may see.
    pub per_pair: u64,
    /// For each sequence.
    pub per_sequence: u64,
}

impl Flops {
    /// Of a batch `[B, T]`; `u64::MAX` where it is more than can be counted.
    pub fn of_batch(&self, [b, t]: [usize; 2]) -> u64 {
        let (b, t) = (b as u64, t as u64);
        let of_token = t
            .saturating_mul(self.per_pair)
            .saturating_add(self.per_token);
        let of_sequence = t.saturating_mul(of_token).saturating_add(self.per_sequence);
        b.saturating_mul(of_sequence)
    }

    /// Of so many sequences of a mean length.
    pub fn of_mean(&self, sequences: f64, tokens: f64) -> f64 {
        let (token, pair) = (self.per_token as f64, self.per_pair as f64);
        sequences * (tokens * (token + tokens * pair) + self.per_sequence as f64)
    }
}

impl std::ops::Add for Flops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            per_token: self.per_token.saturating_add(other.per_token),
            per_pair: self.per_pair.saturating_add(other.per_pair),
            per_sequence: self.per_sequence.saturating_add(other.per_sequence),
        }
    }
}

/// Operations of a training step, by what they compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepFlops {
    /// The loss.
    pub forward: Flops,
    /// Gradients of activations.
    pub activations: Flops,
    /// Gradients of weights that are trained.
    pub weights: Flops,
}

impl StepFlops {
    /// Counts a step of `classifier`, an architecture `model`; what is trained is what asks for gradients.
    ///
    /// # Panics
    /// If a matrix of the architecture has none of the paper's names, or the classifier was not made for training.
    pub fn of(classifier: &Classifier, model: &dyn Architecture) -> Self {
        let backbone = &classifier.backbone;
        let mut walk = Walk {
            reached: backbone.token_embedding().is_trained(),
            count: Self::default(),
        };
        if let Some(layer) = backbone.project_in() {
            walk.linear(layer, Rows::Tokens);
        }
        let projections = backbone.projections();
        let layer_of = |path: &str| {
            let mut parts = path.split('.');
            parts
                .find(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
                .map(str::to_owned)
        };
        for layer in projections.chunk_by(|(a, _), (b, _)| layer_of(a) == layer_of(b)) {
            walk.layer(layer, model);
        }
        if let Some(layer) = backbone.project_out() {
            walk.linear(layer, Rows::Tokens);
        }
        if let Some(layer) = classifier.pooler.as_ref().or(backbone.pooler()) {
            walk.linear(layer, Rows::Sequences);
        }
        walk.linear(&classifier.score, Rows::Sequences);
        assert!(walk.reached, "a classifier for training has a trained head");
        walk.count
    }

    /// All of them.
    pub fn total(&self) -> Flops {
        self.forward + self.activations + self.weights
    }
}

/// What a layer is applied to.
#[derive(Clone, Copy)]
enum Rows {
    Tokens,
    Sequences,
}

/// The forward pass, walked from the embeddings to the loss.
struct Walk {
    /// Whether anything trained lies behind the place where the walk is, so that gradients come back to it.
    reached: bool,
    count: StepFlops,
}

impl Walk {
    /// A product of so many operations a row; whether its input and its weight need gradients.
    fn product(&mut self, operations: usize, rows: Rows, input: bool, weight: bool) {
        let once = match rows {
            Rows::Tokens => Flops {
                per_token: operations as u64,
                ..Flops::default()
            },
            Rows::Sequences => Flops {
                per_sequence: operations as u64,
                ..Flops::default()
            },
        };
        let count = &mut self.count;
        count.forward = count.forward + once;
        if input {
            count.activations = count.activations + once;
        }
        if weight {
            count.weights = count.weights + once;
        }
    }

    /// A layer that everything goes through.
    fn linear(&mut self, layer: &Linear, rows: Rows) {
        let [d_input, d_output] = layer.weight.dims();
        let trained = layer.weight.is_require_grad();
        self.product(2 * d_input * d_output, rows, self.reached, trained);
        self.reached |= trained;
    }

    /// A matrix whose input needs a gradient or not; whether its output does.
    fn projection(&mut self, projection: &Projection, input: bool) -> bool {
        let [d_input, d_output] = projection.dims();
        let trained = projection.base.weight.is_require_grad();
        self.product(2 * d_input * d_output, Rows::Tokens, input, trained);
        let Some(adapter) = &projection.adapter else {
            return input || trained;
        };
        let (r, q, p) = (adapter.rank(), &adapter.q, &adapter.p);
        self.product(2 * d_input * r, Rows::Tokens, input, q.is_require_grad());
        self.product(2 * r * d_output, Rows::Tokens, true, p.is_require_grad());
        true
    }

    /// q·kᵀ and weights·v of heads that are `width` wide together; which of q, k, v need gradients.
    fn attention(&mut self, width: usize, [q, k, v]: [bool; 3]) {
        let products = |count: usize| Flops {
            per_pair: (2 * width * count) as u64,
            ..Flops::default()
        };
        // Of q and of k from the scores; of the scores from the weighted sum, for either of them; of v.
        let gradients = [q, k, q || k, v].into_iter().filter(|needed| *needed);
        self.count.forward = self.count.forward + products(2);
        self.count.activations = self.count.activations + products(gradients.count());
    }

    /// A layer of attention and MLP, each beside a residual path.
    fn layer(&mut self, matrices: &[(String, &Projection)], model: &dyn Architecture) {
        let names: Vec<_> = matrices
            .iter()
            .map(|(path, _)| paper_names_of(path, model.paper_names()))
            .collect();
        let unnamed = names.iter().position(Vec::is_empty);
        assert!(unnamed.is_none(), "the paper's names cover every matrix");
        let named = |name: &str| {
            let has = |(names, (_, matrix)): (&Vec<&str>, &(String, _))| {
                names.contains(&name).then_some(*matrix)
            };
            let found = names.iter().zip(matrices).filter_map(has);
            found.collect::<Vec<&Projection>>()
        };

        let x = self.reached;
        let mut needed = [x; 3];
        for (i, name) in ["Wq", "Wk", "Wv"].into_iter().enumerate() {
            for matrix in named(name) {
                needed[i] |= is_trained(matrix);
            }
        }
        for (names, (_, matrix)) in names.iter().zip(matrices) {
            // One matrix may stand for all three.
            if names.iter().any(|name| matches!(*name, "Wq" | "Wk" | "Wv")) {
                self.projection(matrix, x);
            }
        }
        let outputs = named("Wo");
        let width = outputs.iter().map(|matrix| matrix.dims()[0]).sum();
        self.attention(width, needed);
        let seen = needed.contains(&true);
        self.reached |= seen;
        for matrix in outputs {
            self.reached |= self.projection(matrix, seen);
        }
        let x = self.reached;
        for matrix in named("Wf1") {
            self.reached |= self.projection(matrix, x);
        }
        let inner = self.reached;
        for matrix in named("Wf2") {
            self.reached |= self.projection(matrix, inner);
        }
    }
}

fn is_trained(projection: &Projection) -> bool {
    projection.adapter.is_some() || projection.base.weight.is_require_grad()
}
