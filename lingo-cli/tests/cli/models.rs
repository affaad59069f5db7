//! Models of DNA, and every way to tokenise: a run with each, and the saved adapter gives the same metrics again.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::place::{Place, refused, rewritten, stderr, stdout, succeeded};

/// A copy of one of the tiny checkpoints that the logits are tested with.
fn copy_fixture(place: &Place, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    for file in ["config.json", "model.safetensors"] {
        let content = std::fs::read(from.join(name).join(file)).unwrap();
        place.write(&format!("{name}/{file}"), content);
    }
    place.path(name)
}

/// A `tokenizer.json` of whole words or, with `##`, of pieces, between `[CLS]` and `[SEP]`.
fn write_tokenizer(folder: &Path, tokens: impl IntoIterator<Item = String>) {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let vocabulary: serde_json::Map<String, Value> = special
        .into_iter()
        .chain(tokens)
        .zip(0..)
        .map(|(token, id)| (token, json!(id)))
        .collect();
    let one = |token: &str, id: usize| json!({"id": token, "ids": [id], "tokens": [token]});
    let single = json!([
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]);
    let file = json!({
        "version": "1.0",
        "model": {
            "type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 1000,
        },
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "pair": single,
            "special_tokens": {"[CLS]": one("[CLS]", 2), "[SEP]": one("[SEP]", 3)},
        },
    });
    std::fs::write(folder.join("tokenizer.json"), file.to_string()).unwrap();
}

/// A BERT of DNABERT's kind: its vocabulary is all 3-mers.
fn dnabert(place: &Place) -> PathBuf {
    let folder = copy_fixture(place, "bert");
    let letters = ["A", "C", "G", "T"];
    let kmers = letters
        .iter()
        .flat_map(|a| letters.iter().map(move |b| format!("{a}{b}")))
        .flat_map(|ab| letters.iter().map(move |c| format!("{ab}{c}")));
    write_tokenizer(&folder, kmers);
    folder
}

fn dnabert2(place: &Place) -> PathBuf {
    let folder = copy_fixture(place, "dnabert2");
    let pieces = ["A", "C", "G", "T", "N", "AC", "TATA"];
    let tokens = pieces
        .iter()
        .flat_map(|p| [(*p).to_owned(), format!("##{p}")]);
    write_tokenizer(&folder, tokens);
    folder
}

/// An ESM with the vocabulary of the second Nucleotide Transformer, and positions for the quickstart's sequences.
fn nucleotide_transformer(place: &Place) -> PathBuf {
    let folder = copy_fixture(place, "esm_gated");
    let tokens = 4107;
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["vocab_size"] = json!(tokens);
    std::fs::write(path, config.to_string()).unwrap();

    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, view)| {
            let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
            match name.ends_with("word_embeddings.weight") {
                // The few rows again and again.
                true => {
                    let len = tokens * shape[1] * 4;
                    let data = data.into_iter().cycle().take(len).collect();
                    (name.to_owned(), vec![tokens, shape[1]], data)
                }
                false => (name.to_owned(), shape, data),
            }
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), data).unwrap();
        (name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    folder
}

/// Trains as `set` says, and checks that the saved adapter scores alike. Returns what training said.
fn train_and_score_again(place: &Place, set: &[&str]) -> String {
    let mut args = vec!["--overwrite"];
    args.extend(set.iter().flat_map(|set| ["--set", *set]));
    let output = place.train(&args);
    succeeded(&output);
    let result = place.json("run/result.json");
    let again = place.lingo(&["eval", "run", "--data", "data", "--json"]);
    succeeded(&again);
    let scores: Value = serde_json::from_str(&stdout(&again)).unwrap();
    for (name, value) in result["test"].as_object().unwrap() {
        let (trained, evaluated) = (value.as_f64().unwrap(), scores[name].as_f64().unwrap());
        assert!(
            (trained - evaluated).abs() < 1e-6,
            "{set:?}, {name}: {trained} in training, {evaluated} of the saved adapter"
        );
    }
    stderr(&output)
}

#[test]
fn every_model_of_dna_trains_without_a_prompt_and_its_adapter_scores_alike() {
    let place = Place::new();
    for (folder, kind, matrix) in [
        (dnabert(&place), "kmer", "attention.self.query"),
        (dnabert2(&place), "bpe", "attention.self.Wqkv"),
        (
            nucleotide_transformer(&place),
            "kmer",
            "attention.self.query",
        ),
    ] {
        for method in ["adaptive-rank-sampling", "full"] {
            place.run_file(method);
            let model = format!("model={}", folder.display());
            let steps = "train.max_steps=8";
            train_and_score_again(&place, &[&model, steps, "train.learning_rate=1e-3"]);
            let manifest = place.json("run/best/adapter.json");
            assert_eq!(manifest["tokenizer"], kind, "{model}");
            assert_eq!(manifest["prefix"], "", "{model}");
            let resolved = place.text("run/config.toml");
            assert!(
                resolved.contains(&format!("kind = \"{kind}\"")),
                "{resolved}"
            );
            assert!(resolved.contains("prefix = \"\""), "{resolved}");
            let tensors = place.tensors("run/best/adapter.safetensors");
            let (of_layer, head) = match method {
                "full" => ("weight", "embeddings.word_embeddings.weight"),
                _ => ("lambda", "classifier"),
            };
            let name = format!("encoder.layer.0.{matrix}.{of_layer}");
            assert!(tensors.contains_key(&name), "{name} is not in {tensors:?}");
            assert!(
                tensors.keys().any(|name| name.starts_with(head)),
                "{tensors:?}"
            );
        }
    }
}

#[test]
fn full_fine_tuning_saves_every_tensor_of_the_checkpoint_by_its_name() {
    let place = Place::new();
    let ignored = ["contact_head", "inv_freq", "embeddings.position_embeddings"];
    for (folder, prefix, ignored) in [
        (dnabert(&place), "bert.", &[][..]),
        (dnabert2(&place), "bert.", &[]),
        (nucleotide_transformer(&place), "esm.", &ignored),
    ] {
        place.run_file("full");
        let model = format!("model={}", folder.display());
        train_and_score_again(&place, &[&model, "train.max_steps=4"]);
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut published: Vec<String> = file
            .names()
            .into_iter()
            .filter(|name| ignored.iter().all(|part| !name.contains(part)))
            .map(|name| name.strip_prefix(prefix).unwrap_or(name).to_owned())
            .collect();
        published.sort();
        let saved = place.tensors("run/best/adapter.safetensors");
        assert_eq!(saved.into_keys().collect::<Vec<_>>(), published);
    }
}

#[test]
fn every_way_to_tokenise_trains_a_text_model_and_its_adapter_scores_alike() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    let added = |place: &Place| {
        let tensors = place.tensors("run/best/adapter.safetensors");
        tensors.get("embed_tokens.added").cloned()
    };
    for (kind, rows) in [
        ("bpe", None),
        ("words", None),
        ("one-hot", Some(5)),
        ("kmer", Some(4101)),
    ] {
        for restrict in ["true", "false"] {
            let kind = format!("tokenizer.kind={kind}");
            let restrict = format!("tokenizer.restrict={restrict}");
            let said = train_and_score_again(&place, &[&kind, &restrict, "train.max_steps=8"]);
            assert_eq!(added(&place), rows.map(|rows| vec![rows, 64]), "{kind}");
            assert_eq!(rows.is_some(), said.contains("in trained rows"), "{said}");
        }
    }
}

/// The same run twice, once a step longer.
#[test]
fn the_rows_of_a_tasks_own_tokens_are_trained() {
    let place = Place::new();
    place.run_file("lora");
    let mut rows = Vec::new();
    for steps in ["train.max_steps=1", "train.max_steps=12"] {
        train_and_score_again(&place, &["tokenizer.kind=one-hot", steps]);
        let bytes = std::fs::read(place.path("run/best/adapter.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        rows.push(file.tensor("embed_tokens.added").unwrap().data().to_vec());
    }
    assert_ne!(rows[0], rows[1]);
}

/// DNABERT's own repository has its vocabulary as `vocab.txt` alone.
#[test]
fn kmers_of_a_vocab_txt_are_read() {
    let place = Place::new();
    let folder = dnabert(&place);
    let file: Value = serde_json::from_str(&place.text("bert/tokenizer.json")).unwrap();
    let mut tokens: Vec<(&String, u64)> = file["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (token, id.as_u64().unwrap()))
        .collect();
    tokens.sort_by_key(|(_, id)| *id);
    let lines: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    place.write("bert/vocab.txt", lines.join("\n") + "\n");
    std::fs::remove_file(place.path("bert/tokenizer.json")).unwrap();
    place.run_file("lora");
    let model = format!("model={}", folder.display());
    train_and_score_again(&place, &[&model, "train.max_steps=4"]);
    assert_eq!(place.json("run/best/adapter.json")["tokenizer"], "kmer");

    // What is made of it has a tokenizer of one file, with both tokens around a text.
    let before = place.predicted("run", &[]);
    let close = |after: Vec<f64>| {
        let pairs = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
        assert!(pairs.fold(0.0, f64::max) < 1e-5);
    };
    succeeded(&place.lingo(&["import", "bert", "--out", "compact"]));
    close(place.predicted("run", &["--base", "compact"]));
    for format in ["peft", "hf"] {
        succeeded(&place.lingo(&["export", "run", "--format", format, "--out", format]));
    }
    close(place.predicted("hf", &[]));
    let import = ["import", "peft", "--base", "bert", "--out", "back"];
    succeeded(&place.lingo(&import));
    close(place.predicted("back", &[]));
    for folder in ["compact", "peft", "hf"] {
        let tokenizer = place.json(&format!("{folder}/tokenizer.json"));
        let ids = |template: &str| -> Vec<Value> {
            let pieces = tokenizer["post_processor"][template].as_array().unwrap();
            let content = pieces
                .iter()
                .flat_map(|piece| piece.as_object().unwrap().values());
            content.map(|content| content["id"].clone()).collect()
        };
        assert_eq!(ids("single"), ["[CLS]", "A", "[SEP]"]);
        assert_eq!(ids("pair"), ["[CLS]", "A", "[SEP]", "B", "[SEP]"]);
        let named = place.json(&format!("{folder}/tokenizer_config.json"));
        assert_eq!(named["cls_token"], "[CLS]");
        assert_eq!(named["sep_token"], "[SEP]");
    }
}

/// `target_modules="all-linear"` reaches BERT's pooler, which is no matrix of a layer.
#[test]
fn an_adapter_of_the_pooler_is_refused_by_peft_s_name_with_the_remedy() {
    let place = Place::new();
    let folder = dnabert(&place);
    place.run_file("lora");
    let model = format!("model={}", folder.display());
    train_and_score_again(&place, &[&model, "train.max_steps=4"]);
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "peft"]));
    let mut config = place.json("peft/adapter_config.json");
    let rank = config["r"].as_u64().unwrap() as usize;
    config["target_modules"] = json!("all-linear");
    place.write("peft/adapter_config.json", config.to_string());
    let weights = place.path("peft/adapter_model.safetensors");
    let pooler = "base_model.model.bert.pooler.dense";
    rewritten(&weights, safetensors::Dtype::F32, |tensors| {
        let zeros = |shape: [usize; 2]| (shape.to_vec(), vec![0; shape[0] * shape[1] * 4]);
        tensors.insert(format!("{pooler}.lora_A.weight"), zeros([rank, 32]));
        tensors.insert(format!("{pooler}.lora_B.weight"), zeros([32, rank]));
    });
    let output = place.lingo(&["import", "peft", "--base", "bert", "--out", "back"]);
    refused(
        &output,
        &[pooler, "exclude_modules", "adapter_model.safetensors"],
    );
    assert!(
        !stderr(&output).contains("adapter.safetensors"),
        "{}",
        stderr(&output)
    );
    assert!(!place.path("back").exists());
}

/// WordPiece would take a word of more than 100 letters for unknown.
#[test]
fn long_dna_is_more_than_one_unknown_token_to_word_pieces() {
    let place = Place::new();
    let folder = copy_fixture(&place, "bert");
    let pieces = ["A", "C", "G", "T", "N"];
    write_tokenizer(
        &folder,
        pieces
            .iter()
            .flat_map(|p| [(*p).to_owned(), format!("##{p}")]),
    );
    place.write("long.csv", format!("sequence\n{}\n", "GATTACA".repeat(40)));
    let output = place.lingo(&["inspect", "bert", "--data", "long.csv", "--prefix", ""]);
    succeeded(&output);
    assert!(
        stdout(&output).contains("1.00 bp a token"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn words_need_a_token_of_each_letter() {
    let place = Place::new();
    let folder = copy_fixture(&place, "bert");
    write_tokenizer(&folder, ["AC", "GT"].map(String::from));
    place.run_file("lora");
    let model = format!("model={}", folder.display());
    let output = place.train(&["--set", &model, "--set", "tokenizer.kind=words"]);
    refused(&output, &["tokenizer.kind: \"words\"", "letter A"]);
}

#[test]
fn what_does_not_go_together_is_refused_before_training() {
    let place = Place::new();
    place.run_file("lora");
    let model = format!("model={}", nucleotide_transformer(&place).display());
    let with = |set: &str| place.train(&["--set", &model, "--set", set]);
    let parts = ["tokenizer.kind: \"bpe\"", "type esm", "\"kmer\""];
    refused(&with("tokenizer.kind=bpe"), &parts);
    refused(
        &with("prompt.prefix=DNA"),
        &["prompt.prefix", "knows no language"],
    );
    let model = format!("model={}", copy_fixture(&place, "esm_rotary").display());
    let output = place.train(&["--set", &model]);
    refused(&output, &["vocabulary of 96", "4105 and 4107"]);
    assert!(!place.path("run").exists());
}

/// Adds a pooler to an adapter, as PEFT trains one on demand.
fn add_pooler(adapter: &Path, width: usize) {
    let numbers = |count: usize| {
        let number = |i: usize| ((i * 37 % 101) as f32 / 101.0 - 0.5).to_le_bytes();
        (0..count).flat_map(number).collect::<Vec<u8>>()
    };
    rewritten(adapter, safetensors::Dtype::F32, |tensors| {
        for (name, shape) in [
            ("pooler.dense.weight", vec![width, width]),
            ("pooler.dense.bias", vec![width]),
        ] {
            let count = shape.iter().product();
            tensors.insert(name.to_owned(), (shape, numbers(count)));
        }
    });
}

#[test]
fn a_pooler_that_an_adapter_brings_stays_with_it_when_it_is_merged_and_trained_on() {
    let place = Place::new();
    let folder = dnabert(&place);
    place.run_file("lora");
    let model = format!("model={}", folder.display());
    train_and_score_again(&place, &[&model, "train.epochs=1"]);
    let plain = place.predicted("run/best", &[]);
    add_pooler(&place.path("run/best/adapter.safetensors"), 32);
    let brought = place.predicted("run/best", &[]);
    assert!(plain != brought);

    succeeded(&place.lingo(&["export", "run/best", "--format", "hf", "--out", "merged"]));
    let merged = place.predicted("merged", &[]);
    let apart = |a: &[f64], b: &[f64]| {
        let pairs = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        pairs.fold(0.0, f64::max)
    };
    assert!(
        apart(&merged, &brought) < 1e-5,
        "{}",
        apart(&merged, &brought)
    );

    // The run folder is written anew.
    std::fs::rename(place.path("run/best"), place.path("adapter")).unwrap();
    let from = format!("adapter.from={}", place.path("adapter").display());
    train_and_score_again(&place, &[&model, "train.epochs=1", &from]);
    assert!(
        place
            .tensors("run/best/adapter.safetensors")
            .contains_key("pooler.dense.weight")
    );
}

#[test]
fn a_model_whose_tokens_follow_from_a_rule_lacks_no_tokenizer() {
    let place = Place::new();
    nucleotide_transformer(&place);
    let output = place.lingo(&["import", "esm_gated", "--out", "compact"]);
    succeeded(&output);
    assert!(
        !stderr(&output).contains("tokenizer"),
        "{}",
        stderr(&output)
    );
}
