//! Training steps against PEFT (tools/adalora_fixture.py, tools/lora_fixture.py).

use burn::module::Param;
use burn::optim::AdamWConfig;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::TrainStep;
use lingo_core::adapter::LowRank;
use lingo_core::models::Classifier;
use lingo_core::nn::noise::MaskSource;
use lingo_core::nn::{Noise, Precision};
use lingo_core::rank::{BudgetSchedule, RankConfig, RankController, RankPolicy};
use lingo_tests::{Expected, classifier, distance, fixture, magnitude};
use lingo_train::step::{Clock, StepConfig, Trainee};
use lingo_train::workers::{Compute, Workers};

/// Tensors of this fixture differ by many orders of magnitude: all bounds are relative to a tensor's largest value.
#[track_caller]
fn near(found: TensorData, expected: &TensorData, tolerance: f32, what: &str) {
    let far = distance(&found, expected) / magnitude(expected).max(1e-30);
    assert!(far < tolerance, "{what}: {far}");
}

fn put_adapters(model: &mut Classifier, adapters: impl Fn(&str) -> Option<LowRank>) {
    let paths = model.projection_paths();
    for (path, projection) in paths.iter().zip(model.backbone.projections_mut()) {
        projection.adapter = adapters(path);
    }
}

#[test]
fn six_steps_of_adalora_equal_pefts() {
    let device = Device::flex().autodiff();
    let expected = Expected::read("adalora.safetensors");
    let initial = |path: &str, part: &str| expected.f32(&format!("initial.{part}.{path}"));
    let mut model = classifier(&fixture("opt_pre_ln"), &device);
    put_adapters(&mut model, |path| {
        expected.has(&format!("initial.P.{path}")).then(|| {
            let p = Tensor::from_data(initial(path, "P"), &device);
            let q = Tensor::from_data(initial(path, "Q"), &device);
            let lambda = Tensor::from_data(initial(path, "lambda"), &device);
            LowRank::new(p, q, Some(lambda), 8.0, 0.0)
        })
    });
    let head: Tensor<2> = Tensor::from_data(expected.f32("initial.score.weight"), &device);
    model.score.weight = Param::from_tensor(head.transpose());
    let paths: Vec<String> = model.adapters().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), 15);

    let config = RankConfig {
        policy: RankPolicy::AdaLora,
        schedule: BudgetSchedule::new(15, [4, 2], 0, 0.15, 2, 6).unwrap(),
        beta1: 0.85,
        beta2: 0.85,
        seed: 0,
    };
    let adapters = model.adapters();
    let adapters: Vec<&LowRank> = adapters.iter().map(|(_, a)| *a).collect();
    let ranks = RankController::new(config, &adapters, &device);
    drop(adapters);
    let step = StepConfig {
        seed: 0,
        masks: MaskSource::Host,
        orthogonality: 0.5,
        accumulation: 1,
        max_grad_norm: 0.0,
        precision: Precision::F32,
        gradient_checkpointing: false,
    };
    let mut trainee = Trainee::new(
        model,
        Some(ranks),
        step,
        Workers::new(&Compute::HostAlone, 1).unwrap(),
        Clock::default(),
    );
    let mut optimizer = AdamWConfig::new()
        .with_epsilon(1e-8)
        .with_weight_decay(5e-3)
        .init();

    let mut allocations = Vec::new();
    for t in 1..=6u64 {
        let output = trainee.step(expected.batch(&format!("{t}.")));
        let item = output.item;
        let loss = item.loss.into_data();
        near(
            loss.clone(),
            &vector(&expected, &format!("{t}.loss")),
            1e-5,
            "loss",
        );
        let penalty = item.penalty.unwrap().into_data();
        near(
            penalty,
            &vector(&expected, &format!("{t}.penalty")),
            1e-5,
            "penalty",
        );
        for (path, adapter) in trainee.trained.classifier.adapters() {
            let gradient = |part: &str| expected.f32(&format!("{t}.grad.{path}.{part}"));
            let (p, q) = (
                output.grads.get::<2>(adapter.p.id),
                output.grads.get::<2>(adapter.q.id),
            );
            near(
                p.unwrap().into_data(),
                &gradient("P"),
                1e-4,
                "gradient of P",
            );
            near(
                q.unwrap().into_data(),
                &gradient("Q"),
                1e-4,
                "gradient of Q",
            );
            let lambda = output.grads.get::<1>(adapter.lambda.as_ref().unwrap().id);
            near(
                lambda.unwrap().into_data(),
                &gradient("lambda"),
                1e-4,
                "gradient of λ",
            );
        }

        trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
        let update = item.update.as_ref().unwrap().get().unwrap();
        assert!(update.finite);
        let budget = expected.i32(&format!("{t}.budget")).1[0] as usize;
        assert_eq!(config.schedule.budget(t), budget);
        let ranks = trainee.trained.ranks.as_ref().unwrap();
        for (state, path) in ranks.matrices.iter().zip(&paths) {
            let average =
                |kind: &str, part: &str| expected.f32(&format!("{t}.{kind}.{path}.{part}"));
            let data = |param: &Param<Tensor<2>>| param.val().into_data();
            near(
                data(&state.p.sensitivity),
                &average("importance", "P"),
                1e-4,
                "Ī of P",
            );
            near(
                data(&state.q.sensitivity),
                &average("importance", "Q"),
                1e-4,
                "Ī of Q",
            );
            near(
                data(&state.p.uncertainty),
                &average("uncertainty", "P"),
                1e-4,
                "Ū of P",
            );
            near(
                data(&state.q.uncertainty),
                &average("uncertainty", "Q"),
                1e-4,
                "Ū of Q",
            );
            let data = |param: &Param<Tensor<1>>| param.val().into_data();
            near(
                data(&state.lambda.sensitivity),
                &average("importance", "lambda"),
                1e-4,
                "Ī of λ",
            );
            near(
                data(&state.lambda.uncertainty),
                &average("uncertainty", "lambda"),
                1e-4,
                "Ū of λ",
            );
        }
        if let Some(allocation) = &update.allocation {
            assert_eq!(allocation.total_active(), budget);
            allocations.push((t, allocation.last, allocation.returned));
        }
        if expected.has(&format!("{t}.kept.{}", paths[0])) {
            for (survivors, path) in ranks.survivors().iter().zip(&paths) {
                let kept = expected.bools(&format!("{t}.kept.{path}"));
                let kept: Vec<usize> = (0..4).filter(|i| kept[*i]).collect();
                assert_eq!(survivors, &kept, "step {t}, {path}");
            }
        }
        for (path, adapter) in trainee.trained.classifier.adapters() {
            let lambda = adapter.lambda.as_ref().unwrap().val().into_data();
            near(
                lambda,
                &expected.f32(&format!("{t}.lambda.{path}")),
                1e-3,
                "λ",
            );
        }
    }
    // Two gradual allocations and the last; one triplet that step 2 had cut is back at step 4.
    assert_eq!(allocations[0], (2, false, 0));
    assert_eq!((allocations[1].0, allocations[1].1), (4, false));
    assert!(allocations[1].2 > 0);
    assert_eq!((allocations[2].0, allocations[2].1), (5, true));
    for (path, adapter) in trainee.trained.classifier.adapters() {
        near(
            adapter.p.val().into_data(),
            &expected.f32(&format!("final.P.{path}")),
            1e-4,
            "final P",
        );
        near(
            adapter.q.val().into_data(),
            &expected.f32(&format!("final.Q.{path}")),
            1e-4,
            "final Q",
        );
    }
}

#[test]
fn logits_and_gradients_of_lora_equal_pefts() {
    let device = Device::flex().autodiff();
    let expected = Expected::read("lora.safetensors");
    let mut model = classifier(&fixture("opt_pre_ln"), &device);
    put_adapters(&mut model, |path| {
        expected.has(&format!("A.{path}")).then(|| {
            let p = Tensor::from_data(expected.f32(&format!("B.{path}")), &device);
            let q = Tensor::from_data(expected.f32(&format!("A.{path}")), &device);
            LowRank::new(p, q, None, 8.0, 0.0)
        })
    });
    let head: Tensor<2> = Tensor::from_data(expected.f32("score.weight"), &device);
    model.score.weight = Param::from_tensor(head.transpose());
    let batch = expected.batch("");
    let logits = model.forward(&batch.to_tokens(&device), &Noise::off());
    let far = distance(&logits.into_data(), &expected.f32("logits"));
    assert!(far < 1e-4, "logits: {far}");

    let step = StepConfig {
        seed: 0,
        masks: MaskSource::Host,
        orthogonality: 0.5,
        accumulation: 1,
        max_grad_norm: 0.0,
        precision: Precision::F32,
        gradient_checkpointing: false,
    };
    let trainee = Trainee::new(
        model,
        None,
        step,
        Workers::new(&Compute::HostAlone, 1).unwrap(),
        Clock::default(),
    );
    let output = trainee.step(batch);
    assert!(output.item.penalty.is_none(), "LoRA has no penalty");
    near(
        output.item.loss.into_data(),
        &vector(&expected, "loss"),
        1e-5,
        "loss",
    );
    for (path, adapter) in trainee.trained.classifier.adapters() {
        let gradient =
            |param: &Param<Tensor<2>>| output.grads.get::<2>(param.id).unwrap().into_data();
        near(
            gradient(&adapter.p),
            &expected.f32(&format!("grad.B.{path}")),
            1e-4,
            "gradient of B",
        );
        near(
            gradient(&adapter.q),
            &expected.f32(&format!("grad.A.{path}")),
            1e-4,
            "gradient of A",
        );
    }
    let head = output
        .grads
        .get::<2>(trainee.trained.classifier.score.weight.id)
        .unwrap();
    near(
        head.transpose().into_data(),
        &expected.f32("grad.score.weight"),
        1e-4,
        "gradient of the head",
    );
}

/// A scalar of the fixture as `[1]`.
fn vector(expected: &Expected, name: &str) -> TensorData {
    let values: Vec<f32> = expected.f32(name).iter::<f32>().collect();
    TensorData::new(values, [1])
}
