//! Whether a checkpoint has what a model needs, found out from shapes alone.

use std::fmt;

use burn::tensor::Device;

use super::classifier::new_pooler;
use super::{ModelConfig, Pretrained};
use crate::nn::Loader;
use crate::nn::loader::MOST_PROBLEMS;
use crate::weights::{WeightError, WeightSource};

/// What of the tensors that a model needs a checkpoint does not have, or has in other shapes.
#[derive(Debug)]
pub struct Misfit {
    /// The first, in the order in which the model is loaded.
    pub first: WeightError,
    /// How many more there are; counting ends at a thousand.
    pub others: usize,
}

impl std::error::Error for Misfit {}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.others {
            0 => Ok(()),
            1 => write!(f, "; another tensor is missing or of another shape, too"),
            MOST_PROBLEMS.. => {
                write!(
                    f,
                    "; {MOST_PROBLEMS} or more others are missing or of other shapes"
                )
            }
            others => write!(f, "; {others} others are missing or of other shapes"),
        }
    }
}

/// Checks that `source` has the tensors of the network that `config` describes, in their shapes, and those of a head of
/// so many `outputs` that it is known to have. A pooler that the head alone needs may be absent: it is trained then.
/// Nothing is read, and hardly any memory taken.
///
/// # Errors
/// If a tensor is missing or of another shape.
pub fn check(
    config: &ModelConfig,
    outputs: Option<usize>,
    source: &mut dyn WeightSource,
    device: &Device,
) -> Result<(), Misfit> {
    let mut problems = Vec::new();
    let stopped = load(
        config,
        outputs,
        &mut Loader::checking(source, &mut problems, device),
    );
    let mut problems = problems.into_iter().chain(stopped.err());
    match problems.next() {
        None => Ok(()),
        Some(first) => Err(Misfit {
            first,
            others: problems.count(),
        }),
    }
}

/// Asks for everything in the order in which a model is loaded.
fn load(
    config: &ModelConfig,
    outputs: Option<usize>,
    loader: &mut Loader<'_>,
) -> Result<(), WeightError> {
    let backbone = Pretrained::load(config, loader)?;
    let Some(outputs) = outputs else {
        return Ok(());
    };
    let (layout, width) = (config.head(), backbone.width());
    let pooler = new_pooler(&backbone, &layout);
    let parts = |name: &str| ["weight", "bias"].map(|part| format!("{name}.{part}"));
    if let Some(name) = pooler.filter(|name| parts(name).iter().any(|part| loader.has(part))) {
        loader.head(name, [width, width], true)?;
    }
    loader.head(layout.output, [width, outputs], layout.output_bias)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use burn::tensor::TensorData;

    use super::*;
    use crate::models::bert::BertConfig;
    use crate::nn::{Activation, Precision};

    /// Shapes by name; whoever reads them is wrong.
    struct Shapes(BTreeMap<String, Vec<usize>>);

    impl WeightSource for Shapes {
        fn take_as(
            &mut self,
            name: &str,
            _shape: &[usize],
            _precision: Precision,
        ) -> Result<TensorData, WeightError> {
            panic!("{name} is read");
        }

        fn take_rows_as(
            &mut self,
            name: &str,
            _shape: [usize; 2],
            _rows: &[u32],
            _precision: Precision,
        ) -> Result<TensorData, WeightError> {
            panic!("{name} is read");
        }

        fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), WeightError> {
            let name = name.to_owned();
            match self.0.get(&name) {
                None => Err(WeightError::Missing { name }),
                Some(found) if found != shape => Err(WeightError::Shape {
                    name,
                    found: found.clone(),
                    expected: shape.to_vec(),
                }),
                Some(_) => Ok(()),
            }
        }

        fn has(&self, name: &str) -> bool {
            self.0.contains_key(name)
        }
    }

    fn config(num_hidden_layers: usize) -> ModelConfig {
        ModelConfig::Bert(BertConfig {
            vocab_size: 30,
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers,
            num_attention_heads: 2,
            max_position_embeddings: 16,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            activation: Activation::Gelu,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            classifier_dropout: 0.0,
            pad_token_id: 0,
        })
    }

    /// The shapes of a BERT of two layers with a head of 3 rows, as transformers names them.
    fn whole() -> Shapes {
        let mut shapes = BTreeMap::new();
        let mut put = |name: &str, weight: &[usize], has_bias: bool| {
            shapes.insert(format!("{name}.weight"), weight.to_vec());
            if has_bias {
                shapes.insert(format!("{name}.bias"), vec![weight[0]]);
            }
        };
        put("embeddings.word_embeddings", &[30, 8], false);
        put("embeddings.position_embeddings", &[16, 8], false);
        put("embeddings.token_type_embeddings", &[2, 8], false);
        put("embeddings.LayerNorm", &[8], true);
        for layer in 0..2 {
            let mut put = |name: &str, weight: &[usize]| {
                put(&format!("encoder.layer.{layer}.{name}"), weight, true);
            };
            for square in ["self.query", "self.key", "self.value", "output.dense"] {
                put(&format!("attention.{square}"), &[8, 8]);
            }
            put("attention.output.LayerNorm", &[8]);
            put("intermediate.dense", &[12, 8]);
            put("output.dense", &[8, 12]);
            put("output.LayerNorm", &[8]);
        }
        put("pooler.dense", &[8, 8], true);
        put("classifier", &[3, 8], true);
        Shapes(shapes)
    }

    fn misfit(shapes: &mut Shapes, layers: usize) -> String {
        let found = check(&config(layers), Some(3), shapes, &Device::flex());
        found.unwrap_err().to_string()
    }

    #[test]
    fn a_whole_checkpoint_fits_with_or_without_what_may_be_absent() {
        let device = Device::flex();
        let mut shapes = whole();
        check(&config(2), Some(3), &mut shapes, &device).unwrap();
        for part in ["pooler.dense.weight", "pooler.dense.bias"] {
            shapes.0.remove(part);
        }
        check(&config(2), Some(3), &mut shapes, &device).unwrap();
        for part in ["classifier.weight", "classifier.bias"] {
            shapes.0.remove(part);
        }
        check(&config(2), None, &mut shapes, &device).unwrap();
    }

    #[test]
    fn the_first_tensor_that_is_wrong_is_named_and_the_others_are_counted() {
        let mut shapes = whole();
        let transposed = shapes.0.get_mut("encoder.layer.1.output.dense.weight");
        transposed.unwrap().reverse();
        let said = misfit(&mut shapes, 2);
        for part in ["layer.1.output.dense.weight", "[12, 8]", "[8, 12]"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("other"), "{said}");
        shapes.0.remove("encoder.layer.0.attention.self.key.bias");
        let said = misfit(&mut shapes, 2);
        let parts = [
            "no tensor `encoder.layer.0.attention.self.key.bias`",
            "another",
        ];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        shapes.0.remove("classifier.bias");
        let said = misfit(&mut shapes, 2);
        assert!(said.contains("2 others"), "{said}");
    }

    #[test]
    fn a_configuration_of_layers_without_end_is_left_early() {
        let said = misfit(&mut whole(), i32::MAX as usize);
        let parts = ["encoder.layer.2.", "1000 or more others"];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}
