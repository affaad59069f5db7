//! Tasks of labels that each hold or not: trained, scored, predicted, exported and imported.

use lingo_train::metric::Ranking;
use serde_json::json;

use crate::place::{Place, quickstart, refused, stderr, stdout, succeeded};

const LABELS: [&str; 4] = ["box", "H3K4me3, strong", "acg", "never"];
const AS_COLUMNS: &str = "data.labels=[\"box\", \"H3K4me3, strong\", \"acg\", \"never\"]";

/// What is known of the sequence in a row: its class, its composition, a word in it (of which a fifth is unknown), and
/// something that none of them is.
fn marks(row: usize, sequence: &str, class: &str) -> [&'static str; 4] {
    let mark = |holds| if holds { "1" } else { "0" };
    let strong = sequence.chars().filter(|letter| "GC".contains(*letter));
    let acg = match row % 5 {
        0 => "",
        _ => mark(sequence.contains("ACG")),
    };
    [
        mark(class == "1"),
        mark(2 * strong.count() > sequence.len()),
        acg,
        "0",
    ]
}

/// The quickstart's sequences with labels, a column each or as lists.
fn place(lists: bool) -> Place {
    let place = Place::new();
    place.run_file("lora");
    for split in ["train", "dev", "test"] {
        let file = format!("data/{split}.csv");
        let table = place.csv(&file);
        let rows = table
            .column("sequence")
            .into_iter()
            .zip(table.column("label"));
        let mut text = match lists {
            true => "sequence,label\n".to_owned(),
            false => "sequence,box,\"H3K4me3, strong\",acg,never\n".to_owned(),
        };
        for (row, (sequence, class)) in rows.enumerate() {
            let marks = marks(row, sequence, class);
            text += &match lists {
                true => format!("{sequence},\"[{}]\"\n", marks.join(", ")),
                false => format!("{sequence},{}\n", marks.join(",")),
            };
        }
        place.write(&file, text);
    }
    place
}

fn trained() -> Place {
    let place = place(false);
    let output = place.train(&["--set", AS_COLUMNS]);
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("64 test; 4 labels"), "{said}");
    assert!(
        said.contains("label `never` holds for no example of") && said.contains("data/train.csv"),
        "{said}"
    );
    place
}

/// Probabilities of all labels for the test sequences.
fn predicted(place: &Place, model: &str) -> Vec<Vec<f64>> {
    let input = [
        "--input",
        "data/test.csv",
        "--output",
        "p.csv",
        "--overwrite",
    ];
    succeeded(&place.lingo(&[&["predict", model][..], &input].concat()));
    let table = place.csv("p.csv");
    let columns: Vec<String> = LABELS.iter().map(|label| format!("p_{label}")).collect();
    assert_eq!(table.header[0], "id");
    assert_eq!(table.header[1..], columns);
    columns.iter().map(|column| table.numbers(column)).collect()
}

fn alike(a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) {
    let (a, b) = (a.concat(), b.concat());
    assert_eq!(a.len(), b.len());
    let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    let far = far.fold(0.0, f64::max);
    assert!(far < tolerance, "{far}");
}

#[test]
fn a_run_of_labels_trains_and_its_metrics_are_those_of_its_predictions() {
    let place = trained();
    let losses = place.csv("run/train.csv").numbers("loss");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(
        mean(&losses[36..]) < mean(&losses[..12]) - 0.05,
        "nothing was learnt: {losses:?}"
    );
    let probabilities = predicted(&place, "run");
    let result = place.json("run/result.json");
    let table = place.csv("data/test.csv");
    let (mut surprise, mut known, mut right) = (0.0, 0.0, 0.0);
    let (mut auroc, mut auprc) = (Vec::new(), Vec::new());
    let labels = place.csv("run/labels.csv");
    let header = [
        "split",
        "label",
        "positives",
        "negatives",
        "unknown",
        "auroc",
        "auprc",
    ];
    assert_eq!(labels.header, header);
    assert_eq!(labels.column("split"), [["dev"; 4], ["test"; 4]].concat());
    for (label, (name, probabilities)) in LABELS.iter().zip(&probabilities).enumerate() {
        let cells = table.column(name).into_iter().zip(probabilities);
        let pairs: Vec<(f64, bool)> = cells
            .filter(|(cell, _)| !cell.is_empty())
            .map(|(cell, p)| (*p, cell == "1"))
            .collect();
        for (p, holds) in &pairs {
            surprise -= if *holds { p.ln() } else { (1.0 - p).ln() };
            right += f64::from(u8::from((*p > 0.5) == *holds));
            known += 1.0;
        }
        let ranking = Ranking::new(pairs);
        let row = &labels.rows[4 + label];
        assert_eq!(row[1], *name);
        let unknown = 64 - ranking.positives - ranking.negatives;
        let counts = [ranking.positives, ranking.negatives, unknown].map(|n| n.to_string());
        assert_eq!(row[2..5], counts);
        for (cell, value) in [
            (&row[5], ranking.auroc),
            (&row[6], ranking.average_precision),
        ] {
            match value {
                Some(value) => assert!((cell.parse::<f64>().unwrap() - value).abs() < 1e-6),
                None => assert_eq!(cell, ""),
            }
        }
        auroc.extend(ranking.auroc);
        auprc.extend(ranking.average_precision);
    }
    assert_eq!((known, auroc.len()), (64.0 * 3.0 + 51.0, 3));
    let test = &result["test"];
    for (name, value) in [
        ("loss", surprise / known),
        ("accuracy", right / known),
        ("auroc", mean(&auroc)),
        ("auprc", mean(&auprc)),
    ] {
        let trained = test[name].as_f64().unwrap();
        assert!(
            (value - trained).abs() < 1e-6,
            "{name}: {value} of the predictions, {trained} in training"
        );
    }
    assert_eq!(test["without_auc"], 1);
    assert!(test.get("labels").is_none());
    assert_eq!(place.json("run/best/adapter.json")["labels"], json!(LABELS));

    let output = place.lingo(&["eval", "run", "--data", "data", "--json"]);
    succeeded(&output);
    let scores: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    for (name, value) in test.as_object().unwrap() {
        let (a, b) = (value.as_f64().unwrap(), scores[name].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6, "{name}: {a} in training, {b} of eval");
    }
    assert_eq!(scores["labels"][1]["label"], LABELS[1]);
    let output = place.lingo(&["eval", "run", "--data", "data"]);
    succeeded(&output);
    let said = stdout(&output);
    let line = said.lines().find(|line| line.starts_with("never"));
    let cells: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(cells, ["never", "0", "64", "0", "-", "-"]);
}

#[test]
fn lists_train_as_columns_do_and_any_metric_of_labels_selects() {
    let columns = trained();
    let lists = place(true);
    let names = AS_COLUMNS;
    succeeded(&lists.train(&["--set", names]));
    assert_eq!(columns.text("run/train.csv"), lists.text("run/train.csv"));
    assert_eq!(columns.text("run/labels.csv"), lists.text("run/labels.csv"));
    let select = ["--set", "train.select_by=auroc", "--overwrite"];
    succeeded(&lists.train(&select));
    let manifest = lists.json("run/best/adapter.json");
    let unnamed = ["label_0", "label_1", "label_2", "label_3"];
    assert_eq!(manifest["labels"], json!(unnamed));
    let best = lists.csv("run/metrics.csv").numbers("auroc");
    let best = best.into_iter().fold(0.0, f64::max);
    let chosen = lists.json("run/result.json")["dev"]["auroc"]
        .as_f64()
        .unwrap();
    assert!(
        (chosen - best).abs() < 1e-12,
        "{chosen} chosen, {best} is the best"
    );
}

#[test]
fn labels_go_to_hugging_face_and_peft_and_come_back() {
    let place = trained();
    let before = predicted(&place, "run");
    succeeded(&place.lingo(&["export", "run", "--format", "hf", "--out", "merged"]));
    let config = place.json("merged/config.json");
    assert_eq!(config["problem_type"], "multi_label_classification");
    assert_eq!(config["id2label"]["1"], LABELS[1]);
    assert_eq!(config["label2id"][LABELS[3]], 3);
    alike(&before, &predicted(&place, "merged"), 1e-5);
    // As anybody's classifier, whose configuration says what it is for.
    let manifest = place.json("merged/lingo.json");
    std::fs::remove_file(place.path("merged/lingo.json")).unwrap();
    let [prefix, suffix] = ["prefix", "suffix"].map(|part| manifest[part].as_str().unwrap());
    let input = ["--input", "data/test.csv", "--output", "q.csv"];
    let prompt = ["--prefix", prefix, "--suffix", suffix];
    succeeded(&place.lingo(&[&["predict", "merged"], &input[..], &prompt].concat()));
    let table = place.csv("q.csv");
    let columns = LABELS.map(|label| table.numbers(&format!("p_{label}")));
    alike(&before, &columns, 1e-5);
    // An import keeps what the head is for.
    succeeded(&place.lingo(&["import", "merged", "--out", "compact", "--dtype", "f32"]));
    assert_eq!(
        place.json("compact/config.json")["problem_type"],
        "multi_label_classification"
    );
    let output = place.lingo(&["inspect", "compact"]);
    assert!(stdout(&output).contains("4 labels"), "{}", stdout(&output));

    let model = quickstart("model").display().to_string();
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "peft"]));
    let import = ["import", "peft", "--base", &model, "--out"];
    succeeded(&place.lingo(&[&import[..], &["back"]].concat()));
    alike(&before, &predicted(&place, "back"), 1e-5);
    std::fs::remove_file(place.path("peft/lingo.json")).unwrap();
    let names = ["--labels", "a,b,c"];
    refused(
        &place.lingo(&[&import[..], &["bare"], &names].concat()),
        &["--labels", "3 names", "4 rows"],
    );
    let names = ["--labels", "a,b,c,a"];
    refused(
        &place.lingo(&[&import[..], &["bare"], &names].concat()),
        &["--labels", "`a` twice"],
    );
    let mut config = place.json("compact/config.json");
    config["id2label"]["2"] = config["id2label"]["0"].clone();
    place.write("compact/config.json", config.to_string());
    refused(
        &place.lingo(&["inspect", "compact"]),
        &["compact/config.json", "`id2label`", LABELS[0]],
    );
    let names = ["--labels", "a,b,c,d"];
    succeeded(&place.lingo(&[&import[..], &["bare"], &names, &prompt].concat()));
    assert_eq!(
        place.json("bare/adapter.json")["labels"],
        json!(["a", "b", "c", "d"])
    );
    succeeded(&place.lingo(&[
        "predict",
        "bare",
        "--input",
        "data/test.csv",
        "--output",
        "r.csv",
    ]));
    let table = place.csv("r.csv");
    let columns = ["p_a", "p_b", "p_c", "p_d"].map(|column| table.numbers(column));
    alike(&before, &columns, 1e-5);
}

#[test]
fn data_that_do_not_answer_what_was_learnt_are_refused() {
    let place = trained();
    place.write("few.csv", "sequence,box,acg\nACGT,0,1\n");
    let output = place.lingo(&["eval", "run", "--data", "few.csv"]);
    refused(&output, &["few.csv, line 1", "no column `H3K4me3, strong`"]);
    place.write("wrong.csv", "sequence,label\nACGT,[0 1 0 2]\n");
    let output = place.lingo(&["eval", "run", "--data", "wrong.csv"]);
    refused(&output, &["wrong.csv, line 2", "`never` is `2`"]);
    let go_on = ["--out", "on", "--set", "adapter.from=run", "--set"];
    let others = "data.labels=[\"box\", \"acg\"]";
    let output = place.lingo(&[&["train", "run.toml"], &go_on[..], &[others]].concat());
    refused(
        &output,
        &["adapter.from", "4 labels (box, ", "2 labels (box, acg)"],
    );
    // A selection that no evaluation could make.
    let alone = [
        "--set",
        "data.labels=never",
        "--set",
        "train.select_by=auroc",
    ];
    let output = place.lingo(&[&["train", "run.toml", "--out", "x"][..], &alone].concat());
    refused(&output, &["select_by", "all examples are alike"]);
    // What could not be scored at the end is told at once.
    place.write("blank.csv", "sequence,acg\nACGTACGT,\nACGGACGT,NA\n");
    let blank = ["--set", "data.labels=acg", "--set"];
    for split in ["data.dev=blank.csv", "data.test=blank.csv"] {
        let args = [&["train", "run.toml", "--out", "x"][..], &blank, &[split]].concat();
        refused(&place.lingo(&args), &["blank.csv", "nothing is known of"]);
    }
    // One label is enough for a task.
    let one = ["--set", "data.labels=acg", "--set", "train.max_steps=4"];
    succeeded(&place.lingo(&[&["train", "run.toml", "--out", "one"][..], &one].concat()));
    let input = ["--input", "data/test.csv", "--output", "one.csv"];
    succeeded(&place.lingo(&[&["predict", "one"][..], &input].concat()));
    assert_eq!(place.csv("one.csv").header, ["id", "p_acg"]);
}

#[test]
fn deepseas_own_files_are_trained_on_and_each_histone_mark_is_scored() {
    let place = Place::new();
    place.run_file("lora");
    let fixture = |split: &str| {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/deepsea");
        folder.join(format!("{split}.mat")).display().to_string()
    };
    let mut args = [
        "data.labels=deepsea-histone",
        "train.epochs=1",
        "train.select_by=loss",
    ]
    .map(String::from)
    .to_vec();
    for (split, file) in [("train", "train"), ("dev", "valid"), ("test", "test")] {
        args.push(format!("data.{split}={}", fixture(file)));
    }
    let args: Vec<&str> = args.iter().flat_map(|set| ["--set", set]).collect();
    let output = place.train(&args);
    succeeded(&output);
    let said = stderr(&output);
    assert!(
        said.contains("20 train, 12 dev, 7 test; 104 labels"),
        "{said}"
    );
    let labels = place.csv("run/labels.csv");
    let of_mark = labels
        .column("label")
        .into_iter()
        .filter(|name| *name == "K562|H3K4me3");
    assert!(of_mark.count() > 0);
    let names: std::collections::BTreeSet<&str> = labels.column("label").into_iter().collect();
    assert_eq!(names.len(), 104);

    let output = place.lingo(&["eval", "run", "--data", &fixture("test"), "--json"]);
    succeeded(&output);
    let scores: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores["labels"].as_array().unwrap().len(), 104);
    let result = place.json("run/result.json");
    let loss = |scores: &serde_json::Value| scores["loss"].as_f64().unwrap();
    let far = (loss(&scores) - loss(&result["test"])).abs();
    assert!(far < 1e-6, "{far}");

    let held = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
    let on_disk = [
        "--overwrite",
        "--set",
        "data.in_memory_mib=0",
        "--set",
        "data.cache=tokens",
    ];
    succeeded(&place.train(&[&args[..], &on_disk].concat()));
    assert!(std::fs::read(place.path("run/best/adapter.safetensors")).unwrap() == held);

    // Tables and DeepSEA's files do not go together.
    let mixed = [
        "--overwrite",
        "--set",
        "data.dev=dev.csv",
        "--set",
        "data.dir=data",
    ];
    refused(&place.train(&[&args[..], &mixed].concat()), &["dev.csv"]);
}
