//! Run files that are put together of others.

use std::path::Path;

use crate::place::{Place, quickstart, refused, stderr, stdout, succeeded};

/// A folder with a task and what it extends, the quickstart's model, and a method.
fn family() -> Place {
    let place = Place::new();
    place.write(
        "task/shared.toml",
        "[train]\nepochs = 2\nlearning_rate = 5e-3\n[adapter]\ninterval = 4\nrank = 3\n",
    );
    place.write(
        "task/small.toml",
        "extends = [\"shared.toml\"]\n[data]\ndir = \"../data\"\n",
    );
    let model = format!("model = {:?}\n", quickstart("model"));
    place.write("model/tiny.toml", model);
    place.write("method/lora.toml", "[adapter]\nmethod = \"lora\"\n");
    place
}

const FILES: [&str; 3] = ["task/small.toml", "model/tiny.toml", "method/lora.toml"];

#[test]
fn a_task_a_model_and_a_method_make_a_run() {
    let place = family();
    let train = [&["train"], &FILES[..], &["--set", "train.epochs=1"]].concat();
    let output = place.lingo(&train);
    succeeded(&output);
    let dir = "runs/small-tiny-lora";
    assert_eq!(place.json(&format!("{dir}/result.json"))["method"], "lora");
    let resolved = place.text(&format!("{dir}/config.toml"));
    assert!(!resolved.contains("extends"), "{resolved}");
    for line in ["epochs = 1", "rank = 3", "interval = 4"] {
        assert!(resolved.lines().any(|found| found == line), "{resolved}");
    }
    // The resolved file needs none of those that it was made of.
    std::fs::remove_dir_all(place.path("task")).unwrap();
    let again = format!("{dir}/config.toml");
    succeeded(&place.lingo(&["train", &again, "--out", "again"]));
    assert_eq!(
        place.json("again/result.json")["test"],
        place.json(&format!("{dir}/result.json"))["test"]
    );
}

#[test]
fn the_resolved_file_is_shown_with_the_place_of_each_value() {
    let place = family();
    let show = [&["config", "show"], &FILES[..], &["--set", "seed=7"]].concat();
    let output = place.lingo(&show);
    succeeded(&output);
    let text = stdout(&output);
    let comment = |key: &str| {
        let start = format!("{key} = ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        line.rsplit("  # ").next().unwrap().to_owned()
    };
    assert_eq!(comment("seed"), "--set");
    assert_eq!(comment("epochs"), "task/shared.toml:2");
    assert_eq!(comment("dir"), "task/small.toml:3");
    assert_eq!(comment("method"), "method/lora.toml:2");
    assert_eq!(comment("batch_size"), "default");
    // What is shown is a run file.
    place.write("shown.toml", &text);
    let output = place.lingo(&["config", "show", "shown.toml", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let output = place.lingo(&[&show[..], &["--json"]].concat());
    let whole: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(whole["train.epochs"]["from"], "task/shared.toml:2");
    for (key, entry) in whole.as_object().unwrap() {
        assert_eq!(entry["value"], shown[key]["value"], "{key}");
    }
}

#[test]
fn a_key_that_changes_nothing_is_told() {
    let place = family();
    let show = [&["config", "show"], &FILES[..], &["--set", "adapter.p=0.5"]].concat();
    let output = place.lingo(&show);
    succeeded(&output);
    assert_eq!(
        stderr(&output),
        "note: adapter.p (--set) changes nothing under lora\n"
    );
}

#[test]
fn every_published_combination_is_in_order() {
    let place = Place::new();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let output = place.lingo(&["config", "check", configs.to_str().unwrap()]);
    succeeded(&output);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Tasks x models x methods, as in the paper's tables.
    for expected in [
        "36 of 36    Promoter (Human), models of language",
        "24 of 24    Promoter (Human), models of DNA",
        "100 of 100   Histone (Yeast), models of language",
        "80 of 80    Histone (Yeast), models of DNA",
        "2 of 2     Histone (Human), models of language",
        "1 of 1     Histone (Human), models of DNA",
    ] {
        assert!(lines.contains(&expected), "{text}");
    }
}

#[test]
fn every_combination_that_fails_is_named() {
    let place = family();
    let table = |methods: &str| {
        format!(
            "[[table]]\nname = \"all\"\ntasks = [\"small\"]\nmodels = [\"tiny\", \"dna\"]\nmethods = [{methods}]\n"
        )
    };
    let check = |methods: &str| {
        place.write("combinations.toml", table(methods));
        place.lingo(&["config", "check", "."])
    };
    place.write("model/dna.toml", "model = \"someone/dna\"\n");
    let output = check("\"lora\"");
    refused(&output, &["1 of 2 combinations cannot be run"]);
    assert!(stdout(&output).contains("1 of 2"), "{}", stdout(&output));
    // Under --quiet too: it is what the command is asked for.
    let quiet = place.lingo(&["config", "check", ".", "--quiet"]);
    for said in [stderr(&output), stderr(&quiet)] {
        assert!(
            said.contains("model/dna.toml") && said.contains("shape"),
            "{said}"
        );
    }

    place.write(
        "model/dna.json",
        "{\"model_type\": \"bert\", \"alibi_starting_size\": 8, \"vocab_size\": 9, \"hidden_size\": 4, \
         \"intermediate_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 1}",
    );
    place.write(
        "method/prompted.toml",
        "extends = [\"lora.toml\"]\n[prompt]\nprefix = \"DNA: \"\n",
    );
    place.write(
        "method/amiss.toml",
        "extends = [\"lora.toml\"]\n[adapter]\ntargets = [\"output_proj\"]\n",
    );
    place.write("method/wrong.toml", "[adapter]\nrnak = 3\n");
    succeeded(&check("\"lora\""));
    let output = check("\"lora\", \"prompted\", \"amiss\", \"wrong\", \"none\"");
    refused(&output, &["7 of 10 combinations cannot be run"]);
    let said = stderr(&output);
    for part in [
        "./model/dna.toml ./method/prompted.toml\n  prompt.prefix: ",
        "./model/dna.toml ./method/amiss.toml\n  adapter.targets: ",
        "./model/tiny.toml ./method/amiss.toml\n  adapter.targets: ",
        "no language; leave it out (./method/prompted.toml:3)",
        "adapter.rnak: unknown key; did you mean `adapter.rank`? (./method/wrong.toml:2)",
        "cannot read the run file ./method/none.toml",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

#[test]
fn one_run_file_is_checked_as_far_as_it_goes() {
    let place = family();
    let check = |more: &[&str]| place.lingo(&[&["config", "check"], &FILES[..], more].concat());
    let output = check(&[]);
    succeeded(&output);
    assert_eq!(stdout(&output), "the run file is in order\n");
    refused(
        &check(&["--set", "tokenizer.max_tokens=97"]),
        &["tokenizer.max_tokens", "at most 96", "(--set)"],
    );
    let output = check(&["--set", "model=owner/name"]);
    succeeded(&output);
    assert!(stdout(&output).contains("; whether it goes with its model"));
    refused(
        &place.lingo(&["config", "check"]),
        &["no folder configs here", "source code"],
    );
}
