//! Runs and adapters in the formats of others, there and back.

use std::path::Path;

use serde_json::Value;

use crate::place::{Place, Tensors, quickstart, refused, rewritten, stdout, succeeded};

fn alike(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let far = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(far < tolerance, "{far}");
}

const PROMPT: [&str; 4] = [
    "--prefix",
    "Domain: DNA Promoter\\nSequence: ",
    "--suffix",
    "\\nAnnotation:",
];

#[test]
fn an_adapter_goes_to_peft_and_comes_back() {
    let model = quickstart("model").display().to_string();
    for method in ["lora", "adalora", "adaptive-rank-sampling"] {
        let place = Place::trained(method, &[]);
        let before = place.predicted("run", &[]);
        for (form, peft_type) in [("peft", ""), ("lora", "LORA")] {
            let as_lora: &[&str] = if form == "lora" { &["--as-lora"] } else { &[] };
            let export = ["export", "run", "--format", "peft", "--out", form];
            succeeded(&place.lingo(&[&export[..], as_lora].concat()));
            let config = place.json(&format!("{form}/adapter_config.json"));
            let expected = match (peft_type, method) {
                ("", "lora") | ("LORA", _) => "LORA",
                _ => "ADALORA",
            };
            assert_eq!(config["peft_type"], expected);
            assert_eq!(config["modules_to_save"], serde_json::json!(["score"]));

            let back = format!("{form}-back");
            succeeded(&place.lingo(&["import", form, "--base", &model, "--out", &back]));
            alike(&before, &place.predicted(&back, &[]), 1e-5);
            // Without our own file the prompt has to be said.
            std::fs::remove_file(place.path(&format!("{form}/lingo.json"))).unwrap();
            let bare = format!("{form}-bare");
            let import = ["import", form, "--base", &model, "--out", &bare];
            succeeded(&place.lingo(&[&import[..], &PROMPT].concat()));
            alike(&before, &place.predicted(&bare, &[]), 1e-5);
        }
    }
}

#[test]
fn a_merged_model_predicts_as_the_run_does() {
    for method in ["lora", "adaptive-rank-sampling", "full"] {
        // Many a sequence is longer, so that its end is cut in both.
        let place = Place::trained(method, &["--set", "tokenizer.max_tokens=40"]);
        let before = place.predicted("run", &[]);
        for (dtype, tolerance) in [("f32", 1e-5), ("bf16", 2e-2)] {
            let out = format!("merged-{dtype}");
            let export = ["export", "run", "--format", "hf", "--out", &out];
            let output = place.lingo(&[&export[..], &["--dtype", dtype]].concat());
            succeeded(&output);
            assert!(stdout(&output).contains("differ"), "{}", stdout(&output));
            let config: Value = place.json(&format!("{out}/config.json"));
            assert_eq!(config["architectures"][0], "OPTForSequenceClassification");
            assert_eq!(config["id2label"]["1"], "LABEL_1");
            // Its inputs are described beside it; for whoever moves the model alone there are the options.
            alike(&before, &place.predicted(&out, &[]), tolerance);
            // They stay described when it is made smaller, or only copied.
            let again = format!("{out}-again");
            succeeded(&place.lingo(&["import", &out, "--out", &again]));
            alike(&before, &place.predicted(&again, &[]), tolerance);
            std::fs::remove_file(place.path(&format!("{out}/lingo.json"))).unwrap();
            let whole = place.predicted(&out, &PROMPT);
            let far = before.iter().zip(&whole).map(|(a, b)| (a - b).abs());
            assert!(far.fold(0.0, f64::max) > 0.0, "nothing was cut");
        }
    }
}

/// A base of `vocab.json` and `merges.txt` alone says nowhere that a text begins with `</s>`.
#[test]
fn an_adapter_brings_the_tokenizer_that_it_was_trained_with() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    for format in ["peft", "hf"] {
        succeeded(&place.lingo(&["export", "run", "--format", format, "--out", format]));
        let tokenizer = place.json(&format!("{format}/tokenizer.json"));
        let template = &tokenizer["post_processor"]["single"];
        assert_eq!(template[0]["SpecialToken"]["id"], "</s>", "{template}");
        assert_eq!(template[1]["Sequence"]["id"], "A", "{template}");
    }
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let text = |format: &str| place.text(&format!("{format}/{file}"));
        assert_eq!(text("peft"), text("hf"));
    }
    let export = ["export", "run", "--format", "peft", "--out", "peft"];
    succeeded(&place.lingo(&[&export[..], &["--overwrite"]].concat()));
}

/// A folder that holds something else, under a name that the command asks for.
fn occupied(place: &Place, name: &str) {
    place.write(&format!("{name}/notes.txt"), "mine");
}

#[test]
fn nothing_of_others_is_replaced_and_what_cannot_be_written_is_refused() {
    let place = Place::trained("lora", &[]);
    occupied(&place, "out");
    for format in ["peft", "hf"] {
        let export = [
            "export",
            "run",
            "--format",
            format,
            "--out",
            "out",
            "--overwrite",
        ];
        let output = place.lingo(&export);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(place.text("out/notes.txt"), "mine");
    }
    let nothing = place.lingo(&["export", "data", "--format", "peft", "--out", "x"]);
    refused(&nothing, &["data", "no run folder"]);

    let place = Place::trained("full", &[]);
    let output = place.lingo(&["export", "run", "--format", "peft", "--out", "x"]);
    refused(&output, &["fully fine-tuned"]);
    let place = Place::trained("lora", &["--set", "tokenizer.kind=one-hot"]);
    for format in ["peft", "hf"] {
        let output = place.lingo(&["export", "run", "--format", format, "--out", "x"]);
        refused(&output, &["tokens of", "one-hot"]);
        assert!(!place.path("x").exists());
    }
}

/// Writes PEFT's configuration anew with one key changed, and expects the import to name it.
#[test]
fn an_adapter_that_would_compute_something_else_is_refused_by_name() {
    let place = Place::trained("lora", &[]);
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "peft"]));
    let model = quickstart("model").display().to_string();
    let good = place.json("peft/adapter_config.json");
    let import = || place.lingo(&["import", "peft", "--base", &model, "--out", "back"]);
    for (key, value) in [
        ("use_dora", Value::Bool(true)),
        ("peft_type", "IA3".into()),
        ("bias", "lora_only".into()),
        ("lora_alpha", "many".into()),
        ("alpha_pattern", serde_json::json!({"(": 1})),
        ("trainable_token_indices", serde_json::json!([1])),
        ("lora_alpha", 0.into()),
        ("init_lora_weights", "pissa_niter_16".into()),
    ] {
        let mut config = good.clone();
        config[key] = value;
        place.write("peft/adapter_config.json", config.to_string());
        refused(&import(), &["adapter_config.json", key]);
    }
    place.write("peft/adapter_config.json", good.to_string());
    let bytes = std::fs::read(place.path("peft/adapter_model.safetensors")).unwrap();
    place.write("peft/adapter_model.safetensors", &bytes[..bytes.len() / 2]);
    refused(&import(), &["adapter_model.safetensors", "damaged"]);
    std::fs::remove_file(place.path("peft/adapter_model.safetensors")).unwrap();
    refused(&import(), &["adapter_model.safetensors"]);
    std::fs::remove_file(place.path("peft/lingo.json")).unwrap();
    for (head, part) in [
        (vec![], "shape []"),
        (vec![1, 64], "at least 2 classes"),
        (vec![0, 64], "at least 2 classes"),
        (vec![1 << 40, 0], "has shape"),
        (
            vec![2, 32],
            "`base_model.model.score.weight`: it has shape [2, 32], and the head of a model of width 64 has [2, 64]",
        ),
    ] {
        place.write("peft/adapter_model.safetensors", with_head(&bytes, &head));
        refused(&import(), &[part]);
    }
    // The same head twice, once without PEFT's prefix.
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut twice: Vec<_> = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view))
        .collect();
    let head = file.tensor("base_model.model.score.weight").unwrap();
    twice.push(("score.weight".to_owned(), head));
    let twice = safetensors::serialize(twice, None).unwrap();
    place.write("peft/adapter_model.safetensors", twice);
    refused(&import(), &["score.weight", "stands for the same"]);
    place.write("peft/adapter_model.safetensors", &bytes);
    place.write("peft/lingo.json", "{");
    refused(&import(), &["peft/lingo.json"]);
    let missing = place.lingo(&["import", "peft", "--out", "back"]);
    refused(&missing, &["--base"]);
    assert!(!Path::new(&place.path("back")).exists());
}

/// Nothing is computed with it on the way to PEFT, so that it has to be looked at.
#[test]
fn a_damaged_adapter_of_a_run_is_not_exported() {
    let place = Place::trained("adalora", &["--set", "train.epochs=1"]);
    let file = place.path("run/best/adapter.safetensors");
    let good = std::fs::read(&file).unwrap();
    let q = place
        .tensors("run/best/adapter.safetensors")
        .into_keys()
        .find(|name| name.ends_with("fc1.Q"))
        .unwrap();
    type Damage = fn(&mut Tensors, &str);
    let damages: [(Damage, &str); 8] = [
        (
            |all, q| *all.get_mut(q).unwrap() = (vec![], vec![0; 4]),
            "has shape []",
        ),
        (
            |all, q| *all.get_mut(q).unwrap() = (vec![8, 77], vec![0; 8 * 77 * 4]),
            "has shape [8, 77], the model needs",
        ),
        (
            |all, q| all.get_mut(q).unwrap().1[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
            "holds NaN",
        ),
        (
            |all, _| {
                let head = &mut all.get_mut("score.weight").unwrap().1;
                head[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
            },
            "holds inf",
        ),
        (|all, q| drop(all.remove(q)), "is missing"),
        (
            |all, q| drop(all.remove(&q.replace(".Q", ".lambda"))),
            "is missing",
        ),
        (
            |all, _| drop(all.insert("layers.9.fc1.Q".to_owned(), (vec![1], vec![0; 4]))),
            "`layers.9.fc1.Q` belongs to no matrix",
        ),
        (
            |all, _| all.get_mut("score.weight").unwrap().0 = vec![64, 2],
            "`score.weight` has shape [64, 2]",
        ),
    ];
    for (damage, part) in damages {
        std::fs::write(&file, &good).unwrap();
        rewritten(&file, safetensors::Dtype::F32, |tensors| {
            damage(tensors, &q)
        });
        for form in [
            &["--format", "peft"][..],
            &["--format", "peft", "--as-lora"],
        ] {
            let export = [&["export", "run", "--out", "out"][..], form].concat();
            refused(&place.lingo(&export), &["adapter.safetensors", part]);
            assert!(!place.path("out").exists());
        }
    }
    // A prompt that a tokenizer would take minutes over.
    let manifest = place.json("run/best/adapter.json");
    let mut endless = manifest.clone();
    endless["prefix"] = "A".repeat(1 << 20).into();
    place.write("run/best/adapter.json", endless.to_string());
    let predict = [
        "predict",
        "run",
        "--input",
        "data/test.csv",
        "--output",
        "p.csv",
    ];
    for args in [
        &["export", "run", "--format", "hf", "--out", "out"][..],
        &predict,
    ] {
        let parts = ["adapter.json: `prefix` has 1048576 bytes", "at most 32768"];
        refused(&place.lingo(args), &parts);
    }
    // A matrix that only the manifest speaks of.
    std::fs::write(&file, &good).unwrap();
    let mut manifest = manifest;
    manifest["ranks"]["layers.0.norm"] = 1.into();
    place.write("run/best/adapter.json", manifest.to_string());
    let export = ["export", "run", "--format", "peft", "--out", "out"];
    refused(
        &place.lingo(&export),
        &["layers.0.norm", "no matrix of this model"],
    );
}

/// `lingo.json` is no more trusted than any other file.
#[test]
fn what_stands_beside_an_export_and_contradicts_it_is_refused_by_key() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    for format in ["peft", "hf"] {
        succeeded(&place.lingo(&["export", "run", "--format", format, "--out", format]));
    }
    let model = quickstart("model").display().to_string();
    let import = [
        "import",
        "peft",
        "--base",
        &model,
        "--overwrite",
        "--out",
        "back",
    ];
    let predict = [
        "predict",
        "hf",
        "--input",
        "data/test.csv",
        "--overwrite",
        "--output",
        "p.csv",
    ];
    for (key, value, part) in [
        (
            "classes",
            1_000_000_000_000_u64.into(),
            "1000000000000 classes",
        ),
        ("classes", 3.into(), "the head has 2 rows"),
        ("max_tokens", (1_u64 << 40).into(), "at most 96"),
        ("max_tokens", 97.into(), "at most 96"),
        ("model_type", "bert".into(), "`model_type` is bert"),
        ("max_tokens", Value::from(-1), "lingo.json"),
    ] {
        for (folder, command) in [("peft", &import[..]), ("hf", &predict)] {
            let file = format!("{folder}/lingo.json");
            let good = place.text(&file);
            let mut manifest = place.json(&file);
            manifest[key] = value.clone();
            place.write(&file, manifest.to_string());
            refused(&place.lingo(command), &[&file, part]);
            place.write(&file, good);
        }
    }
    succeeded(&place.lingo(&import));
    succeeded(&place.lingo(&predict));
    let mut manifest = place.json("run/best/adapter.json");
    manifest["classes"] = 1_000_000_000_000_u64.into();
    place.write("run/best/adapter.json", manifest.to_string());
    for format in ["peft", "hf"] {
        let export = ["export", "run", "--format", format, "--out", "x"];
        refused(
            &place.lingo(&export),
            &["score.weight", "1000000000000 classes"],
        );
        assert!(!place.path("x").exists());
    }
}

#[test]
fn a_merged_model_may_be_called_so_and_an_adapter_not() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let export = |format: &str, out: &str| {
        place.lingo(&[
            "export", "run", "--format", format, "--merged", "--out", out,
        ])
    };
    succeeded(&export("hf", "merged"));
    assert!(place.path("merged/model.safetensors").is_file());
    refused(&export("peft", "adapter"), &["--merged", "--format hf"]);
    assert!(!place.path("adapter").exists());
}

/// PEFT's form has no place for rows of tokens.
#[test]
fn an_adapter_beside_which_tokens_of_its_own_are_asked_for_is_no_import() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "peft"]));
    let mut manifest = place.json("peft/lingo.json");
    let model = quickstart("model").display().to_string();
    for kind in ["one-hot", "kmer"] {
        manifest["tokenizer"] = kind.into();
        place.write("peft/lingo.json", manifest.to_string());
        let output = place.lingo(&["import", "peft", "--base", &model, "--out", "back"]);
        let parts = ["peft/lingo.json", "tokens of its own", "adapter_model"];
        refused(&output, &parts);
        assert!(!place.path("back").exists());
    }
}

/// The tensors of an adapter with a head of zeros of another shape.
fn with_head(adapter: &[u8], shape: &[usize]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(adapter).unwrap();
    let zeros = vec![0; shape.iter().product::<usize>() * 4];
    let views = file.iter().map(|(name, view)| {
        let view = match name.ends_with("score.weight") {
            true => {
                let dtype = safetensors::Dtype::F32;
                safetensors::tensor::TensorView::new(dtype, shape.to_vec(), &zeros).unwrap()
            }
            false => view,
        };
        (name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// The same architecture, but of another width.
#[test]
fn an_adapter_that_does_not_fit_leaves_what_was_there() {
    let place = Place::trained("lora", &[]);
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "peft"]));
    let model = quickstart("model").display().to_string();
    let good = ["import", "peft", "--base", &model, "--out", "back"];
    succeeded(&place.lingo(&good));
    let before = std::fs::read(place.path("back/adapter.safetensors")).unwrap();
    let other =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/peft/opt_pre_ln_lora");
    let other = other.display().to_string();
    let bad = [
        "import",
        &other,
        "--base",
        &model,
        "--out",
        "back",
        "--overwrite",
    ];
    let parts = [
        "opt_pre_ln_lora does not fit",
        "quickstart/model",
        "layers.0.fc1",
        "the model has one of [128, 64]",
    ];
    refused(&place.lingo(&bad), &parts);
    assert_eq!(
        std::fs::read(place.path("back/adapter.safetensors")).unwrap(),
        before
    );

    place.write("back/notes.txt", "mine");
    refused(
        &place.lingo(&[&good[..], &["--overwrite"]].concat()),
        &["notes.txt"],
    );
    assert_eq!(place.text("back/notes.txt"), "mine");
    let folders = std::fs::read_dir(place.path("")).unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with('.')));
}

#[test]
fn an_adapter_of_another_model_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/peft/bert_lora");
    let model = quickstart("model").display().to_string();
    let adapter = folder.display().to_string();
    let output = place.lingo(&["import", &adapter, "--base", &model, "--out", "back"]);
    refused(
        &output,
        &["bert_lora/adapter_model.safetensors", "of type opt"],
    );
    assert!(!place.path("back").exists());
}

#[cfg(unix)]
#[test]
fn what_stands_beside_a_model_is_never_passed_over_and_no_device_is_read() {
    use std::os::unix::fs::symlink;
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    succeeded(&place.lingo(&["export", "run", "--format", "peft", "--out", "adapter"]));
    succeeded(&place.lingo(&["export", "run", "--format", "hf", "--out", "merged"]));
    let model = quickstart("model").display().to_string();
    let predict = |model: &str| {
        let args = [
            "predict",
            model,
            "--input",
            "data/test.csv",
            "--output",
            "p.csv",
        ];
        place.lingo(&args)
    };
    for target in ["nowhere", "/dev/zero"] {
        for folder in ["adapter", "merged"] {
            let beside = place.path(&format!("{folder}/lingo.json"));
            std::fs::remove_file(&beside).unwrap();
            symlink(target, beside).unwrap();
        }
        let import = ["import", "adapter", "--base", &model, "--out", "back"];
        refused(&place.lingo(&import), &["adapter/lingo.json"]);
        refused(&predict("merged"), &["merged/lingo.json"]);
        refused(
            &place.lingo(&["import", "merged", "--out", "again"]),
            &["merged/lingo.json"],
        );
    }
    let tensors = place.path("run/best/adapter.safetensors");
    std::fs::remove_file(&tensors).unwrap();
    symlink("/dev/zero", tensors).unwrap();
    refused(
        &predict("run"),
        &["adapter.safetensors", "no ordinary file"],
    );

    // PEFT's folder where one of ours is needed.
    place.run_file("lora");
    let from = format!("adapter.from={}", place.path("adapter").display());
    let output = place.train(&["--overwrite", "--set", &from]);
    refused(&output, &["adapter.json", "lingo import"]);
}
