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

/// The differences of a row, which has some.
fn differences(row: &Row) -> &BTreeMap<&'static str, Option<Difference>> {
    match &row.against {
        Some(Against::Differences { scores, .. }) => scores,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_are_held_against_another_seed_by_seed() {
    let place = TempDir::new().unwrap();
    let lingo = LINGO.replace("train = \"/data/H3/train.csv\"", "dir = \"/data/H3\"");
    let lingo = format!("{lingo}\n[train]\nepochs = 2");
    let elsewhere = lingo.replace("/data/H3", "/other/H3");
    let runs = [
        run(&place, "a1", LORA, 1, 0.2),
        run(&place, "a2", LORA, 2, 0.5),
        run(&place, "a3", LORA, 3, 0.4),
        run(&place, "b3", &lingo, 3, 0.3),
        run(&place, "b1", &lingo, 1, 0.5),
        run(&place, "b9", &lingo, 9, 0.9),
        run(&place, "c1", &elsewhere, 1, 0.9),
        run(&place, "d9", &format!("{LORA}\nrank = 2"), 9, 0.9),
    ];
    let metrics = [MetricName::Mcc, MetricName::Auroc];
    let mut rows = compare(&runs, &metrics).unwrap();
    // Any run of a row stands for it, by whatever name.
    let baseline = place.path().join("b1/../a2");
    hold_against(&mut rows, &runs, &metrics, &baseline).unwrap();
    let [lora, lingo, other_data, other_seed] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(lora.against, Some(Against::Baseline));
    // A folder of the same name is not the same data.
    assert_eq!(other_data.name.task, lora.name.task);
    assert_eq!(other_data.against, Some(Against::OtherTest));
    let Difference { score, better } = differences(lingo)["mcc"].unwrap();
    // +.3 with seed 1, -.1 with seed 3.
    assert!((score.mean - 0.1).abs() < 1e-12);
    assert!((score.sd.unwrap() - 0.08f64.sqrt()).abs() < 1e-12);
    assert_eq!((score.n, better), (2, 1));
    assert_eq!(differences(lingo)["auroc"], None);
    assert_eq!(differences(other_seed)["mcc"], None);
    // What makes it unfair is told, not what makes it another method.
    let settings = |row: &Row| match &row.against {
        Some(Against::Differences { settings, .. }) => settings.iter().cloned().collect(),
        _ => Vec::new(),
    };
    assert_eq!(settings(lingo), ["train.epochs"]);
    assert!(settings(other_seed).is_empty());

    let nowhere = hold_against(&mut rows, &runs, &metrics, &place.path().join("e"));
    let said = nowhere.unwrap_err().to_string();
    assert!(said.contains("none of the finished runs"), "{said}");
}

#[test]
fn less_of_a_loss_is_better_and_as_much_is_not() {
    let place = TempDir::new().unwrap();
    let other = format!("{LORA}\nrank = 2");
    let mut runs = [
        run(&place, "a", LORA, 1, 0.2),
        run(&place, "b", &other, 1, 0.2),
    ];
    let metrics = [MetricName::Loss, MetricName::Mcc];
    for (run, loss) in runs.iter_mut().zip([0.5, 0.25]) {
        run.result.test.insert("loss".to_owned(), loss.into());
    }
    let mut rows = compare(&runs, &metrics).unwrap();
    hold_against(&mut rows, &runs, &metrics, &runs[0].dir).unwrap();
    let [loss, mcc] = ["loss", "mcc"].map(|metric| differences(&rows[1])[metric].unwrap());
    assert_eq!((loss.score.mean, loss.better), (-0.25, 1));
    assert_eq!((mcc.score.mean, mcc.better), (0.0, 0));
}

#[test]
fn test_data_are_told_apart_by_their_content_where_it_is_recorded() {
    let place = TempDir::new().unwrap();
    let moved = LORA.replace("/data/H3", "/moved/H3");
    let runs = [
        run(&place, "a", LORA, 1, 0.2),
        run(&place, "b", &moved, 1, 0.3),
        run(&place, "c", &format!("{LORA}\nrank = 2"), 1, 0.4),
    ];
    let note = |name: &str, test: &str| {
        let file =
            |content: &str| serde_json::json!({ "path": "x.csv", "bytes": 1, "blake3": content });
        let record = serde_json::json!({
            "status": "finished", "reason": null, "started_unix_secs": 1, "ended_unix_secs": 2,
            "config": {}, "data": [file("train"), file("dev"), file(test)], "model": [],
            "versions": { "lingo": "1", "burn": "1", "rustc": "1" }, "device": "cpu", "workers": 1,
            "steps": 1, "tokens": 1, "flops": 1.0, "flops_reference": 1.0, "peak_memory_mib": null,
            "test_scored": 1,
        });
        let path = place.path().join(name).join("run.json");
        std::fs::write(path, record.to_string()).unwrap();
    };
    for (name, test) in [("a", "one"), ("b", "one"), ("c", "two")] {
        note(name, test);
    }
    let mut rows = compare(&runs, &[MetricName::Mcc]).unwrap();
    hold_against(&mut rows, &runs, &[MetricName::Mcc], &runs[0].dir).unwrap();
    assert_eq!(differences(&rows[1])["mcc"].unwrap().better, 1);
    assert_eq!(rows[2].against, Some(Against::OtherTest));
}
