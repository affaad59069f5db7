//! `lingo pretrain`, and what becomes of its models.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, refused, stderr, stdout};

/// Text that can be learnt: each sentence follows from its first word.
fn text(seed: usize, documents: usize) -> String {
    let subjects = ["enhancer", "promoter", "silencer", "insulator", "exon"];
    let verbs = ["binds", "opens", "closes", "splits", "reads"];
    let sentence = |i: usize| {
        let at = (i * 7919 + seed * 31) % 1009 % 5;
        format!(
            "the {} {} the strand of chromosome {at}.",
            subjects[at], verbs[at]
        )
    };
    let document = |i: usize| format!("{} {}", sentence(2 * i), sentence(2 * i + 1));
    let documents: Vec<String> = (0..documents).map(document).collect();
    documents.join("\n\n")
}

const SHAPE: &str = r#"{"model_type": "opt", "vocab_size": 300, "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 48, "word_embed_proj_dim": 32, "dropout": 0.1}"#;

const RUN: &str = r#"
model = "shape.json"
[corpus]
train = "train.txt"
valid = "valid.txt"
[pretrain]
context_tokens = 24
batch_size = 8
epochs = 3
learning_rate = 5e-3
eval_every = 20
checkpoint_every = 7
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("train.txt", text(1, 300));
    place.write("valid.txt", text(2, 20));
    place.write("shape.json", SHAPE);
    place.write("pre.toml", RUN);
    place
}

/// Runs the command, which succeeds; what it printed.
fn succeeded(place: &Place, args: &[&str]) -> String {
    let output = place.lingo(args);
    crate::place::succeeded(&output);
    stdout(&output)
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_pretrained_model_predicts_better_than_frequencies_and_is_read_by_train() {
    let place = place();
    let said = succeeded(
        &place,
        &[
            "pretrain",
            "pre.toml",
            "--out",
            "run",
            "--set",
            "output.dtype=f16",
        ],
    );
    assert!(
        said.contains("perplexity") && said.contains("unigram"),
        "{said}"
    );
    let result = place.json("run/result.json");
    let (best, unigram) = (&result["best"], &result["unigram"]);
    assert!(
        number(&best["perplexity"]) < number(&unigram["perplexity"]) / 5.0,
        "{result}"
    );
    assert!((number(&best["loss"]).exp() - number(&best["perplexity"])).abs() < 1e-9);
    let valid = &result["valid"];
    let bits = number(&best["loss"]) * (number(&valid["tokens"]) - 1.0) / 2_f64.ln();
    assert!((bits / number(&valid["bytes"]) - number(&best["bits_per_byte"])).abs() < 1e-9);

    let metrics = place.csv("run/metrics.csv");
    let steps = place.csv("run/train.csv").column("step").len();
    assert_eq!(metrics.column("step").last().unwrap(), &steps.to_string());
    assert_eq!(number(&result["steps"]) as usize, steps);
    assert_eq!(number(&result["tokens"]) as usize, steps * 8 * 24);

    let inspected = succeeded(&place, &["inspect", "run/model"]);
    assert!(inspected.contains("opt"), "{inspected}");
    let run = "model = \"run/model\"\n[data]\ndir = \"data\"\n[train]\nmax_steps = 2\nbatch_size = 4\n\
               [tokenizer]\nmax_tokens = 48\n";
    place.write("fine.toml", run);
    succeeded(&place, &["train", "fine.toml", "--out", "fine"]);
    assert!(place.path("fine/result.json").exists());
    let compared = place.lingo(&["compare", "run", "fine"]);
    crate::place::succeeded(&compared);
    assert!(stderr(&compared).contains("run is a run of `lingo pretrain`"));

    refused(
        &place.lingo(&["pretrain", "pre.toml", "--out", "run"]),
        &["--overwrite"],
    );
    refused(
        &place.lingo(&["pretrain", "--resume", "run"]),
        &["finished run"],
    );
    refused(
        &place.lingo(&["train", "--resume", "run"]),
        &["lingo pretrain"],
    );
}

#[test]
fn the_same_run_gives_the_same_model_and_another_seed_another() {
    let place = place();
    let model = |dir: &str, seed: &str| {
        let seed = format!("seed={seed}");
        let args = [
            "pretrain",
            "pre.toml",
            "--out",
            dir,
            "--set",
            &seed,
            "--set",
            "pretrain.max_steps=12",
        ];
        succeeded(&place, &args);
        std::fs::read(place.path(dir).join("model/model.safetensors")).unwrap()
    };
    let first = model("a", "1");
    assert!(first == model("b", "1"));
    assert!(first != model("c", "2"));
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_or_killed_and_resumed_comes_to_what_it_would_have_come_to() {
    let place = place();
    succeeded(&place, &["pretrain", "pre.toml", "--out", "whole"]);
    for (signal, code, lines) in [("-INT", Some(130), 12), ("-KILL", None, 26)] {
        let dir = format!("run{signal}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lingo"));
        command
            .args(["pretrain", "pre.toml", "--out", &dir])
            .current_dir(place.path(""));
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let written =
            || std::fs::read_to_string(place.path(&dir).join("train.csv")).unwrap_or_default();
        while written().lines().count() < lines {
            assert!(began.elapsed() < Duration::from_secs(120), "no progress");
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(1));
        }
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code, "{}", stderr(&output));
        if code.is_some() {
            let said = stderr(&output);
            assert!(said.contains("lingo pretrain --resume"), "{said}");
        }
        let args = ["pretrain", "--resume", &dir, "--set", "pretrain.epochs=9"];
        refused(&place.lingo(&args), &["pretrain.epochs"]);
        succeeded(&place, &["pretrain", "--resume", &dir]);
        let bytes = |dir: &str, name: &str| std::fs::read(place.path(dir).join(name)).unwrap();
        for name in [
            "train.csv",
            "model/model.safetensors",
            "model/tokenizer.json",
        ] {
            assert!(
                bytes("whole", name) == bytes(&dir, name),
                "{name} differs after {signal}"
            );
        }
        let losses = |dir: &str| place.csv(&format!("{dir}/metrics.csv")).numbers("loss");
        assert_eq!(losses("whole"), losses(&dir));
    }
    // A run goes on with the text that it began with alone.
    let dir = "changed";
    let args = [
        "pretrain",
        "pre.toml",
        "--out",
        dir,
        "--set",
        "pretrain.max_steps=9",
    ];
    succeeded(&place, &args);
    std::fs::remove_file(place.path(dir).join("result.json")).unwrap();
    // Of the shape, weights do not tell everything.
    place.write(
        "shape.json",
        SHAPE.replace("\"dropout\": 0.1", "\"dropout\": 0.2"),
    );
    refused(
        &place.lingo(&["pretrain", "--resume", dir]),
        &["config.json no longer describes the network"],
    );
    place.write("shape.json", SHAPE);
    place.write("train.txt", text(3, 300));
    refused(
        &place.lingo(&["pretrain", "--resume", dir]),
        &["corpus.train"],
    );
}

#[test]
fn dna_in_fasta_is_pretrained_on_as_well_and_by_a_llama() {
    let place = place();
    let sequence = |i: usize| "ACGTTGCA".repeat(20 + i % 3) + ["AAA", "CCC", "GGG"][i % 3];
    let fasta = |records: usize| -> String {
        (0..records)
            .map(|i| format!(">s{i}\n{}\n", sequence(i)))
            .collect()
    };
    place.write("train.fa", fasta(60));
    place.write("valid.fa", fasta(3));
    place.write(
        "llama.json",
        r#"{"model_type": "llama", "vocab_size": 270, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16}"#,
    );
    let sets = [
        "model=llama.json",
        "corpus.train=train.fa",
        "corpus.valid=valid.fa",
        "pretrain.context_tokens=0",
        "pretrain.max_steps=4",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", *set]);
    let args: Vec<&str> = ["pretrain", "pre.toml", "--out", "dna"]
        .into_iter()
        .chain(sets)
        .collect();
    succeeded(&place, &args);
    assert_eq!(place.json("dna/result.json")["context_tokens"], 16);
    let config = place.json("dna/model/config.json");
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert_eq!(config["tie_word_embeddings"], true);
}

#[test]
fn what_cannot_be_pretrained_is_one_error_that_says_what_to_do() {
    let place = place();
    place.write("latin.txt", b"caf\xE9\n");
    place.write("bert.json", SHAPE.replace("opt", "bert"));
    let untied = SHAPE.replace('}', ", \"tie_word_embeddings\": false}");
    place.write("untied.json", untied);
    let cases = [
        ("corpus.train=latin.txt", "line 1: expected UTF-8"),
        ("corpus.valid=gone.txt", "gone.txt"),
        (
            "pretrain.context_tokens=49",
            "max_position_embeddings is 48",
        ),
        ("pretrain.batch_size=100000", "give more text"),
        ("model=untied.json", "tie_word_embeddings"),
        ("model=bert.json", "bert.json"),
        (
            "train.epochs=2",
            "train.epochs: unknown key; did you mean `pretrain.epochs`?",
        ),
        ("tokenizer.from=data", "tokenizer"),
    ];
    for (set, part) in cases {
        refused(
            &place.lingo(&["pretrain", "pre.toml", "--out", "bad", "--set", set]),
            &[part],
        );
        assert!(!place.path("bad").exists(), "{set} left a folder");
    }
    refused(&place.lingo(&["train", "pre.toml"]), &["lingo pretrain"]);
    place.run_file("lora");
    refused(&place.lingo(&["pretrain", "run.toml"]), &["lingo train"]);
    let shown = succeeded(&place, &["config", "show", "pre.toml", "--set", "seed=7"]);
    assert!(
        shown.contains("# --set") && shown.contains("warmup_ratio = 0.05"),
        "{shown}"
    );
    succeeded(&place, &["config", "check", "pre.toml"]);
}
