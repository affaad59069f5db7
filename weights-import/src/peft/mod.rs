//! Adapters of Hugging Face's PEFT: `adapter_config.json` beside `adapter_model.safetensors`.

mod fit;
mod parts;
mod read;
mod targets;
mod write;

use std::collections::BTreeMap;

use burn::tensor::TensorData;

/// The file that describes an adapter.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file with its tensors.
pub const TENSORS_FILE: &str = "adapter_model.safetensors";
/// What PEFT wrote before it, and still does with `safe_serialization=False`.
const PICKLE_FILE: &str = "adapter_model.bin";

/// What stands before the name of a module in PEFT's keys.
const PREFIX: &str = "base_model.model.";

/// PEFT adds this to the rank that it divides AdaLoRA's alpha by.
const RANK_EPSILON: f64 = 1e-5;

/// The correction of one matrix, `scale · P (λ ∘ (Q x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// `P`, PEFT's `lora_B`: `[d_output, R]`.
    pub p: TensorData,
    /// `Q`, PEFT's `lora_A`: `[R, d_input]`.
    pub q: TensorData,
    /// `λ`, PEFT's `lora_E`: `[R]`; none in LoRA.
    pub lambda: Option<TensorData>,
}

impl Factors {
    /// `R`.
    pub fn rank(&self) -> usize {
        self.q.shape()[0]
    }

    /// Multiplies the correction by `factor`: λ, where there is one, else P.
    fn scaled(self, factor: f64) -> Self {
        let times = |data: TensorData| {
            let shape = data.shape().to_vec();
            let values: Vec<f32> = data
                .iter::<f32>()
                .map(|value| (f64::from(value) * factor) as f32)
                .collect();
            TensorData::new(values, shape)
        };
        match self.lambda {
            Some(lambda) => Self {
                lambda: Some(times(lambda)),
                ..self
            },
            None => Self {
                p: times(self.p),
                ..self
            },
        }
    }

    /// The same correction as LoRA has it, λ multiplied into P.
    ///
    /// # Shapes
    /// As before, without λ.
    pub fn without_lambda(self) -> Self {
        let Some(lambda) = &self.lambda else {
            return self;
        };
        let lambda: Vec<f32> = lambda.iter::<f32>().collect();
        let shape = self.p.shape().to_vec();
        let columns = lambda.iter().cycle();
        let values: Vec<f32> = self
            .p
            .iter::<f32>()
            .zip(columns)
            .map(|(p, l)| p * l)
            .collect();
        Self {
            p: TensorData::new(values, shape),
            lambda: None,
            ..self
        }
    }
}

/// An adapter with the head that was trained beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftAdapter {
    /// The pretrained model, as the file names it.
    pub base_model: Option<String>,
    /// Its commit, branch or tag on the hub, where the file names one.
    pub revision: Option<String>,
    /// Whether it is AdaLoRA, with λ, rather than LoRA.
    pub singular_values: bool,
    /// What every correction is multiplied with.
    pub scale: f64,
    /// Dropout before the corrections, in training.
    pub dropout: f64,
    /// Corrections by the canonical paths of their matrices.
    pub matrices: BTreeMap<String, Factors>,
    /// Tensors of the head by their canonical names.
    pub head: BTreeMap<String, TensorData>,
}

impl PeftAdapter {
    /// The same corrections as LoRA has them, λ multiplied into P.
    pub fn into_lora(self) -> Self {
        let matrices = self.matrices.into_iter();
        Self {
            singular_values: false,
            matrices: matrices
                .map(|(path, factors)| (path, factors.without_lambda()))
                .collect(),
            ..self
        }
    }
}

/// The same numbers in another shape of as many.
fn reshaped(data: &TensorData, shape: &[usize]) -> TensorData {
    TensorData::new(data.iter::<f32>().collect(), shape)
}
