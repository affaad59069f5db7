#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::{AdapterConfig, Method, Resolved, RunConfig};
use crate::metric::MetricName;

fn configs() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    folder.canonicalize().unwrap()
}

fn run(task: &str, model: &str, method: &str) -> RunConfig {
    let files = [("task", task), ("model", model), ("method", method)];
    let files = files.map(|(kind, name)| configs().join(kind).join(format!("{name}.toml")));
    Resolved::load(&files, &[]).unwrap().config
}

/// What the paper's table has in a row.
struct Row {
    task: &'static str,
    folder: &'static str,
    ranks: [usize; 2],
    final_ratio: f64,
    interval: usize,
    betas: [f64; 2],
    targets: &'static [&'static str],
    p: f64,
    domain: &'static str,
    eval_every: usize,
    metric: MetricName,
}

const WITHOUT_OUTPUT: &[&str] = &["Wq", "Wk", "Wv", "Wf1", "Wf2"];
const WITH_OUTPUT: &[&str] = &["Wq", "Wk", "Wv", "Wf1", "Wf2", "Wo"];

const fn yeast(task: &'static str, folder: &'static str, final_ratio: f64) -> Row {
    Row {
        task,
        folder,
        ranks: [12, 6],
        final_ratio,
        interval: 100,
        betas: [0.85, 0.85],
        targets: WITHOUT_OUTPUT,
        p: 0.05,
        domain: "DNA Histone",
        eval_every: 0,
        metric: MetricName::Mcc,
    }
}

const fn promoter(task: &'static str, folder: &'static str) -> Row {
    Row {
        task,
        folder,
        ranks: [8, 6],
        final_ratio: 0.15,
        interval: 5000,
        betas: [0.85, 0.85],
        targets: WITH_OUTPUT,
        p: 0.1,
        domain: "DNA Promoter",
        eval_every: 0,
        metric: MetricName::Auroc,
    }
}

const HISTONE_HUMAN: Row = Row {
    betas: [0.99, 0.99],
    domain: "DNA Histone",
    eval_every: 10_000,
    ..promoter("histone-human", "data/deepsea")
};

const ROWS: &[Row] = &[
    yeast("h3", "data/GUE/EMP/H3", 0.25),
    yeast("h3k4me1", "data/GUE/EMP/H3K4me1", 0.25),
    yeast("h3k4me2", "data/GUE/EMP/H3K4me2", 0.25),
    yeast("h3k4me3", "data/GUE/EMP/H3K4me3", 0.25),
    yeast("h3k9ac", "data/GUE/EMP/H3K9ac", 0.25),
    yeast("h3k14ac", "data/GUE/EMP/H3K14ac", 0.25),
    yeast("h3k36me3", "data/GUE/EMP/H3K36me3", 0.30),
    yeast("h3k79me3", "data/GUE/EMP/H3K79me3", 0.30),
    yeast("h4", "data/GUE/EMP/H4", 0.30),
    yeast("h4ac", "data/GUE/EMP/H4ac", 0.30),
    promoter("prom-300-all", "data/GUE/prom/prom_300_all"),
    promoter("prom-300-notata", "data/GUE/prom/prom_300_notata"),
    promoter("prom-300-tata", "data/GUE/prom/prom_300_tata"),
    HISTONE_HUMAN,
];

#[test]
fn each_task_has_the_papers_settings() {
    for row in ROWS {
        let config = run(row.task, "opt-125m", "lingo");
        let adapter = &config.adapter;
        assert_eq!(
            *adapter,
            AdapterConfig {
                method: Method::AdaptiveRankSampling,
                targets: row.targets.iter().map(|name| (*name).into()).collect(),
                from: None,
                alpha: 32.0,
                dropout: 0.05,
                rank: adapter.rank,
                initial_rank: row.ranks[0],
                target_rank: row.ranks[1],
                warmup_steps: 0,
                final_ratio: row.final_ratio,
                interval: row.interval,
                beta1: row.betas[0],
                beta2: row.betas[1],
                p: row.p,
                orthogonality: 0.5,
            },
            "{}",
            row.task
        );
        let train = &config.train;
        assert_eq!(
            (train.epochs, train.batch_size, train.eval_batch_size),
            (5, 8, 16)
        );
        assert_eq!(
            (train.learning_rate, train.weight_decay, train.warmup_ratio),
            (3e-5, 5e-3, 0.1)
        );
        assert_eq!((train.max_steps, train.gradient_accumulation), (0, 1));
        assert_eq!(
            (train.eval_every, train.select_by),
            (row.eval_every, row.metric)
        );
        assert!(
            config.data.dir.unwrap().ends_with(row.folder),
            "{}",
            row.task
        );
        let prompt = config.prompt.for_text();
        assert_eq!(prompt.prefix, format!("Domain: {}\nSequence: ", row.domain));
        assert_eq!(prompt.suffix, "\nAnnotation:");
    }
}

#[test]
fn human_histone_marks_alone_stop_early_by_the_loss() {
    for row in ROWS {
        let train = run(row.task, "opt-125m", "lingo").train;
        let expected = match row.task {
            "histone-human" => (10, MetricName::Loss),
            _ => (0, row.metric),
        };
        assert_eq!((train.patience, train.stop_by), expected, "{}", row.task);
    }
}

#[test]
fn methods_but_lingo_have_no_prompt() {
    for (method, expected) in [
        ("full", Method::Full),
        ("lora", Method::Lora),
        ("adalora", Method::AdaLora),
        ("adaptive-rank-sampling", Method::AdaptiveRankSampling),
    ] {
        let config = run("h3", "dnabert-2", method);
        assert_eq!(config.adapter.method, expected);
        assert_eq!(config.prompt.given(), None);
        assert_eq!(config.prompt.for_text(), crate::data::Prompt::default());
        assert_eq!(config.tokenizer.kind, None);
    }
    assert_eq!(run("h3", "dnabert-2", "lora").adapter.rank, 8);
}

#[test]
fn a_method_may_come_before_the_task() {
    let files = ["method/full", "model/opt-125m", "task/h3"];
    let files = files.map(|name| configs().join(format!("{name}.toml")));
    let config = Resolved::load(&files, &[]).unwrap().config;
    assert_eq!(config, run("h3", "opt-125m", "full"));
}

#[test]
fn every_file_is_part_of_a_combination_or_of_a_file_that_is() {
    let folder = configs();
    let mut used = std::collections::BTreeSet::new();
    for table in Combinations::open(&folder).unwrap().tables {
        for files in table.runs(&folder) {
            let layers = crate::config::layers::Layers::load(&files, &[]).unwrap();
            let paths = layers.files.iter().map(|layer| layer.source.path());
            used.extend(paths.map(Path::to_owned));
        }
    }
    for kind in ["task", "model", "method"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                assert!(
                    used.contains(&path),
                    "{} is used by nothing",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn what_is_no_list_of_combinations_is_an_error_that_names_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let said = || Combinations::open(folder.path()).unwrap_err().to_string();
    assert!(said().contains("cannot read") && said().contains(FILE));
    let path = folder.path().join(FILE);
    std::fs::write(path, "[[table]]\nname = \"x\"\ntask = []\n").unwrap();
    assert!(
        said().contains(FILE) && said().contains("`task`"),
        "{}",
        said()
    );
}
