#![allow(clippy::unwrap_used)]
use burn::module::Module as _;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use lingo_core::adapter::LowRank;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::checkpoint::Origin;
use crate::metric::Scores;

fn evaluation(step: u64, value: f64, eligible: bool) -> Evaluation {
    Evaluation {
        round: step as usize + 1,
        step,
        elapsed_secs: 0.0,
        flops: 0.0,
        flops_adjusted_step: 0.0,
        eligible,
        scores: Scores {
            mcc: value,
            loss: value,
            ..Scores::from_logits(&[0.0, 0.0], 2, &[0]).unwrap()
        },
    }
}

fn ledger_in(dir: &TempDir, rules: Rules, evaluations: &[(f64, bool)]) -> SharedLedger {
    let files = RecordFiles::create(dir.path(), &[]).unwrap();
    let checkpoints = Checkpoints::new(dir.path().to_owned(), Origin::default());
    let evaluations = (0..).zip(evaluations);
    let state = RunState {
        evaluations: evaluations
            .map(|(step, (value, eligible))| evaluation(step, *value, *eligible))
            .collect(),
        ..RunState::default()
    };
    Ledger::new(files, checkpoints, Interrupter::new(), rules, state)
}

fn ledger(rules: Rules, evaluations: &[(f64, bool)]) -> SharedLedger {
    ledger_in(&tempdir().unwrap(), rules, evaluations)
}

fn rules(select_by: MetricName) -> Rules {
    Rules {
        select_by,
        eligible_from: 0,
        stopping: Stopping {
            metric: select_by,
            patience: 2,
            min_delta: 0.0,
        },
        max_skipped_steps: 3,
    }
}

#[test]
fn the_best_is_eligible_the_first_of_equals_and_in_the_metrics_own_direction() {
    let evaluations = [
        (0.9, false),
        (0.3, true),
        (0.5, true),
        (0.5, true),
        (0.1, true),
    ];
    let best = |select_by, counts: fn(&Evaluation) -> bool| {
        let ledger = ledger(rules(select_by), &evaluations);
        lock(&ledger).best(counts).map(|best| best.round)
    };
    assert_eq!(best(MetricName::Mcc, |_| true), Some(3));
    assert_eq!(best(MetricName::Loss, |_| true), Some(5));
    // One that has no checkpoint cannot be restored.
    assert_eq!(best(MetricName::Mcc, |e| e.round != 3), Some(4));
    assert_eq!(best(MetricName::Mcc, |_| false), None);
    // One class alone has no AUROC: undefined, which is better than nothing.
    assert_eq!(best(MetricName::Auroc, |_| true), Some(2));
}

#[test]
fn where_the_best_checkpoint_is_lost_the_best_that_is_left_stays() {
    let dir = tempdir().unwrap();
    // The first evaluation was the best one, and has no checkpoint any more.
    let ledger = ledger_in(&dir, rules(MetricName::Mcc), &[(0.9, true)]);
    let mut ledger = lock(&ledger);
    let optimizer: ModuleOptimizer = AdamWConfig::new().init();
    for (step, mcc) in [(1, 0.6), (2, 0.5), (3, 0.4), (4, 0.5)] {
        ledger.count_step(true);
        let ones = |shape| Tensor::<2>::ones(shape, &Device::flex());
        ledger.save(Snapshot {
            step,
            train_secs: 0.0,
            model: LowRank::new(ones([2, 1]), ones([1, 3]), None, 1.0, 0.0).into_record(),
            optimizer: optimizer.to_record(),
        });
        ledger.evaluated(evaluation(step, mcc, true));
    }
    assert!(ledger.failure.is_none());
    let held = [0, 1, 2, 3, 4].map(|step| ledger.checkpoints().hold(step));
    assert_eq!(held, [false, true, false, true, true]);
}

#[test]
fn evaluations_before_the_ranks_are_fixed_neither_use_up_patience_nor_set_the_mark() {
    let stops = |evaluations: &[(f64, bool)]| {
        let ledger = ledger(rules(MetricName::Mcc), evaluations);
        lock(&ledger).stops_early()
    };
    let early = [(0.9, false), (0.8, false), (0.7, false), (0.6, false)];
    assert!(!stops(&early));
    let then = |more: &[(f64, bool)]| stops(&[&early, more].concat());
    assert!(!then(&[(0.5, true), (0.4, true)]));
    assert!(then(&[(0.5, true), (0.4, true), (0.5, true)]));
    assert!(!then(&[(0.5, true), (0.4, true), (0.6, true)]));
}

#[test]
fn only_skipped_steps_in_a_row_end_a_run() {
    let ledger = ledger(rules(MetricName::Mcc), &[]);
    let mut ledger = lock(&ledger);
    for finite in [false, false, true, false, false] {
        ledger.count_step(finite);
    }
    assert!(ledger.failure.is_none());
    ledger.count_step(false);
    let failure = ledger.failure.take().unwrap().to_string();
    for part in ["3 steps in a row", "up to step 6", "those of step 3"] {
        assert!(failure.contains(part), "{failure}");
    }
    assert!(ledger.interrupter.should_stop());
    assert_eq!((ledger.state.steps, ledger.state.skipped), (6, 5));
}
