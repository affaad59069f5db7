//! Runs that are stopped, by whatever means, and resumed: they come to what they would have come to without.
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, failed, refused, stderr, succeeded};

/// A short run with a checkpoint every other step, evaluations between them, and all that makes a step depend on
/// what was before: dropout, accumulation, clipping.
const SHORT: [&str; 10] = [
    "train.epochs=4",
    "train.batch_size=4",
    "train.gradient_accumulation=2",
    "train.max_grad_norm=1",
    "train.eval_every=7",
    "train.checkpoint_every=2",
    "adapter.interval=5",
    "adapter.dropout=0.1",
    "adapter.final_ratio=0.5",
    "train.learning_rate=5e-3",
];

fn sets<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let all = SHORT.iter().chain(more);
    all.flat_map(|set| ["--set", *set]).collect()
}

fn begun(place: &Place, dir: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingo"));
    command.args(["train", "run.toml", "--out", dir]);
    command.args(sets(more));
    quiet(command, place)
}

fn resumed(place: &Place, dir: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingo"));
    command.args(["train", "--resume", dir]);
    quiet(command, place)
}

fn quiet(mut command: Command, place: &Place) -> Command {
    command
        .current_dir(place.path(""))
        .env_remove("RUST_BACKTRACE");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines(place: &Place, name: &str) -> usize {
    std::fs::read_to_string(place.path(name)).map_or(0, |text| text.lines().count())
}

/// Waits until `train.csv` has so many lines, its header included, or the run ends.
fn wait_for_lines(place: &Place, dir: &str, child: &mut Child, count: usize) {
    let began = Instant::now();
    while lines(place, &format!("{dir}/train.csv")) < count {
        assert!(began.elapsed() < Duration::from_secs(120), "no progress");
        if child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    kill.args([name, &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

/// What two runs have in common, if they went alike: all but times and paths.
fn assert_alike(place: &Place, one: &str, other: &str) {
    let bytes = |dir: &str, name: &str| {
        let path: PathBuf = place.path(dir).join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    for name in [
        "train.csv",
        "ranks.csv",
        "best/adapter.safetensors",
        "best/adapter.json",
        "last/adapter.safetensors",
        "last/adapter.json",
    ] {
        if name == "ranks.csv" && !place.path(one).join(name).exists() {
            continue;
        }
        assert!(bytes(one, name) == bytes(other, name), "{name} differs");
    }
    let metrics = |dir: &str| {
        let table = place.csv(&format!("{dir}/metrics.csv"));
        let time = table.header.iter().position(|name| name == "elapsed_secs");
        let timeless = |row: &Vec<String>| {
            let mut row = row.clone();
            row.remove(time.unwrap());
            row
        };
        (
            table.header.clone(),
            table.rows.iter().map(timeless).collect::<Vec<_>>(),
        )
    };
    assert_eq!(metrics(one), metrics(other));
    let lines_of = |dir: &str| -> Vec<serde_json::Value> {
        let text = place.text(&format!("{dir}/metrics.jsonl"));
        let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let timeless = parsed.map(|mut value: serde_json::Value| {
            value.as_object_mut().unwrap().remove("elapsed_secs");
            value
        });
        timeless.collect()
    };
    assert_eq!(lines_of(one), lines_of(other));
    let [a, b] = [one, other].map(|dir| place.json(&format!("{dir}/result.json")));
    for key in [
        "test",
        "dev",
        "chosen_step",
        "steps",
        "tokens",
        "ranks_returned",
        "stopped_early",
    ] {
        assert_eq!(a[key], b[key], "{key}");
    }
}

/// A simple generator, so that the moments of a failure can be tried again.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Kills runs at `kills` random moments in all, resuming them each time; each comes to what `whole` came to.
fn killed_and_resumed(place: &Place, whole: &str, more: &[&str], kills: usize, seed: u64) {
    let mut draws = Draws(seed);
    let mut killed = 0;
    while killed < kills {
        let dir = format!("{whole}-{killed}");
        let mut command = begun(place, &dir, more);
        while !place.path(&dir).join("result.json").exists() {
            if killed == kills {
                succeeded(&command.output().unwrap());
                break;
            }
            let mut child = command.spawn().unwrap();
            let done = lines(place, &format!("{dir}/train.csv"));
            // Behind the first checkpoint, some lines further, and then in the middle of anything.
            let further = 1 + draws.below(4) as usize;
            wait_for_lines(place, &dir, &mut child, (done + further).max(8));
            std::thread::sleep(Duration::from_micros(draws.below(8000)));
            killed += usize::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            let said = stderr(&child.wait_with_output().unwrap());
            assert!(
                !said.contains("error"),
                "kill {killed} of seed {seed}: {said}"
            );
            command = resumed(place, &dir);
        }
        assert_alike(place, whole, &dir);
    }
}

#[test]
fn killed_at_random_moments_a_run_comes_to_the_very_same_end() {
    for (method, more, kills) in [
        ("adaptive-rank-sampling", &[][..], 20),
        (
            "full",
            &["train.learning_rate=1e-3", "train.checkpoint_every=5"],
            4,
        ),
        ("lora", &["train.patience=2", "train.stop_by=loss"], 3),
    ] {
        let place = Place::new();
        place.run_file(method);
        succeeded(&begun(&place, "whole", more).output().unwrap());
        killed_and_resumed(&place, "whole", more, kills, 7);
        refused(
            &place.lingo(&["train", "--resume", "whole"]),
            &["finished run", "adapter.from"],
        );
    }
}

#[test]
fn stopped_by_a_signal_a_run_saves_that_very_step_and_goes_on_from_it() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    // Checkpoints at evaluations alone: the one of the stop is in the middle of a round.
    let more = ["train.checkpoint_every=0"];
    succeeded(&begun(&place, "whole", &more).output().unwrap());
    let mut command = begun(&place, "stopped", &more);
    for (name, code, line) in [("-INT", 130, 10), ("-TERM", 143, 25)] {
        let mut child = command.spawn().unwrap();
        wait_for_lines(&place, "stopped", &mut child, line);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        failed(&output, code, &["stopped after", "lingo train --resume"]);
        let steps = lines(&place, "stopped/train.csv") - 1;
        assert!(
            place
                .path(&format!("stopped/checkpoint/step-{steps}"))
                .is_dir()
        );
        command = resumed(&place, "stopped");
    }
    let output = command.output().unwrap();
    succeeded(&output);
    assert!(stderr(&output).contains("behind step"));
    assert_alike(&place, "whole", "stopped");
    let record = place.json("stopped/run.json");
    assert_eq!(record["status"], "finished");
    assert_eq!(record["test_scored"], 1);
    let earlier = record["earlier"].as_array().unwrap();
    assert_eq!(earlier.len(), 2);
    assert!(
        earlier
            .iter()
            .all(|session| session["status"] == "interrupted")
    );
    assert!(place.json("whole/run.json").get("earlier").is_none());
}

#[test]
fn a_run_under_way_is_neither_replaced_nor_resumed_by_another_process() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    succeeded(&begun(&place, "whole", &[]).output().unwrap());
    let mut child = begun(&place, "busy", &[]).spawn().unwrap();
    wait_for_lines(&place, "busy", &mut child, 12);
    signal(&child, "-STOP");
    let before = place.text("busy/train.csv");
    let config = place.text("busy/config.toml");
    let mut replacing = begun(&place, "busy", &["seed=7"]);
    replacing.arg("--overwrite");
    for mut other in [replacing, resumed(&place, "busy")] {
        refused(
            &other.output().unwrap(),
            &["busy is in use by another lingo"],
        );
        assert_eq!(place.text("busy/train.csv"), before);
        assert_eq!(place.text("busy/config.toml"), config);
    }
    signal(&child, "-CONT");
    succeeded(&child.wait_with_output().unwrap());
    assert_alike(&place, "whole", "busy");
}

/// A run that was killed late, with its checkpoints' steps in order.
fn killed_late(place: &Place) -> Vec<u64> {
    let mut child = begun(place, "killed", &[]).spawn().unwrap();
    wait_for_lines(place, "killed", &mut child, 34);
    child.kill().unwrap();
    child.wait().unwrap();
    let entries = place.path("killed/checkpoint").read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let steps = names.filter_map(|name| name.strip_prefix("step-")?.parse().ok());
    let mut steps: Vec<u64> = steps.collect();
    steps.sort_unstable();
    steps
}

#[test]
fn in_place_of_a_damaged_checkpoint_the_one_before_it_is_used() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    succeeded(&begun(&place, "whole", &[]).output().unwrap());
    let steps = killed_late(&place);
    let newest = format!("killed/checkpoint/step-{}/model.bpk", steps.last().unwrap());
    let mut bytes = std::fs::read(place.path(&newest)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write(&newest, bytes);
    let output = resumed(&place, "killed").output().unwrap();
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("model.bpk is damaged"), "{said}");
    assert_alike(&place, "whole", "killed");
}

#[test]
fn what_would_not_be_the_same_run_is_refused_by_name_and_nothing_is_touched() {
    let place = Place::new();
    place.run_file("adaptive-rank-sampling");
    let steps = killed_late(&place);
    let resume = |more: &[&str]| place.lingo(&[&["train", "--resume", "killed"], more].concat());
    refused(
        &resume(&["--set", "train.epochs=9"]),
        &["train.epochs", "goes on as it began"],
    );

    let config = place.text("killed/config.toml");
    place.write(
        "killed/config.toml",
        config.replace("max_grad_norm = 1.0", "max_grad_norm = 2.0"),
    );
    refused(&resume(&[]), &["train.max_grad_norm was 1.0 and is 2.0"]);
    place.write("killed/config.toml", config);

    let train = place.text("data/train.csv");
    let (first, rest) = train.split_at(train.find('\n').unwrap() + 2);
    let base = if rest.starts_with('A') { 'C' } else { 'A' };
    place.write("data/train.csv", format!("{first}{base}{}", &rest[1..]));
    refused(&resume(&[]), &["data.train", "not those it began with"]);
    place.write("data/train.csv", train);

    let model = place.copy_model("other").join("model.safetensors");
    let mut weights = std::fs::read(&model).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    std::fs::write(&model, weights).unwrap();
    refused(&resume(&["--set", "model=other"]), &["model", "weights"]);

    // The same model elsewhere is the same.
    place.copy_model("moved");
    for step in &steps {
        assert!(
            place
                .path(&format!("killed/checkpoint/step-{step}"))
                .is_dir()
        );
    }
    succeeded(&resume(&["--set", "model=moved"]));

    place.write("empty/config.toml", place.text("killed/config.toml"));
    refused(
        &place.lingo(&["train", "--resume", "empty"]),
        &["no whole checkpoint", "--overwrite"],
    );
    refused(
        &place.lingo(&["train", "--resume", "data"]),
        &["no run folder"],
    );
}

#[test]
fn early_stopping_ends_a_run_behind_the_evaluation_at_which_patience_is_at_its_end() {
    let place = Place::new();
    place.run_file("adalora");
    // Hardly any learning: after the first evaluation that counts none is better by so much.
    let more = [
        "train.learning_rate=1e-9",
        "train.patience=3",
        "train.min_delta=0.5",
        "train.stop_by=loss",
        "train.eval_every=4",
    ];
    let output = begun(&place, "run", &more).output().unwrap();
    succeeded(&output);
    let metrics = place.csv("run/metrics.csv");
    // Ranks are fixed from step 24 on: that evaluation is the mark, and three more do not reach it.
    assert_eq!(
        metrics.column("step"),
        ["4", "8", "12", "16", "20", "24", "28", "32", "36"]
    );
    let eligible = metrics.column("eligible");
    assert_eq!(eligible.iter().filter(|cell| **cell == "true").count(), 4);
    assert_eq!(lines(&place, "run/train.csv"), 37);
    let result = place.json("run/result.json");
    assert_eq!(
        (result["steps"].as_u64(), &result["stopped_early"]),
        (Some(36), &true.into())
    );
    assert!(result["test"]["loss"].is_f64());
}
