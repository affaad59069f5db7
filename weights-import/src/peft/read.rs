//! Reading an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use lingo_core::adapter::target::paper_names_of;
use lingo_core::models::ModelConfig;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::parts::{self, Parts, unfit};
use super::targets::Targets;
use super::{CONFIG_FILE, PREFIX, PeftAdapter, RANK_EPSILON, TENSORS_FILE};
use crate::error::ImportError;
use crate::json::{JsonFile, MOST};

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
                patterns(&file, "alpha_pattern", "numbers", |_| true)?,
                patterns(&file, "rank_pattern", "ranks above 0", is_rank)?,
            ],
        };
        let rank = match singular_values {
            true => None,
            false => Some(file.optional_size("r")?.unwrap_or(8)),
        };
        let targets = Targets::read(&file, model.model_type(), singular_values)?;
        let divisor: Box<dyn Fn(usize) -> f64> = if singular_values {
            let initial = file.optional_size("init_r")?.unwrap_or(12) as f64 + RANK_EPSILON;
            Box::new(move |_| initial)
        } else if file.flag_or("use_rslora", false)? {
            Box::new(|rank| (rank as f64).sqrt())
        } else {
            Box::new(|rank| rank as f64)
        };

        let mut parts = Parts::read(folder, model)?;
        let base_model = file.text("base_model_name_or_path")?.map(str::to_owned);
        let revision = file.text("revision")?.map(str::to_owned);
        let known = |name: &str| !paper_names_of(name, model.paper_names()).is_empty();
        if let Some(module) = parts.modules.values().next()
            && !parts.modules.keys().any(|path| known(path))
        {
            return Err(ImportError::ForeignAdapter {
                path: parts::file(folder),
                tensor: format!("{PREFIX}{module}.lora_A"),
                model_type: model.model_type(),
                base: base_model,
            });
        }
        let mut matrices = BTreeMap::new();
        let modules = parts.modules.clone();
        for (path, module) in modules.clone() {
            let factors = parts.factors(folder, &path, singular_values)?;
            if let Some(targets) = targets.as_ref().filter(|targets| !targets.cover(&module)) {
                return Err(unfit(folder, &path, targets.reason()));
            }
            if factors.rank() == 0 {
                continue; // pruned altogether
            }
            let expected = of_module(&ranks, &module).or(rank.map(|rank| rank as f64));
            if let Some(expected) = expected.filter(|rank| *rank != factors.rank() as f64) {
                let found = factors.rank();
                let reason = format!("its rank is {found}, {CONFIG_FILE} says {expected}");
                return Err(unfit(folder, &path, reason));
            }
            let own = of_module(&alphas, &module);
            let scale = own.unwrap_or(alpha) / divisor(factors.rank());
            if !(scale as f32).is_normal() {
                let key = own.map_or("lora_alpha", |_| "alpha_pattern");
                let expected = "what is neither 0 nor, over the rank, too large for f32";
                return Err(file.bad(key, expected));
            }
            matrices.insert(path, (scale, factors));
        }
        let head = parts.head(folder, model)?;
        let modules = modules.values();
        let absent = targets
            .as_ref()
            .and_then(|targets| targets.without(modules).find(|name| known(name)));
        if let Some(name) = absent {
            let expected = format!("names of matrices that {TENSORS_FILE} has, unlike `{name}`");
            return Err(file.bad("target_modules", expected));
        }
        // One scale for all, as far as they agree; the others are brought to it, the largest, so that no number overflows.
        let scales = matrices.values().map(|(scale, _)| *scale);
        let scale = scales.max_by(|a: &f64, b| a.abs().total_cmp(&b.abs()));
        let scale = scale.unwrap_or(1.0);
        let matrices = matrices
            .into_iter()
            .map(|(path, (own, factors))| match own == scale {
                true => (path, factors),
                false => (path, factors.scaled(own / scale)),
            })
            .collect();
        Ok(Self {
            base_model,
            revision,
            singular_values,
            scale,
            dropout: file.probability("lora_dropout", 0.0)?,
            matrices,
            head,
        })
    }
}

/// Whether a number can be that of ranks.
fn is_rank(number: f64) -> bool {
    (1.0..=MOST as f64).contains(&number) && number.fract() == 0.0
}

/// A regular expression that fits a whole text, or not at all.
pub(super) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(MOST_PATTERN_BYTES)
        .build()
}

/// `alpha_pattern` and `rank_pattern`: numbers under regular expressions for the ends of modules' names.
fn patterns(
    file: &JsonFile,
    key: &str,
    what: &str,
    good: fn(f64) -> bool,
) -> Result<Vec<(Regex, f64)>, ImportError> {
    let expected = format!("an object of {what} under regular expressions");
    let bad = || file.bad(key, &expected);
    let Some(patterns) = file.get(key) else {
        return Ok(Vec::new());
    };
    let patterns = patterns.as_object().ok_or_else(bad)?;
    patterns
        .iter()
        .map(|(pattern, number)| {
            let pattern = whole(&format!(r"(.*\.)?({pattern})")).map_err(|_| bad())?;
            let number = number.as_f64().filter(|number| good(*number));
            let number = number.ok_or_else(bad)?;
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
