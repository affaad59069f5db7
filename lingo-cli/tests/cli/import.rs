//! `import`: another form of the same model.

use crate::hub_server::{Hub, Model};
use crate::place::{Place, Tensors, quickstart, refused, stderr, stdout, succeeded};

const PREDICT: [&str; 5] = ["predict", "run", "--input", "data/test.csv", "--output"];

#[test]
fn a_run_on_an_imported_model_predicts_the_same() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let model = quickstart("model");
    let output = place.lingo(&["import", model.to_str().unwrap(), "--out", "compact"]);
    succeeded(&output);
    let said = stdout(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in ["safetensors f16", "is now compact", "KiB"] {
        assert!(said.contains(part), "{said}");
    }
    succeeded(&place.lingo(&[&PREDICT[..], &["before.csv"]].concat()));
    let base = ["after.csv", "--base", "compact"];
    succeeded(&place.lingo(&[&PREDICT[..], &base].concat()));
    assert_eq!(place.text("after.csv"), place.text("before.csv"));

    let inspect = |model: &str| {
        let shown = stdout(&place.lingo(&["inspect", model, "--data", "data"]));
        let (_, after_name) = shown.split_once('\n').unwrap();
        after_name.to_owned()
    };
    assert_eq!(inspect("compact"), inspect(model.to_str().unwrap()));

    // Twice as wide it is still the same.
    succeeded(&place.lingo(&["import", "compact", "--out", "wide", "--dtype", "f32"]));
    let size = |folder: &str| {
        let path = place.path(&format!("{folder}/model.safetensors"));
        path.metadata().unwrap().len()
    };
    let (narrow, wide) = (size("compact"), size("wide"));
    assert!(
        wide > narrow * 19 / 10 && wide < narrow * 2,
        "{narrow}, {wide}"
    );
    let base = ["wide.csv", "--base", "wide"];
    succeeded(&place.lingo(&[&PREDICT[..], &base].concat()));
    assert_eq!(place.text("wide.csv"), place.text("before.csv"));
    let again = ["import", "wide", "--out", "compact", "--dtype", "bf16"];
    refused(&place.lingo(&again), &["compact exists", "--overwrite"]);
    succeeded(&place.lingo(&[&again[..], &["--overwrite"]].concat()));
    assert!(place.text("compact/config.json").contains("bfloat16"));
}

#[test]
fn a_model_of_the_hub_is_imported_by_its_name() {
    let place = Place::new();
    let hub = Hub::start(Model::quickstart("owner/tiny"));
    let cache = place.path("hf");
    let variables = [
        ("HF_HOME", cache.to_str().unwrap()),
        ("HF_ENDPOINT", hub.endpoint.as_str()),
    ];
    // A place that cannot be used is refused before anything is fetched.
    let import = ["import", "owner/tiny", "--out"];
    place.write("file", "");
    let output = place.lingo_in(&variables, &[&import[..], &["file"]].concat());
    refused(&output, &["file is a file", "choose another place"]);
    assert_eq!(hub.asked(), Vec::<String>::new());
    let output = place.lingo_in(&variables, &[&import[..], &["tiny"]].concat());
    succeeded(&output);
    assert!(!stderr(&output).contains("licence"));
    let inspect = stdout(&place.lingo(&["inspect", "tiny"]));
    assert!(inspect.contains("tokenizer   "), "{inspect}");
}

#[test]
fn what_cannot_be_imported_is_refused_and_nothing_is_written() {
    let place = Place::new();
    let import = |args: &[&str]| place.lingo(&[&["import"][..], args].concat());
    refused(
        &import(&["nothing", "--out", "out"]),
        &["nothing", "no such file or folder"],
    );
    let cut = place.copy_model("cut");
    let whole = std::fs::read(cut.join("model.safetensors")).unwrap();
    place.write("cut/model.safetensors", &whole[..whole.len() / 2]);
    refused(&import(&["cut", "--out", "out"]), &["cut", "damaged"]);
    place.copy_model("good");
    refused(&import(&["good", "--out", "data"]), &["data exists"]);
    let output = import(&["good", "--out", "data", "--overwrite"]);
    refused(&output, &["data exists", ".csv"]);
    refused(
        &import(&["good", "--out", "good", "--overwrite"]),
        &["good", "where the model itself is"],
    );
    place.write("a", "");
    refused(
        &import(&["good", "--out", "a/b"]),
        &["a: cannot be written"],
    );
    assert!(!place.path("out").exists());
    // Without a tokenizer there is still a model.
    for file in ["vocab.json", "merges.txt"] {
        std::fs::remove_file(place.path(&format!("good/{file}"))).unwrap();
    }
    let output = import(&["good", "--out", "out"]);
    succeeded(&output);
    assert!(stderr(&output).contains("without a tokenizer"));
}

/// A tensor of the quickstart's model by the end of its name.
fn named<'a>(tensors: &'a Tensors, end: &str) -> &'a String {
    let mut names = tensors.keys();
    names.find(|name| name.ends_with(end)).unwrap()
}

/// Only headers tell this: every file is whole by itself.
#[test]
fn a_model_that_is_not_what_its_configuration_says_is_told_before_anything_is_written() {
    let place = Place::new();
    place.run_file("lora");
    let without = |ends: &'static [&str]| {
        move |tensors: &mut Tensors| {
            for end in ends {
                let name = named(tensors, end).clone();
                tensors.remove(&name);
            }
        }
    };
    let transposed = |tensors: &mut Tensors| {
        let name = named(tensors, "layers.0.fc1.weight").clone();
        tensors.get_mut(&name).unwrap().0.reverse();
    };
    place.changed_model("hole", without(&["layers.1.fc2.bias"]));
    place.changed_model(
        "holes",
        without(&["layers.1.fc2.bias", "layers.0.fc1.weight", "fc1.bias"]),
    );
    place.changed_model("transposed", transposed);
    // Tables of matrices are shown before tensors are checked.
    place.changed_model("scalar", |tensors| {
        let name = named(tensors, "layers.0.fc1.weight").clone();
        tensors.insert(name, (vec![], vec![0; 2]));
    });
    place.changed_model("flat", |tensors| {
        let name = named(tensors, "layers.0.fc1.weight").clone();
        tensors.get_mut(&name).unwrap().0 = vec![128 * 64];
    });
    place.copy_model("deeper");
    let config = place.text("deeper/config.json");
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let layers = config["num_hidden_layers"].as_u64().unwrap();
    config["num_hidden_layers"] = (layers - 1).into();
    place.write("deeper/config.json", config.to_string());
    let last = format!("layers.{}.fc1.weight", layers - 1);
    for (model, parts) in [
        ("hole", &["hole: ", "no tensor `layers.1.fc2.bias`"][..]),
        (
            "holes",
            &["`layers.0.fc1.weight`", "; 2 others are missing"],
        ),
        (
            "transposed",
            &["`layers.0.fc1.weight` has shape [64, 128]", "[128, 64]"],
        ),
        (
            "scalar",
            &["`layers.0.fc1.weight` has shape []", "[128, 64]"],
        ),
        ("flat", &["`layers.0.fc1.weight` has shape [8192]"]),
        ("deeper", &["unknown tensor(s)", &last]),
    ] {
        refused(&place.lingo(&["import", model, "--out", "out"]), parts);
        assert!(!place.path("out").exists());
        // What there is to see is shown all the same.
        let output = place.lingo(&["inspect", model, "--data", "data"]);
        refused(&output, parts);
        let shown = stdout(&output);
        for part in ["type        opt", "tokenizer   ", "bp a token of DNA"] {
            assert!(shown.contains(part), "{shown}");
        }
        // Whoever would use it hears the same.
        let set = format!("model={model}");
        refused(&place.lingo(&["train", "run.toml", "--set", &set]), parts);
        assert!(!place.path("runs").exists());
    }
}

#[test]
fn a_head_that_is_no_matrix_is_not_taken_for_none() {
    let place = Place::new();
    place.changed_model("scalar", |tensors| {
        tensors.insert("score.weight".to_owned(), (vec![], vec![0; 2]));
    });
    let predict = [
        "predict",
        "scalar",
        "--input",
        "data/test.csv",
        "--output",
        "p.csv",
    ];
    for args in [
        &["inspect", "scalar"][..],
        &["import", "scalar", "--out", "out"],
        &predict,
    ] {
        refused(
            &place.lingo(args),
            &["`score.weight`", "shape []", "64 numbers"],
        );
    }
    assert!(!place.path("out").exists());
}

#[test]
fn a_model_that_diverged_is_not_imported() {
    let place = Place::new();
    place.changed_model("diverged", |tensors| {
        let name = named(tensors, "layers.1.fc2.weight").clone();
        // NaN in 16 bits.
        tensors.get_mut(&name).unwrap().1[4..6].copy_from_slice(&[0, 0x7e]);
    });
    for dtype in [&[][..], &["--dtype", "f32"], &["--dtype", "bf16"]] {
        let import = [&["import", "diverged", "--out", "out"][..], dtype].concat();
        refused(&place.lingo(&import), &["layers.1.fc2.weight", "holds NaN"]);
        assert!(!place.path("out").exists());
    }
}

/// The table of contents is whole; the numbers are not.
#[test]
fn a_pickle_whose_storages_are_damaged_does_not_pass() {
    let place = Place::new();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/layouts/opt_bin"
    );
    let fixture = std::path::Path::new(fixture);
    for file in ["config.json", "pytorch_model.bin"] {
        place.write(
            &format!("bin/{file}"),
            std::fs::read(fixture.join(file)).unwrap(),
        );
    }
    succeeded(&place.lingo(&["inspect", "bin"]));
    // A storage under another name, in the archive's table and before its content.
    let mut bytes = std::fs::read(place.path("bin/pytorch_model.bin")).unwrap();
    let name = b"/data/1";
    let is_name = |at: &usize| bytes[*at..].starts_with(name);
    let places: Vec<usize> = (0..bytes.len()).filter(is_name).collect();
    for at in places {
        bytes[at + name.len() - 1] = b'x';
    }
    place.write("bin/pytorch_model.bin", bytes);
    let output = place.lingo(&["inspect", "bin"]);
    refused(
        &output,
        &["bin: not a readable PyTorch checkpoint", "not found"],
    );
    assert!(stdout(&output).contains("type        opt"));
    let output = place.lingo(&["import", "bin", "--out", "out"]);
    refused(&output, &["not found in archive"]);
    assert!(!place.path("out").exists());
}

#[test]
fn the_head_of_a_pretraining_is_left_out_with_a_word() {
    let place = Place::new();
    let name = "lm_head.weight".to_owned();
    let config = |folder: &str, architecture: &str, tied: bool| {
        let mut config = place.json(&format!("{folder}/config.json"));
        config["architectures"] = serde_json::json!([architecture]);
        config["tie_word_embeddings"] = tied.into();
        place.write(&format!("{folder}/config.json"), config.to_string());
    };
    for (folder, tied) in [("tied", true), ("untied", false)] {
        place.changed_model(folder, |tensors| {
            let table = tensors[named(tensors, "embed_tokens.weight")].clone();
            tensors.insert(name.clone(), table);
        });
        config(folder, "OPTForCausalLM", tied);
        let out = format!("{folder}-out");
        let output = place.lingo(&["import", folder, "--out", &out]);
        succeeded(&output);
        let written = place.json(&format!("{out}/config.json"));
        assert_eq!(
            stderr(&output).contains(&name),
            !tied,
            "{}",
            stderr(&output)
        );
        assert_eq!(
            written["architectures"][0],
            if tied { "OPTForCausalLM" } else { "OPTModel" }
        );
        assert_eq!(written["tie_word_embeddings"], tied);
    }
}
