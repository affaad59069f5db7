//! Reading an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use lingo_core::models::ModelConfig;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::parts::{Parts, unfit};
use super::{CONFIG_FILE, PeftAdapter, RANK_EPSILON};
use crate::error::ImportError;
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

/// How large what a regular expression becomes may be; names of modules want little.
const MOST_PATTERN_BYTES: usize = 1 << 20;

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
        // PEFT's AdaLoRA reads neither, and has another use for the name of the latter.
        let [alphas, ranks] = match singular_values {
            true => [Vec::new(), Vec::new()],
            false => [
                patterns(&file, "alpha_pattern")?,
                patterns(&file, "rank_pattern")?,
            ],
        };
        let rank = file.number_or("r", 8.0)?;
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
            let expected = of_module(&ranks, &module).unwrap_or(rank);
            if !singular_values && expected != factors.rank() as f64 {
                let found = factors.rank();
                let reason = format!("its rank is {found}, {CONFIG_FILE} says {expected}");
                return Err(unfit(folder, &path, reason));
            }
            let alpha = of_module(&alphas, &module).unwrap_or(alpha);
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

/// `alpha_pattern` and `rank_pattern`: numbers under regular expressions for the ends of modules' names.
fn patterns(file: &JsonFile, key: &str) -> Result<Vec<(Regex, f64)>, ImportError> {
    let expected = "an object of numbers under regular expressions";
    let Some(patterns) = file.get(key) else {
        return Ok(Vec::new());
    };
    let patterns = patterns
        .as_object()
        .ok_or_else(|| file.bad(key, expected))?;
    patterns
        .iter()
        .map(|(pattern, number)| {
            let pattern = RegexBuilder::new(&format!("^(.*\\.)?({pattern})$"))
                .size_limit(MOST_PATTERN_BYTES)
                .build();
            let pattern = pattern.map_err(|_| file.bad(key, expected))?;
            let number = number.as_f64().ok_or_else(|| file.bad(key, expected))?;
            Ok((pattern, number))
        })
        .collect()
}

/// The number of the first pattern that fits a module.
fn of_module(patterns: &[(Regex, f64)], module: &str) -> Option<f64> {
    let found = patterns
        .iter()
        .find(|(pattern, _)| pattern.is_match(module));
    found.map(|(_, number)| *number)
}

#[cfg(test)]
mod tests;
