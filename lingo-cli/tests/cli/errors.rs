//! Everything that can be wrong before training: one message, and nothing touched.

use crate::place::{Place, quickstart, refused, stderr, stdout, succeeded};

/// A run file, and no run folder after a command has failed.
fn untouched(place: &Place) {
    assert!(!place.path("run").exists(), "a run folder was made");
}

fn model(path: &std::path::Path) -> String {
    format!("model={}", path.display())
}

#[test]
fn what_is_wrong_with_data_is_named_with_file_and_line() {
    let cases = [
        (
            "sequence,label\nACGT,0\nACGT\n",
            &["dev.csv, line 3", "1 fields"][..],
        ),
        (
            "sequence,label\n\"ACGT,0\nACGT,1\n",
            &["dev.csv, line 2"][..],
        ),
        (
            "sequence,label\nACGT,0\nACGT,yes\n",
            &["dev.csv, line 3", "`yes`"],
        ),
        (
            "sequence,label\nACGT,0\nACGJ,1\n",
            &["dev.csv, line 3", "'J' at position 4", "IUPAC"],
        ),
        ("sequence,label\n", &["dev.csv holds no sequences"]),
        ("", &["dev.csv holds no sequences"]),
        (
            "dna,label\nACGT,0\n",
            &["dev.csv, line 1", "`sequence`", "`dna`"],
        ),
    ];
    let place = Place::new();
    place.run_file("lora");
    for (text, parts) in cases {
        place.write("data/dev.csv", text);
        refused(&place.train(&[]), parts);
    }
    std::fs::remove_file(place.path("data/dev.csv")).unwrap();
    refused(&place.train(&[]), &["dev.csv", "No such file"]);
    for split in ["train", "dev", "test"] {
        place.write(
            &format!("data/{split}.csv"),
            "sequence,label\nACGT,0\nAC,0\n",
        );
    }
    refused(&place.train(&[]), &["train.csv", "at least two classes"]);
    let good = "sequence,label\nACGT,0\nAC,1\n";
    place.write("data/train.csv", good);
    place.write("data/dev.csv", good);
    place.write("data/test.csv", "sequence,label\nACGT,7\n");
    refused(&place.train(&[]), &["test.csv, line 2", "`7`", "0 to 1"]);
    untouched(&place);
}

#[test]
fn a_folder_of_data_that_is_nowhere_is_named_with_where_it_was_looked_for() {
    let place = Place::new();
    place.run_file("lora");
    std::fs::create_dir(place.path("tasks")).unwrap();
    let nowhere = ["--set", "data.dir=H33"];
    refused(&place.train(&nowhere), &["data.dir", "/H33 is not there; "]);
    let of_tasks = [&nowhere[..], &["--set", "data.root=tasks"]].concat();
    let parts = [
        "data.dir",
        "tasks/H33 is not there",
        "data.root",
        "/tasks);",
    ];
    refused(&place.train(&of_tasks), &parts);
    let file = ["--set", "data.dir=run.toml"];
    refused(&place.train(&file), &["/run.toml is no folder"]);
    untouched(&place);
}

#[test]
fn fasta_is_not_taken_where_labels_are_needed() {
    let place = Place::trained("lora", &[]);
    place.write("genes.fa", ">one\nACGT\n");
    let refusal = ["genes.fa", "no labels", "`label`", "lingo predict"];
    refused(
        &place.lingo(&["eval", "run", "--data", "genes.fa"]),
        &refusal,
    );
    let args = ["train", "run.toml", "--out", "other"];
    let set = ["--set", "data.test=genes.fa"];
    refused(&place.lingo(&[&args[..], &set].concat()), &refusal);
}

#[test]
fn every_problem_of_a_run_file_is_named_at_once() {
    let place = Place::new();
    place.write(
        "run.toml",
        "[data]\ndir = \"data\"\n\
         [adapter]\nmethod = \"dora\"\nrnak = 4\np = 1.5\n\
         [train]\nepochs = \"five\"\nbatch_size = 0\nlearning_rate = -1.0\n\
         [tokeniser]\nkind = \"bpe\"\n",
    );
    let output = place.train(&["--set", "train.select_by=luck"]);
    refused(
        &output,
        &[
            "run.toml: 9 problems",
            "model: ",
            "adapter.method: ",
            "adapter.rnak: unknown key; did you mean `adapter.rank`?",
            "adapter.p: ",
            "train.epochs: ",
            "train.batch_size: ",
            "train.learning_rate: ",
            "train.select_by: ",
            "tokeniser: unknown key; did you mean `[tokenizer]`?",
        ],
    );
    place.write("run.toml", "model = \"a\nb\"\n");
    refused(&place.train(&[]), &["run.toml", "line 2"]);
    refused(&place.lingo(&["train", "other.toml"]), &["other.toml"]);
    untouched(&place);
}

#[test]
fn blanks_around_a_key_of_the_command_line_do_not_matter() {
    let place = Place::new();
    place.run_file("lora");
    let show = |set: &str| {
        let output = place.lingo(&["config", "show", "run.toml", "--set", set]);
        succeeded(&output);
        stdout(&output)
    };
    assert_eq!(show(" train.epochs = 9"), show("train.epochs=9"));
    assert_ne!(show("train.epochs=8"), show("train.epochs=9"));
}

#[test]
fn a_damaged_or_unknown_model_is_named() {
    let place = Place::new();
    place.run_file("lora");
    let whole = std::fs::read(quickstart("model/model.safetensors")).unwrap();
    let cut = place.copy_model("cut");
    for length in [0, 7, 1000, whole.len() / 2, whole.len() - 1] {
        place.write("cut/model.safetensors", &whole[..length]);
        let output = place.train(&["--set", &model(&cut)]);
        refused(&output, &["cut/model.safetensors", "damaged"]);
    }

    let strange = place.copy_model("strange");
    let config = std::fs::read_to_string(strange.join("config.json")).unwrap();
    place.write("strange/config.json", config.replace("\"opt\"", "\"rwkv\""));
    refused(
        &place.train(&["--set", &model(&strange)]),
        &[
            "strange/config.json",
            "`model_type` is `rwkv`",
            "opt",
            "llama",
        ],
    );

    let mut garbage = b"GGUF\x03\0\0\0".to_vec();
    garbage.extend((0..400u32).map(|i| (i * 37 % 251) as u8));
    for length in [4, 8, 20, garbage.len()] {
        let file = place.write("cut.gguf", &garbage[..length]);
        let output = place.train(&["--set", &model(&file)]);
        refused(&output, &["cut.gguf"]);
        refused(&place.lingo(&["inspect", "cut.gguf"]), &["cut.gguf"]);
    }
    let output = place.train(&["--set", "model=nothing"]);
    refused(&output, &["nothing", "no such file or folder"]);
    untouched(&place);
}

/// Nothing is made of a size before the weights have it.
#[test]
fn a_configuration_of_sizes_that_the_weights_do_not_have_is_named() {
    let place = Place::new();
    place.run_file("lora");
    let folder = place.copy_model("absurd");
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    let layer = "`layers.2.self_attn";
    for (key, part) in [
        ("vocab_size", "embed_tokens.weight"),
        ("hidden_size", "num_attention_heads"),
        ("word_embed_proj_dim", "embed_tokens.weight"),
        ("ffn_dim", "fc1.weight"),
        ("num_hidden_layers", layer),
        ("max_position_embeddings", "embed_positions.weight"),
    ] {
        for (size, part) in [(i64::from(i32::MAX), part), (1 << 40, key), (-1, key)] {
            let mut config = good.clone();
            config[key] = size.into();
            place.write("absurd/config.json", config.to_string());
            refused(&place.train(&["--set", &model(&folder)]), &[part]);
        }
    }
    untouched(&place);
}

#[test]
fn a_setting_that_does_not_fit_the_model_is_named() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    let refuse = |set: &str, parts: &[&str]| refused(&place.train(&["--set", set]), parts);
    refuse(
        "adapter.targets=[\"Wq\", \"query\"]",
        &["adapter.targets", "query"],
    );
    refuse(
        "tokenizer.max_tokens=97",
        &["tokenizer.max_tokens", "97", "at most 96"],
    );
    refuse("adapter.warmup_steps=36", &["adapter.warmup_steps"]);
    refuse(
        "train.gradient_accumulation=1000",
        &["train.gradient_accumulation"],
    );
    untouched(&place);
}

/// Restricted or not, it is the tokenizer that is at fault.
#[test]
fn a_tokenizer_of_more_tokens_than_the_table_is_named() {
    let place = Place::new();
    place.run_file("lora");
    let folder = place.copy_model("other");
    let rows = place.json("other/config.json")["vocab_size"]
        .as_u64()
        .unwrap();
    let mut vocabulary = place.json("other/vocab.json");
    vocabulary["A"] = rows.into();
    place.write("other/vocab.json", vocabulary.to_string());
    let model = format!("model={}", folder.display());
    for restrict in ["tokenizer.restrict=true", "tokenizer.restrict=false"] {
        let output = place.lingo(&["train", "run.toml", "--set", &model, "--set", restrict]);
        let parts = [
            &format!("the tokenizer gives token {rows}, the model's table has {rows} rows")[..],
            "the tokenizer that the model was published with",
        ];
        refused(&output, &parts);
        untouched(&place);
    }
}

#[test]
fn an_absent_device_is_named_with_the_feature_to_build_with() {
    let place = Place::new();
    place.run_file("lora");
    let absent = [
        ("wgpu", cfg!(feature = "wgpu")),
        ("cuda", cfg!(feature = "cuda")),
        ("tch", cfg!(feature = "tch")),
        ("ndarray", cfg!(feature = "ndarray")),
    ];
    for (name, _) in absent.into_iter().filter(|(_, compiled)| !compiled) {
        let output = place.train(&["--device", name]);
        refused(&output, &[name, &format!("--features {name}")]);
    }
    refused(&place.train(&["--device", "tpu"]), &["tpu", "wgpu[:N]"]);
    refused(&place.train(&["--device", "cpu:5"]), &["cpu:5"]);
    untouched(&place);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.run_file("lora");
    place.write("file", "not a folder");
    let output = place.lingo(&["train", "run.toml", "--out", "file/run"]);
    refused(&output, &["file/run"]);
    let output = place.lingo(&["train", "run.toml", "--out", "file"]);
    refused(&output, &["file"]);
    assert_eq!(place.text("file"), "not a folder");
}

#[test]
fn a_model_without_head_cannot_be_scored() {
    let place = Place::new();
    let model = quickstart("model");
    let model = model.to_str().unwrap();
    let output = place.lingo(&["eval", model, "--data", "data"]);
    refused(&output, &["without a classification head", "lingo train"]);
    let args = ["--input", "data/test.csv", "--output", "p.csv"];
    let output = place.lingo(&[&["predict", model][..], &args].concat());
    refused(&output, &["without a classification head"]);
    assert!(!place.path("p.csv").exists());
}

#[test]
fn what_is_no_model_leads_to_what_is_meant() {
    let place = Place::new();
    place.run_file("lora");
    let adapter = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/peft/bert_lora"
    );
    let predict = ["--input", "data/test.csv", "--output", "p.csv"];
    let eval = ["--data", "data"];
    for (verb, more) in [("predict", &predict[..]), ("eval", &eval), ("inspect", &[])] {
        let output = place.lingo(&[&[verb, adapter], more].concat());
        refused(&output, &["bert_lora", "PEFT", "lingo import"]);
        let output = place.lingo(&[&[verb, "run.toml"], more].concat());
        refused(&output, &["run.toml is a run file", "`model`"]);
    }
    let flops = ["flops", "run.toml", "--tokens", "9"];
    refused(&place.lingo(&flops), &["run.toml is a run file", "`model`"]);
    let check = place.lingo(&["config", "check"]);
    refused(&check, &["no folder configs here", "source code"]);
}

#[test]
fn a_count_of_operations_that_would_overflow_is_refused() {
    let place = Place::new();
    let model = quickstart("model").display().to_string();
    let flops = |more: &[&str]| place.lingo(&[&["flops", &model][..], more].concat());
    let most = usize::MAX.to_string();
    for more in [
        &["--tokens", &most][..],
        &["--tokens", "9", "--batch-size", &most],
        &[
            "--tokens",
            "4294967296",
            "--batch-size",
            "4294967296",
            "--json",
        ],
    ] {
        refused(&flops(more), &["2^64", "--tokens"]);
    }
    // More tokens than the model takes can be counted, but not trained on.
    let output = flops(&["--tokens", "97"]);
    succeeded(&output);
    assert!(
        stderr(&output).contains("at most 96 tokens"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&flops(&["--tokens", "96"])), "");
}

#[test]
fn a_wrong_command_line_shows_what_would_be_right() {
    let place = Place::new();
    for (args, part) in [
        (&["train"][..], "RUN.toml"),
        (&["train", "run.toml", "--set", "seed"], "KEY=VALUE"),
        (&["trian", "run.toml"], "train"),
    ] {
        let output = place.lingo(args);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_not_read() {
    use std::os::unix::fs::symlink;
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    for name in ["zero.csv", "zero.fa", "zero.toml"] {
        symlink("/dev/zero", place.path(name)).unwrap();
    }
    for name in ["zero.csv", "zero.fa"] {
        let output = place.lingo(&["predict", "run", "--input", name, "--output", "p.csv"]);
        refused(&output, &[name, "it is a device"]);
    }
    let set = format!("data.train={}", place.path("zero.csv").display());
    refused(
        &place.train(&["--overwrite", "--set", &set]),
        &["zero.csv", "it is a device"],
    );
    refused(
        &place.lingo(&["train", "zero.toml"]),
        &["zero.toml", "it is a device"],
    );
    let script = "exec \"$0\" config show /dev/stdin";
    let shown = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_lingo")])
        .stdin(std::process::Stdio::piped())
        .output()
        .unwrap();
    refused(&shown, &["/dev/stdin", "it is a pipe"]);
    // Data may be read once, and a pipe has an end.
    let script = "mkfifo pipe.csv; cat data/test.csv > pipe.csv & \
                  exec \"$0\" predict run --input pipe.csv --output p.csv";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_lingo")])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    crate::place::succeeded(&output);
    let piped = place.csv("p.csv").numbers("p_1");
    assert_eq!(piped, place.predicted("run", &[]));
}

/// Who mistypes the name of a run asks for no model of the hub.
#[test]
fn a_path_into_a_folder_that_is_there_is_no_name_of_the_hub() {
    let place = Place::new();
    place.write("runs/one/result.json", "{}");
    let input = ["--input", "data/test.csv", "--output", "p.csv"];
    let predict = |model: &str| {
        let offline = [("HF_HUB_OFFLINE", "1")];
        place.lingo_in(&offline, &[&["predict", model][..], &input].concat())
    };
    let parts = ["runs/none: there is no such", "in runs", "runs/none@main"];
    refused(&predict("runs/none"), &parts);
    for hub in ["nobody/none", "runs/none@main"] {
        refused(&predict(hub), &[hub, "HF_HUB_OFFLINE"]);
    }
}

#[test]
fn what_no_run_has_written_is_never_replaced() {
    let place = Place::trained("lora", &["--set", "train.max_steps=4"]);
    let train =
        |more: &[&str]| place.lingo(&[&["train", "run.toml", "--overwrite"], more].concat());
    // Files of the user's, under names that a run writes too.
    place.write("mine/config.toml", "precious");
    place.write("mine/train.csv", "precious");
    refused(
        &train(&["--out", "mine"]),
        &["mine", "whether they are a run's is not known"],
    );
    assert_eq!(place.text("mine/config.toml"), "precious");
    // What the new run is made of.
    let from = ["--out", "run", "--set", "adapter.from=run"];
    refused(
        &train(&from),
        &["run is what the run is to be made of", "--out"],
    );
    assert!(place.path("run/best/adapter.safetensors").exists());
}

#[test]
fn many_adapters_write_into_a_folder_alone() {
    let place = Place::new();
    place.write("tables", "precious");
    let args = ["predict", "--adapters", "run", "--input", "data/test.csv"];
    let output = place.lingo(&[&args[..], &["--output", "tables", "--overwrite"]].concat());
    refused(&output, &["--output tables is a file", "folder"]);
    assert_eq!(place.text("tables"), "precious");
}
