#![allow(clippy::unwrap_used)]
use tempfile::TempDir;

use super::*;

/// A run folder as training leaves it, with `mcc` on test.
fn run(place: &TempDir, name: &str, config: &str, seed: u64, mcc: f64) -> FinishedRun {
    let dir = place.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    let config = format!("seed = {seed}\n{config}\n[output]\ndir = \"{name}\"\n");
    let method = match config.contains("lora") {
        true => "lora",
        false => "adaptive-rank-sampling",
    };
    std::fs::write(dir.join("config.toml"), config).unwrap();
    let result = serde_json::json!({
        "test": { "mcc": mcc, "auroc": null, "examples": 613 },
        "dev": { "mcc": 0.9 },
        "method": method,
        "seed": seed,
        "trainable_parameters": 1000,
        "steps": 40,
        "train_secs": 2.0,
        "peak_memory_mib": null,
    });
    std::fs::write(dir.join("result.json"), result.to_string()).unwrap();
    FinishedRun::open(&dir).unwrap().unwrap()
}

const LORA: &str =
    "model = \"/models/opt-125m\"\n[data]\ndir = \"/data/H3\"\n[adapter]\nmethod = \"lora\"";
const LINGO: &str = "model = \"/models/opt-125m\"\n[data]\ntrain = \"/data/H3/train.csv\"\n[prompt]\nprefix = \"Domain\\n\"\nsuffix = \"\"";

#[test]
fn repeats_become_one_row_with_mean_and_spread() {
    let place = TempDir::new().unwrap();
    let runs = [
        run(&place, "a", LORA, 1, 0.2),
        run(&place, "b", LINGO, 1, 0.5),
        run(&place, "c", LORA, 2, 0.4),
        run(&place, "d", LORA, 3, 0.9),
    ];
    let rows = compare(&runs, &[MetricName::Mcc, MetricName::Auroc]).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].seeds, [1, 2, 3]);
    let mcc = rows[0].test["mcc"].unwrap();
    assert!((mcc.mean - 0.5).abs() < 1e-12);
    // ((0.3² + 0.1² + 0.4²) / 2)^½
    assert!((mcc.sd.unwrap() - 0.13f64.sqrt()).abs() < 1e-12);
    assert_eq!(
        rows[1].test["mcc"],
        Some(Spread {
            mean: 0.5,
            sd: None,
            n: 1
        })
    );
    // Undefined in each of them.
    assert_eq!(rows[0].test["auroc"], None);
    let names: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| [&*row.name.task, &*row.name.model, &*row.name.method])
        .collect();
    assert_eq!(
        names,
        [["H3", "opt-125m", "lora"], ["H3", "opt-125m", "LINGO"]]
    );
    assert!(rows.iter().all(|row| row.settings.is_empty()));
}

#[test]
fn experiments_of_one_name_are_told_apart_by_what_they_set_otherwise() {
    let place = TempDir::new().unwrap();
    let slow = format!("{LORA}\n[train]\nlearning_rate = 1e-5");
    let fast = format!("{LORA}\n[train]\nlearning_rate = 1e-3");
    let runs = [
        run(&place, "slow", &slow, 1, 0.1),
        run(&place, "fast", &fast, 1, 0.2),
        run(&place, "other", LINGO, 1, 0.3),
    ];
    let rows = compare(&runs, &[MetricName::Mcc]).unwrap();
    let rates: Vec<Option<&String>> = rows
        .iter()
        .map(|row| row.settings.get("train.learning_rate"))
        .collect();
    assert_eq!(
        rates,
        [Some(&"0.00001".to_owned()), Some(&"0.001".to_owned()), None]
    );
    assert_eq!(rows[0].settings.len(), 1);
}

#[test]
fn a_run_that_is_given_twice_counts_once_or_not_at_all() {
    let place = TempDir::new().unwrap();
    let runs = [
        run(&place, "a", LORA, 7, 0.2),
        run(&place, "b", LORA, 7, 0.2),
    ];
    let error = compare(&runs, &[MetricName::Mcc]).unwrap_err().to_string();
    assert!(error.contains("the seed 7 too"), "{error}");
}

#[test]
fn a_run_without_result_is_none_and_what_is_no_run_is_an_error() {
    let place = TempDir::new().unwrap();
    let dir = place.path().join("unfinished");
    std::fs::create_dir(&dir).unwrap();
    let error = FinishedRun::open(&dir).unwrap_err().to_string();
    assert!(error.contains("unfinished/config.toml"), "{error}");
    std::fs::write(dir.join("config.toml"), "seed = 1").unwrap();
    assert!(FinishedRun::open(&dir).unwrap().is_none());
    std::fs::write(dir.join("result.json"), "{}").unwrap();
    let error = FinishedRun::open(&dir).unwrap_err().to_string();
    assert!(
        error.contains("result.json") && error.contains("no result"),
        "{error}"
    );
}
