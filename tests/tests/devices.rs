//! Several devices. The CPU backend has one alone, which stands for all of them here: what is copied, moved back and
//! added up is the same.

use burn::module::{Module, Param};
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, TensorData};
use burn::train::{InferenceStep, TrainStep};
use lingo_core::adapter::LowRankConfig;
use lingo_core::models::Classifier;
use lingo_core::nn::Precision;
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};
use lingo_tests::{Expected, classifier, distance, fixture};
use lingo_train::data::Batch;
use lingo_train::step::{Clock, StepConfig, Trainee};
use lingo_train::workers::{Compute, Workers};

const STEPS: u64 = 12;

/// The tiny OPT, with adapters under adaptive rank sampling or trained whole, as at the start of a run.
fn trainee(devices: usize, whole: bool, checkpointing: bool) -> Trainee {
    let device = Device::flex().autodiff();
    let compute = match devices {
        1 => Compute::HostAlone,
        n => Compute::Devices(vec![Device::flex(); n]),
    };
    let mut model = classifier(&fixture("opt_pre_ln"), &device);
    model.score.weight = Param::from_tensor(model.score.weight.val());
    let mut ranks = None;
    if whole {
        model = model.set_require_grad(true);
    } else {
        let adapter = LowRankConfig {
            rank: 4,
            alpha: 32.0,
            dropout: 0.2,
            singular_values: true,
        };
        let all: Vec<usize> = (0..model.projection_paths().len()).collect();
        model.attach(&all, &adapter, 7);
        let config = RankConfig {
            policy: RankPolicy::AdaptiveRankSampling { p: 0.2 },
            schedule: BudgetSchedule::new(all.len(), [4, 2], 0, 0.25, 2, STEPS).unwrap(),
            beta1: 0.85,
            beta2: 0.85,
            seed: 7,
        };
        ranks = Some(RankController::new(config, &model.low_ranks(), &device));
    }
    let config = StepConfig {
        seed: 7,
        masks: compute.masks(),
        orthogonality: 0.5,
        accumulation: 1,
        max_grad_norm: 1.0,
        precision: Precision::F32,
        gradient_checkpointing: checkpointing,
    };
    let workers = Workers::new(&compute, 8).unwrap();
    Trainee::new(model, ranks, config, workers, Clock::default())
}

fn batch(number: u64) -> Batch {
    Batch {
        number,
        ..Expected::read("opt_pre_ln/expected.safetensors").batch("")
    }
}

struct Run {
    trainee: Trainee,
    losses: Vec<TensorData>,
    survivors: Vec<Vec<Vec<usize>>>,
    logits: Vec<TensorData>,
}

fn run(mut trainee: Trainee) -> Run {
    let config = AdamWConfig::new().with_epsilon(1e-8);
    let mut optimizer: ModuleOptimizer = config.with_weight_decay(5e-3).init();
    let (mut losses, mut survivors, mut logits) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..STEPS {
        let output = TrainStep::step(&trainee, batch(number));
        losses.push(output.item.loss.into_data());
        trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
        survivors.extend(
            trainee
                .trained
                .ranks
                .as_ref()
                .map(RankController::survivors),
        );
        // An evaluation in between uses the same copies.
        let scored = InferenceStep::step(&trainee.valid(), batch(number));
        logits.push(scored.logits.into_data());
    }
    Run {
        trainee,
        losses,
        survivors,
        logits,
    }
}

fn far(a: &[TensorData], b: &[TensorData]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| distance(a, b)).fold(0.0, f32::max)
}

/// P, Q, λ of every adapter; without adapters, the matrices.
fn values(model: &Classifier) -> Vec<TensorData> {
    let adapters = model.low_ranks().into_iter().flat_map(|adapter| {
        let lambda = adapter.lambda.as_ref().unwrap().val().into_data();
        [
            adapter.p.val().into_data(),
            adapter.q.val().into_data(),
            lambda,
        ]
    });
    let projections = model.backbone.projections().into_iter();
    let matrices = projections.map(|(_, projection)| projection.base.weight.val().into_data());
    let all = adapters.chain(matrices);
    all.chain([model.score.weight.val().into_data()]).collect()
}

#[test]
fn several_devices_train_as_one_does_losses_ranks_and_weights() {
    for (whole, checkpointing) in [(false, false), (true, false), (false, true)] {
        let one = run(trainee(1, whole, checkpointing));
        for devices in [2, 3] {
            let what = format!("{devices} devices, whole {whole}, checkpointing {checkpointing}");
            let many = run(trainee(devices, whole, checkpointing));
            let loss = far(&one.losses, &many.losses);
            assert!(loss < 1e-4, "{what}, loss: {loss}");
            assert_eq!(one.survivors, many.survivors, "{what}");
            assert_eq!(one.survivors.is_empty(), whole);
            let logits = far(&one.logits, &many.logits);
            assert!(logits < 1e-3, "{what}, logits: {logits}");
            let model = |run: &Run| values(&run.trainee.trained.classifier);
            let weights = far(&model(&one), &model(&many));
            assert!(weights < 1e-3, "{what}, weights: {weights}");
        }
    }
}

#[test]
fn a_record_that_is_loaded_reaches_every_device() {
    let sgd = || SgdConfig::new().init();
    let step = |trainee: Trainee, number| {
        let output = TrainStep::step(&trainee, batch(number));
        trainee.optimize(&mut sgd(), 0.1.into(), output.grads)
    };
    let loss = |trainee: &Trainee| {
        let output = TrainStep::step(trainee, batch(9));
        output.item.loss.into_data().iter::<f32>().next().unwrap()
    };
    let one = (0..4).fold(trainee(1, false, false), step);
    // Has copies on its devices when the record comes.
    let two = step(trainee(2, false, false), 0);
    assert!((loss(&one) - loss(&two)).abs() > 1e-3);
    let record = one.clone().into_record();
    let mut two = two.try_load_record(record).unwrap();
    assert!((loss(&one) - loss(&two)).abs() < 1e-5);
    let one = step(one, 5);
    two = step(two, 5);
    assert!((loss(&one) - loss(&two)).abs() < 1e-4);
    let scored = |trainee: &Trainee| {
        let output = InferenceStep::step(&trainee.valid(), batch(9));
        output.logits.into_data()
    };
    assert!(distance(&scored(&one), &scored(&two)) < 1e-4);
}

#[test]
fn the_ranks_moved_and_the_model_learned_in_what_was_compared() {
    let one = run(trainee(1, false, false));
    let counts: Vec<usize> = one
        .survivors
        .iter()
        .map(|kept| kept.concat().len())
        .collect();
    let matrices = one.survivors[0].len();
    assert_eq!(counts[counts.len() - 1], 2 * matrices);
    assert!(counts.windows(2).filter(|pair| pair[0] != pair[1]).count() > 2);
    let loss = |data: &TensorData| data.iter::<f32>().next().unwrap();
    assert!(loss(&one.losses[11]) < 0.5 * loss(&one.losses[0]));
}
