#![allow(clippy::unwrap_used)]
use super::*;

const RANK: usize = 4;
const MATRICES: usize = 3;

fn adapters() -> Vec<LowRank> {
    let device = Device::flex();
    (0..MATRICES)
        .map(|_| {
            let p = Tensor::ones([5, RANK], &device);
            let q = Tensor::ones([RANK, 6], &device);
            LowRank::new(p, q, Some(Tensor::ones([RANK], &device)), 8.0, 0.0)
        })
        .collect()
}

fn controller(policy: RankPolicy, adapters: &[LowRank]) -> RankController {
    let config = RankConfig {
        policy,
        // Allocations after steps 2, 4, 6; the last one after step 8 of 10.
        schedule: BudgetSchedule::new(MATRICES, [RANK, 2], 0, 0.2, 2, 10).unwrap(),
        beta1: 0.85,
        beta2: 0.85,
        seed: 3,
    };
    let adapters: Vec<&LowRank> = adapters.iter().collect();
    RankController::new(config, &adapters, &Device::flex())
}

/// A step of an optimizer that makes every λ one, with gradients of λ that grow from triplet to triplet (backwards
/// where `backwards`).
fn step(
    controller: &mut RankController,
    adapters: &mut [LowRank],
    backwards: bool,
) -> Option<Allocation> {
    for adapter in adapters.iter_mut() {
        let ones = Tensor::ones([RANK], &Device::flex());
        adapter.lambda = adapter.lambda.take().map(|lambda| lambda.map(|_| ones));
    }
    let mut gradients = GradientsParams::new();
    for (m, adapter) in adapters.iter().enumerate() {
        let mut of_matrix: Vec<f32> = (0..RANK).map(|r| (1 + m * RANK + r) as f32).collect();
        if backwards {
            of_matrix.iter_mut().for_each(|g| *g = 20.0 - *g);
        }
        let gradient = Tensor::<1>::from_data(of_matrix.as_slice(), &Device::flex());
        gradients.register(lambda(adapter).id, gradient);
    }
    controller.observe(&adapters.iter().collect::<Vec<_>>(), &gradients);
    controller.allocate(&mut adapters.iter_mut().collect::<Vec<_>>())
}

fn alive(adapters: &[LowRank]) -> Vec<usize> {
    let values = adapters.iter().map(|adapter| lambda(adapter).val());
    let values = read(Tensor::cat(values.collect(), 0));
    (0..values.len()).filter(|i| values[*i] != 0.0).collect()
}

#[test]
fn the_important_survive_what_was_pruned_may_grow_again_and_the_last_mask_stays() {
    let mut adapters = adapters();
    let mut controller = controller(RankPolicy::AdaLora, &adapters);
    let mut budgets = Vec::new();
    for t in 1..=10u64 {
        // From step 5 on the order of importance is reversed.
        let allocation = step(&mut controller, &mut adapters, t > 4);
        assert_eq!(allocation.is_some(), [2, 4, 6, 8].contains(&t), "step {t}");
        let Some(allocation) = allocation else {
            // Between allocations the optimizer may bring anything back; after the last nothing.
            let expected = if t < 8 { MATRICES * RANK } else { 6 };
            assert_eq!(alive(&adapters).len(), expected, "step {t}");
            continue;
        };
        assert_eq!((allocation.step, allocation.last), (t, t == 8));
        assert_eq!(allocation.total_active(), allocation.budget);
        assert_eq!((allocation.dropped, allocation.admitted), (0, 0));
        assert_eq!(controller.survivors().concat().len(), allocation.budget);
        budgets.push(allocation.budget);
        if t == 4 {
            let most_important: Vec<usize> = (12 - allocation.budget..12).collect();
            assert_eq!(alive(&adapters), most_important);
        }
    }
    // 6 + floor(6 · (1 - t / 8)³)
    assert_eq!(budgets, [8, 6, 6, 6]);
    assert_eq!(alive(&adapters), [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        controller.survivors(),
        [vec![0, 1, 2, 3], vec![0, 1], vec![]]
    );
}

#[test]
fn sampling_reverses_fates_until_the_last_allocation_which_is_exact() {
    let mut adapters = adapters();
    let policy = RankPolicy::AdaptiveRankSampling { p: 0.4 };
    let mut controller = controller(policy, &adapters);
    let allocations: Vec<Allocation> = (1..=10)
        .filter_map(|_| step(&mut controller, &mut adapters, false))
        .collect();
    let (last, gradual) = allocations.split_last().unwrap();
    for allocation in gradual {
        let sampled = allocation.budget - allocation.dropped + allocation.admitted;
        assert_eq!(allocation.total_active(), sampled);
    }
    let sum = |f: fn(&Allocation) -> usize| gradual.iter().map(f).sum::<usize>();
    assert!(sum(|a| a.dropped) > 0 && sum(|a| a.admitted) > 0 && sum(|a| a.returned) > 0);
    assert_eq!(
        (last.dropped, last.admitted, last.total_active()),
        (0, 0, 6)
    );
    assert_eq!(alive(&adapters), [6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_step_without_gradients_is_counted_and_leaves_the_averages_alone() {
    let mut adapters = adapters();
    let mut controller = controller(RankPolicy::AdaLora, &adapters);
    step(&mut controller, &mut adapters, false);
    let before = read(controller.scores());
    let allocation = controller.allocate(&mut adapters.iter_mut().collect::<Vec<_>>());
    assert_eq!(allocation.unwrap().step, 2);
    assert_eq!(read(controller.scores()), before);
}

#[test]
fn a_restored_controller_goes_on_from_the_step_of_its_record() {
    let mut adapters = adapters();
    let mut whole = controller(RankPolicy::AdaLora, &adapters);
    for _ in 0..3 {
        step(&mut whole, &mut adapters, false);
    }
    let mut restored = controller(RankPolicy::AdaLora, &adapters);
    step(&mut restored, &mut adapters, true);
    restored = restored.load_record(whole.clone().into_record());
    restored.recount();
    let mut twins = adapters.clone();
    let allocations = [
        step(&mut whole, &mut adapters, false),
        step(&mut restored, &mut twins, false),
    ];
    assert_eq!(allocations[0], allocations[1]);
    assert_eq!(allocations[0].as_ref().unwrap().step, 4);
    assert_eq!(read(whole.scores()), read(restored.scores()));
}
