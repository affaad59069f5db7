#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use lingo_core::weights::WeightSource as _;
use tempfile::TempDir;

use super::*;
use crate::gguf::tests::tiny;
use crate::{Role, TextTokenizer};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn export(source: &Path, out: &Path, options: ExportOptions) -> Result<Exported, ExportError> {
    let source = Checkpoint::open(source)?;
    write_folder(&source, out, options, &mut |_, _| {}, |_| Ok(()))
}

fn plain(dtype: Precision) -> ExportOptions {
    ExportOptions {
        dtype: Some(dtype),
        overwrite: false,
        fine_tuned: None,
    }
}

/// Canonical names and numbers of what a model needs, sorted.
fn tensors(path: &Path) -> Vec<(String, Vec<f32>)> {
    let mut checkpoint = Checkpoint::open(path).unwrap();
    let mut found: Vec<_> = checkpoint
        .tensors()
        .into_iter()
        .filter(|tensor| matches!(tensor.role, Role::Used | Role::Head))
        .map(|tensor| {
            let data = checkpoint.take(&tensor.name, &tensor.shape).unwrap();
            (tensor.name, data.try_into_vec::<f32>().unwrap())
        })
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found
}

fn config(path: &Path) -> lingo_core::models::ModelConfig {
    Checkpoint::open(path).unwrap().config().clone()
}

fn tokenizer(path: &Path) -> TextTokenizer {
    Checkpoint::open(path).unwrap().tokenizer().unwrap()
}

fn same_tokens(left: &TextTokenizer, right: &TextTokenizer, texts: &[&str]) {
    assert_eq!(
        (left.bos, left.eos, left.pad),
        (right.bos, right.eos, right.pad)
    );
    for text in texts {
        let ids = |tokenizer: &TextTokenizer| {
            let encoding = tokenizer.tokenizer.encode(*text, false).unwrap();
            encoding.get_ids().to_vec()
        };
        assert_eq!(ids(left), ids(right), "{text}");
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_gguf_file_becomes_a_folder_of_the_same_model() {
    let mut writer = tiny();
    writer.tensor("output.weight", &[8, 8], 0.0);
    let (_folder, source) = writer.file();
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    let mut heard = Vec::new();
    let checkpoint = Checkpoint::open(&source).unwrap();
    let options = ExportOptions::default();
    let exported = write_folder(
        &checkpoint,
        &out,
        options,
        &mut |done, all| {
            heard.push((done, all));
        },
        |_| Ok::<(), ExportError>(()),
    )
    .unwrap();
    assert!(matches!(exported.tokenizer, TokenizerFate::Written));
    // What llama.cpp calls `lm_head.weight`.
    assert_eq!(exported.left_out, ["output.weight"]);
    let tied = |out: &Path| -> serde_json::Value {
        let config = std::fs::read(out.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["architectures"][0], "LlamaModel");
        config["tie_word_embeddings"].clone()
    };
    assert_eq!(tied(&out), false);
    assert_eq!((exported.tensors, exported.dtype), (11, Precision::F32));
    assert_eq!(heard.len(), 11);
    let (done, all) = heard.last().unwrap();
    assert_eq!(done, all);
    assert_eq!(
        entries(&out),
        [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert_eq!(entries(place.path()), ["out"]);
    assert_eq!(tensors(&out), tensors(&source));
    assert_eq!(config(&out), config(&source));
    same_tokens(&tokenizer(&source), &tokenizer(&out), &["ACAC 112", "A"]);

    // The same with a bos, which the tokenizer then adds by itself.
    let mut writer = tiny();
    writer.flag("tokenizer.ggml.add_bos_token", true);
    let (_folder, source) = writer.file();
    let out = place.path().join("bos");
    let exported = export(&source, &out, ExportOptions::default()).unwrap();
    assert_eq!((exported.left_out, tied(&out)), (vec![], true.into()));
    let again = tokenizer(&out);
    assert_eq!(again.bos, Some(0));
    same_tokens(&tokenizer(&source), &again, &["ACAC 112"]);
    let own = again.tokenizer.encode("AC", true).unwrap();
    assert_eq!(own.get_ids(), [0, 3]);
}

#[test]
fn every_architecture_and_layout_keeps_its_numbers() {
    let place = TempDir::new().unwrap();
    for name in [
        "opt_pre_ln",
        "opt_post_ln",
        "llama_tied",
        "llama_untied",
        "bert",
        "esm_learned",
        "esm_rotary",
        "esm_gated",
        "dnabert2",
        "layouts/opt_bin",
        "layouts/llama_sharded",
    ] {
        let source = root("tests/fixtures").join(name);
        let out = place.path().join(name.replace('/', "_"));
        export(&source, &out, plain(Precision::F32)).unwrap();
        assert_eq!(tensors(&out), tensors(&source), "{name}");
        assert_eq!(config(&out), config(&source), "{name}");
        let written = Checkpoint::open(&out).unwrap();
        assert_eq!(written.format(), "safetensors");
        let ignored = |tensor: &crate::TensorInfo| tensor.role == Role::Ignored;
        assert!(!written.tensors().iter().any(ignored), "{name}");
        let kept = export(
            &source,
            &out.with_extension("kept"),
            ExportOptions::default(),
        );
        assert_eq!(kept.unwrap().tensors, written.tensors().len());
        assert_eq!(tensors(&out.with_extension("kept")), tensors(&source));
    }
}

#[test]
fn numbers_are_rounded_to_the_chosen_type() {
    let source = root("tests/fixtures/opt_pre_ln");
    let place = TempDir::new().unwrap();
    type Round = fn(f32) -> f32;
    let rounded: [(Precision, Round, &str); 2] = [
        (Precision::Bf16, |x| bf16::from_f32(x).to_f32(), "BF16"),
        (Precision::F16, |x| f16::from_f32(x).to_f32(), "F16"),
    ];
    for (dtype, round, name) in rounded {
        let out = place.path().join(name);
        let exported = export(&source, &out, plain(dtype)).unwrap();
        assert_eq!(exported.dtype, dtype);
        for ((_, found), (tensor, original)) in tensors(&out).iter().zip(tensors(&source)) {
            let expected: Vec<f32> = original.into_iter().map(round).collect();
            assert_eq!(*found, expected, "{tensor}");
        }
        let written = Checkpoint::open(&out).unwrap();
        assert!(written.tensors().iter().all(|tensor| tensor.dtype == name));
        let config = std::fs::read_to_string(out.join("config.json")).unwrap();
        assert!(config.contains(torch_name(dtype)), "{config}");
        // What has 16 bits keeps them.
        let kept = place.path().join(format!("{name}-kept"));
        let exported = export(&out, &kept, ExportOptions::default()).unwrap();
        assert_eq!(exported.dtype, dtype);
        assert_eq!(tensors(&kept), tensors(&out));
    }
}

#[test]
fn a_number_beyond_the_type_is_an_error_and_leaves_nothing() {
    let mut writer = tiny();
    writer
        .tensors
        .retain(|(name, ..)| name != "output_norm.weight");
    writer.tensor("output_norm.weight", &[8], 65_530.0);
    let (_folder, source) = writer.file();
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    let error = export(&source, &out, plain(Precision::F16)).unwrap_err();
    let error = error.to_string();
    for part in ["output_norm.weight", "65530", "f16 cannot", "bf16"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(entries(place.path()), Vec::<String>::new());
    export(&source, &out, plain(Precision::Bf16)).unwrap();

    let mut writer = tiny();
    writer.tensor("blk.0.attn_q.bias", &[8], 0.0);
    let (_folder, source) = writer.file();
    let out = place.path().join("unknown");
    let error = export(&source, &out, plain(Precision::F32)).unwrap_err();
    assert!(error.to_string().contains("attn_q.bias"), "{error}");
    assert!(!out.exists());
}

#[test]
fn vocabulary_and_merges_become_one_file_of_the_same_tokens() {
    let source = root("configs/quickstart/model");
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    export(&source, &out, ExportOptions::default()).unwrap();
    assert_eq!(
        entries(&out),
        [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    let (before, after) = (tokenizer(&source), tokenizer(&out));
    assert!(before.bos.is_some());
    let texts = [
        "ACGTTGCANN",
        "Domain: DNA Promoter\nSequence: ",
        "\nAnnotation:",
    ];
    same_tokens(&before, &after, &texts);
    // Once more, from what was written.
    let again = place.path().join("again");
    export(&out, &again, ExportOptions::default()).unwrap();
    same_tokens(&after, &tokenizer(&again), &texts);
    for file in ["tokenizer.json", "tokenizer_config.json", "config.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(&out) == read(&again), "{file}");
    }
}

#[test]
fn keys_of_a_configuration_stay() {
    let place = TempDir::new().unwrap();
    let source = place.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let from = root("configs/quickstart/model");
    for file in ["model.safetensors", "vocab.json", "merges.txt"] {
        std::fs::copy(from.join(file), source.join(file)).unwrap();
    }
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let text = text.replacen(
        '{',
        "{\"of_my_own\": {\"a\": [1]}, \"dtype\": \"float16\",",
        1,
    );
    std::fs::write(source.join("config.json"), text).unwrap();
    let special = "{\"pad_token\": \"<pad>\", \"model_max_length\": 77}";
    std::fs::write(source.join("tokenizer_config.json"), special).unwrap();
    let out = place.path().join("out");
    export(&source, &out, plain(Precision::F32)).unwrap();
    let json = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(out.join(file)).unwrap()).unwrap()
    };
    let config = json("config.json");
    assert_eq!(config["of_my_own"]["a"][0], 1);
    assert_eq!(config["dtype"], "float32");
    assert_eq!(json("tokenizer_config.json")["model_max_length"], 77);
}

#[test]
fn nothing_but_an_import_is_ever_replaced() {
    let place = TempDir::new().unwrap();
    let source = root("configs/quickstart/model");
    let out = place.path().join("out");
    let options = |overwrite| ExportOptions {
        dtype: None,
        overwrite,
        fine_tuned: None,
    };
    let refused = |source: &Path, out: &Path, overwrite, part: &str| {
        let error = export(source, out, options(overwrite)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    export(&source, &out, options(false)).unwrap();
    refused(&source, &out, false, "--overwrite");
    std::fs::write(out.join("config.json"), "spoilt").unwrap();
    export(&source, &out, options(true)).unwrap();
    assert_eq!(config(&out), config(&source));
    refused(&out, &out, true, "where the model itself is");
    refused(&out, place.path(), true, "where the model itself is");
    std::fs::write(out.join("thesis.tex"), "years of work").unwrap();
    refused(&source, &out, true, "thesis.tex");
    assert!(out.join("thesis.tex").is_file());
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(&source, &file, true, "file is a file or a link");
    refused(&source, &file.join("out"), false, "cannot be written");
    assert_eq!(entries(place.path()), ["file", "out"]);
    let inside = place.path().join("made/out");
    export(&source, &inside, options(false)).unwrap();
    assert_eq!(config(&inside), config(&source));
}

#[cfg(unix)]
#[test]
fn others_may_read_what_was_written_as_any_other_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = TempDir::new().unwrap();
    let ordinary = place.path().join("ordinary");
    std::fs::create_dir(&ordinary).unwrap();
    std::fs::write(ordinary.join("file"), "").unwrap();
    let out = place.path().join("out");
    export(
        &root("configs/quickstart/model"),
        &out,
        ExportOptions::default(),
    )
    .unwrap();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(out.clone()), mode(ordinary.clone()));
    for file in entries(&out) {
        assert_eq!(mode(out.join(&file)), mode(ordinary.join("file")), "{file}");
    }
}
