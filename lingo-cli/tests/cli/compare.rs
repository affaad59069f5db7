//! `lingo compare`.

use crate::place::{Place, refused, stderr, stdout, succeeded};

#[test]
fn runs_of_several_seeds_are_one_row_of_their_means() {
    let place = Place::new();
    place.run_file("lora");
    for seed in ["1", "2"] {
        let set = format!("seed={seed}");
        let out = format!("runs/{seed}");
        let args = ["train", "run.toml", "--set", &set, "--out", &out];
        succeeded(&place.lingo(&[&args[..], &["--set", "train.epochs=1"]].concat()));
    }
    let mcc = |seed: u64| {
        let result = place.json(&format!("runs/{seed}/result.json"));
        result["test"]["mcc"].as_f64().unwrap()
    };
    let output = place.lingo(&["compare", "runs/1", "runs/2", "--format", "csv"]);
    succeeded(&output);
    place.write("table.csv", &output.stdout);
    let table = place.csv("table.csv");
    assert_eq!(table.column("method"), ["lora, with prompt"]);
    assert_eq!(table.column("runs"), ["2"]);
    let mean = (mcc(1) + mcc(2)) / 2.0;
    assert!((table.numbers("mcc")[0] - mean).abs() < 1e-12);
    let sd = (mcc(1) - mcc(2)).abs() / 2f64.sqrt();
    assert!((table.numbers("mcc_sd")[0] - sd).abs() < 1e-12);

    let output = place.lingo(&["compare", "runs/1", "runs/2", "--metrics", "mcc"]);
    succeeded(&output);
    let markdown = stdout(&output);
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(lines.len(), 3, "{markdown}");
    assert!(
        lines[2].contains(&format!(" {mean:.3} ± {sd:.3} ")),
        "{markdown}"
    );

    // The same run twice, and no run at all.
    let twice = place.lingo(&["compare", "runs/1", "runs/1"]);
    refused(&twice, &["the same run", "seed 1"]);
    refused(
        &place.lingo(&["compare", "nowhere"]),
        &["nowhere/config.toml"],
    );
    // A pattern such as runs/* finds adapters that were imported there, too.
    place.write("runs/all.svg", "<svg/>");
    let adapter = [
        "compare",
        "runs/1/best",
        "runs/2",
        "runs/1",
        "runs/1/last",
        "runs/all.svg",
        "data",
    ];
    let output = place.lingo(&[&adapter[..], &["--format", "csv"]].concat());
    succeeded(&output);
    for adapter in ["runs/1/best", "runs/1/last"] {
        let said = format!("{adapter} is an adapter, not a run, it is left out");
        assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    }
    for stray in ["runs/all.svg", "data"] {
        let said = format!("{stray} is no run folder, it is left out");
        assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    }
    assert_eq!(
        output.stdout,
        std::fs::read(place.path("table.csv")).unwrap()
    );
    refused(
        &place.lingo(&["compare", "runs/1/best"]),
        &["none of the runs"],
    );
    std::fs::remove_file(place.path("runs/2/result.json")).unwrap();
    let output = place.lingo(&["compare", "runs/1", "runs/2"]);
    succeeded(&output);
    assert!(stderr(&output).contains("runs/2 has no result yet"));
}

#[test]
fn runs_are_drawn_as_svg_and_png() {
    let place = Place::new();
    for method in ["lora", "adalora"] {
        place.run_file(method);
        let out = format!("runs/{method}");
        succeeded(&place.lingo(&["train", "run.toml", "--out", &out]));
    }
    let compare = ["compare", "runs/lora", "runs/adalora", "--plot"];
    for file in ["runs.svg", "runs.png"] {
        succeeded(&place.lingo(&[&compare[..], &[file]].concat()));
    }
    let svg = place.text("runs.svg");
    for said in [
        "adalora, with prompt",
        "optimizer step",
        "test mcc",
        "<polyline",
    ] {
        assert!(svg.contains(said), "{said}: {svg}");
    }
    let png = std::fs::read(place.path("runs.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5000);
    let output = place.lingo(&[&compare[..], &["runs.pdf"]].concat());
    refused(&output, &["runs.pdf", ".svg or .png"]);

    // Results alone, as one would pass them on: what they tell is drawn. Ranks of LoRA are no loss.
    for method in ["lora", "adalora"] {
        std::fs::remove_file(place.path(&format!("runs/{method}/train.csv"))).unwrap();
    }
    let output = place.lingo(&[&compare[..], &["runs.svg"]].concat());
    succeeded(&output);
    assert_eq!(stdout(&output).lines().count(), 4);
    let said = stderr(&output);
    assert!(said.contains("runs/adalora has no train.csv"), "{said}");
    assert!(!said.contains("runs/lora has"), "{said}");
    let svg = place.text("runs.svg");
    assert!(
        svg.contains("no train.csv") && svg.contains("test mcc"),
        "{svg}"
    );
}

#[test]
fn a_method_is_held_against_another_at_equal_seeds() {
    let place = Place::new();
    for (method, seeds) in [("lora", &["1", "2"][..]), ("adalora", &["2"])] {
        place.run_file(method);
        for seed in seeds {
            let set = format!("seed={seed}");
            let out = format!("runs/{method}-{seed}");
            let args = ["train", "run.toml", "--set", &set, "--out", &out];
            succeeded(&place.lingo(&[&args[..], &["--set", "train.epochs=1"]].concat()));
        }
    }
    let score = |run: &str, metric: &str| {
        let result = place.json(&format!("runs/{run}/result.json"));
        result["test"][metric].as_f64().unwrap()
    };
    let runs = ["compare", "runs/lora-1", "runs/lora-2", "runs/adalora-2"];
    let against = ["--against", "runs/lora-1", "--metrics", "loss,mcc"];
    let compare = |format: &str| {
        let output = place.lingo(&[&runs[..], &against, &["--format", format]].concat());
        succeeded(&output);
        output
    };
    place.write("table.csv", compare("csv").stdout);
    let table = place.csv("table.csv");
    for metric in ["loss", "mcc"] {
        let expected = score("adalora-2", metric) - score("lora-2", metric);
        let found = table.column(&format!("{metric}_difference"))[1]
            .parse::<f64>()
            .unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        assert_eq!(table.column(&format!("{metric}_pairs")), ["", "1"]);
        let better = match metric {
            "loss" => expected < 0.0,
            _ => expected > 0.0,
        };
        let counted = usize::from(better).to_string();
        assert_eq!(table.column(&format!("{metric}_better")), ["", &counted]);
    }
    let markdown = stdout(&compare("markdown"));
    assert!(
        markdown.contains("difference in mcc (better)"),
        "{markdown}"
    );
    assert!(markdown.contains(" of 1) |"), "{markdown}");
    place.write("table.json", compare("json").stdout);
    let rows = place.json("table.json");
    assert_eq!(rows[0]["against"], "baseline");
    let scores = &rows[1]["against"]["differences"]["scores"];
    assert_eq!(scores["mcc"]["n"], 1);

    // Others are told why they are not held against it.
    let test = place.text("data/test.csv");
    let fewer: Vec<&str> = test.lines().take(40).collect();
    place.write("data/fewer.csv", fewer.join("\n"));
    let set = ["--set", "train.epochs=1", "--set", "data.test=fewer.csv"];
    let args = ["train", "run.toml", "--out", "runs/other"];
    succeeded(&place.lingo(&[&args[..], &set].concat()));
    let alone = ["compare", "runs/lora-1", "runs/other"];
    let output = place.lingo(&[&alone[..], &against, &["--format", "csv"]].concat());
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("nothing is held against it"), "{said}");
    place.write("table.csv", output.stdout);
    let table = place.csv("table.csv");
    assert_eq!(table.column("against"), ["baseline", "other_test"]);
    assert_eq!(table.column("mcc_difference"), ["", ""]);

    let output = place.lingo(&[&runs[..], &["--against", "runs"]].concat());
    refused(&output, &["--against", "runs is none of the finished runs"]);
}
