#![allow(clippy::unwrap_used)]
use std::path::Path;

use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use lingo_core::adapter::LowRank;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::checkpoint::{FOLDER, Found};
use crate::metric::Scores;
use crate::record::Evaluation;

fn find(run: &Path) -> Result<Found, CheckpointError> {
    crate::checkpoint::find(run)
}

fn adapter(value: f32) -> LowRank {
    let device = Device::flex();
    let full = |shape| Tensor::<2>::full(shape, value, &device);
    LowRank::new(full([2, 1]), full([1, 3]), None, 1.0, 0.0)
}

fn snapshot(step: u64) -> Snapshot {
    let optimizer: ModuleOptimizer = AdamWConfig::new().init();
    Snapshot {
        step,
        train_secs: step as f64,
        model: adapter(step as f32).into_record(),
        optimizer: optimizer.to_record(),
    }
}

fn state(step: u64) -> RunState {
    RunState {
        steps: step,
        ..RunState::default()
    }
}

fn checkpoints() -> (TempDir, Checkpoints) {
    let run = tempdir().unwrap();
    let dir = run.path().join(FOLDER);
    fs::create_dir(&dir).unwrap();
    (run, Checkpoints::new(dir, Origin::default()))
}

fn save(checkpoints: &mut Checkpoints, step: u64, best: Option<u64>) {
    let logs = LogLengths::default();
    checkpoints
        .save(snapshot(step), &state(step), best, logs)
        .unwrap();
}

fn on_disk(run: &Path) -> Vec<u64> {
    let entries = run.join(FOLDER).read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<u64> = names
        .map(|name| super::super::step_of(&name).unwrap())
        .collect();
    steps.sort_unstable();
    steps
}

#[test]
fn the_two_newest_stay_and_what_each_of_them_knows_to_be_the_best() {
    let (run, mut checkpoints) = checkpoints();
    let mut best = None;
    // The best evaluation is that of step 2, until that of step 6 is better; step 5 knows of 2 alone.
    for (step, expected) in [
        (1, vec![1]),
        (2, vec![1, 2]),
        (3, vec![2, 3]),
        (4, vec![2, 3, 4]),
        (5, vec![2, 4, 5]),
        (6, vec![2, 5, 6]),
        (7, vec![6, 7]),
        (8, vec![6, 7, 8]),
    ] {
        save(&mut checkpoints, step, best);
        if step == 2 || step == 6 {
            best = Some(step);
        }
        let logs = LogLengths::default();
        checkpoints.evaluated(&state(step), best, logs).unwrap();
        assert_eq!(on_disk(run.path()), expected, "step {step}");
        assert!(expected.iter().all(|step| checkpoints.hold(*step)));
    }
}

#[test]
fn an_evaluation_is_added_to_the_checkpoint_of_its_step_with_every_digit() {
    let (run, mut checkpoints) = checkpoints();
    save(&mut checkpoints, 4, None);
    let scores = Scores::from_logits(&[0.1, 0.3, -0.7, 0.2], 2, &[0, 1]).unwrap();
    let evaluated = RunState {
        evaluations: vec![Evaluation {
            round: 1,
            step: 4,
            elapsed_secs: 0.1 + 0.2,
            flops: 0.0,
            flops_adjusted_step: 0.0,
            eligible: true,
            scores: Scores {
                loss: f64::NAN,
                ..scores
            },
        }],
        ..state(4)
    };
    let logs = LogLengths::default();
    checkpoints
        .evaluated(&evaluated, Some(4), logs.clone())
        .unwrap();
    let found = find(run.path()).unwrap();
    assert_eq!(found.state.best, Some(4));
    let [of_disk, expected] = [&found.state.run, &evaluated].map(|run| format!("{run:?}"));
    assert_eq!(of_disk, expected);
    // Of another step there is nothing to add to.
    checkpoints.evaluated(&state(5), None, logs).unwrap();
    assert_eq!(find(run.path()).unwrap().state.best, Some(4));
}

#[test]
fn a_checkpoint_that_was_spoiled_is_told_and_the_one_before_is_found() {
    for file in [MODEL, OPTIMIZER, STATE] {
        let spoil: [fn(&mut Vec<u8>); 3] = [
            |bytes| *bytes.last_mut().unwrap() ^= 1,
            |bytes| bytes.truncate(bytes.len() / 2),
            Vec::clear,
        ];
        for spoil in spoil {
            let (run, mut checkpoints) = checkpoints();
            save(&mut checkpoints, 1, None);
            save(&mut checkpoints, 2, None);
            let path = run.path().join(FOLDER).join(name(2)).join(file);
            let mut bytes = fs::read(&path).unwrap();
            spoil(&mut bytes);
            fs::write(&path, bytes).unwrap();

            let found = find(run.path()).unwrap();
            assert_eq!(found.state.run.steps, 1, "{file}");
            assert_eq!(found.damaged.len(), 1);
            assert!(found.damaged[0].contains(file), "{:?}", found.damaged);
            found.tensors().unwrap();
            let mut checkpoints = found.go_on(Origin::default());
            assert_eq!(on_disk(run.path()), [1]);
            save(&mut checkpoints, 2, None);
            assert_eq!(find(run.path()).unwrap().state.run.steps, 2);
        }
    }
}

#[test]
fn a_run_that_went_on_elsewhere_goes_on_from_there() {
    let (run, mut checkpoints) = checkpoints();
    save(&mut checkpoints, 1, None);
    let elsewhere = Origin {
        device: "elsewhere".to_owned(),
        workers: 3,
        ..Origin::default()
    };
    let found = find(run.path()).unwrap();
    assert_eq!(found.state.origin, Origin::default());
    save(&mut found.go_on(elsewhere.clone()), 2, None);
    assert_eq!(find(run.path()).unwrap().state.origin, elsewhere);
}

#[test]
fn half_a_checkpoint_is_none() {
    let (run, mut checkpoints) = checkpoints();
    let none = find(run.path()).unwrap_err().to_string();
    assert!(none.contains("--overwrite"), "{none}");
    save(&mut checkpoints, 1, None);
    // As a kill in the middle of saving, or of removing, leaves them.
    let dir = run.path().join(FOLDER);
    fs::create_dir(dir.join("step-2.partial")).unwrap();
    fs::write(dir.join("step-2.partial").join(MODEL), "half").unwrap();
    save(&mut checkpoints, 3, None);
    fs::remove_file(dir.join(name(3)).join(STATE)).unwrap();
    let found = find(run.path()).unwrap();
    assert_eq!(found.state.run.steps, 1);
    found.go_on(Origin::default());
    assert_eq!(on_disk(run.path()), [1]);
}

#[test]
fn where_saving_fails_nothing_is_removed() {
    let (run, mut checkpoints) = checkpoints();
    save(&mut checkpoints, 1, None);
    save(&mut checkpoints, 2, None);
    // A file stands where the folder is to be.
    fs::write(run.path().join(FOLDER).join("step-3.partial"), "").unwrap();
    let logs = LogLengths::default();
    let error = checkpoints.save(snapshot(3), &state(3), None, logs);
    assert!(error.unwrap_err().to_string().contains("step-3"));
    assert!(checkpoints.hold(1) && checkpoints.hold(2) && !checkpoints.hold(3));
    checkpoints.model(1).unwrap();
    checkpoints.model(2).unwrap();
}

#[test]
fn the_best_evaluations_checkpoint_is_verified_too_and_what_is_lost_is_said() {
    let (run, mut checkpoints) = checkpoints();
    for (step, best) in [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(1))] {
        save(&mut checkpoints, step, best);
    }
    assert_eq!(on_disk(run.path()), [1, 3, 4]);
    let found = find(run.path()).unwrap();
    assert!(found.lost.is_empty() && found.damaged.is_empty());
    assert!(found.go_on(Origin::default()).hold(1));

    for file in [MODEL, STATE] {
        let path = run.path().join(FOLDER).join(name(1)).join(file);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, damaged).unwrap();
        let found = find(run.path()).unwrap();
        assert_eq!(found.state.run.steps, 4);
        assert_eq!(found.lost.len(), 1, "{file}");
        assert!(found.lost[0].contains("step-1"), "{}", found.lost[0]);
        fs::write(&path, whole).unwrap();
    }
    fs::remove_dir_all(run.path().join(FOLDER).join(name(1))).unwrap();
    let found = find(run.path()).unwrap();
    assert_eq!(found.lost.len(), 1);
    assert!(!found.go_on(Origin::default()).hold(1));
}
