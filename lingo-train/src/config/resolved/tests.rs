#![allow(clippy::unwrap_used)]
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A folder of run files.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(TempDir::new().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_load(&self, files: &[&str], overrides: &[(&str, &str)]) -> Result<Resolved, String> {
        let files: Vec<PathBuf> = files.iter().map(|file| self.path(file)).collect();
        let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        let overrides: Vec<_> = overrides.iter().map(own).collect();
        // Paths of the folder are shown as they are below it.
        let folder = format!("{}/", self.0.path().display());
        Resolved::load(&files, &overrides).map_err(|error| error.to_string().replace(&folder, ""))
    }

    fn load(&self, files: &[&str], overrides: &[(&str, &str)]) -> Resolved {
        self.try_load(files, overrides).unwrap()
    }

    fn error(&self, file: &str) -> String {
        self.try_load(&[file], &[]).unwrap_err()
    }

    /// Where a key was set, as it is below the folder.
    fn origin(&self, resolved: &Resolved, key: &str) -> String {
        let folder = format!("{}/", self.0.path().display());
        resolved.comment(key).replace(&folder, "")
    }
}

/// A run of a task, which extends what it shares with others, and a method.
fn family() -> Files {
    Files::new(&[
        (
            "task/shared.toml",
            "seed = 1\n[data]\ndir = \"d\"\n[adapter]\np = 0.1\nbeta1 = 0.1\nbeta2 = 0.1\n[train]\nepochs = 1\n",
        ),
        (
            "task/h3.toml",
            "extends = [\"shared.toml\"]\n[adapter]\nbeta1 = 0.2\n[train]\nepochs = 2\n",
        ),
        (
            "method.toml",
            "[adapter]\nbeta1 = 0.3\nmethod = \"adalora\"\n",
        ),
        (
            "run.toml",
            "extends = [\n  \"task/h3.toml\",\n  \"method.toml\",\n]\nmodel = \"m\"\n[train]\nepochs = 4\nmax_steps = 4\n",
        ),
    ])
}

#[test]
fn later_files_win_the_file_itself_wins_over_them_and_the_command_line_over_all() {
    let files = family();
    let resolved = files.load(&["run.toml"], &[("train.max_steps", "5")]);
    let config = &resolved.config;
    assert_eq!((config.adapter.p, config.adapter.beta1), (0.1, 0.3));
    assert_eq!(config.adapter.beta2, 0.1);
    assert_eq!(config.adapter.method, Method::AdaLora);
    assert_eq!((config.train.epochs, config.train.max_steps), (4, 5));
    for (key, place) in [
        ("seed", "task/shared.toml:1"),
        ("data.dir", "task/shared.toml:3"),
        ("adapter.p", "task/shared.toml:5"),
        ("adapter.beta1", "method.toml:2"),
        ("adapter.beta2", "task/shared.toml:7"),
        ("adapter.method", "method.toml:3"),
        ("train.epochs", "run.toml:7"),
        ("train.max_steps", "--set"),
        ("model", "run.toml:5"),
        ("device", "default"),
    ] {
        assert_eq!(files.origin(&resolved, key), place, "{key}");
    }
}

#[test]
fn files_that_are_named_together_are_as_those_that_a_file_extends() {
    let files = family();
    std::fs::write(files.path("model.toml"), "model = \"m\"\n").unwrap();
    let apart = files.load(&["task/h3.toml", "model.toml", "method.toml"], &[]);
    let model = std::path::absolute("m").unwrap();
    assert_eq!(apart.config.model, model);
    assert_eq!(apart.config.adapter.beta1, 0.3);
    assert_eq!(apart.config.train.epochs, 2);
    let other_way = files.load(&["method.toml", "model.toml", "task/h3.toml"], &[]);
    assert_eq!(other_way.config.adapter.beta1, 0.2);
}

#[test]
fn paths_are_looked_up_where_the_file_that_holds_them_is() {
    let files = Files::new(&[
        (
            "task/h3.toml",
            "[data]\ndir = \"h3\"\ntrain = \"own.csv\"\n",
        ),
        (
            "run/run.toml",
            "extends = [\"../task/h3.toml\"]\nmodel = \"weights\"\n",
        ),
        ("task/h3/dev.csv", ""),
        ("task/own.csv", ""),
        ("run/weights/config.json", ""),
        ("run/h3/dev.csv", ""),
    ]);
    let config = files.load(&["run/run.toml"], &[]).config;
    assert_eq!(config.model, files.path("run/weights"));
    assert_eq!(config.data.dir, Some(files.path("task/h3")));
    assert_eq!(config.data.train, Some(files.path("task/own.csv")));
}

#[test]
fn the_resolved_file_extends_nothing_and_comes_to_the_same() {
    let files = family();
    let resolved = files.load(&["run.toml"], &[("prompt.suffix", "\"\\nA\"")]);
    let plain = resolved.config.to_toml().unwrap();
    let annotated = resolved.annotated().unwrap();
    for text in [plain, annotated] {
        assert!(!text.contains("extends"), "{text}");
        std::fs::write(files.path("again.toml"), &text).unwrap();
        assert_eq!(
            files.load(&["again.toml"], &[]).config,
            resolved.config,
            "{text}"
        );
    }
}

#[test]
fn each_key_of_the_annotated_file_says_where_it_comes_from() {
    let files = family();
    let suffix = "\"# no \\\"comment\\\"\\nX:\"";
    let resolved = files.load(&["run.toml"], &[("prompt.suffix", suffix)]);
    let text = resolved.annotated().unwrap();
    let ends = |key: &str, place: &str| {
        let start = format!("{key} = ");
        let mut lines = text.lines().skip_while(|line| !line.starts_with(&start));
        let line = lines.find(|line| line.contains("  # ")).unwrap();
        assert!(line.ends_with(place), "{line}");
    };
    ends("beta1", "method.toml:2");
    ends("beta2", "shared.toml:7");
    ends("suffix", "  # --set");
    ends("rank", "  # default");
    ends("epochs", "run.toml:7");
    // Headers are the only lines that say nothing.
    let keys = resolved.entries().unwrap();
    assert_eq!(text.matches("  # ").count(), keys.len(), "{text}");
    let epochs = &keys["train.epochs"];
    assert_eq!(epochs.value, Value::Integer(4));
    assert!(epochs.from.ends_with("run.toml:7"));
}

#[test]
fn what_is_wrong_in_an_extended_file_is_named_with_the_way_to_it() {
    let files = family();
    let shared =
        "[train]\nepochs = \"one\"\nlerning_rate = 1\n[data]\ndir = \"d\"\n[adapter]\nbeta1 = 7\n";
    std::fs::write(files.path("task/shared.toml"), shared).unwrap();
    std::fs::write(
        files.path("task/h3.toml"),
        "\n\nextends = [\"shared.toml\"]\n",
    )
    .unwrap();
    std::fs::write(
        files.path("run.toml"),
        "extends = [\n  \"task/h3.toml\",\n  \"method.toml\",\n]\nmodel = \"m\"\n",
    )
    .unwrap();
    let way = "extended by task/h3.toml:3, extended by run.toml:2";
    // The method's beta1 stands over the impossible one.
    assert_eq!(
        files.error("run.toml"),
        format!(
            "run.toml: 2 problems\n  train.epochs: \"one\" is a text; a whole number, 1 or above \
             (task/shared.toml:2, {way})\n  train.lerning_rate: unknown key; did you mean \
             `train.learning_rate`? (task/shared.toml:3, {way})"
        )
    );
    std::fs::write(files.path("task/shared.toml"), "x = \n").unwrap();
    let message = files.error("run.toml");
    let start = format!("task/shared.toml, {way} is not valid TOML:\n");
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains("line 1"), "{message}");
    std::fs::remove_file(files.path("task/shared.toml")).unwrap();
    let message = files.error("run.toml");
    let start = format!("cannot read the run file task/shared.toml, {way}: ");
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn problems_of_several_files_are_reported_under_their_names() {
    let files = Files::new(&[
        ("a.toml", "seed = -1\n[data]\ndir = \"d\"\n"),
        ("b.toml", "model = \"m\"\nseeed = 1\n"),
    ]);
    let message = files.try_load(&["a.toml", "b.toml"], &[]).unwrap_err();
    assert_eq!(
        message,
        "a.toml b.toml: 2 problems\n  seed: -1 is too small; a whole number, 0 or above (a.toml:1)\n  seeed: unknown \
         key; did you mean `seed`? (b.toml:2)"
    );
}

#[test]
fn a_circle_is_refused_and_a_file_on_two_ways_is_not() {
    let files = Files::new(&[
        ("a.toml", "extends = [\"sub/b.toml\"]\n"),
        ("sub/b.toml", "# b\nextends = [\"../a.toml\"]\n"),
        ("self.toml", "extends = [\"self.toml\"]\n"),
        ("base.toml", "model = \"m\"\n[data]\ndir = \"d\"\n"),
        ("left.toml", "extends = [\"base.toml\"]\nseed = 1\n"),
        ("right.toml", "extends = [\"base.toml\"]\nseed = 2\n"),
        ("both.toml", "extends = [\"left.toml\", \"right.toml\"]\n"),
    ]);
    assert_eq!(
        files.error("a.toml"),
        "extends goes in a circle: a.toml, extended by sub/b.toml:2, extended by a.toml:1; leave one of them out"
    );
    assert!(
        files
            .error("self.toml")
            .contains("self.toml, extended by self.toml:1;")
    );
    assert_eq!(files.load(&["both.toml"], &[]).config.seed, 2);
}

#[test]
fn extends_is_a_list_of_files() {
    for (value, line) in [
        ("\"base.toml\"", 1),
        ("[\n\"base.toml\",\n3]", 3),
        ("[\"\"]", 1),
        ("{ a = 1 }", 1),
    ] {
        let text = format!("extends = {value}\nmodel = \"m\"\n[data]\ndir = \"d\"\n");
        let files = Files::new(&[("run.toml", &text), ("base.toml", "")]);
        let message = files.error("run.toml");
        let expected = "run.toml: 1 problem\n  extends: is something else than a list of files; ";
        assert!(message.starts_with(expected), "{message}");
        assert!(
            message.ends_with(&format!("(run.toml:{line})")),
            "{message}"
        );
    }
}

#[test]
fn what_changes_nothing_under_the_method_is_told_where_it_was_set_on_purpose() {
    let files = Files::new(&[
        (
            "task.toml",
            "model = \"m\"\n[data]\ndir = \"d\"\n[adapter]\nrank = 3\np = 0.5\n",
        ),
        (
            "run.toml",
            "extends = [\"task.toml\"]\n[adapter]\nmethod = \"adalora\"\nrank = 4\nbeta1 = 0.5\ninterval = 100\n",
        ),
    ]);
    let idle = |overrides: &[(&str, &str)]| -> Vec<String> {
        let resolved = files.load(&["run.toml"], overrides);
        let keys = resolved.idle.iter().map(|idle| {
            let place = files.origin(&resolved, idle.key);
            format!("{} {place} {}", idle.key, idle.method.name())
        });
        keys.collect()
    };
    assert_eq!(idle(&[]), ["adapter.rank run.toml:4 adalora"]);
    assert_eq!(
        idle(&[("adapter.method", "lora"), ("adapter.p", "0.2")]),
        ["adapter.beta1 run.toml:5 lora", "adapter.p --set lora",]
    );
    let resolved = files.load(&["run.toml"], &[]).config.to_toml().unwrap();
    std::fs::write(files.path("resolved.toml"), resolved).unwrap();
    assert_eq!(files.load(&["resolved.toml"], &[]).idle, []);
    // What has its default all the same is not worth a word.
    assert_eq!(
        idle(&[
            ("adapter.method", "adaptive-rank-sampling"),
            ("adapter.rank", "8")
        ]),
        [""; 0]
    );
}

#[test]
fn a_key_has_its_line_however_toml_lets_it_be_written() {
    for text in [
        "model = \"m\"\r\ndata.dir = \"d\"\r\ntrain.epochs = 2\r\n",
        "model = \"\"\"\nm\"\"\"\ntrain = { epochs = 2 }\ndata = { dir = \"d\" }\n",
        "# é\nmodel = \"m\"\n[train]\nepochs = 2\n[data]\ndir = \"d\"\n",
        "data = {\n dir = \"d\",\n} # a comment with epochs = 1\n[\"train\"]\n\"epochs\" = 2\n[output]\n",
    ] {
        let files = Files::new(&[("model.toml", "model = \"m\"\n"), ("run.toml", text)]);
        let resolved = files.load(&["model.toml", "run.toml"], &[]);
        assert_eq!(resolved.config.train.epochs, 2);
        let is_there = |line: &str| line.contains("epochs\" = 2") || line.contains("epochs = 2");
        let line = 1 + text.lines().position(is_there).unwrap();
        let place = format!("run.toml:{line}");
        assert_eq!(files.origin(&resolved, "train.epochs"), place, "{text}");
    }
    let files = Files::new(&[("run.toml", "[[train]]\nepochs = 2\n")]);
    let message = files.error("run.toml");
    assert!(
        message.contains("train: is a list; a section, [train] (run.toml:1)"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_behind_a_link_has_another_one_above_it() {
    let files = Files::new(&[
        ("far/away/d/dev.csv", ""),
        ("far/d/dev.csv", ""),
        (
            "near/run.toml",
            "model = \"m\"\n[data]\ndir = \"link/../d\"\n",
        ),
        ("near/d/dev.csv", ""),
    ]);
    std::os::unix::fs::symlink(files.path("far/away"), files.path("near/link")).unwrap();
    let dir = files.load(&["near/run.toml"], &[]).config.data.dir.unwrap();
    let canonical = |path: PathBuf| path.canonicalize().unwrap();
    assert_eq!(canonical(dir), canonical(files.path("far/d")));
}
