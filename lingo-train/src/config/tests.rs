#![allow(clippy::unwrap_used)]
use super::layers::Layers;
use super::*;
use tempfile::TempDir;

const MINIMAL: &str = "model = \"m.gguf\"\n[data]\ndir = \"data\"\n";

/// A run file of every key, with the paper's values.
const FULL: &str = r#"
model = "path/to/model"
device = "cpu"
seed = 42
[data]
dir = "data/prom_300_tata"
[prompt]
prefix = "Domain: DNA Promoter\nSequence: "
suffix = "\nAnnotation:"
[tokenizer]
kind = "bpe"
max_tokens = 0
restrict = "auto"
[adapter]
method = "adaptive-rank-sampling"
targets = ["Wq", "Wk", "Wv", "Wf1", "Wf2"]
alpha = 32
dropout = 0.05
rank = 8
initial_rank = 12
target_rank = 6
warmup_steps = 0
final_ratio = 0.25
interval = 100
beta1 = 0.85
beta2 = 0.85
p = 0.05
orthogonality = 0.5
[train]
epochs = 5
max_steps = 0
batch_size = 8
eval_batch_size = 16
learning_rate = 3e-5
weight_decay = 5e-3
warmup_ratio = 0.1
gradient_accumulation = 1
max_grad_norm = 0.0
precision = "f32"
gradient_checkpointing = false
eval_every = 0
flops_reference = 0.0
select_by = "mcc"
patience = 0
min_delta = 0.0
stop_by = "mcc"
checkpoint_every = 0
max_skipped_steps = 10
"#;

fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<RunConfig, ConfigError> {
    let own = |pair: &(&str, &str)| (pair.0.to_string(), pair.1.to_string());
    let overrides: Vec<_> = overrides.iter().map(own).collect();
    let mut layers = Layers::default();
    layers.add_text(text, Source::named(Path::new("run.toml")))?;
    layers.set(&overrides);
    Ok(Resolved::read(&layers)?.config)
}

/// The problems without their places.
fn problems(text: &str, overrides: &[(&str, &str)]) -> Vec<String> {
    let said = |problem: &Problem| {
        let (key, found, accepted) = (&problem.key, &problem.found, &problem.accepted);
        format!("{key}: {found}; {accepted}")
    };
    match parse(text, overrides) {
        Err(ConfigError::Invalid { problems, .. }) => problems.iter().map(said).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn defaults_are_those_of_the_documented_run_file() {
    let full = parse(FULL, &[]).unwrap();
    let mut minimal = parse(MINIMAL, &[]).unwrap();
    minimal.model = full.model.clone();
    minimal.data = full.data.clone();
    // These depend on the model; for one of language they are the documented ones.
    assert_eq!(minimal.prompt.for_text(), full.prompt.for_text());
    assert_eq!(minimal.tokenizer.kind, None);
    minimal.prompt = full.prompt.clone();
    minimal.tokenizer.kind = full.tokenizer.kind;
    assert_eq!(minimal, full);
}

#[test]
fn the_resolved_configuration_loads_again_to_the_same() {
    let changed = [
        ("adapter.method", "lora"),
        ("tokenizer.restrict", "false"),
        ("data.dev", "other.csv"),
        ("data.labels", "[\"H3K4me3\", \"H3K27ac\"]"),
        ("output.dir", "out"),
        ("prompt.suffix", "\"\""),
        ("train.select_by", "auroc"),
        ("train.learning_rate", "1e-4"),
    ];
    for overrides in [&[][..], &changed] {
        let config = parse(FULL, overrides).unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(parse(&text, &[]).unwrap(), config, "{text}");
        // Every key stands in it, but for paths that are not set.
        for key in FULL.lines().filter_map(|line| line.split_once(" = ")) {
            assert!(
                text.lines()
                    .any(|line| line.starts_with(&format!("{} = ", key.0))),
                "{}",
                key.0
            );
        }
    }
}

#[test]
fn overrides_are_toml_values_or_else_text() {
    let config = parse(
        MINIMAL,
        &[
            ("device", "wgpu:1"),
            ("seed", "7"),
            ("data.dir", "2024"),
            ("adapter.targets", "[\"Wq\"]"),
            ("adapter.alpha", "16"),
            ("adapter.method", "lora"),
            ("tokenizer.restrict", "true"),
            ("prompt.prefix", ""),
            ("prompt.suffix", "\"\\nX: \""),
        ],
    )
    .unwrap();
    assert_eq!(config.device, "wgpu:1");
    assert_eq!(config.seed, 7);
    assert!(config.data.dir.unwrap().ends_with("2024"));
    assert_eq!(config.adapter.targets, ["Wq"]);
    assert_eq!(
        (config.adapter.alpha, config.adapter.method),
        (16.0, Method::Lora)
    );
    assert_eq!(config.tokenizer.restrict, Restrict::On);
    assert_eq!(
        (
            config.prompt.prefix.as_deref(),
            config.prompt.suffix.as_deref()
        ),
        (Some(""), Some("\nX: "))
    );
    let bare = [
        ("adapter.targets", "q_proj, Wv"),
        ("prompt.prefix", r"A:\nB"),
    ];
    let config = parse(MINIMAL, &bare).unwrap();
    assert_eq!(config.adapter.targets, ["q_proj", "Wv"]);
    assert_eq!(config.prompt.prefix.as_deref(), Some("A:\nB"));
    assert_eq!(config.prompt.for_text().suffix, "\nAnnotation:");
}

#[test]
fn all_problems_are_reported_at_once_with_their_keys() {
    let text = r#"
device = ""
seed = -1
lerning_rate = 1
[data]
dri = "x"
[tokenizer]
kind = "kmers"
restrict = "maybe"
[adapter]
method = "lorra"
targets = ["Wq", 3]
dropout = 1.0
p = 1.5
final_ratio = 1
interval = 0
beta1 = 1.0
initial_rank = 4
target_rank = 5
alpha = "32"
[train]
batch_size = 0
learning_rate = inf
warmup_ratio = -0.1
epochs = 2.5
select_by = "auc"
learning_rat = 1
seed = 3
[trian]
epochs = 1
"#;
    let found = problems(text, &[]);
    let expected = [
        "adapter.alpha: \"32\" is a text; a finite number above 0",
        "adapter.beta1: 1.0 is out of range; a number from 0 to below 1",
        "adapter.dropout: 1.0 is out of range; a number from 0 to below 1",
        "adapter.final_ratio: 1 is out of range; a number from 0 to below 1",
        "adapter.interval: 0 is too small; a whole number, 1 or above",
        "adapter.method: there is no `lorra`; one of full, lora, adalora, adaptive-rank-sampling",
        "adapter.p: 1.5 is out of range; a number from 0 to 1",
        "adapter.target_rank: 5 is above adapter.initial_rank; a whole number from 1 to adapter.initial_rank = 4",
        "adapter.targets: holds something else than texts, or an empty one; a list of texts, for example [\"Wq\", \"Wv\"]",
        "data: does not say where all splits are; dir = \"folder with train.csv, dev.csv and test.csv\", or all three \
         of train, dev and test = \"file\"",
        "data.dri: unknown key; did you mean `data.dir`?",
        "device: is empty; a device such as cpu, wgpu, wgpu:1 or cuda:0",
        "lerning_rate: unknown key; did you mean `train.learning_rate`?",
        "model: is missing and has no default; the path of a Hugging Face folder or a .gguf file, or a model of the hub such as \"facebook/opt-125m\"",
        "seed: -1 is too small; a whole number, 0 or above",
        "tokenizer.kind: there is no `kmers`; one of bpe, kmer, words, one-hot",
        "tokenizer.restrict: is \"maybe\"; \"auto\", true or false",
        "train.batch_size: 0 is too small; a whole number, 1 or above",
        "train.epochs: 2.5 is a number with a fraction; a whole number, 1 or above",
        "train.learning_rat: unknown key; did you mean `train.learning_rate`?",
        "train.learning_rate: inf is out of range; a finite number above 0",
        "train.seed: unknown key; did you mean `seed`?",
        "train.select_by: there is no `auc`; one of loss, accuracy, mcc, f1, precision, recall, auroc, auprc, brier",
        "train.warmup_ratio: -0.1 is out of range; a number from 0 to 1",
        "trian: unknown key; did you mean `[train]`?",
    ];
    assert_eq!(found, expected);
    let message = parse(text, &[]).unwrap_err().to_string();
    assert!(
        message.starts_with("run.toml: 25 problems\n  adapter.alpha: "),
        "{message}"
    );
}

#[test]
fn every_problem_names_its_place_if_it_has_one() {
    let text = "seed = -1\n[train]\nepochs = 0\nepoch = 1\n[data]\ndir = \"d\"\n[quux]\nx = 1\n";
    let message = parse(text, &[("device", ""), ("train.seed", "1")]).unwrap_err();
    let expected = [
        "device: is empty; a device such as cpu, wgpu, wgpu:1 or cuda:0 (--set)",
        "hub such as \"facebook/opt-125m\"",
        "quux: unknown key; a run file has [adapter], [data], device, extends, model, [output], [prompt], seed, \
         [tokenizer], [train] (run.toml:7)",
        "seed: -1 is too small; a whole number, 0 or above (run.toml:1)",
        "train.epoch: unknown key; did you mean `train.epochs`? (run.toml:4)",
        "train.epochs: 0 is too small; a whole number, 1 or above (run.toml:3)",
        "train.seed: unknown key; did you mean `seed`? (--set)",
    ];
    let message = message.to_string();
    let lines: Vec<&str> = message.lines().skip(1).collect();
    assert_eq!(lines.len(), expected.len(), "{message}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.ends_with(expected), "{line}");
    }
}

#[test]
fn a_name_in_quotes_is_no_key_of_a_section() {
    let found = problems(&format!("\"train.epochs\" = 3\n{MINIMAL}"), &[]);
    assert!(
        found[0].starts_with("train.epochs: unknown key"),
        "{found:?}"
    );
}

#[test]
fn the_domain_stands_in_the_prompt() {
    let prompt = |overrides: &[(&str, &str)]| parse(MINIMAL, overrides).unwrap().prompt.for_text();
    assert_eq!(prompt(&[]).prefix, "Domain: DNA Promoter\nSequence: ");
    let histone = ("prompt.domain", "DNA Histone");
    assert_eq!(prompt(&[histone]).prefix, "Domain: DNA Histone\nSequence: ");
    let parts = [
        histone,
        ("prompt.prefix", "{domain}, "),
        ("prompt.suffix", " ({domain})"),
    ];
    let prompt = prompt(&parts);
    assert_eq!(
        (prompt.prefix.as_str(), prompt.suffix.as_str()),
        ("DNA Histone, ", " (DNA Histone)")
    );
    // A model of DNA takes no prompt, but may be told what the DNA is.
    assert_eq!(parse(MINIMAL, &[histone]).unwrap().prompt.given(), None);
}

#[test]
fn other_unusable_values_are_problems_too() {
    let cases = [
        ("train", "3", "train: is a whole number; a section, [train]"),
        ("data", "\"x\"", "data: is a text; a section, [data]"),
        (
            "model.path",
            "x",
            "model.path: `model` is not a section; an override is written section.key=value",
        ),
        (
            "train",
            "{ epochs = 2 }",
            "train: is a section; an override is written section.key=value",
        ),
        (
            "extends",
            "[\"a.toml\"]",
            "extends: is of files alone; give several files instead, the strongest last",
        ),
        (
            "train..epochs",
            "1",
            "train..epochs: is no key; an override is written section.key=value",
        ),
        (
            "adapter.targets",
            "[]",
            "adapter.targets: is empty, so nothing would be adapted; names such as \"Wq\" or suffixes of the checkpoint's own paths",
        ),
        (
            "adapter.targets",
            "3",
            "adapter.targets: 3 is a whole number; a list of texts, for example [\"Wq\", \"Wv\"]",
        ),
        (
            "adapter.targets",
            "Wq,",
            "adapter.targets: holds something else than texts, or an empty one; a list of texts, for example [\"Wq\", \"Wv\"]",
        ),
        (
            "train.weight_decay",
            "nan",
            "train.weight_decay: nan is out of range; a finite number, 0 or above",
        ),
        (
            "train.frobnicate",
            "1",
            "train.frobnicate: unknown key; [train] has batch_size, checkpoint_every, epochs, eval_batch_size, eval_every, flops_reference, gradient_accumulation, gradient_checkpointing, learning_rate, max_grad_norm, max_skipped_steps, max_steps, min_delta, patience, precision, select_by, stop_by, warmup_ratio, weight_decay",
        ),
        (
            "frobnicate",
            "1",
            "frobnicate: unknown key; a run file has [adapter], [data], device, extends, model, [output], [prompt], seed, [tokenizer], [train]",
        ),
        (
            "data.train",
            "{ x = 1 }",
            "data.train: is a section; a text in quotes",
        ),
        ("data.train", "\"\"", "data.train: is empty; a path"),
        (
            "data.labels",
            "[]",
            "data.labels: is empty; a list of different names, at least one, for example [\"H3K4me3\", \"H3K27ac\"]",
        ),
        (
            "data.labels",
            "\"\"",
            "data.labels: holds something else than texts, or an empty one; a list of texts, for example [\"H3K4me3\", \"H3K27ac\"]",
        ),
        (
            "data.labels",
            "H3,H4,H3",
            "data.labels: has `H3` twice; a list of different names, at least one, for example [\"H3K4me3\", \"H3K27ac\"]",
        ),
    ];
    for (key, value, expected) in cases {
        let text = match key {
            "data.train" if value.starts_with('{') => format!("{MINIMAL}train = {value}"),
            _ => MINIMAL.into(),
        };
        let overrides = if text == MINIMAL {
            vec![(key, value)]
        } else {
            vec![]
        };
        let found = problems(&text, &overrides);
        assert!(
            found.iter().any(|problem| problem == expected),
            "{key} = {value}: {found:?}"
        );
    }
}

#[test]
fn three_files_do_in_place_of_a_folder() {
    let text =
        "model = \"m\"\n[data]\ntrain = \"/x/a.csv\"\ndev = \"/x/b.csv\"\ntest = \"/x/c.csv\"\n";
    let files = parse(text, &[]).unwrap().data.files();
    assert_eq!(files.dev, Path::new("/x/b.csv"));
    let two = text.replace("test = \"/x/c.csv\"\n", "");
    assert!(problems(&two, &[])[0].starts_with("data: does not say"));
}

#[test]
fn relative_paths_are_of_the_run_file_first_and_absolute_in_the_end() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/dev.csv"), "").unwrap();
    std::fs::write(folder.path().join("extra.csv"), "").unwrap();
    let path = folder.path().join("run.toml");
    let text = "model = \"elsewhere\"\n[data]\ndir = \"data\"\ntrain = \"dev.csv\"\ntest = \"extra.csv\"\n[output]\ndir = \"data\"";
    std::fs::write(&path, text).unwrap();
    let config = RunConfig::load(&path, &[]).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.model, here.join("elsewhere"));
    assert_eq!(config.output.dir, Some(here.join("data")));
    let files = config.data.files();
    assert_eq!(files.train, folder.path().join("data/dev.csv"));
    assert_eq!(files.dev, folder.path().join("data/dev.csv"));
    assert_eq!(files.test, folder.path().join("extra.csv"));
    let overrides = [("data.dir".to_string(), "data".to_string())];
    let config = RunConfig::load(&path, &overrides).unwrap();
    assert_eq!(config.data.dir, Some(here.join("data")));
}

#[test]
fn a_tasks_folder_is_looked_for_in_the_root_then_beside_the_file_and_missed_in_the_root() {
    let folder = TempDir::new().unwrap();
    for dir in ["root/EMP/H3", "own/H4"] {
        std::fs::create_dir_all(folder.path().join(dir)).unwrap();
    }
    let path = folder.path().join("run.toml");
    std::fs::write(&path, "model = \"m\"\n[data]\nroot = \"root\"\n").unwrap();
    for (dir, expected) in [
        ("EMP/H3", "root/EMP/H3"),
        ("own/H4", "own/H4"),
        ("EMP/H5", "root/EMP/H5"),
    ] {
        let text = format!("model = \"m\"\n[data]\nroot = \"root\"\ndir = {dir:?}\n");
        std::fs::write(&path, text).unwrap();
        let config = RunConfig::load(&path, &[]).unwrap();
        assert_eq!(config.data.root, Some(folder.path().join("root")));
        assert_eq!(config.data.dir, Some(folder.path().join(expected)));
    }
}

#[test]
fn a_split_by_name_that_is_nowhere_is_missed_in_the_folder_of_data() {
    let overrides = [("data.dir", "/dev"), ("data.train", "part.csv")];
    let files = parse(MINIMAL, &overrides).unwrap().data.files();
    assert_eq!(files.train, Path::new("/dev/part.csv"));
    assert_eq!(files.dev, Path::new("/dev/dev.csv"));
}

#[test]
fn numbers_of_more_than_64_bits_are_too_large() {
    let most = u64::MAX.to_string();
    let found = problems(MINIMAL, &[("tokenizer.max_tokens", &most)]);
    let said = format!("tokenizer.max_tokens: {most} is too large; a whole number, 0 or above");
    assert_eq!(found, [said]);
}

#[test]
fn every_key_is_described_in_the_quickstart() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/quickstart.toml");
    let text = std::fs::read_to_string(&root).unwrap();
    let layers = Layers::load(&[root], &[]).unwrap();
    let mut reader = read::Reader::new(&layers);
    keys::read_run(&mut reader).unwrap();
    let mut section = String::new();
    let mut described = std::collections::BTreeSet::new();
    // A key that is not set stands in a comment, as `key = ...`.
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        }
        let line = line.trim_start_matches("# ");
        for (at, _) in line.match_indices(" = ") {
            let name = line[..at].rsplit(' ').next().unwrap();
            described.insert(format!("{section}{name}"));
        }
    }
    for key in reader.known() {
        assert!(described.contains(*key), "{key} is not described");
    }
}

#[test]
fn every_key_of_pretraining_is_described_and_has_the_default_it_is_said_to_have() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/pretrain/english.toml");
    assert!(PretrainConfig::is_described_by(&[&file]).unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    let full = PretrainConfig::load(&[&file], &[]).unwrap().config;
    let written = full.to_toml().unwrap();
    let keys = written.lines().filter_map(|line| line.split_once(" = "));
    for (key, _) in keys.chain([("from", ""), ("dir", "")]) {
        let described = format!("{key} = ");
        assert!(text.contains(&described), "{key} is not described");
    }
    // Values that are not defaults stand there on purpose.
    let mut defaults = full.clone();
    defaults.pretrain = PretrainSettings {
        context_tokens: 128,
        checkpoint_every: 100,
        learning_rate: 2e-3,
        ..PretrainSettings::default()
    };
    assert_eq!(full, defaults);
    let default = |key: &str| text.contains(&format!("Default {key}"));
    let all = [
        "42", "32", "1.", "0: all", "1e-3", "0.05", "0.95", "0.1", "10", "\"f32\"", "\"cpu\"",
    ];
    assert!(all.into_iter().all(default));
}

#[test]
fn problems_of_pretraining_are_told_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let text = "modle = \"x\"\n[corpus]\ntrain = 3\n[pretrain]\nbeta2 = 1\nepochs = 0\n[train]\nepochs = 2\n";
    std::fs::write(&file, text).unwrap();
    let error = PretrainConfig::load(&[&file], &[]).unwrap_err().to_string();
    let told = [
        "model: is missing",
        "modle: unknown key; did you mean `model`?",
        "corpus.train: 3 is",
        "corpus.valid: is missing",
        "pretrain.beta2: 1 is out of range",
        "pretrain.epochs: 0 is too small",
        "train: unknown key",
    ];
    for problem in told {
        assert!(error.contains(problem), "{problem} is not in {error}");
    }
}

#[test]
fn a_model_that_is_no_path_may_be_a_name_of_two_parts() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("models/tiny")).unwrap();
    let path = folder.path().join("run.toml");
    let model = |written: &str| {
        let text = MINIMAL.replace("model = \"m.gguf\"", &format!("model = {written:?}"));
        std::fs::write(&path, text).unwrap();
        RunConfig::load(&path, &[]).unwrap().model
    };
    assert_eq!(model("models/tiny"), folder.path().join("models/tiny"));
    for name in ["facebook/opt-125m", "facebook/opt-125m@main"] {
        assert_eq!(model(name), Path::new(name));
    }
    let here = std::env::current_dir().unwrap();
    for path in ["tiny", "./models/none", "a/models/none", "../none"] {
        let absolute = std::path::absolute(here.join(path)).unwrap();
        assert_eq!(model(path), absolute);
    }
}

#[test]
fn the_vocabulary_is_restricted_under_adapters_unless_said_otherwise() {
    let of = |method, restrict| {
        let overrides = [("adapter.method", method), ("tokenizer.restrict", restrict)];
        parse(MINIMAL, &overrides).unwrap().restricts_vocabulary()
    };
    assert!(of("lora", "auto") && of("full", "true"));
    assert!(!of("full", "auto") && !of("lora", "false"));
}

#[test]
fn what_is_no_toml_is_an_error_with_its_place() {
    let message = parse("model = \n", &[]).unwrap_err().to_string();
    assert!(
        message.contains("run.toml is not valid TOML") && message.contains("line 1"),
        "{message}"
    );
    let message = RunConfig::load(Path::new("no-such.toml"), &[])
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot read the run file no-such.toml"),
        "{message}"
    );
}

#[test]
fn one_text_does_for_a_list_of_one() {
    for (written, expected) in [
        ("\"H3K4me3\"", &["H3K4me3"][..]),
        ("\"H3K4me3, strong\"", &["H3K4me3, strong"]),
        ("[\"H3\", \"H4\"]", &["H3", "H4"]),
    ] {
        let text = format!("{MINIMAL}labels = {written}\n");
        let config = parse(&text, &[]).unwrap();
        assert_eq!(config.data.labels.as_deref().unwrap(), expected);
    }
    let config = parse(MINIMAL, &[("data.labels", "H3, H4")]).unwrap();
    assert_eq!(config.data.labels.unwrap(), ["H3", "H4"]);
}
