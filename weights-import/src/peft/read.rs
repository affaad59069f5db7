//! Reading an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use lingo_core::models::ModelConfig;
use regex::Regex;
use serde_json::Value;

use super::{CONFIG_FILE, Factors, PREFIX, PeftAdapter, RANK_EPSILON, TENSORS_FILE, reshaped};
use crate::error::ImportError;
use crate::hf::{keys, safetensors};
use crate::json::JsonFile;

/// Settings that make an adapter something else, where they are neither false nor null.
const VARIANTS: [&str; 14] = [
    "use_dora",
    "lora_bias",
    "fan_in_fan_out",
    "use_qalora",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "lora_ga_config",
    "velora_config",
    "use_bdlora",
];

impl PeftAdapter {
    /// Whether a folder holds an adapter of PEFT's.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CONFIG_FILE).is_file()
    }

    /// Reads the adapter in `folder`, made for a model of the shape `model`.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the adapter is of a kind that would compute something else here.
    pub fn open(folder: &Path, model: &ModelConfig) -> Result<Self, ImportError> {
        let file = JsonFile::open(&folder.join(CONFIG_FILE))?;
        let singular_values = match file.text("peft_type")? {
            Some("LORA") => false,
            Some("ADALORA") => true,
            other => {
                let found = other.unwrap_or("missing");
                return Err(file.unsupported("peft_type", found, "LORA or ADALORA"));
            }
        };
        for key in VARIANTS {
            if let Some(value) = file.get(key).filter(|value| **value != Value::Bool(false)) {
                return Err(file.unsupported(key, value, "false or null"));
            }
        }
        // Other initialisations change the pretrained weights, too.
        if let Some(start) = file.get("init_lora_weights")
            && !(start.is_boolean() || start == "gaussian" || start == "orthogonal")
        {
            return Err(file.unsupported("init_lora_weights", start, "true, false or gaussian"));
        }
        match file.text("bias")? {
            None | Some("none") => {}
            Some(other) => return Err(file.unsupported("bias", other, "none")),
        }
        let alpha = file.number_or("lora_alpha", 8.0)?;
        let patterns = alphas(&file)?;
        let divisor: Box<dyn Fn(usize) -> f64> = if singular_values {
            let initial = file.number_or("init_r", 12.0)? + RANK_EPSILON;
            Box::new(move |_| initial)
        } else if file.flag_or("use_rslora", false)? {
            Box::new(|rank| (rank as f64).sqrt())
        } else {
            Box::new(|rank| rank as f64)
        };

        let mut parts = Parts::read(folder, model)?;
        let mut matrices = BTreeMap::new();
        for (path, module) in parts.modules.clone() {
            let factors = parts.factors(folder, &path, singular_values)?;
            if factors.rank() == 0 {
                continue; // pruned altogether
            }
            let given = patterns
                .iter()
                .find(|(pattern, _)| pattern.is_match(&module));
            // PEFT's AdaLoRA does not read the pattern.
            let given = given.filter(|_| !singular_values);
            let alpha = given.map_or(alpha, |(_, alpha)| *alpha);
            let scale = alpha / divisor(factors.rank());
            if !scale.is_finite() || scale == 0.0 {
                return Err(file.bad("lora_alpha", "a number other than 0, over a rank above 0"));
            }
            matrices.insert(path, (scale, factors));
        }
        // One scale for all, as far as they agree; the others are brought to it.
        let scale = matrices.values().next().map_or(1.0, |(scale, _)| *scale);
        let matrices = matrices
            .into_iter()
            .map(|(path, (own, factors))| match own == scale {
                true => (path, factors),
                false => (path, factors.scaled(own / scale)),
            })
            .collect();
        Ok(Self {
            base_model: file.text("base_model_name_or_path")?.map(str::to_owned),
            singular_values,
            scale,
            dropout: file.probability("lora_dropout", 0.0)?,
            matrices,
            head: parts.head(folder, model)?,
        })
    }
}

/// `alpha_pattern`: regular expressions for the ends of modules' names.
fn alphas(file: &JsonFile) -> Result<Vec<(Regex, f64)>, ImportError> {
    const KEY: &str = "alpha_pattern";
    let expected = "an object of numbers under regular expressions";
    let Some(patterns) = file.get(KEY) else {
        return Ok(Vec::new());
    };
    let patterns = patterns
        .as_object()
        .ok_or_else(|| file.bad(KEY, expected))?;
    patterns
        .iter()
        .map(|(pattern, alpha)| {
            let pattern = Regex::new(&format!("^(.*\\.)?({pattern})$"));
            let pattern = pattern.map_err(|_| file.bad(KEY, expected))?;
            let alpha = alpha.as_f64().ok_or_else(|| file.bad(KEY, expected))?;
            Ok((pattern, alpha))
        })
        .collect()
}

/// The file's tensors, sorted into what they belong to.
struct Parts {
    /// Canonical path and PEFT's name of each adapted module.
    modules: BTreeMap<String, String>,
    factors: BTreeMap<(String, &'static str), TensorData>,
    /// By canonical name.
    rest: BTreeMap<String, TensorData>,
}

impl Parts {
    fn read(folder: &Path, model: &ModelConfig) -> Result<Self, ImportError> {
        let path = folder.join(TENSORS_FILE);
        if !path.is_file() {
            return Err(ImportError::NoAdapterWeights {
                folder: folder.to_owned(),
                expected: TENSORS_FILE,
            });
        }
        let contents = safetensors::open(model, std::slice::from_ref(&path), None)?;
        let mut parts = Self {
            modules: BTreeMap::new(),
            factors: BTreeMap::new(),
            rest: BTreeMap::new(),
        };
        for tensor in &contents.tensors {
            let data = tensor
                .read(&contents.files)
                .map_err(|reason| unfit(folder, &tensor.source, reason))?;
            let name = tensor.source.strip_prefix(PREFIX).unwrap_or(&tensor.source);
            let before = match factor(name) {
                Some((module, which)) => {
                    let path = keys::canonical(module);
                    parts.modules.insert(path.clone(), module.to_owned());
                    parts.factors.insert((path, which), data)
                }
                None => parts.rest.insert(keys::canonical(name), data),
            };
            if before.is_some() {
                let reason = "another tensor of the file stands for the same".to_owned();
                return Err(unfit(folder, &tensor.source, reason));
            }
        }
        Ok(parts)
    }

    fn factors(
        &mut self,
        folder: &Path,
        path: &str,
        singular_values: bool,
    ) -> Result<Factors, ImportError> {
        let mut take = |which: &'static str| {
            let data = self.factors.remove(&(path.to_owned(), which));
            data.ok_or_else(|| unfit(folder, &format!("{path}.{which}"), "it is missing".into()))
        };
        let (q, p) = (take("lora_A")?, take("lora_B")?);
        let lambda = match singular_values {
            true => Some(take("lora_E")?),
            false => None,
        };
        let rank = match (&q.shape()[..], &p.shape()[..]) {
            (&[rank, _], &[_, columns]) if rank == columns => rank,
            (a, b) => {
                let reason = format!("lora_A of shape {a:?} does not go with lora_B of {b:?}");
                return Err(unfit(folder, path, reason));
            }
        };
        let lambda = lambda.map(|lambda| match lambda.num_elements() == rank {
            true => Ok(reshaped(&lambda, &[rank])),
            false => {
                let reason = format!(
                    "lora_E of shape {:?} does not go with rank {rank}",
                    &lambda.shape()[..]
                );
                Err(unfit(folder, path, reason))
            }
        });
        Ok(Factors {
            p,
            q,
            lambda: lambda.transpose()?,
        })
    }

    /// The tensors of the head; whatever else is left over would be lost.
    fn head(
        self,
        folder: &Path,
        model: &ModelConfig,
    ) -> Result<BTreeMap<String, TensorData>, ImportError> {
        if let Some((path, which)) = self.factors.into_keys().next() {
            let reason = "it belongs to no complete correction".to_owned();
            return Err(unfit(folder, &format!("{path}.{which}"), reason));
        }
        for name in self.rest.keys() {
            if keys::head_layer(model, name).is_none() {
                let reason =
                    "it is no part of a correction, nor of the classification head".to_owned();
                return Err(unfit(folder, name, reason));
            }
        }
        Ok(self.rest)
    }
}

/// The module and the part of a correction that a name without prefix stands for.
fn factor(name: &str) -> Option<(&str, &'static str)> {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let name = name.strip_suffix(".default").unwrap_or(name);
    ["lora_A", "lora_B", "lora_E"]
        .into_iter()
        .find_map(|which| {
            let module = name.strip_suffix(which)?.strip_suffix('.')?;
            Some((module, which))
        })
}

fn unfit(folder: &Path, tensor: &str, reason: String) -> ImportError {
    ImportError::AdapterTensor {
        path: folder.join(TENSORS_FILE),
        tensor: tensor.to_owned(),
        reason,
    }
}
