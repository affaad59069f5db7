//! The training step: parts of a batch, clipping, gradients that are not finite, records.

use burn::module::{Module, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::TrainStep;
use lingo_core::adapter::{LowRank, LowRankConfig};
use lingo_core::nn::Precision;
use lingo_core::nn::noise::MaskSource;
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};
use lingo_tests::{Expected, classifier_in, distance, fixture, magnitude};
use lingo_train::data::{Batch, Label};
use lingo_train::step::{Clock, StepConfig, Trainee};
use lingo_train::workers::{Compute, Workers};

const RANK: usize = 4;
const TOTAL_STEPS: u64 = 10;

struct Setup {
    workers: usize,
    dropout: f64,
    accumulation: usize,
    max_grad_norm: f64,
    /// Of the step, which scales the loss in f16.
    precision: Precision,
    /// Of the model.
    model: Precision,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 1,
            dropout: 0.0,
            accumulation: 1,
            max_grad_norm: 0.0,
            precision: Precision::F32,
            model: Precision::F32,
        }
    }
}

impl Setup {
    /// The tiny OPT under adaptive rank sampling, all as at the start of a run.
    fn trainee(&self) -> Trainee {
        let device = Device::flex().autodiff();
        let mut model = classifier_in(&fixture("opt_pre_ln"), &device, self.model, false);
        model.score.weight = Param::from_tensor(model.score.weight.val());
        let adapter = LowRankConfig {
            rank: RANK,
            alpha: 32.0,
            dropout: self.dropout,
            singular_values: true,
        };
        let all: Vec<usize> = (0..model.projection_paths().len()).collect();
        model.attach(&all, &adapter, 7);
        let ranks = RankConfig {
            policy: RankPolicy::AdaptiveRankSampling { p: 0.2 },
            schedule: BudgetSchedule::new(all.len(), [RANK, 2], 0, 0.2, 2, TOTAL_STEPS).unwrap(),
            beta1: 0.85,
            beta2: 0.85,
            seed: 7,
        };
        let adapters = model.adapters();
        let adapters: Vec<&LowRank> = adapters.iter().map(|(_, a)| *a).collect();
        let ranks = RankController::new(ranks, &adapters, &device);
        let config = StepConfig {
            seed: 7,
            masks: MaskSource::Host,
            orthogonality: 0.5,
            accumulation: self.accumulation,
            max_grad_norm: self.max_grad_norm,
            precision: self.precision,
            gradient_checkpointing: false,
        };
        let workers = Workers::new(
            &Compute::Host {
                threads: self.workers,
            },
            self.workers,
        )
        .unwrap();
        Trainee::new(model, Some(ranks), config, workers, Clock::default())
    }
}

fn batch(number: u64) -> Batch {
    Batch {
        number,
        ..Expected::read("opt_pre_ln/expected.safetensors").batch("")
    }
}

fn adam() -> ModuleOptimizer {
    AdamWConfig::new()
        .with_epsilon(1e-8)
        .with_weight_decay(5e-3)
        .init()
}

fn step(trainee: Trainee, optimizer: &mut ModuleOptimizer, number: u64) -> (Trainee, TensorData) {
    let output = trainee.step(batch(number));
    let loss = output.item.loss.into_data();
    (trainee.optimize(optimizer, 1e-2.into(), output.grads), loss)
}

/// All trained values: P, Q and λ of each adapter, and the head.
fn values(trainee: &Trainee) -> Vec<TensorData> {
    let model = &trainee.trained.classifier;
    let adapters = model.adapters();
    let adapters = adapters.iter().flat_map(|(_, a)| {
        let lambda = a.lambda.as_ref().unwrap().val().into_data();
        [a.p.val().into_data(), a.q.val().into_data(), lambda]
    });
    adapters
        .chain([model.score.weight.val().into_data()])
        .collect()
}

fn gradients(trainee: &Trainee, gradients: &GradientsParams) -> Vec<TensorData> {
    let model = &trainee.trained.classifier;
    let adapters = model.adapters();
    let of = |param: &Param<Tensor<2>>| gradients.get::<2>(param.id).unwrap().into_data();
    let adapters = adapters.iter().flat_map(|(_, a)| {
        let lambda = a.lambda.as_ref().unwrap().id;
        [
            of(&a.p),
            of(&a.q),
            gradients.get::<1>(lambda).unwrap().into_data(),
        ]
    });
    adapters.chain([of(&model.score.weight)]).collect()
}

fn farthest(a: &[TensorData], b: &[TensorData]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| distance(a, b))
        .fold(0.0, f32::max)
}

#[test]
fn the_parts_of_a_batch_add_up_to_the_whole() {
    // Each sequence has dropout draws of its own, so that this holds with dropout too.
    let whole = Setup {
        dropout: 0.3,
        ..Setup::default()
    };
    let (mut one, _) = step(whole.trainee(), &mut adam(), 0);
    one = step(one, &mut adam(), 1).0;
    for workers in [2, 3, 5] {
        let setup = Setup {
            workers,
            dropout: 0.3,
            ..Setup::default()
        };
        let (mut many, _) = step(setup.trainee(), &mut adam(), 0);
        many = step(many, &mut adam(), 1).0;
        let (a, b) = (one.step(batch(2)), many.step(batch(2)));
        let far = distance(&a.item.loss.into_data(), &b.item.loss.into_data());
        assert!(far < 1e-5, "{workers} workers, loss: {far}");
        let far = farthest(&gradients(&one, &a.grads), &gradients(&many, &b.grads));
        assert!(far < 1e-4, "{workers} workers, gradients: {far}");
    }
}

/// The batch as one of labels, of which some are unknown: all of the second row, and others by turns.
fn batch_of_marks(outputs: usize) -> Batch {
    let batch = batch(0);
    let mark = |row: usize, label: usize| match (row, (row + label) % 4) {
        (1, _) | (_, 3) => None,
        (_, turn) => Some(turn == 0),
    };
    let row = |row| Label::Marks((0..outputs).map(|label| mark(row, label)).collect());
    let labels: Vec<Label> = (0..batch.size()).map(row).collect();
    Batch {
        known_in_step: labels.iter().map(Label::known).sum(),
        labels,
        ..batch
    }
}

#[test]
fn every_known_label_weighs_alike_however_a_step_is_divided() {
    let one = Setup::default().trainee();
    let batch = batch_of_marks(one.trained.classifier.classes());
    let whole = one.step(batch.clone());
    assert!(whole.item.loss.clone().into_scalar::<f32>() > 0.1);
    // Among workers.
    for workers in [2, 3, 5] {
        let setup = Setup {
            workers,
            ..Setup::default()
        };
        let many = setup.trainee();
        let parts = many.step(batch.clone());
        let far = distance(
            &whole.item.loss.clone().into_data(),
            &parts.item.loss.into_data(),
        );
        assert!(far < 1e-5, "{workers} workers, loss: {far}");
        let far = farthest(
            &gradients(&one, &whole.grads),
            &gradients(&many, &parts.grads),
        );
        assert!(far < 1e-5, "{workers} workers, gradients: {far}");
    }
    // Among the batches of a step: the first of two has fewer rows, and of one of them nothing is known.
    let halved = Setup {
        accumulation: 2,
        ..Setup::default()
    }
    .trainee();
    let rows = |rows: std::ops::Range<usize>| {
        let width = batch.shape[1];
        Batch {
            number: u64::from(rows.start > 0),
            ids: batch.ids[rows.start * width..rows.end * width].to_vec(),
            shape: [rows.len(), width],
            lengths: batch.lengths[rows.clone()].to_vec(),
            labels: batch.labels[rows.clone()].to_vec(),
            indices: rows.collect(),
            known_in_step: batch.known(),
        }
    };
    let (first, second) = (halved.step(rows(0..2)), halved.step(rows(2..batch.size())));
    let pairs = gradients(&halved, &first.grads)
        .into_iter()
        .zip(gradients(&halved, &second.grads));
    let sums: Vec<TensorData> = pairs
        .map(|(a, b)| {
            let sum = a.iter::<f32>().zip(b.iter::<f32>()).map(|(a, b)| a + b);
            TensorData::new(sum.collect::<Vec<f32>>(), a.shape().to_vec())
        })
        .collect();
    let far = farthest(&gradients(&one, &whole.grads), &sums);
    assert!(far < 1e-5, "{far}");
}

#[test]
fn accumulated_gradients_are_averaged() {
    let whole = Setup::default().trainee();
    let halved = Setup {
        accumulation: 2,
        ..Setup::default()
    }
    .trainee();
    let half = Batch {
        known_in_step: 2 * batch(0).size(),
        ..batch(0)
    };
    let (a, b) = (whole.step(batch(0)), halved.step(half));
    // Each of two equal batches gives half of the gradient, penalty included; the loss is reported in full.
    assert_eq!(a.item.loss.into_data(), b.item.loss.into_data());
    let far = distance(
        &a.item.penalty.unwrap().into_data(),
        &b.item.penalty.unwrap().into_data(),
    );
    assert!(far < 1e-6, "{far}");
    for (whole, half) in gradients(&whole, &a.grads)
        .iter()
        .zip(gradients(&halved, &b.grads))
    {
        let values: Vec<f32> = half.iter::<f32>().map(|v| v * 2.0).collect();
        let twice = TensorData::new(values, half.shape().to_vec());
        assert!(distance(whole, &twice) < 1e-6);
    }
}

#[test]
fn clipping_bounds_the_norm_of_all_gradients_together() {
    let change = |max_grad_norm| {
        let trainee = Setup {
            max_grad_norm,
            ..Setup::default()
        }
        .trainee();
        let before = values(&trainee);
        let output = trainee.step(batch(0));
        let mut sgd = SgdConfig::new().init();
        let after = values(&trainee.optimize(&mut sgd, 1.0.into(), output.grads));
        let squares = before.iter().zip(&after).flat_map(|(a, b)| {
            let pairs = a.iter::<f32>().zip(b.iter::<f32>()).collect::<Vec<_>>();
            pairs.into_iter().map(|(a, b)| f64::from(a - b).powi(2))
        });
        squares.sum::<f64>().sqrt()
    };
    let norm = change(0.0);
    assert!(norm > 0.1, "{norm}");
    assert!((change(norm / 4.0) - norm / 4.0).abs() < 1e-4 * norm);
    assert!((change(norm * 2.0) - norm).abs() < 1e-6 * norm);
}

#[test]
fn gradients_that_are_not_finite_change_nothing_and_are_reported() {
    let mut optimizer = adam();
    let (trainee, _) = step(Setup::default().trainee(), &mut optimizer, 0);
    let before = values(&trainee);
    let averages = |trainee: &Trainee| {
        let ranks = trainee.trained.ranks.as_ref().unwrap();
        ranks.matrices[0].p.sensitivity.val().into_data()
    };
    let remembered = averages(&trainee);
    let mut output = trainee.step(batch(1));
    let head = trainee.trained.classifier.score.weight.id;
    let poisoned = output.grads.remove::<2>(head).unwrap() * f32::NAN;
    output.grads.register(head, poisoned);
    let trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
    assert!(!output.item.update.as_ref().unwrap().get().unwrap().finite);
    // The step is counted: step 2 allocates, which zeroes singular values and touches nothing else.
    let after = values(&trainee);
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let is_lambda = i % 3 == 2 && i + 1 < values(&trainee).len();
        assert!(is_lambda || before == after, "tensor {i}");
    }
    assert_eq!(remembered, averages(&trainee));
    assert!(
        output
            .item
            .update
            .unwrap()
            .get()
            .unwrap()
            .allocation
            .is_some()
    );
}

/// Every tensor that rank control remembers of the first matrix.
fn remembered(trainee: &Trainee) -> [TensorData; 2] {
    let matrix = &trainee.trained.ranks.as_ref().unwrap().matrices[0];
    [&matrix.p.sensitivity, &matrix.q.uncertainty].map(|average| average.val().into_data())
}

fn loss_scale(trainee: &Trainee) -> f64 {
    trainee.trained.loss_scale.as_ref().unwrap().value()
}

#[test]
fn a_scaled_loss_changes_nothing_but_the_gradients_on_their_way() {
    let run = |precision| {
        let setup = Setup {
            precision,
            accumulation: 2,
            // Below their norm, so that they are clipped.
            max_grad_norm: 0.05,
            ..Setup::default()
        };
        let mut optimizer = adam();
        let mut trainee = setup.trainee();
        let output = trainee.step(batch(1));
        let reported = [output.item.loss, output.item.penalty.unwrap()].map(Tensor::into_data);
        let norm = magnitude(&gradients(&trainee, &output.grads)[0]);
        trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
        (reported, values(&trainee), remembered(&trainee), norm)
    };
    // A power of two is exact.
    let (plain, scaled) = (run(Precision::F32), run(Precision::F16));
    assert_eq!(plain.0[0], scaled.0[0]);
    assert!(distance(&plain.0[1], &scaled.0[1]) < 1e-6);
    let far = farthest(&plain.1, &scaled.1);
    assert!(far < 1e-6, "{far}");
    let far = farthest(&plain.2, &scaled.2);
    assert!(far < 1e-6 * magnitude(&plain.2[0]), "{far}");
    assert!((scaled.3 / plain.3 / 65536.0 - 1.0).abs() < 1e-4);
}

#[test]
fn an_overflow_in_f16_skips_the_step_and_halves_the_scale_which_records_keep() {
    let setup = Setup {
        precision: Precision::F16,
        ..Setup::default()
    };
    let mut optimizer = adam();
    let trainee = setup.trainee();
    let before = values(&trainee);
    let averages = remembered(&trainee);
    let mut output = trainee.step(batch(0));
    let head = trainee.trained.classifier.score.weight.id;
    let poisoned = output.grads.remove::<2>(head).unwrap() * f32::INFINITY;
    output.grads.register(head, poisoned);
    let trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
    let update = output.item.update.unwrap();
    let update = update.get().unwrap();
    assert!(update.overflowed && !update.finite);
    assert_eq!(loss_scale(&trainee), 32768.0);
    assert_eq!(values(&trainee), before);
    assert_eq!(remembered(&trainee), averages);

    let record = trainee.clone().into_record();
    let record = ModuleRecord::from_bytes(record.into_bytes().unwrap()).unwrap();
    let restored = setup.trainee().try_load_record(record).unwrap();
    assert_eq!(loss_scale(&restored), 32768.0);
    let (trainee, _) = step(restored, &mut optimizer, 1);
    assert_eq!(loss_scale(&trainee), 32768.0);
    assert_ne!(values(&trainee), before);
}

#[test]
fn training_in_16_bits_follows_that_in_32() {
    let train = |precision: Precision| {
        let setup = Setup {
            precision,
            model: precision,
            workers: 2,
            ..Setup::default()
        };
        let (mut trainee, mut optimizer) = (setup.trainee(), adam());
        let mut losses = Vec::new();
        let mut number = 0;
        // Steps that overflow in f16 are taken again with a lower scale.
        while losses.len() < 6 {
            let output = trainee.step(batch(number));
            let loss = output.item.loss.into_data().iter::<f64>().next().unwrap();
            trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
            let update = output.item.update.unwrap();
            if update.get().unwrap().finite {
                losses.push(loss);
            }
            number += 1;
            assert!(number < 20, "{precision:?}");
        }
        losses
    };
    let expected = train(Precision::F32);
    assert!(expected[5] < 0.5 * expected[0], "{expected:?}");
    for precision in [Precision::Bf16, Precision::F16] {
        for (found, expected) in train(precision).iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 0.05,
                "{precision:?}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn a_run_restored_from_records_goes_on_bit_for_bit() {
    let setup = Setup {
        dropout: 0.1,
        workers: 2,
        ..Setup::default()
    };
    let (mut whole, mut optimizer) = (setup.trainee(), adam());
    for number in 0..5 {
        whole = step(whole, &mut optimizer, number).0;
    }
    let record = whole.clone().into_record();
    // P, Q, λ, six averages and a mask for each matrix, the head and the count of steps; no pretrained weight.
    let matrices = whole.trained.classifier.adapters().len();
    assert_eq!(record.len(), matrices * 10 + 2);
    let record = ModuleRecord::from_bytes(record.into_bytes().unwrap()).unwrap();
    let mut restored = setup.trainee().try_load_record(record).unwrap();
    let mut restored_optimizer = adam().from_bytes(optimizer.into_bytes().unwrap()).unwrap();
    assert_eq!(values(&whole), values(&restored));

    for number in 5..TOTAL_STEPS {
        let (a, b) = (
            step(whole, &mut optimizer, number),
            step(restored, &mut restored_optimizer, number),
        );
        assert_eq!(a.1, b.1, "loss of step {number}");
        (whole, restored) = (a.0, b.0);
    }
    assert_eq!(values(&whole), values(&restored));
    let survivors = |trainee: &Trainee| trainee.trained.ranks.as_ref().unwrap().survivors();
    assert_eq!(survivors(&whole), survivors(&restored));
    assert_eq!(survivors(&whole).concat().len(), 2 * matrices);
}

#[test]
fn evaluation_and_back_leaves_the_trained_parameters_trained() {
    let mut optimizer = adam();
    let (trainee, _) = step(Setup::default().trainee(), &mut optimizer, 0);
    let (trainee, _) = step(trainee, &mut optimizer, 1); // allocates
    let trained = |trainee: &Trainee| {
        let adapters = trainee.trained.classifier.adapters();
        let all = adapters.iter().all(|(_, a)| {
            let lambda = a.lambda.as_ref().unwrap().val();
            a.p.val().is_require_grad() && a.q.val().is_require_grad() && lambda.is_require_grad()
        });
        all && trainee
            .trained
            .classifier
            .score
            .weight
            .val()
            .is_require_grad()
    };
    assert!(trained(&trainee));
    let back = trainee.valid().train();
    assert!(trained(&back));
    assert_eq!(values(&trainee), values(&back));
}
