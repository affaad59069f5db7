//! Which modules an adapter's configuration says that it corrects, as PEFT reads it.

use regex::Regex;
use serde_json::Value;

use super::read::whole;
use crate::error::ImportError;
use crate::json::JsonFile;

/// `target_modules`, with what narrows it.
pub(super) struct Targets {
    named: Names,
    excluded: Option<Names>,
    /// Numbers of layers, and what stands before them in a name.
    layers: Option<(Vec<u64>, Vec<Regex>)>,
}

/// Modules by name.
enum Names {
    /// These, and those that end with one of them behind a dot.
    Ends(Vec<String>),
    /// Those that the expression fits from end to end.
    Pattern(Regex),
}

impl Targets {
    /// None where the configuration does not say, or says it by an expression of a kind that only Python knows.
    pub(super) fn read(file: &JsonFile) -> Result<Option<Self>, ImportError> {
        let is_all = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| text.eq_ignore_ascii_case("all-linear"))
        };
        if file.get("target_modules").is_some_and(is_all) {
            return Ok(None);
        }
        let (Some(Some(named)), Some(excluded)) = (
            Names::read(file, "target_modules")?,
            Names::read(file, "exclude_modules")?,
        ) else {
            return Ok(None);
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter_config.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        Targets::read(&JsonFile::open(&path).unwrap())
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

    #[test]
    fn what_cannot_be_judged_is_not_and_what_is_no_setting_is_refused() {
        for settings in [
            serde_json::json!({}),
            serde_json::json!({"target_modules": null}),
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
