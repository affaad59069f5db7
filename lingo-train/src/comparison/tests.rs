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

#[test]
fn rows_are_held_against_another_seed_by_seed() {
    let place = TempDir::new().unwrap();
    let elsewhere = LINGO.replace("/data/H3/", "/data/H4/");
    let runs = [
        run(&place, "a1", LORA, 1, 0.2),
        run(&place, "a2", LORA, 2, 0.5),
        run(&place, "a3", LORA, 3, 0.4),
        run(&place, "b3", LINGO, 3, 0.3),
        run(&place, "b1", LINGO, 1, 0.5),
        run(&place, "b9", LINGO, 9, 0.9),
        run(&place, "c1", &elsewhere, 1, 0.9),
        run(&place, "d9", &format!("{LORA}\nrank = 2"), 9, 0.9),
    ];
    let metrics = [MetricName::Mcc, MetricName::Auroc];
    let mut rows = compare(&runs, &metrics).unwrap();
    // Any run of a row stands for it, by whatever name.
    let baseline = place.path().join("b1/../a2");
    hold_against(&mut rows, &runs, &metrics, &baseline).unwrap();
    let [lora, lingo, other_task, other_seed] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert!(lora.against.is_none() && other_task.against.is_none());
    let against = lingo.against.as_ref().unwrap();
    let Difference { score, better } = against["mcc"].unwrap();
    // +.3 with seed 1, -.1 with seed 3.
    assert!((score.mean - 0.1).abs() < 1e-12);
    assert!((score.sd.unwrap() - 0.08f64.sqrt()).abs() < 1e-12);
    assert_eq!((score.n, better), (2, 1));
    assert_eq!(against["auroc"], None);
    assert_eq!(other_seed.against.as_ref().unwrap()["mcc"], None);

    let nowhere = hold_against(&mut rows, &runs, &metrics, &place.path().join("e"));
    let said = nowhere.unwrap_err().to_string();
    assert!(said.contains("none of the finished runs"), "{said}");
}

#[test]
fn less_of_a_loss_is_better() {
    let place = TempDir::new().unwrap();
    let mut runs = [
        run(&place, "a", LORA, 1, 0.2),
        run(&place, "b", LINGO, 1, 0.2),
    ];
    for (run, loss) in runs.iter_mut().zip([0.5, 0.25]) {
        run.result.test.insert("loss".to_owned(), loss.into());
    }
    let mut rows = compare(&runs, &[MetricName::Loss]).unwrap();
    hold_against(&mut rows, &runs, &[MetricName::Loss], &runs[0].dir).unwrap();
    let found = rows[1].against.as_ref().unwrap()["loss"].unwrap();
    assert_eq!((found.score.mean, found.better), (-0.25, 1));
}
