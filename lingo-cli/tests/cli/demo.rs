//! `lingo demo`, on the quickstart's tiny model where it is to train.

use std::path::Path;

use crate::place::{Place, failed, quickstart, refused, stderr, stdout, succeeded};

const METHODS: [&str; 5] = ["full", "lora", "adalora", "adaptive-rank-sampling", "lingo"];

/// `lingo demo` with a tiny model and little data, and what else is said.
fn demo(place: &Place, more: &[&str]) -> std::process::Output {
    demo_in(place, "demo", &quickstart("model"), more)
}

/// The same in a folder, with another model.
fn demo_in(place: &Place, out: &str, model: &Path, more: &[&str]) -> std::process::Output {
    let model = format!("model={}", model.display());
    let data = format!("data.dir={}", place.path("data").display());
    let short = ["--set", "train.max_steps=12", "--set", "train.eval_every=4"];
    let place_of = ["demo", "--out", out, "--set", &model, "--set", &data];
    let ranks = ["--set", "adapter.interval=2"];
    place.lingo(&[&place_of[..], &short, &ranks, more].concat())
}

#[test]
fn every_method_is_trained_once_and_compared() {
    let place = Place::new();
    let first = demo(&place, &["--seeds", "2"]);
    succeeded(&first);
    let table = stdout(&first);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + METHODS.len(), "{table}");
    for (row, name) in rows[2..].iter().zip(METHODS) {
        let name = name.replace("lingo", "LINGO");
        assert!(row.starts_with(&format!("| {name} ")), "{table}");
    }
    for method in METHODS {
        let scores = [1, 2].map(|seed| {
            let result = place.json(&format!("demo/{method}-{seed}/result.json"));
            assert_eq!(result["steps"], 12);
            assert_eq!(result["seed"], seed);
            result["test"]["auroc"].as_f64().unwrap()
        });
        let mean = (scores[0] + scores[1]) / 2.0;
        assert!(table.contains(&format!(" {mean:.3} ± ")), "{mean} {table}");
    }
    assert!(place.text("demo/demo.svg").starts_with("<svg"));
    let png = std::fs::read(place.path("demo/demo.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));

    // What has ended is kept, and what is missing comes back as it was.
    // One is gone, and another was killed before its first checkpoint.
    let losses = |method: &str| {
        let table = place.csv(&format!("demo/{method}-2/metrics.csv"));
        table.numbers("loss")
    };
    let before = ["lora", "full"].map(losses);
    assert_ne!(before[0], before[1]);
    std::fs::remove_dir_all(place.path("demo/lora-2")).unwrap();
    std::fs::remove_file(place.path("demo/full-2/result.json")).unwrap();
    std::fs::remove_dir_all(place.path("demo/full-2/checkpoint")).unwrap();
    std::fs::create_dir(place.path("demo/full-2/checkpoint")).unwrap();
    let again = demo(&place, &["--seeds", "2", "--json"]);
    succeeded(&again);
    assert_eq!(stderr(&again).matches("is there already").count(), 8);
    assert_eq!(["lora", "full"].map(losses), before);
    let rows: serde_json::Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), METHODS.len());
    assert_eq!(rows[1]["method"], "lora");
    assert_eq!(rows[1]["seeds"].as_array().unwrap().len(), 2);

    // A pattern such as runs/* finds the demo, too.
    let compared = place.lingo(&["compare", "demo", "demo/lora-1", "demo/lora-2"]);
    succeeded(&compared);
    assert!(stderr(&compared).contains("demo is no run but holds some"));

    // What would leave nothing to compare, and a device that is not there, are told at once.
    for set in ["seed=3", "adapter.method=lora", "output.dir=x"] {
        let key = set.split_once('=').unwrap().0;
        refused(&demo(&place, &["--set", set]), &[key, "differ by it"]);
    }
    refused(&demo(&place, &["--device", "abacus"]), &["abacus"]);
    // And before anything is removed.
    let own = place.text("demo/configs/demo/lora.toml");
    place.write("demo/configs/demo/lora.toml", "precious");
    for wrong in ["train.max_steps=few", "device=abacus"] {
        let value = wrong.split_once('=').unwrap().1;
        refused(&demo(&place, &["--overwrite", "--set", wrong]), &[value]);
    }
    assert_eq!(place.text("demo/configs/demo/lora.toml"), "precious");
    place.write("demo/configs/demo/lora.toml", own);
    let again = demo(&place, &["--seeds", "2"]);
    assert_eq!(stderr(&again).matches("is there already").count(), 10);

    // Runs of other settings are no part of it, nor are run files that were changed.
    let other = demo(&place, &["--set", "train.learning_rate=1e-3"]);
    refused(&other, &["full-1", "other settings", "--overwrite"]);
    let file = place.write("demo/configs/demo/lora.toml", "epochs");
    refused(&demo(&place, &[]), &["lora.toml", "--overwrite"]);
    let anew = demo(&place, &["--overwrite"]);
    succeeded(&anew);
    assert!(!stderr(&anew).contains("is there already"));
    // Nothing is left of the seed that was not asked for.
    assert!(!place.path("demo/lingo-2/result.json").exists());
    assert!(std::fs::read_to_string(file).unwrap().contains("extends"));
}

#[test]
fn a_demo_that_was_moved_goes_on() {
    let place = Place::new();
    let model = place.copy_model("before/own");
    succeeded(&demo_in(&place, "before", &model, &[]));
    // As if it had been killed behind its last checkpoint.
    std::fs::remove_file(place.path("before/lora-1/result.json")).unwrap();
    std::fs::rename(place.path("before"), place.path("after")).unwrap();
    // Two seeds of a method are one row, wherever they were trained.
    let more = ["--seeds", "2", "--json"];
    let moved = demo_in(&place, "after", &place.path("after/own"), &more);
    succeeded(&moved);
    assert_eq!(stderr(&moved).matches("is there already").count(), 4);
    assert!(stderr(&moved).contains("resume      behind step 12"));
    let rows: serde_json::Value = serde_json::from_str(&stdout(&moved)).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), METHODS.len());
    assert!(place.path("after/lora-1/result.json").exists() && !model.exists());
    // Nor does it matter how its place is written.
    std::fs::create_dir(place.path("below")).unwrap();
    for _ in 0..2 {
        let model = place.path("after/own");
        succeeded(&demo_in(&place, "below/../beside", &model, &[]));
    }
}

#[test]
#[cfg(unix)]
fn a_demo_that_was_stopped_goes_on() {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    let place = Place::new();
    let lines = || {
        let text = std::fs::read_to_string(place.path("demo/full-1/train.csv"));
        text.unwrap_or_default().lines().count()
    };
    let stopped = |wait_for: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lingo"));
        let sets = [
            format!("model={}", quickstart("model").display()),
            format!("data.dir={}", place.path("data").display()),
            "train.epochs=5000".to_owned(),
        ];
        command.args(["demo", "--out", "demo"]);
        for set in &sets {
            command.args(["--set", set]);
        }
        let command = command.current_dir(place.path("")).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        while lines() < wait_for && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut kill = Command::new("kill");
        kill.args(["-INT", &child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        failed(
            &output,
            130,
            &["go on with `lingo demo --out demo --set model="],
        );
        stderr(&output)
    };
    stopped(20);
    let said = stopped(lines() + 20);
    assert!(said.contains("resume      behind step"), "{said}");
}
