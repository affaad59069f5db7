//! A folder to work in, with the quickstart's model and a part of its data, and the command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use tempfile::TempDir;

/// Where `configs/quickstart` is.
pub fn quickstart(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/quickstart");
    root.join(path).canonicalize().unwrap()
}

/// Tensors of one type by name, with shape and content.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// Writes a file of tensors, all of one type, with others.
pub fn rewritten(path: &Path, dtype: Dtype, change: impl FnOnce(&mut Tensors)) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own = file.iter().map(|(name, view)| {
        let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
        (name.to_owned(), (shape, data))
    });
    let mut tensors = own.collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, data))| {
        let view = TensorView::new(dtype, shape.clone(), data).unwrap();
        (name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A folder with `data/` (96 train, 48 dev, 64 test) and run files; relative paths of a run file are found in it.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        for (split, rows) in [("train", 96), ("dev", 48), ("test", 64)] {
            let text = std::fs::read_to_string(quickstart(&format!("data/{split}.csv"))).unwrap();
            let lines: Vec<&str> = text.lines().take(rows + 1).collect();
            place.write(&format!("data/{split}.csv"), lines.join("\n") + "\n");
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A copy of the quickstart's model to spoil.
    pub fn copy_model(&self, name: &str) -> PathBuf {
        for file in [
            "config.json",
            "model.safetensors",
            "vocab.json",
            "merges.txt",
        ] {
            let content = std::fs::read(quickstart(&format!("model/{file}"))).unwrap();
            self.write(&format!("{name}/{file}"), content);
        }
        self.path(name)
    }

    /// A copy of the quickstart's model with other tensors, which are given by name with shape and content.
    pub fn changed_model(&self, name: &str, change: impl FnOnce(&mut Tensors)) -> PathBuf {
        let folder = self.copy_model(name);
        let path = folder.join("model.safetensors");
        rewritten(&path, Dtype::F16, change);
        folder
    }

    /// Writes `run.toml`: `method` on the quickstart's model, 4 epochs of 12 steps, an allocation every 4.
    pub fn run_file(&self, method: &str) {
        let model = quickstart("model");
        let text = format!(
            "model = {model:?}\n\
             [data]\ndir = \"data\"\n\
             [adapter]\nmethod = {method:?}\ninterval = 4\n\
             [train]\nepochs = 4\nlearning_rate = 5e-3\n"
        );
        self.write("run.toml", text);
    }

    /// `lingo` in this folder.
    pub fn lingo(&self, args: &[&str]) -> Output {
        self.lingo_in(&[], args)
    }

    /// The same with variables of the environment.
    pub fn lingo_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lingo"));
        command.args(args).current_dir(self.dir.path());
        let of_machine = std::env::vars().map(|(name, _)| name).filter(|name| {
            let starts = ["HF_", "HUGGING", "TRANSFORMERS_"];
            let ends = ["_proxy", "cert_file", "ca_bundle"];
            starts.iter().any(|start| name.starts_with(start))
                || ends.iter().any(|end| name.to_lowercase().ends_with(end))
        });
        for name in of_machine {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        command.env_remove("RUST_BACKTRACE").output().unwrap()
    }

    /// `lingo train run.toml --out run` and what else is said.
    pub fn train(&self, more: &[&str]) -> Output {
        self.lingo(&[&["train", "run.toml", "--out", "run"], more].concat())
    }

    /// Trains, and expects nothing to go wrong.
    pub fn trained(method: &str, more: &[&str]) -> Self {
        let place = Self::new();
        place.run_file(method);
        succeeded(&place.train(more));
        place
    }

    /// Probabilities of class 1 for the test sequences.
    pub fn predicted(&self, model: &str, more: &[&str]) -> Vec<f64> {
        let args = [
            "predict",
            model,
            "--input",
            "data/test.csv",
            "--output",
            "p.csv",
        ];
        succeeded(&self.lingo(&[&args[..], &["--overwrite"], more].concat()));
        self.csv("p.csv").numbers("p_1")
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    pub fn csv(&self, name: &str) -> Table {
        let mut reader = csv::Reader::from_path(self.path(name)).unwrap();
        Table {
            header: reader.headers().unwrap().iter().map(String::from).collect(),
            rows: reader
                .records()
                .map(|row| row.unwrap().iter().map(String::from).collect())
                .collect(),
        }
    }

    /// The tensors of a saved adapter, by name with shape: the file is whole.
    pub fn tensors(&self, name: &str) -> BTreeMap<String, Vec<usize>> {
        let bytes = std::fs::read(self.path(name)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.iter()
            .map(|(name, view)| (name.to_owned(), view.shape().to_vec()))
            .collect()
    }
}

/// A CSV file, read.
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn column(&self, name: &str) -> Vec<&str> {
        let at = self.header.iter().position(|title| title == name);
        let at = at.unwrap_or_else(|| panic!("no column {name} in {:?}", self.header));
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let cells = self.column(name);
        cells.iter().map(|cell| cell.parse().unwrap()).collect()
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn succeeded(output: &Output) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// The command said one error that holds all of `parts`, and nothing else was wrong with it.
pub fn refused(output: &Output, parts: &[&str]) {
    failed(output, 1, parts);
}

/// As [`refused`], with another exit code.
pub fn failed(output: &Output, code: i32, parts: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for trace in ["panicked", "backtrace"] {
        assert!(!said.contains(trace), "{said}");
    }
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{said}");
    let (_, message) = said.split_once("error: ").unwrap();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
