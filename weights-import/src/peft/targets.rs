//! Which modules an adapter's configuration says that it corrects, as PEFT reads it.

use regex::Regex;
use serde_json::Value;

use super::CONFIG_FILE;
use super::read::whole;
use crate::error::ImportError;
use crate::json::JsonFile;

/// `target_modules`, with what narrows it.
pub(super) struct Targets {
    named: Names,
    excluded: Option<Names>,
    /// Numbers of layers, and what stands before them in a name.
    layers: Option<(Vec<u64>, Vec<Regex>)>,
    /// Whether the configuration names none, and these are PEFT's own choice.
    are_default: bool,
}

/// What PEFT corrects where the configuration names nothing: `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING` and, with
/// singular values, the one of AdaLoRA, in its `utils/constants.py`.
fn by_default(model_type: &str, singular_values: bool) -> Option<&'static [&'static str]> {
    match (model_type, singular_values) {
        ("opt", true) => Some(&["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]),
        ("opt" | "llama", _) => Some(&["q_proj", "v_proj"]),
        ("bert", _) => Some(&["query", "value"]),
        _ => None,
    }
}

/// Modules by name.
enum Names {
    /// These, and those that end with one of them behind a dot.
    Ends(Vec<String>),
    /// Those that the expression fits from end to end.
    Pattern(Regex),
}

impl Targets {
    /// Those for a model of a type. None where the configuration means all, or says it by an expression of a kind that only
    /// Python knows.
    pub(super) fn read(
        file: &JsonFile,
        model_type: &str,
        singular_values: bool,
    ) -> Result<Option<Self>, ImportError> {
        let is_all = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| text.eq_ignore_ascii_case("all-linear"))
        };
        if file.get("target_modules").is_some_and(is_all) {
            return Ok(None);
        }
        let (Some(named), Some(excluded)) = (
            Names::read(file, "target_modules")?,
            Names::read(file, "exclude_modules")?,
        ) else {
            return Ok(None);
        };
        let are_default = named.is_none();
        let named = match (named, by_default(model_type, singular_values)) {
            (Some(named), _) => named,
            (None, Some(names)) => Names::Ends(names.iter().copied().map(String::from).collect()),
            (None, None) => {
                let expected = format!(
                    "names of modules, as PEFT has no choice of its own for a model of type {model_type}"
                );
                return Err(file.bad("target_modules", expected));
            }
        };
        let expected = "a whole number, or a list of them";
        let layers = match file.get("layers_to_transform") {
            None => Vec::new(),
            Some(Value::Array(layers)) => layers.iter().map(Value::as_u64).collect(),
            Some(one) => vec![one.as_u64()],
        };
        let layers: Option<Vec<u64>> = layers.into_iter().collect();
        let layers = layers.ok_or_else(|| file.bad("layers_to_transform", expected))?;
        let before = match file.get("layers_pattern") {
            None => Vec::new(),
            Some(one) => texts(one).ok_or_else(|| file.bad("layers_pattern", "texts"))?,
        };
        let before = match before.is_empty() {
            true => vec!["[^.]*".to_owned()],
            false => before,
        };
        let before = before.iter();
        let before = before.map(|before| whole(&format!(r".*\.{before}\.(\d+)\..*")));
        let Ok(before) = before.collect() else {
            return Ok(None);
        };
        Ok(Some(Self {
            named,
            excluded,
            layers: (!layers.is_empty()).then_some((layers, before)),
            are_default,
        }))
    }

    /// Whether PEFT would correct a module of this name.
    pub(super) fn cover(&self, module: &str) -> bool {
        if self.exclude(module) || !self.named.fit(module) {
            return false;
        }
        let (Some((layers, before)), Names::Ends(names)) = (&self.layers, &self.named) else {
            return true;
        };
        if names.iter().any(|name| name == module) {
            return true;
        }
        let number = before.iter().find_map(|before| before.captures(module));
        let number = number.and_then(|found| found.get(1)?.as_str().parse().ok());
        number.is_some_and(|number: u64| layers.contains(&number))
    }

    /// Why a module is not covered.
    pub(super) fn reason(&self) -> String {
        match &self.named {
            Names::Ends(names) if self.are_default => format!(
                "target_modules in {CONFIG_FILE} names nothing, and PEFT then corrects {} alone",
                names.join(", ")
            ),
            _ => format!(
                "target_modules in {CONFIG_FILE} does not name its matrix, which PEFT would leave as it is"
            ),
        }
    }

    fn exclude(&self, module: &str) -> bool {
        self.excluded
            .as_ref()
            .is_some_and(|names| names.fit(module))
    }

    /// Names that none of `modules` has.
    pub(super) fn without<'a>(
        &'a self,
        modules: impl Iterator<Item = &'a String> + Clone,
    ) -> impl Iterator<Item = &'a str> {
        let names = match &self.named {
            Names::Ends(names) => &names[..],
            Names::Pattern(_) => &[],
        };
        let idle = move |name: &&str| {
            !self.exclude(name) && !modules.clone().any(|module| is_end(name, module))
        };
        names.iter().map(String::as_str).filter(idle)
    }
}

impl Names {
    /// Nothing inside where the key is not there; nothing at all where it cannot be judged.
    fn read(file: &JsonFile, key: &str) -> Result<Option<Option<Self>>, ImportError> {
        match file.get(key) {
            None => Ok(Some(None)),
            Some(Value::String(pattern)) => Ok(whole(pattern).ok().map(|p| Some(Self::Pattern(p)))),
            Some(list) => match texts(list) {
                Some(names) => Ok(Some(Some(Self::Ends(names)))),
                None => Err(file.bad(key, "a list of modules' names, or a regular expression")),
            },
        }
    }

    fn fit(&self, module: &str) -> bool {
        match self {
            Self::Ends(names) => names.iter().any(|name| is_end(name, module)),
            Self::Pattern(pattern) => pattern.is_match(module),
        }
    }
}

/// Whether a module is called so, or ends so.
fn is_end(name: &str, module: &str) -> bool {
    let before = module.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A text or a list of texts.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn targets(settings: &Value) -> Result<Option<Targets>, ImportError> {
        targets_for(settings, "opt", false)
    }

    fn targets_for(
        settings: &Value,
        model_type: &str,
        singular_values: bool,
    ) -> Result<Option<Targets>, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter_config.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        Targets::read(&JsonFile::open(&path).unwrap(), model_type, singular_values)
    }

    /// `tools/peft_targets.py` asks PEFT.
    #[test]
    fn modules_are_covered_as_by_peft() {
        let fixture = "../tests/fixtures/peft/targets.json";
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture);
        let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
        let modules = texts(&fixture["modules"]).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 14);
        for case in cases {
            let targets = targets(&case["settings"]).unwrap().unwrap();
            let covered = modules.iter().filter(|module| targets.cover(module));
            let covered: Vec<String> = covered.cloned().collect();
            assert_eq!(Some(covered), texts(&case["covered"]), "{case}");
        }
    }

    /// `tools/peft_targets.py` asks PEFT.
    #[test]
    fn where_nothing_is_named_modules_are_covered_as_by_peft() {
        let fixture = "../tests/fixtures/peft/default_targets.json";
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture);
        let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
        let cases = fixture.as_array().unwrap();
        assert_eq!(cases.len(), 8);
        let mut refused = 0;
        for case in cases {
            let singular_values = case["peft_type"] == "ADALORA";
            let model_type = case["model_type"].as_str().unwrap();
            for nothing in [
                serde_json::json!({}),
                serde_json::json!({"target_modules": null}),
            ] {
                let found = targets_for(&nothing, model_type, singular_values);
                let Some(covered) = texts(&case["covered"]) else {
                    let error = found.map(|_| ()).unwrap_err().to_string();
                    let parts = ["`target_modules`", model_type];
                    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
                    refused += 1;
                    continue;
                };
                let targets = found.unwrap().unwrap();
                let modules = texts(&case["modules"]).unwrap();
                let found = modules.iter().filter(|module| targets.cover(module));
                assert_eq!(found.cloned().collect::<Vec<_>>(), covered, "{case}");
                assert!(targets.reason().contains("names nothing"));
            }
        }
        assert_eq!(refused, 4, "ESM by either method");
    }

    #[test]
    fn what_cannot_be_judged_is_not_and_what_is_no_setting_is_refused() {
        for settings in [
            serde_json::json!({"target_modules": "all-linear"}),
            // Python's expressions can look ahead.
            serde_json::json!({"target_modules": "^(?!.*fc).*proj$"}),
            serde_json::json!({"target_modules": ["fc1"], "exclude_modules": "(?=x)"}),
        ] {
            assert!(targets(&settings).unwrap().is_none(), "{settings}");
        }
        for (key, value) in [
            ("target_modules", serde_json::json!({"fc1": 1})),
            ("target_modules", serde_json::json!([1])),
            ("exclude_modules", serde_json::json!(3)),
            ("layers_to_transform", serde_json::json!("first")),
            ("layers_to_transform", serde_json::json!([-1])),
            ("layers_pattern", serde_json::json!([0])),
        ] {
            let mut settings = serde_json::json!({"target_modules": ["fc1"]});
            settings[key] = value;
            let error = targets(&settings).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }
}
