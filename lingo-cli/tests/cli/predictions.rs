//! `eval` and `predict` on a run.

use lingo_train::metric::{ConfusionTable, Ranking};

use crate::place::{Place, Table, quickstart, refused, stderr, succeeded};

fn probabilities(table: &Table) -> [Vec<f64>; 2] {
    [table.numbers("p_0"), table.numbers("p_1")]
}

fn labels(place: &Place) -> Vec<usize> {
    let table = place.csv("data/test.csv");
    let labels = table.column("label").into_iter();
    labels.map(|label| label.parse().unwrap()).collect()
}

#[test]
fn metrics_of_predictions_are_those_of_training() {
    let place = Place::trained("adaptive-rank-sampling", &[]);
    succeeded(&place.lingo(&[
        "predict",
        "run",
        "--input",
        "data/test.csv",
        "--output",
        "p.csv",
    ]));
    let table = place.csv("p.csv");
    assert_eq!(table.header, ["id", "prediction", "p_0", "p_1"]);
    let rows: Vec<String> = (0..64).map(|row| row.to_string()).collect();
    assert_eq!(table.column("id"), rows);

    let labels = labels(&place);
    let predictions: Vec<usize> = table
        .column("prediction")
        .into_iter()
        .map(|class| class.parse().unwrap())
        .collect();
    let [p_0, p_1] = probabilities(&table);
    for ((a, b), class) in p_0.iter().zip(&p_1).zip(&predictions) {
        assert!((a + b - 1.0).abs() < 1e-6);
        assert_eq!(*class, usize::from(b > a));
    }
    let confusion = ConfusionTable::new(2, &labels, &predictions);
    let positive: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
    let of_label = labels
        .iter()
        .enumerate()
        .map(|(i, label)| [&p_0, &p_1][*label][i]);
    let loss = of_label.map(|p| -p.ln()).sum::<f64>() / labels.len() as f64;
    let square = |(p, label): (&f64, &usize)| (p - *label as f64).powi(2);
    let brier = p_1.iter().zip(&labels).map(square).sum::<f64>() / labels.len() as f64;

    let ranking = Ranking::of(&p_1, &positive);
    let test = &place.json("run/result.json")["test"];
    for (name, value) in [
        ("accuracy", confusion.accuracy()),
        ("mcc", confusion.mcc()),
        ("f1", confusion.f1()),
        ("auroc", ranking.auroc.unwrap()),
        ("auprc", ranking.average_precision.unwrap()),
        ("loss", loss),
        ("brier", brier),
    ] {
        let trained = test[name].as_f64().unwrap();
        assert!(
            (value - trained).abs() < 1e-6,
            "{name}: {value} of the predictions, {trained} in training"
        );
    }
}

#[test]
fn fasta_gives_the_same_probabilities_under_its_own_names() {
    let place = Place::trained("lora", &[]);
    let sequences = place.csv("data/test.csv");
    let fasta: String = sequences
        .column("sequence")
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let (left, right) = s.split_at(40);
            format!(">gene{i} of the test\n{}\n{right}\n", left.to_lowercase())
        })
        .collect();
    place.write("test.fasta", fasta);
    for (input, output) in [("data/test.csv", "a.csv"), ("test.fasta", "b.csv")] {
        let output = place.lingo(&["predict", "run", "--input", input, "--output", output]);
        succeeded(&output);
        assert!(stderr(&output).contains("64 predictions"));
    }
    let (a, b) = (place.csv("a.csv"), place.csv("b.csv"));
    let names: Vec<String> = (0..64).map(|i| format!("gene{i}")).collect();
    assert_eq!(b.column("id"), names);
    assert_eq!(a.column("prediction"), b.column("prediction"));
    assert_eq!(probabilities(&a), probabilities(&b));
}

#[test]
fn how_many_go_in_a_batch_changes_nothing() {
    let place = Place::trained("lora", &[]);
    for (size, output) in [("1", "a.csv"), ("64", "b.csv")] {
        let input = "data/test.csv";
        let args = [
            "predict",
            "run",
            "--input",
            input,
            "--output",
            output,
            "--batch-size",
            size,
        ];
        succeeded(&place.lingo(&args));
    }
    let [a, b] = ["a.csv", "b.csv"].map(|file| place.csv(file).numbers("p_1"));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

#[test]
fn predictions_are_written_only_where_nothing_is_lost() {
    let place = Place::trained("lora", &[]);
    let predict = |output: &str, more: &[&str]| {
        let args = [
            "predict",
            "run",
            "--input",
            "data/test.csv",
            "--output",
            output,
        ];
        place.lingo(&[&args, more].concat())
    };
    place.write("mine.csv", "precious");
    refused(&predict("mine.csv", &[]), &["mine.csv", "--overwrite"]);
    assert_eq!(place.text("mine.csv"), "precious");
    succeeded(&predict("mine.csv", &["--overwrite"]));
    assert_eq!(place.csv("mine.csv").rows.len(), 64);
    refused(
        &predict("nowhere/p.csv", &[]),
        &["nowhere/p.csv", "no folder"],
    );
    let before = place.text("data/test.csv");
    refused(
        &predict("data/../data/test.csv", &["--overwrite"]),
        &["is the input"],
    );
    assert_eq!(place.text("data/test.csv"), before);
    refused(
        &predict("data", &["--overwrite"]),
        &["not an ordinary file"],
    );
}

#[test]
fn what_is_scored_is_looked_at_before_the_model() {
    let place = Place::trained("lora", &[]);
    place.write("bad.csv", "sequence\nACGJ\n");
    // A base that is nowhere: whoever complains of the input has not looked for it.
    let base = ["--base", "models/none"];
    for who in [&["run"][..], &["--adapters", "run"]] {
        let args = [&["predict"], who, &base].concat();
        let bad = ["--input", "bad.csv", "--output", "out"];
        refused(
            &place.lingo(&[&args[..], &bad].concat()),
            &["bad.csv, line 2"],
        );
        let good = ["--input", "data/test.csv", "--output", "out"];
        refused(&place.lingo(&[&args[..], &good].concat()), &["models/none"]);
    }
    refused(
        &place.lingo(&[
            "predict",
            "--adapters",
            "data",
            "--input",
            "bad.csv",
            "--output",
            "out",
        ]),
        &["data is no run folder"],
    );
    assert!(!place.path("out").exists());
}

#[test]
fn options_of_a_folder_do_not_go_with_a_file() {
    let place = Place::trained("lora", &[]);
    let eval = ["eval", "run", "--data", "data/test.csv", "--split", "dev"];
    refused(&place.lingo(&eval), &["--split", "data/test.csv"]);
    let model = quickstart("model");
    let inspect = ["inspect", model.to_str().unwrap(), "--prefix", "DNA: "];
    refused(&place.lingo(&inspect), &["--prefix", "--data"]);
}

#[test]
fn a_run_without_its_adapter_is_said_to_have_lost_it() {
    let place = Place::trained("lora", &[]);
    for folder in ["best", "last"] {
        std::fs::remove_dir_all(place.path("run").join(folder)).unwrap();
    }
    let eval = ["eval", "run", "--data", "data"];
    refused(&place.lingo(&eval), &["the run in run", "`best`"]);
    std::fs::rename(place.path("run/train.csv"), place.path("train.csv")).unwrap();
    refused(&place.lingo(&eval), &["the run in run", "`best`"]);
    std::fs::rename(place.path("train.csv"), place.path("run/train.csv")).unwrap();
    std::fs::remove_file(place.path("run/result.json")).unwrap();
    refused(&place.lingo(&eval), &["cut off", "--resume run"]);
}

#[test]
fn predictions_go_to_standard_output_where_that_is_asked_for() {
    let place = Place::trained("lora", &[]);
    let predict = |output: &str, more: &[&str]| {
        let input = ["--input", "data/test.csv", "--output", output];
        place.lingo(&[&["predict"], more, &input].concat())
    };
    succeeded(&predict("p.csv", &["run"]));
    let output = predict("-", &["run"]);
    succeeded(&output);
    assert_eq!(output.stdout, std::fs::read(place.path("p.csv")).unwrap());
    assert!(!place.path("-").exists());
    refused(
        &predict("-", &["--adapters", "run"]),
        &["a folder is needed"],
    );
}

#[cfg(unix)]
#[test]
fn a_link_is_written_through() {
    let place = Place::trained("lora", &[]);
    place.write("far.csv", "old");
    std::os::unix::fs::symlink(place.path("far.csv"), place.path("near.csv")).unwrap();
    let input = ["predict", "run", "--input", "data/test.csv"];
    let output = ["--output", "near.csv", "--overwrite"];
    succeeded(&place.lingo(&[&input[..], &output].concat()));
    assert!(place.path("near.csv").is_symlink());
    assert_eq!(place.csv("far.csv").rows.len(), 64);
}

#[test]
fn a_label_outside_the_classes_is_named_with_its_line() {
    let place = Place::trained("lora", &[]);
    place.write("more.csv", "sequence,label\nACGT,0\nACGT,2\n");
    let output = place.lingo(&["eval", "run", "--data", "more.csv"]);
    refused(&output, &["more.csv, line 3", "`2`", "2 classes"]);
}

/// Full fine-tuning leaves every tensor under its own name: beside the configuration and the vocabulary it is a
/// checkpoint with a head, as others publish theirs.
#[test]
fn a_plain_checkpoint_with_a_head_is_scored_like_the_run_that_trained_it() {
    let place = Place::trained("full", &["--set", "train.learning_rate=1e-3"]);
    place.copy_model("published");
    let trained = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
    place.write("published/model.safetensors", trained);
    let prompt = [
        "--prefix",
        "Domain: DNA Promoter\\nSequence: ",
        "--suffix",
        "\\nAnnotation:",
    ];
    for (model, output, more) in [
        ("run", "a.csv", &[][..]),
        ("published", "b.csv", &prompt),
        ("published", "c.csv", &[]),
    ] {
        let args = [
            "predict",
            model,
            "--input",
            "data/test.csv",
            "--output",
            output,
        ];
        succeeded(&place.lingo(&[&args, more].concat()));
    }
    let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|file| place.csv(file).numbers("p_1"));
    let distance = |b: &[f64]| {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(distance(&b) < 1e-6, "{}", distance(&b));
    assert!(distance(&c) > 1e-3, "the prompt makes no difference");
    // A run has its prompt.
    let output = place.lingo(&[&["eval", "run", "--data", "data"], &prompt[..]].concat());
    refused(&output, &["--prefix"]);
}

#[test]
fn many_adapters_on_one_model_predict_as_each_by_itself() {
    let place = Place::new();
    let runs = [
        ("one", "lora", "prompt.prefix=Sequence: "),
        ("two", "adaptive-rank-sampling", "prompt.prefix="),
        ("three", "adalora", "tokenizer.kind=words"),
    ];
    for (out, method, set) in runs {
        place.run_file(method);
        let steps = "train.max_steps=12";
        let args = [
            "train", "run.toml", "--out", out, "--set", set, "--set", steps,
        ];
        succeeded(&place.lingo(&args));
    }
    let input = ["--input", "data/test.csv", "--output"];
    let bank = ["predict", "--adapters", "one", "two/best", "three"];
    let output = place.lingo(&[&bank[..], &input, &["tables"]].concat());
    succeeded(&output);
    assert!(
        stderr(&output).contains("each of 3 adapters"),
        "{}",
        stderr(&output)
    );
    for (name, ..) in runs {
        succeeded(
            &place.lingo(
                &[
                    &["predict", name][..],
                    &input,
                    &["alone.csv", "--overwrite"],
                ]
                .concat(),
            ),
        );
        let alone = place.csv("alone.csv");
        let together = place.csv(&format!("tables/{name}.csv"));
        assert_eq!(together.header, alone.header);
        for (a, b) in together.numbers("p_1").iter().zip(alone.numbers("p_1")) {
            assert!((a - b).abs() < 1e-6, "{name}: {a} and {b}");
        }
    }
    refused(
        &place.lingo(&[&bank[..], &input, &["tables"]].concat()),
        &["tables/one.csv exists", "--overwrite"],
    );
    let twice = ["predict", "--adapters", "one", "one/best"];
    refused(
        &place.lingo(&[&twice[..], &input, &["x"]].concat()),
        &["`one`", "rename"],
    );
    let nothing = ["predict", "--adapters", "data"];
    refused(
        &place.lingo(&[&nothing[..], &input, &["x"]].concat()),
        &["data is no run"],
    );
}

#[test]
fn ids_that_tell_no_sequences_apart_are_spoken_of() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let predict = |name: &str, text: &str| {
        place.write(name, text);
        let args = ["--input", name, "--output", "p.csv", "--overwrite"];
        let output = place.lingo(&[&["predict", "run"][..], &args].concat());
        succeeded(&output);
        (stderr(&output), place.csv("p.csv"))
    };
    let (said, table) = predict("x.fa", ">a\nACGT\n>b\nAC\n>a\nGT\n>a\nTT\n");
    assert_eq!(table.column("id"), ["a", "b", "a", "a"]);
    assert!(
        said.contains("2 sequences have an id that one before them has, such as `a`"),
        "{said}"
    );
    let (said, table) = predict("x.csv", "id,sequence\n,ACGT\nb,AC\n,GT\n");
    assert_eq!(table.column("id"), ["", "b", ""]);
    assert!(said.contains("2 sequences have an empty id"), "{said}");
    let (said, _) = predict("y.csv", "id,sequence\na,ACGT\nb,AC\n");
    assert!(!said.contains("note: "), "{said}");
}

#[test]
fn long_inputs_are_scored_a_part_at_a_time_and_come_out_in_their_order() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let count = (1 << 14) + 5;
    let sequence = |row: usize| -> String {
        let letter = |place: usize| char::from(b"ACGT"[(row >> (2 * place)) % 4]);
        (0..8).map(letter).collect()
    };
    let rows: Vec<String> = (0..count)
        .map(|row| format!("r{row},{}", sequence(row)))
        .collect();
    let write = |name: &str, rows: &[String]| {
        place.write(name, format!("id,sequence\n{}\n", rows.join("\n")));
    };
    let predict = |input: &str, output: &str| {
        place.lingo(&["predict", "run", "--input", input, "--output", output])
    };
    write("all.csv", &rows);
    succeeded(&predict("all.csv", "all-p.csv"));
    let all = place.csv("all-p.csv");
    let ids = all.column("id");
    assert_eq!(ids.len(), count);
    assert!(
        ids.iter()
            .enumerate()
            .all(|(row, id)| *id == format!("r{row}"))
    );
    // Some of both parts, by themselves.
    let some: Vec<usize> = [0, 77, 9_999].into_iter().chain(count - 6..count).collect();
    let few: Vec<String> = some.iter().map(|row| rows[*row].clone()).collect();
    write("few.csv", &few);
    succeeded(&predict("few.csv", "few-p.csv"));
    let (all, few) = (all.numbers("p_1"), place.csv("few-p.csv").numbers("p_1"));
    assert!(few.iter().any(|p| (p - few[0]).abs() > 1e-4));
    for (row, few) in some.iter().zip(few) {
        assert!((all[*row] - few).abs() < 1e-6, "row {row}");
    }

    // What is wrong at the end is found before anything is scored or written.
    let mut broken = rows;
    broken.push("last,ACX".to_owned());
    write("broken.csv", &broken);
    let output = predict("broken.csv", "broken-p.csv");
    refused(&output, &[&format!("line {}", count + 2), "'X'"]);
    assert!(!place.path("broken-p.csv").exists());
}

#[test]
fn deepseas_files_are_predicted_on() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let input = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/deepsea/test.mat"
    );
    succeeded(&place.lingo(&["predict", "run", "--input", input, "--output", "p.csv"]));
    let table = place.csv("p.csv");
    assert_eq!(table.column("id"), ["0", "1", "2", "3", "4", "5", "6"]);
    assert!(table.numbers("p_1").iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn a_run_that_is_not_there_is_not_taken_for_a_model() {
    let place = Place::new();
    place.write("runs/one/config.toml", "");
    std::fs::create_dir(place.path("empty")).unwrap();
    let eval = |what: &str| place.lingo(&["eval", what, "--data", "data"]);
    refused(&eval("nowhere"), &["nowhere: no such", "a run folder"]);
    refused(&eval("runs"), &["runs is no run but holds some"]);
    refused(&eval("empty"), &["empty: neither a run folder"]);
    refused(
        &eval("runs/two"),
        &["runs/two", "in runs; give the path of a run"],
    );
}
