//! What a run leaves behind.

use crate::place::{Place, refused, stderr, stdout, succeeded};

/// Matrices that the default targets match in the quickstart's model: five in each of two layers.
const MATRICES: f64 = 10.0;
const INITIAL_RANK: f64 = 12.0;
const TARGET_RANK: f64 = 6.0;
const P: f64 = 0.05;

#[test]
fn a_run_folder_holds_what_help_says() {
    let place = Place::trained("adaptive-rank-sampling", &[]);
    let train = place.csv("run/train.csv");
    assert_eq!(
        train.header,
        [
            "step",
            "loss",
            "penalty",
            "learning_rate",
            "budget",
            "active_ranks"
        ]
    );
    let steps: Vec<String> = (1..=48).map(|step| step.to_string()).collect();
    assert_eq!(train.column("step"), steps);
    assert!(train.numbers("loss").iter().all(|loss| loss.is_finite()));

    let metrics = place.csv("run/metrics.csv");
    assert_eq!(metrics.column("step"), ["12", "24", "36", "48"]);
    let lines = place.text("run/metrics.jsonl");
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mcc: Vec<f64> = lines
        .iter()
        .map(|line| line["scores"]["mcc"].as_f64().unwrap())
        .collect();
    assert_eq!(mcc.len(), 4);
    for (a, b) in mcc.iter().zip(metrics.numbers("mcc")) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }

    let result = place.json("run/result.json");
    for key in [
        "test",
        "dev",
        "trainable_parameters",
        "adapter_parameters_final",
        "total_parameters",
        "steps",
        "tokens",
        "train_secs",
        "tokens_per_sec",
        "active_ranks",
        "device",
        "seed",
        "version",
    ] {
        assert!(!result[key].is_null(), "{key}");
    }
    // Only Linux tells its value.
    assert!(result.get("peak_memory_mib").is_some());
    assert_eq!(result["steps"], 48);
    for name in [
        "loss",
        "accuracy",
        "mcc",
        "f1",
        "precision",
        "recall",
        "auroc",
        "auprc",
        "brier",
    ] {
        assert!(result["test"][name].is_f64(), "{name}");
    }
    let dev = result["dev"]["mcc"].as_f64().unwrap();
    let eligible = metrics
        .column("eligible")
        .into_iter()
        .zip(metrics.numbers("mcc"));
    let best = eligible
        .filter(|(eligible, _)| *eligible == "true")
        .map(|(_, mcc)| mcc)
        .fold(f64::NEG_INFINITY, f64::max);
    assert!(
        (dev - best).abs() < 1e-12,
        "{dev} chosen, {best} is the best"
    );
    let record = place.json("run/run.json");
    assert_eq!(record["status"], "finished");
    assert_eq!(record["test_scored"], 1);
    for (key, of) in [("steps", "steps"), ("tokens", "tokens"), ("flops", "flops")] {
        assert_eq!(record[key], result[of], "{key}");
    }
    assert_eq!(record["flops"], metrics.numbers("flops")[3]);
    assert_eq!(
        record["config"]["adapter"]["method"],
        "adaptive-rank-sampling"
    );
    assert_eq!(record["versions"]["burn"], "0.22.1");
    let files = |key: &str| record[key].as_array().unwrap().clone();
    let name = |file: &serde_json::Value| {
        let path = std::path::PathBuf::from(file["path"].as_str().unwrap());
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let names: Vec<String> = files("data").iter().map(name).collect();
    assert_eq!(names, ["train.csv", "dev.csv", "test.csv"]);
    let names: Vec<String> = files("model").iter().map(name).collect();
    assert_eq!(
        names,
        [
            "model.safetensors",
            "config.json",
            "vocab.json",
            "merges.txt"
        ]
    );
    for adapter in ["best", "last"] {
        let file = format!("run/{adapter}/adapter.safetensors");
        assert_eq!(place.tensors(&file)["score.weight"], [2, 64]);
        let manifest = place.json(&format!("run/{adapter}/adapter.json"));
        assert_eq!(manifest["prefix"], "Domain: DNA Promoter\nSequence: ");
    }
}

#[test]
fn the_resolved_configuration_trains_to_the_same_losses() {
    let place = Place::trained("adaptive-rank-sampling", &["--set", "seed=7"]);
    succeeded(&place.lingo(&["train", "run/config.toml", "--out", "again"]));
    for file in ["train.csv", "ranks.csv"] {
        let (first, second) = (format!("run/{file}"), format!("again/{file}"));
        assert_eq!(place.text(&first), place.text(&second), "{file}");
    }
    assert_eq!(
        place.json("run/result.json")["test"],
        place.json("again/result.json")["test"]
    );
    succeeded(&place.lingo(&["train", "run/config.toml", "--out", "b", "--set", "seed=8"]));
    assert_ne!(place.text("run/train.csv"), place.text("b/train.csv"));
}

#[test]
fn rank_sampling_lets_ranks_back_and_ends_within_the_budget() {
    let place = Place::trained("adaptive-rank-sampling", &[]);
    let ranks = place.csv("run/ranks.csv");
    let all = MATRICES * INITIAL_RANK;
    let column = |name: &str| ranks.numbers(name);
    let returned: f64 = column("returned").iter().sum();
    assert!(returned > 0.0);
    let result = place.json("run/result.json");
    assert_eq!(result["ranks_returned"].as_f64(), Some(returned));

    let (active, budget) = (column("active"), column("budget"));
    let (dropped, admitted) = (column("dropped"), column("admitted"));
    let (last, gradual) = (active.len() - 1, 0..active.len() - 1);
    assert_eq!(gradual.len(), 8);
    let deviation = (all * P * (1.0 - P)).sqrt();
    for i in gradual {
        let expected = budget[i] * (1.0 - P) + (all - budget[i]) * P;
        assert!(
            (active[i] - expected).abs() < 4.0 * deviation,
            "{} survive, expected {expected}",
            active[i]
        );
        assert_eq!(active[i], budget[i] - dropped[i] + admitted[i]);
        assert_eq!(column("last")[i], 0.0);
    }
    assert_eq!(column("last")[last], 1.0);
    assert_eq!(active[last], MATRICES * TARGET_RANK);
    assert_eq!(column("step")[last], 36.0);
    for row in &ranks.rows {
        let matrices = row[7..].iter().map(|cell| cell.parse::<f64>().unwrap());
        assert_eq!(matrices.sum::<f64>(), row[2].parse::<f64>().unwrap());
    }

    for adapter in ["best", "last"] {
        let tensors = place.tensors(&format!("run/{adapter}/adapter.safetensors"));
        let rows = |part: &str| -> usize {
            let of_part = tensors.iter().filter(|(name, _)| name.ends_with(part));
            of_part.map(|(_, shape)| shape[0]).sum()
        };
        assert_eq!(rows(".Q") as f64, MATRICES * TARGET_RANK, "{adapter}");
        assert_eq!(rows(".lambda") as f64, MATRICES * TARGET_RANK, "{adapter}");
    }
    assert_eq!(result["active_ranks"], 60);
}

#[test]
fn every_method_trains_and_its_saved_adapter_gives_the_same_test_metrics() {
    for method in ["adaptive-rank-sampling", "adalora", "lora", "full"] {
        let rate = match method {
            "full" => "train.learning_rate=1e-3",
            _ => "train.learning_rate=5e-3",
        };
        let place = Place::trained(method, &["--set", rate]);
        let ranked = matches!(method, "adaptive-rank-sampling" | "adalora");
        assert_eq!(place.path("run/ranks.csv").is_file(), ranked, "{method}");
        let result = place.json("run/result.json");
        assert_eq!(result["method"], method);
        for split in ["dev", "test"] {
            let output =
                place.lingo(&["eval", "run", "--data", "data", "--split", split, "--json"]);
            succeeded(&output);
            let scores: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
            for (name, value) in result[split].as_object().unwrap() {
                let (trained, evaluated) =
                    (value.as_f64().unwrap(), scores[name].as_f64().unwrap());
                assert!(
                    (trained - evaluated).abs() < 1e-6,
                    "{method}, {split}, {name}: {trained} in training, {evaluated} of the saved adapter"
                );
            }
        }
        match method {
            "adalora" => {
                let ranks = place.csv("run/ranks.csv");
                assert_eq!(ranks.column("active"), ranks.column("budget"));
            }
            "lora" => assert!(result["active_ranks"].is_null()),
            _ => {}
        }
    }
}

/// With hardly any learning, a run that goes on from another one scores as that one did.
#[test]
fn a_run_goes_on_from_the_adapter_of_another() {
    // Chance and penalty would prune what the first run has learnt.
    let still = [
        "--set",
        "train.learning_rate=1e-12",
        "--set",
        "train.epochs=1",
        "--set",
        "adapter.p=0",
        "--set",
        "adapter.orthogonality=0",
    ];
    for (first, second, set) in [
        ("lora", "lora", "adapter.rank=8"),
        ("adaptive-rank-sampling", "adaptive-rank-sampling", "seed=5"),
        ("adaptive-rank-sampling", "lora", "adapter.rank=12"),
        ("lora", "adalora", "adapter.target_rank=8"),
    ] {
        let learnt = [
            "--set",
            "train.epochs=20",
            "--set",
            "train.learning_rate=1e-2",
        ];
        let place = Place::trained(first, &learnt);
        place.run_file(second);
        let from = ["--out", "on", "--set", "adapter.from=run", "--set", set];
        let args = [&["train", "run.toml"][..], &from, &still].concat();
        succeeded(&place.lingo(&args));
        let [before, after] = ["run", "on"].map(|run| {
            let result = place.json(&format!("{run}/result.json"));
            result["test"]["loss"].as_f64().unwrap()
        });
        assert!(
            before < 0.6 && (before - after).abs() < 5e-3,
            "{first} to {second}: {before}, {after}"
        );
        assert!(place.text("on/config.toml").contains("from = "));
    }
}

#[test]
fn what_cannot_be_gone_on_from_is_refused() {
    let place = Place::trained("adaptive-rank-sampling", &[]);
    let go_on = |method: &str, set: &[&str]| {
        place.run_file(method);
        let sets = set.iter().flat_map(|set| ["--set", *set]);
        let args: Vec<&str> = [
            "train",
            "run.toml",
            "--out",
            "on",
            "--set",
            "adapter.from=run",
        ]
        .into_iter()
        .chain(sets)
        .collect();
        place.lingo(&args)
    };
    refused(
        &go_on("lora", &["adapter.rank=1"]),
        &["ranks, this run gives 1"],
    );
    refused(&go_on("full", &[]), &["adapter.from", "merged"]);
    let other = ["prompt.prefix=DNA"];
    refused(
        &go_on("adaptive-rank-sampling", &other),
        &["adapter.from", "prompt"],
    );
    let few = ["adapter.targets=Wq"];
    refused(
        &go_on("adaptive-rank-sampling", &few),
        &["adapter.targets leaves out"],
    );
    refused(
        &go_on("adaptive-rank-sampling", &["adapter.from=data"]),
        &["data: there is no adapter.json", "lingo import"],
    );
    assert!(!place.path("on").exists());
}

#[test]
fn half_the_batch_accumulated_twice_takes_the_same_steps() {
    let place = Place::new();
    place.run_file("adalora");
    let config = std::fs::read_to_string(place.copy_model("still").join("config.json")).unwrap();
    place.write(
        "still/config.json",
        config.replace("\"dropout\": 0.1", "\"dropout\": 0.0"),
    );
    // Eight sequences: each step sees all of them, however they are batched.
    let train = place.text("data/train.csv");
    let eight: Vec<&str> = train.lines().take(9).collect();
    place.write("data/train.csv", eight.join("\n") + "\n");
    let losses = |batch: &str, accumulation: &str| {
        succeeded(&place.train(&[
            "--overwrite",
            "--set",
            "model=still",
            "--set",
            "adapter.dropout=0",
            "--set",
            "train.epochs=8",
            "--set",
            batch,
            "--set",
            accumulation,
        ]));
        place.csv("run/train.csv").numbers("loss")
    };
    let whole = losses("train.batch_size=8", "train.gradient_accumulation=1");
    let halves = losses("train.batch_size=4", "train.gradient_accumulation=2");
    assert_eq!((whole.len(), halves.len()), (8, 8));
    assert!(whole[7] < whole[0] - 0.01, "nothing was learnt: {whole:?}");
    for (a, b) in whole.iter().zip(&halves) {
        assert!((a - b).abs() < 1e-4, "{whole:?} and {halves:?}");
    }
}

#[test]
fn a_run_is_replaced_only_when_told_and_another_folder_never() {
    let place = Place::trained("lora", &[]);
    let before = place.text("run/train.csv");
    refused(
        &place.train(&["--set", "seed=3"]),
        &["holds a run already", "--overwrite"],
    );
    assert_eq!(place.text("run/train.csv"), before);
    // What is wrong with the new run shows before the old one goes.
    let nothing = ["--overwrite", "--set", "adapter.targets=[\"W_Q\"]"];
    refused(&place.train(&nothing), &["adapter.targets", "W_Q"]);
    assert_eq!(place.text("run/train.csv"), before);
    succeeded(&place.train(&["--set", "seed=3", "--overwrite"]));
    assert_ne!(place.text("run/train.csv"), before);

    place.write("thesis/chapter.txt", "years of work");
    let output = place.lingo(&["train", "run.toml", "--out", "thesis", "--overwrite"]);
    refused(&output, &["thesis", "chapter.txt", "--out"]);
    assert_eq!(place.text("thesis/chapter.txt"), "years of work");
}

/// Tables, adapters and checkpoints begin as temporary files, which are for their owner alone unless told otherwise.
#[cfg(unix)]
#[test]
fn whoever_may_read_new_files_may_read_a_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::trained("lora", &[]);
    let mode = |name: &str| {
        let mode = std::fs::metadata(place.path(name)).unwrap().permissions();
        mode.mode() & 0o777
    };
    let expected = mode("run.toml");
    for name in ["config.toml", "result.json", "best/adapter.safetensors"] {
        assert_eq!(mode(&format!("run/{name}")), expected, "{name}");
    }
}

#[test]
fn tokens_from_disk_train_the_same_adapter_as_tokens_in_memory() {
    let place = Place::trained("adaptive-rank-sampling", &["--set", "train.epochs=2"]);
    let held = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
    let on_disk = [
        "--overwrite",
        "--set",
        "train.epochs=2",
        "--set",
        "data.in_memory_mib=0",
        "--set",
        "data.cache=tokens",
    ];
    // Made, found again, and found damaged.
    for round in 0..3 {
        let output = place.train(&on_disk);
        succeeded(&output);
        let said = stderr(&output);
        assert!(
            said.contains("kept in") && said.contains(".tokens"),
            "{said}"
        );
        assert_eq!(said.contains("has been made anew"), round == 2, "{said}");
        let stored = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
        assert!(stored == held, "round {round}");
        let files: Vec<_> = place.path("tokens").read_dir().unwrap().collect();
        assert_eq!(files.len(), 3);
        if round == 1 {
            let path = files[0].as_ref().unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }
    }
    let output = place.lingo(&[&["bench", "run.toml", "--loader"], &on_disk[3..]].concat());
    succeeded(&output);
    place.write("speed.json", &output.stdout);
    assert_eq!(place.json("speed.json")["sequences"], 96);
}

#[test]
fn sequences_that_test_shares_with_training_are_told_before_training() {
    let place = Place::new();
    let train = place.text("data/train.csv");
    let shared: Vec<&str> = train.lines().skip(1).take(3).collect();
    let test = place.text("data/test.csv");
    place.write("data/test.csv", test + &shared.join("\n") + "\n");
    place.run_file("lora");
    let output = place.train(&["--set", "train.epochs=1"]);
    succeeded(&output);
    let said = stderr(&output);
    assert!(
        said.contains("3 sequences of") && said.contains("train.csv too"),
        "{said}"
    );
}

/// Whole models are as good at it, as long as their gradients are small.
#[test]
fn full_fine_tuning_of_a_small_model_shares_a_batch_as_adapters_do() {
    let workers = ["full", "lora"].map(|method| {
        let place = Place::trained(method, &["--set", "train.max_steps=2"]);
        place.json("run/run.json")["workers"].as_u64().unwrap()
    });
    assert_eq!(workers[0], workers[1]);
}
