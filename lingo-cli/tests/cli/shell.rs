//! What makes the command at home in a shell: quiet runs, JSON, completions, manual pages.

use std::process::Command;

use serde_json::Value;

use crate::place::{Place, failed, stderr, stdout, succeeded};

#[test]
fn a_quiet_run_says_its_result_alone_and_errors_are_said_all_the_same() {
    let place = Place::new();
    place.run_file("lora");
    let quiet = ["--quiet", "--set", "train.epochs=1"];
    let output = place.train(&quiet);
    succeeded(&output);
    assert_eq!(stderr(&output), "");
    assert!(stdout(&output).contains("test, chosen on dev by mcc"));

    let output = place.train(&quiet);
    failed(&output, 1, &["holds a run already", "--overwrite"]);
    let args = [
        "predict",
        "run",
        "--input",
        "data/test.csv",
        "--output",
        "out.csv",
    ];
    let output = place.lingo(&[&args[..], &["-q"]].concat());
    succeeded(&output);
    assert_eq!(stderr(&output) + &stdout(&output), "");
    assert!(place.text("out.csv").starts_with("id,prediction,p_0,p_1\n"));
}

#[test]
fn what_a_run_came_to_is_printed_as_the_json_that_it_leaves() {
    let place = Place::new();
    place.run_file("lora");
    let output = place.train(&["--json", "--set", "train.epochs=1"]);
    succeeded(&output);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, place.json("run/result.json"));

    let output = place.lingo(&["devices", "--json"]);
    succeeded(&output);
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cpu = &devices[0];
    assert_eq!(
        (&cpu["name"], &cpu["compiled"]),
        (&"cpu".into(), &true.into())
    );
    assert_eq!(cpu["devices"][0]["precisions"][0], "f32");
}

#[test]
fn completions_are_scripts_that_know_verbs_and_options() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = place.lingo(&["completions", shell]);
        succeeded(&output);
        let script = stdout(&output);
        for known in ["predict", "resume", "completions"] {
            assert!(script.contains(known), "{shell}: {known}");
        }
    }
    let script = stdout(&place.lingo(&["completions", "bash"]));
    place.write("lingo.bash", script);
    let parsed = Command::new("bash")
        .arg("-n")
        .arg(place.path("lingo.bash"))
        .status();
    if let Ok(status) = parsed {
        assert!(status.success());
    }
    failed(&place.lingo(&["completions", "cmd"]), 2, &["bash", "zsh"]);
}

#[test]
fn each_verb_has_a_manual_page() {
    let place = Place::new();
    succeeded(&place.lingo(&["man", "pages/man1"]));
    for (page, said) in [
        ("lingo", "Fine-tune language models on genomes"),
        ("lingo-train", "RUN_DIR"),
        ("lingo-config-show", "--set"),
    ] {
        let text = place
            .text(&format!("pages/man1/{page}.1"))
            .replace('\\', "");
        assert!(
            text.contains(".TH") && text.contains(said),
            "{page}: {text}"
        );
    }
}
