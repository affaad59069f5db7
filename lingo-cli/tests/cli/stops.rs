//! Runs that do not reach their end: Ctrl-C, and a disk that takes no more. Unix alone has the means to try them.
#![cfg(unix)]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, failed, refused, stderr, stdout, succeeded};

/// A run that would take long, some steps after its start.
fn started(place: &Place) -> Child {
    place.run_file("adaptive-rank-sampling");
    let mut command = in_shell(
        place,
        "exec \"$0\" train run.toml --out run --set train.epochs=2000",
    );
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    wait_for_steps(place);
    child
}

/// A script with the binary as `$0`, in which a file that may not grow is an error, not a signal.
fn in_shell(place: &Place, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args([
        "-c",
        &format!("trap '' XFSZ; {script}"),
        env!("CARGO_BIN_EXE_lingo"),
    ]);
    command
        .current_dir(place.path(""))
        .env_remove("RUST_BACKTRACE");
    command
}

/// Waits until a run has taken some steps and made two evaluations.
fn wait_for_steps(place: &Place) {
    let began = Instant::now();
    let lines = || std::fs::read_to_string(place.path("run/train.csv")).unwrap_or_default();
    while lines().lines().count() < 30 {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "training does not begin"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    kill.args([name, &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

#[test]
fn ctrl_c_leaves_a_whole_adapter_and_says_where() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let place = Place::new();
        let child = started(&place);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        failed(
            &output,
            code,
            &["stopped after", "of 24000 steps", "run/last"],
        );
        assert!(!place.path("run/result.json").exists());
        let record = place.json("run/run.json");
        assert_eq!(record["status"], "interrupted");
        assert_eq!(record["test_scored"], 0);
        assert!(!place.tensors("run/last/adapter.safetensors").is_empty());
        let steps = place.json("run/last/adapter.json")["steps"]
            .as_u64()
            .unwrap();
        assert_eq!(place.csv("run/train.csv").rows.len() as u64, steps);
        assert_eq!(record["steps"], steps);

        succeeded(&place.lingo(&["eval", "run/last", "--data", "data"]));
        refused(
            &place.lingo(&["eval", "run", "--data", "data"]),
            &["did not end", "run/last"],
        );
    }
}

#[test]
fn a_table_of_predictions_that_is_given_up_leaves_nothing_behind() {
    let place = Place::trained("lora", &[]);
    let rows = "ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT\n".repeat(100_000);
    place.write("many.csv", format!("sequence\n{rows}"));
    let files = || {
        let entries = std::fs::read_dir(place.path("out")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<Vec<_>>()
    };
    std::fs::create_dir(place.path("out")).unwrap();
    let mut command = in_shell(
        &place,
        "exec \"$0\" predict run --input many.csv --output out/p.csv",
    );
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while files().is_empty() {
        let waited = began.elapsed() < Duration::from_secs(120);
        assert!(waited, "nothing is written");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        child.try_wait().unwrap().is_none(),
        "it is too fast for this"
    );
    // Ctrl-C takes the same way, but who runs tests in the background may have had it ignored.
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(files().is_empty(), "{:?}", files());
}

/// A long run on a terminal, with the dashboard, and some keys pressed once it has taken some steps.
#[cfg(target_os = "linux")]
fn pressed(place: &Place, keys: &[&[u8]]) -> Output {
    place.run_file("lora");
    let train = "train run.toml --out run --set train.epochs=2000";
    let mut command = Command::new("script");
    let lingo = format!("{} {train}", env!("CARGO_BIN_EXE_lingo"));
    command.args(["-qec", &lingo, "/dev/null"]);
    command.current_dir(place.path("")).env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_for_steps(place);
    let mut keyboard = child.stdin.take().unwrap();
    for key in keys {
        keyboard.write_all(key).unwrap();
        // The dashboard reads one key between two of its pictures.
        std::thread::sleep(Duration::from_secs(1));
    }
    child.wait_with_output().unwrap()
}

/// On a terminal the dashboard is shown, and the key is to do what the signal does.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_on_a_terminal_stops_the_run_too() {
    let place = Place::new();
    let output = pressed(&place, &[b"\x03"]);
    assert_eq!(output.status.code(), Some(130));
    let shown = stdout(&output);
    assert!(shown.contains("stopped after"), "{shown}");
    assert!(!place.tensors("run/last/adapter.safetensors").is_empty());
}

/// Burn's dashboard panics where its user asks for the run to be killed.
#[cfg(target_os = "linux")]
#[test]
fn killed_in_the_dashboard_a_run_keeps_its_best_adapter() {
    let place = Place::new();
    let output = pressed(&place, &[b"q", b"k"]);
    assert_eq!(output.status.code(), Some(130));
    let shown = stdout(&output);
    assert!(shown.contains("killed"), "{shown}");
    assert!(!place.tensors("run/best/adapter.safetensors").is_empty());
    succeeded(&place.lingo(&["eval", "run/best", "--data", "data"]));
}

#[test]
fn a_reader_of_the_progress_that_goes_away_does_not_stop_the_run() {
    let place = Place::new();
    place.run_file("lora");
    let train = "\"$0\" train run.toml --out run --set train.epochs=30 2>&1 >result | head -n 3";
    let mut command = in_shell(&place, &format!("set -o pipefail; {train}"));
    succeeded(&command.output().unwrap());
    assert!(place.text("result").contains("mcc"));
    assert!(place.path("run/result.json").exists());
}

/// Trains where no file may grow beyond `kib` KiB, which a process cannot tell from a disk that is full.
fn train_within(place: &Place, kib: usize, set: &str) -> Output {
    place.run_file("adaptive-rank-sampling");
    let train = format!("ulimit -f {kib}; exec \"$0\" train run.toml --out run --set {set}");
    in_shell(place, &train).output().unwrap()
}

#[test]
fn a_full_disk_is_one_message_and_what_was_written_is_whole() {
    let every_epoch = "train.eval_every=0";
    for (kib, set, what) in [
        (0, every_epoch, "run/config.toml"),
        (4, "train.epochs=20", "run/"),
        (2, every_epoch, "run/run.json"),
        (8, "train.eval_every=48", "run/tensorboard"),
        (100, every_epoch, "run/checkpoint"),
        (200, every_epoch, "run/checkpoint"),
    ] {
        let place = Place::new();
        let output = train_within(&place, kib, set);
        refused(&output, &[what, "File too large"]);
        let said = stderr(&output);
        assert_eq!(said.matches("File too large").count(), 1, "{said}");
        assert!(!place.path("run/result.json").exists());
        assert!(!place.path("run/best").exists());
        let last = place.path("run/last/adapter.safetensors").exists();
        assert_eq!(last, kib >= 100, "{kib} KiB");
        if last {
            succeeded(&place.lingo(&["eval", "run/last", "--data", "data"]));
        }
    }
}

/// The limit falls below a checkpoint's size while the run is under way.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint_whole() {
    let place = Place::new();
    let child = started(&place);
    let sizes = || -> Vec<u64> {
        let entries = std::fs::read_dir(place.path("run/checkpoint")).unwrap();
        let models = entries.map(|entry| entry.unwrap().path().join("model.bpk"));
        models
            .filter_map(|model| Some(model.metadata().ok()?.len()))
            .collect()
    };
    let mut limit = Command::new("prlimit");
    limit.args(["--fsize=100000", "--pid", &child.id().to_string()]);
    assert!(limit.status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    refused(&output, &["run/checkpoint", "File too large", "are kept"]);
    let sizes = sizes();
    assert!(!sizes.is_empty());
    assert!(sizes.iter().all(|size| *size > 100_000), "{sizes:?}");
    succeeded(&place.lingo(&["eval", "run/last", "--data", "data"]));
}

#[test]
fn a_full_disk_leaves_no_part_of_a_table_of_predictions() {
    let place = Place::trained("lora", &[]);
    let script = "ulimit -f 1; exec \"$0\" predict run --input data/test.csv --output p.csv";
    let output = in_shell(&place, script).output().unwrap();
    refused(&output, &["p.csv", "File too large"]);
    let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().collect();
    assert_eq!(left.len(), 3, "data, run and run.toml alone: {left:?}");
}

#[test]
fn settings_that_can_bring_nothing_are_said_before_training() {
    let place = Place::new();
    place.run_file("adalora");
    let said = |set: &[&str]| {
        let output = place.train(&[&["--overwrite", "--set", "train.epochs=1"], set].concat());
        succeeded(&output);
        stderr(&output)
    };
    let patient =
        "note        train.patience = 3 cannot end this run early: 1 of its evaluations count";
    let level = "adapter.initial_rank is adapter.target_rank";
    let quiet = said(&[]);
    assert!(
        !quiet.contains("cannot end") && !quiet.contains(level),
        "{quiet}"
    );
    let loud = said(&[
        "--set",
        "train.patience=3",
        "--set",
        "adapter.target_rank=12",
    ]);
    assert!(loud.contains(patient) && loud.contains(level), "{loud}");
}
