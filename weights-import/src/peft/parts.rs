//! The tensors of an adapter, sorted into what they belong to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use lingo_core::models::ModelConfig;

use super::{Factors, PICKLE_FILE, PREFIX, TENSORS_FILE, reshaped};
use crate::error::ImportError;
use crate::hf::{keys, pytorch, safetensors};
use crate::ordinary;

/// The tensors of `adapter_model.safetensors`, or of the `adapter_model.bin` that stands in its place.
pub(super) struct Parts {
    /// Canonical path and PEFT's name of each adapted module.
    pub(super) modules: BTreeMap<String, String>,
    factors: BTreeMap<(String, &'static str), TensorData>,
    /// By canonical name.
    rest: BTreeMap<String, TensorData>,
}

impl Parts {
    pub(super) fn read(folder: &Path, model: &ModelConfig) -> Result<Self, ImportError> {
        let (path, pickle) = (folder.join(TENSORS_FILE), folder.join(PICKLE_FILE));
        let contents = if ordinary::is_there(&path)? {
            safetensors::open(model, std::slice::from_ref(&path), None)?
        } else if ordinary::is_there(&pickle)? {
            pytorch::open(model, std::slice::from_ref(&pickle), None)?
        } else {
            return Err(ImportError::NoAdapterWeights {
                folder: folder.to_owned(),
                expected: [TENSORS_FILE, PICKLE_FILE],
            });
        };
        let mut parts = Self {
            modules: BTreeMap::new(),
            factors: BTreeMap::new(),
            rest: BTreeMap::new(),
        };
        for tensor in &contents.tensors {
            let data = tensor
                .read(&contents.files)
                .map_err(|reason| unfit(folder, &tensor.source, reason))?;
            if let Some(number) = data.iter::<f32>().find(|number| !number.is_finite()) {
                let reason = format!(
                    "it holds {number}, and no score can come of it: the training diverged or the file is damaged"
                );
                return Err(unfit(folder, &tensor.source, reason));
            }
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

    pub(super) fn factors(
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
            // Sides of nothing would go with any rank.
            (&[rank, inputs], &[outputs, columns])
                if rank == columns && (rank == 0 || inputs.min(outputs) > 0) =>
            {
                rank
            }
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
    pub(super) fn head(
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

/// The file that an adapter's tensors are read from.
pub(super) fn file(folder: &Path) -> PathBuf {
    let [path, pickle] = [TENSORS_FILE, PICKLE_FILE].map(|name| folder.join(name));
    match pickle.exists() && !path.exists() {
        true => pickle,
        false => path,
    }
}

/// A complaint about a tensor.
pub(super) fn unfit(folder: &Path, tensor: &str, reason: String) -> ImportError {
    ImportError::AdapterTensor {
        path: file(folder),
        tensor: tensor.to_owned(),
        reason,
    }
}
