//! Builds modules from pretrained tensors.

use burn::module::{Param, ParamId};
use burn::nn::{Embedding, LayerNorm, LayerNormConfig, Linear, RmsNorm};
use burn::tensor::{Device, Tensor};

use super::token_embedding::TokenEmbedding;
use super::{Precision, Projection};
use crate::adapter::init::normal;
use crate::weights::{WeightError, WeightSource};

/// Rows of a table that are read at a time to know its spread.
const ROWS_AT_ONCE: usize = 4096;

/// So many tensors that are not right are noted; a configuration of any number of layers could name more without end.
pub(crate) const MOST_PROBLEMS: usize = 1000;

/// Reads tensors from a [`WeightSource`] onto a device, as parameters that do not ask for gradients.
pub struct Loader<'a> {
    source: Source<'a>,
    device: &'a Device,
    tokens: Option<&'a [u32]>,
    added: AddedTokens,
    /// Of activations.
    precision: Precision,
    /// Of matrices and tables.
    stored: Precision,
}

/// Where a loader's numbers come from.
enum Source<'a> {
    /// A checkpoint.
    Weights(&'a mut dyn WeightSource),
    /// Nowhere: all are the same zero.
    Shapes,
    /// Nowhere, too; what is wrong with a checkpoint's tensors is noted.
    Checked(&'a mut dyn WeightSource, &'a mut Vec<WeightError>),
}

/// Tokens that a task brings along, which no checkpoint knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedTokens {
    /// How many.
    pub count: usize,
    /// What their rows are drawn from.
    pub seed: u64,
}

impl<'a> Loader<'a> {
    /// A loader from `source` onto `device`.
    ///
    /// With `tokens`, token embeddings keep those rows alone, in that order: row `i` of the loaded table is row
    /// `tokens[i]` of the checkpoint's. For a frozen table and inputs renumbered alike this changes no result.
    pub fn new(
        source: &'a mut dyn WeightSource,
        device: &'a Device,
        tokens: Option<&'a [u32]>,
    ) -> Self {
        Self::plain(Source::Weights(source), device, tokens)
    }

    /// Lets the network compute in `precision`, with matrices and tables of that type, converted as they are read. Norms
    /// and heads stay in f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self {
            precision,
            stored: precision,
            ..self
        }
    }

    /// Keeps all weights in f32, to be trained, whatever the network computes in.
    pub fn with_masters(self) -> Self {
        Self {
            stored: Precision::F32,
            ..self
        }
    }

    /// A loader from `source` onto `device` whose weights are all in f32.
    fn plain(source: Source<'a>, device: &'a Device, tokens: Option<&'a [u32]>) -> Self {
        Self {
            source,
            device,
            tokens,
            added: AddedTokens::default(),
            precision: Precision::F32,
            stored: Precision::F32,
        }
    }

    /// A loader of shapes: modules are as they would be with weights, optional ones included, but every tensor is a
    /// view of a single zero and takes no memory.
    pub fn of_shapes(device: &'a Device) -> Self {
        Self::plain(Source::Shapes, device, None)
    }

    /// A loader of shapes that reads nothing of `source`, but notes which of the tensors that are asked for it does not
    /// have, or has in another shape. It stops with an error at the problem behind the first [`MOST_PROBLEMS`] alone.
    pub(crate) fn checking(
        source: &'a mut dyn WeightSource,
        problems: &'a mut Vec<WeightError>,
        device: &'a Device,
    ) -> Self {
        Self::plain(Source::Checked(source, problems), device, None)
    }

    /// Gives token embeddings trained rows for tokens of the task's own, numbered behind the loaded rows: drawn from
    /// N(0, σ²) with the σ of the checkpoint's whole table.
    pub fn with_added_tokens(self, added: AddedTokens) -> Self {
        Self { added, ..self }
    }

    /// Whether the checkpoint holds the tensor, for those that are optional.
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Weights(source) | Source::Checked(source, _) => source.has(name),
            Source::Shapes => true,
        }
    }

    /// A projection from `d_input` to `d_output`; `name` names a matrix `[d_output, d_input]`.
    ///
    /// # Errors
    /// If `name.weight`, or `name.bias` where asked for, cannot be had.
    pub fn projection(
        &mut self,
        name: &str,
        [d_input, d_output]: [usize; 2],
        bias: bool,
    ) -> Result<Projection, WeightError> {
        Ok(Projection::new(self.linear(
            name,
            [d_input, d_output],
            bias,
        )?))
    }

    /// A linear layer from `d_input` to `d_output`; `name` names a matrix `[d_output, d_input]`.
    ///
    /// # Errors
    /// If `name.weight`, or `name.bias` where asked for, cannot be had.
    pub fn linear(
        &mut self,
        name: &str,
        [d_input, d_output]: [usize; 2],
        bias: bool,
    ) -> Result<Linear, WeightError> {
        self.linear_in(self.stored, name, [d_input, d_output], bias)
    }

    /// A layer of a head, or a pooler before it, in f32.
    ///
    /// # Errors
    /// As for [`linear`](Self::linear).
    pub fn head(
        &mut self,
        name: &str,
        [d_input, d_output]: [usize; 2],
        bias: bool,
    ) -> Result<Linear, WeightError> {
        self.linear_in(Precision::F32, name, [d_input, d_output], bias)
    }

    fn linear_in(
        &mut self,
        stored: Precision,
        name: &str,
        [d_input, d_output]: [usize; 2],
        bias: bool,
    ) -> Result<Linear, WeightError> {
        let weight = self.tensor(&format!("{name}.weight"), [d_output, d_input], stored)?;
        let bias = match bias {
            true => Some(frozen(self.tensor(
                &format!("{name}.bias"),
                [d_output],
                stored,
            )?)),
            false => None,
        };
        Ok(Linear {
            weight: frozen(weight.transpose()),
            bias,
        })
    }

    /// A layer normalisation over `width` features with gain and bias.
    ///
    /// # Errors
    /// If one of the two tensors cannot be had.
    pub fn layer_norm(
        &mut self,
        name: &str,
        width: usize,
        epsilon: f64,
    ) -> Result<LayerNorm, WeightError> {
        let mut norm = LayerNormConfig::new(width)
            .with_epsilon(epsilon)
            .init(self.device);
        norm.gamma = frozen(self.tensor(&format!("{name}.weight"), [width], Precision::F32)?);
        norm.beta = Some(frozen(self.tensor(
            &format!("{name}.bias"),
            [width],
            Precision::F32,
        )?));
        Ok(norm)
    }

    /// A root-mean-square normalisation over `width` features.
    ///
    /// # Errors
    /// If the gain cannot be had.
    pub fn rms_norm(
        &mut self,
        name: &str,
        width: usize,
        epsilon: f64,
    ) -> Result<RmsNorm, WeightError> {
        let gamma = frozen(self.tensor(&format!("{name}.weight"), [width], Precision::F32)?);
        Ok(RmsNorm { gamma, epsilon })
    }

    /// A table `[rows, width]` that the restriction of tokens does not touch.
    ///
    /// # Errors
    /// If the tensor cannot be had.
    pub fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Embedding, WeightError> {
        Ok(Embedding {
            weight: frozen(self.tensor(&format!("{name}.weight"), shape, self.stored)?),
        })
    }

    /// The token embeddings, restricted and extended where the loader says so.
    ///
    /// # Errors
    /// If the tensor cannot be had.
    pub fn token_embedding(
        &mut self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<TokenEmbedding, WeightError> {
        let name = format!("{name}.weight");
        let weight = match (&mut self.source, self.tokens) {
            (Source::Weights(source), Some(tokens)) => {
                let data = source.take_rows_as(&name, shape, tokens, self.stored)?;
                Tensor::from_data(data, (self.device, self.stored.dtype().into()))
            }
            _ => self.tensor(&name, shape, self.stored)?,
        };
        let AddedTokens { count, seed } = self.added;
        let added = match count {
            0 => None,
            _ => {
                let rows = normal(
                    seed,
                    "added tokens",
                    [count, shape[1]],
                    self.spread(&name, shape)?,
                );
                Some(Param::from_tensor(Tensor::from_data(rows, self.device)))
            }
        };
        Ok(TokenEmbedding {
            weight: frozen(weight),
            added,
            precision: self.precision,
        })
    }

    /// The standard deviation of a table's elements, read a part at a time.
    fn spread(&mut self, name: &str, shape: [usize; 2]) -> Result<f64, WeightError> {
        let Source::Weights(source) = &mut self.source else {
            return Ok(0.0);
        };
        let (mut sum, mut squares) = (0.0, 0.0);
        let all: Vec<u32> = (0..shape[0] as u32).collect();
        for rows in all.chunks(ROWS_AT_ONCE) {
            for value in source.take_rows(name, shape, rows)?.iter::<f32>() {
                sum += f64::from(value);
                squares += f64::from(value).powi(2);
            }
        }
        let count = (shape[0] * shape[1]) as f64;
        Ok((squares / count - (sum / count).powi(2)).max(0.0).sqrt())
    }

    fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        stored: Precision,
    ) -> Result<Tensor<D>, WeightError> {
        match &mut self.source {
            Source::Weights(source) => {
                let data = source.take_as(name, &shape, stored)?;
                return Ok(Tensor::from_data(
                    data,
                    (self.device, stored.dtype().into()),
                ));
            }
            Source::Checked(source, problems) => match source.check(name, &shape) {
                Err(problem) if problems.len() == MOST_PROBLEMS => return Err(problem),
                checked => problems.extend(checked.err()),
            },
            Source::Shapes => {}
        }
        Ok(Tensor::<D>::zeros([1; D], self.device).expand(shape))
    }
}

/// A parameter that asks for no gradient until told otherwise.
fn frozen<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), tensor.set_require_grad(false))
}
