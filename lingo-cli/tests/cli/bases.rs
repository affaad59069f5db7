//! An adapter that meets another model or tokenizer than it was trained with.

use crate::place::{Place, Tensors, quickstart, stderr, succeeded};

/// Commands by which a run in `run` meets a base, in an order in which they can be given.
const MEETINGS: [&str; 6] = [
    "predict run --input data/test.csv --overwrite --output p.csv",
    "predict --adapters run --input data/test.csv --overwrite --output tables",
    "eval run --data data",
    "export run --format peft --overwrite --out peft",
    "export run --format hf --overwrite --out hf",
    "import peft --overwrite --out back",
];

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

/// Negates the tensors, of f16, whose names end so.
fn negate(tensors: &mut Tensors, end: &str) {
    let named = tensors.iter_mut().filter(|(name, _)| name.ends_with(end));
    let mut count = 0;
    for (_, (_, bytes)) in named {
        // The sign is in the last bit of the second byte.
        bytes
            .iter_mut()
            .skip(1)
            .step_by(2)
            .for_each(|byte| *byte ^= 0x80);
        count += 1;
    }
    assert!(count > 0, "{end}");
}

#[test]
fn another_model_of_the_same_shape_is_told_wherever_an_adapter_meets_it() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    let other = place.changed_model("negative", |all| negate(all, ""));
    let other = other.display().to_string();
    let model = quickstart("model").display().to_string();
    for command in MEETINGS.map(words) {
        let output = place.lingo(&[&command[..], &["--base", &model]].concat());
        succeeded(&output);
        assert!(
            !stderr(&output).contains("differ by"),
            "{}",
            stderr(&output)
        );
        let output = place.lingo(&[&command[..], &["--base", &other]].concat());
        succeeded(&output);
        let said = stderr(&output);
        for part in ["negative differ by 200%", &model] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
    let train = |model: &str| {
        let set = format!("model={model}");
        let from = "adapter.from=run";
        let train = [
            "train",
            "run.toml",
            "--overwrite",
            "--out",
            "more",
            "--set",
            "train.epochs=1",
        ];
        let output = place.lingo(&[&train[..], &["--set", from, "--set", &set]].concat());
        succeeded(&output);
        stderr(&output)
    };
    assert!(!train(&model).contains("differ by"));
    assert!(train(&other).contains("negative differ by 200%"));
    // `back` is of the other model now; `more`, too.
    for run in ["back", "more"] {
        let eval = ["eval", run, "--data", "data", "--base"];
        let said = |base: &str| stderr(&place.lingo(&[&eval[..], &[base]].concat()));
        assert!(!said(&other).contains("differ by"));
        assert!(said(&model).contains("differ by 200%"));
    }
    let eval = ["eval", "run", "--data", "data"];
    // Numbers of 16 bits are the same model, and older adapters do not know.
    succeeded(&place.lingo(&["import", &model, "--dtype", "bf16", "--out", "bf16"]));
    let output = place.lingo(&[&eval[..], &["--base", "bf16"]].concat());
    assert!(
        !stderr(&output).contains("differ by"),
        "{}",
        stderr(&output)
    );
    let mut manifest = place.json("run/best/adapter.json");
    manifest
        .as_object_mut()
        .unwrap()
        .remove("base_weights")
        .unwrap();
    place.write("run/best/adapter.json", manifest.to_string());
    let output = place.lingo(&[&eval[..], &["--base", &other]].concat());
    succeeded(&output);
    assert!(
        !stderr(&output).contains("differ by"),
        "{}",
        stderr(&output)
    );
}

/// Neither weights of the layers nor files of a tokenizer are the same in every form of a model.
#[test]
fn other_token_tables_norms_and_tokenizers_are_told_apart_from_other_files_of_the_same() {
    let place = Place::trained("lora", &["--set", "train.epochs=1"]);
    place.changed_model("tokens", |all| negate(all, "embed_tokens.weight"));
    place.changed_model("norm", |all| negate(all, "decoder.final_layer_norm.weight"));
    place.copy_model("swapped");
    let mut vocab = place.json("swapped/vocab.json");
    let [a, c] = ["A", "C"].map(|letter| vocab[letter].take());
    (vocab["A"], vocab["C"]) = (c, a);
    place.write("swapped/vocab.json", vocab.to_string());
    // A tokenizer.json of the same tokens.
    place.copy_model("same");
    succeeded(&place.lingo(&["import", "same", "--out", "imported"]));
    let (weights, tokenizer) = ("differ by", "the tokenizer of");
    for command in MEETINGS.map(words) {
        for (base, told) in [
            ("tokens", Some(weights)),
            ("norm", Some(weights)),
            ("swapped", Some(tokenizer)),
            ("imported", None),
        ] {
            let output = place.lingo(&[&command[..], &["--base", base]].concat());
            succeeded(&output);
            let said = stderr(&output);
            for part in [weights, tokenizer] {
                assert_eq!(said.contains(part), told == Some(part), "{base}: {said}");
            }
            assert!(told.is_none() || said.contains(base), "{said}");
        }
    }
    let from = ["--set", "adapter.from=run", "--set", "model=swapped"];
    let train = [
        "train",
        "run.toml",
        "--out",
        "more",
        "--set",
        "train.epochs=1",
    ];
    let output = place.lingo(&[&train[..], &from].concat());
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("swapped makes other tokens"), "{said}");
}
