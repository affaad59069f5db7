//! Writing an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use lingo_core::models::ModelConfig;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use super::{CONFIG_FILE, PREFIX, PeftAdapter, RANK_EPSILON, TENSORS_FILE, reshaped};
use crate::error::ImportError;
use crate::hf::keys;

impl PeftAdapter {
    /// Writes the adapter into `folder`, for a model of the shape `model`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, model: &ModelConfig) -> Result<(), ImportError> {
        let mut tensors = BTreeMap::new();
        let highest = self.highest_rank();
        for (path, factors) in &self.matrices {
            let module = format!("{PREFIX}{}", keys::in_wrapper(model, path));
            let (end, factors) = match self.singular_values {
                // What PEFT divides by is not quite the rank.
                true => (
                    "",
                    factors.clone().scaled(1.0 + RANK_EPSILON / highest as f64),
                ),
                false => (".weight", factors.clone()),
            };
            let rank = factors.rank();
            tensors.insert(format!("{module}.lora_A{end}"), factors.q);
            tensors.insert(format!("{module}.lora_B{end}"), factors.p);
            if let Some(lambda) = factors.lambda {
                tensors.insert(format!("{module}.lora_E"), reshaped(&lambda, &[rank, 1]));
            }
        }
        for (name, data) in &self.head {
            let key = format!("{PREFIX}{}", keys::in_wrapper(model, name));
            tensors.insert(key, data.clone());
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let path = folder.join(TENSORS_FILE);
        std::fs::write(&path, serialise(&tensors)).map_err(io(&path))?;
        let path = folder.join(CONFIG_FILE);
        let text = format!("{:#}\n", self.config(model));
        std::fs::write(&path, text).map_err(io(&path))
    }

    fn highest_rank(&self) -> usize {
        let ranks = self.matrices.values().map(|factors| factors.rank());
        ranks.max().unwrap_or(0).max(1)
    }

    fn config(&self, model: &ModelConfig) -> Value {
        let modules: Vec<String> = self
            .matrices
            .keys()
            .map(|path| keys::in_wrapper(model, path))
            .collect();
        let mut head: Vec<&str> = self
            .head
            .keys()
            .filter_map(|name| keys::head_layer(model, name))
            .filter_map(|layer| layer.split('.').next())
            .collect();
        head.dedup();
        let highest = self.highest_rank();
        let mut config = json!({
            "base_model_name_or_path": self.base_model,
            "revision": self.revision,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "lora_dropout": self.dropout,
            "modules_to_save": head,
            "target_modules": modules,
            "task_type": "SEQ_CLS",
            "lora_alpha": self.scale * highest as f64,
            "r": highest,
        });
        let ranks = self.matrices.values().map(|factors| factors.rank());
        let pattern: Map<String, Value> = if self.singular_values {
            config["peft_type"] = json!("ADALORA");
            config["init_r"] = json!(highest);
            config["target_r"] = json!(highest);
            config["total_step"] = json!(1);
            let kept = |rank: usize| (0..highest).map(|i| i < rank).collect::<Vec<bool>>();
            let named = modules.iter().map(|module| format!("{module}.lora_E"));
            named.zip(ranks.map(|rank| json!(kept(rank)))).collect()
        } else {
            config["peft_type"] = json!("LORA");
            // Alpha over rank is the scale of all.
            let others = || {
                modules
                    .iter()
                    .zip(ranks.clone())
                    .filter(|(_, rank)| *rank != highest)
            };
            let alphas = others()
                .map(|(module, rank)| (regex::escape(module), json!(self.scale * rank as f64)));
            config["alpha_pattern"] = Value::Object(alphas.collect());
            others()
                .map(|(module, rank)| (regex::escape(module), json!(rank)))
                .collect()
        };
        config["rank_pattern"] = Value::Object(pattern);
        config
    }
}

/// The safetensors format's bytes.
fn serialise(tensors: &BTreeMap<String, TensorData>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        (
            name,
            view.unwrap_or_else(|error| unreachable!("{name}: {error}")),
        )
    });
    let bytes = safetensors::serialize(views, None);
    bytes.unwrap_or_else(|error| unreachable!("names and sizes are ours: {error}"))
}
