//! Rank control in a training step: observe the gradients, let the optimizer step, allocate.

use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};

use super::allocator::{sample, top};
use super::importance::{Averages, Deviation, Smoothing, constant, constant_like};
use super::schedule::{BudgetSchedule, Due};
use crate::adapter::LowRank;

/// How the survivors of a gradual allocation are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RankPolicy {
    /// The highest scores.
    AdaLora,
    /// The highest scores, each changed with chance `p` (LINGO eq. 4).
    AdaptiveRankSampling {
        /// Chance that a triplet's fate is reversed.
        p: f64,
    },
}

/// The settings of a controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankConfig {
    /// How survivors are chosen.
    pub policy: RankPolicy,
    /// When, and how many.
    pub schedule: BudgetSchedule,
    /// β1 of the importance.
    pub beta1: f64,
    /// β2 of the importance.
    pub beta2: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl RankConfig {
    fn smoothing(&self) -> Smoothing {
        Smoothing {
            beta1: self.beta1,
            beta2: self.beta2,
            deviation: match self.policy {
                RankPolicy::AdaLora => Deviation::FromCurrentAverage,
                RankPolicy::AdaptiveRankSampling { .. } => Deviation::FromPreviousAverage,
            },
        }
    }
}

/// What an allocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The optimizer step after which it was made.
    pub step: u64,
    /// Triplets that the schedule allows.
    pub budget: usize,
    /// Triplets of each matrix that kept their singular value.
    pub active: Vec<usize>,
    /// Important triplets that were dropped by the draw.
    pub dropped: usize,
    /// Unimportant triplets that were kept by the draw.
    pub admitted: usize,
    /// Of all that were kept, those that the allocation before had pruned.
    pub returned: usize,
    /// Whether it was the last one.
    pub last: bool,
}

impl Allocation {
    /// Triplets alive after it, over all matrices.
    pub fn total_active(&self) -> usize {
        self.active.iter().sum()
    }
}

/// What is remembered of one adapted matrix.
#[derive(Module, Debug)]
pub struct MatrixState {
    /// Of λ `[R]`.
    pub lambda: Averages<1>,
    /// Of P `[d_output, R]`.
    pub p: Averages<2>,
    /// Of Q `[R, d_input]`.
    pub q: Averages<2>,
    /// 1 where the triplet survived the newest allocation, else 0: `[R]`.
    pub mask: Param<Tensor<1>>,
}

/// Scores triplets and zeroes the singular values of those that do not survive. All that it remembers are frozen
/// parameters, which checkpoints keep.
#[derive(Module, Debug)]
pub struct RankController {
    /// One an adapted matrix, in the order of the backbone's projections.
    pub matrices: Vec<MatrixState>,
    /// Optimizer steps taken: `[1]`.
    pub steps: Param<Tensor<1, Int>>,
    #[module(skip)]
    config: RankConfig,
    // The same count on the host, so that no step waits for the device; read from `steps` where unknown.
    #[module(skip)]
    steps_known: Option<u64>,
}

impl RankController {
    /// A controller of `adapters`, before the first step.
    ///
    /// # Panics
    /// If an adapter has no singular values.
    pub fn new(config: RankConfig, adapters: &[&LowRank], device: &Device) -> Self {
        let device = &device.clone().inner();
        let matrices = adapters
            .iter()
            .map(|adapter| MatrixState {
                lambda: Averages::new(lambda(adapter).dims(), device),
                p: Averages::new(adapter.p.dims(), device),
                q: Averages::new(adapter.q.dims(), device),
                mask: constant(Tensor::ones([adapter.rank()], device)),
            })
            .collect();
        Self {
            matrices,
            steps: Param::initialized(ParamId::new(), Tensor::zeros([1], device)),
            config,
            steps_known: None,
        }
    }

    /// The settings.
    pub fn config(&self) -> &RankConfig {
        &self.config
    }

    /// Updates the averages with the gradients of the whole training loss, before the optimizer's step.
    pub fn observe(&mut self, adapters: &[&LowRank], gradients: &GradientsParams) {
        let smoothing = self.config.smoothing();
        for (state, adapter) in self.matrices.iter_mut().zip(adapters) {
            observe(&mut state.lambda, lambda(adapter), gradients, &smoothing);
            observe(&mut state.p, &adapter.p, gradients, &smoothing);
            observe(&mut state.q, &adapter.q, gradients, &smoothing);
        }
    }

    /// Counts one optimizer step and zeroes singular values where an allocation or the final mask is due.
    pub fn allocate(&mut self, adapters: &mut [&mut LowRank]) -> Option<Allocation> {
        let step = self.count_step();
        let allocation = match self.config.schedule.due(step) {
            Due::Nothing => return None,
            Due::Mask => None,
            Due::Allocation(budget) => Some(self.choose(step, budget, false)),
            Due::FinalAllocation(budget) => Some(self.choose(step, budget, true)),
        };
        for (state, adapter) in self.matrices.iter().zip(adapters) {
            if let Some(lambda) = adapter.lambda.take() {
                let mask = state.mask.val().inner();
                adapter.lambda = Some(lambda.map(|lambda| {
                    let trained = lambda.is_require_grad();
                    let masked = lambda.inner() * mask;
                    Tensor::from_inner(masked).set_require_grad(trained)
                }));
            }
        }
        allocation
    }

    /// To be called when a checkpoint has been loaded into this controller: the count of steps is read anew.
    pub fn recount(&mut self) {
        self.steps_known = None;
    }

    /// For each matrix, the triplets that survived the newest allocation, ascending.
    pub fn survivors(&self) -> Vec<Vec<usize>> {
        self.read_masks()
            .into_iter()
            .map(|mask| (0..mask.len()).filter(|i| mask[*i]).collect())
            .collect()
    }

    /// S, the score of each triplet, over all matrices in their order: `[N]`.
    pub fn scores(&self) -> Tensor<1> {
        let scores = self
            .matrices
            .iter()
            .map(|state| {
                let p = state.p.score().mean_dim(0).squeeze_dim::<1>(0); // [R]
                let q = state.q.score().mean_dim(1).squeeze_dim::<1>(1); // [R]
                state.lambda.score() + p + q
            })
            .collect();
        Tensor::cat(scores, 0)
    }

    fn choose(&mut self, step: u64, budget: usize, last: bool) -> Allocation {
        let important = top(&read(self.scores()), budget);
        let kept = match self.config.policy {
            RankPolicy::AdaptiveRankSampling { p } if !last => {
                sample(&important, p, self.config.seed, step)
            }
            _ => important.clone(),
        };
        let before: Vec<bool> = self.read_masks().concat();
        let count = |f: &dyn Fn(usize) -> bool| (0..kept.len()).filter(|i| f(*i)).count();
        let mut allocation = Allocation {
            step,
            budget,
            active: Vec::with_capacity(self.matrices.len()),
            dropped: count(&|i| important[i] && !kept[i]),
            admitted: count(&|i| !important[i] && kept[i]),
            returned: count(&|i| kept[i] && !before[i]),
            last,
        };
        let mut rest = kept.as_slice();
        for state in &mut self.matrices {
            let rank = state.mask.dims()[0];
            let (mine, others) = rest.split_at(rank);
            rest = others;
            allocation.active.push(mine.iter().filter(|k| **k).count());
            let values: Vec<f32> = mine.iter().map(|kept| f32::from(u8::from(*kept))).collect();
            let device = state.mask.val().device();
            let mask = Tensor::from_data(values.as_slice(), &device);
            state.mask = constant_like(&state.mask, mask);
        }
        allocation
    }

    fn count_step(&mut self) -> u64 {
        let taken = match self.steps_known {
            Some(taken) => taken,
            None => self.steps.val().into_scalar::<i64>() as u64,
        };
        self.steps_known = Some(taken + 1);
        let id = self.steps.id;
        self.steps = Param::initialized(id, self.steps.val() + 1);
        taken + 1
    }

    fn read_masks(&self) -> Vec<Vec<bool>> {
        let masks = self.matrices.iter().map(|state| state.mask.val().inner());
        let flat = read(Tensor::cat(masks.collect(), 0));
        let mut rest = flat.as_slice();
        self.matrices
            .iter()
            .map(|state| {
                let (mine, others) = rest.split_at(state.mask.dims()[0]);
                rest = others;
                mine.iter().map(|value| *value != 0.0).collect()
            })
            .collect()
    }
}

fn observe<const D: usize>(
    averages: &mut Averages<D>,
    param: &Param<Tensor<D>>,
    gradients: &GradientsParams,
    smoothing: &Smoothing,
) {
    if let Some(gradient) = gradients.get::<D>(param.id) {
        averages.observe(param.val().inner(), gradient, smoothing);
    }
}

fn lambda(adapter: &LowRank) -> &Param<Tensor<1>> {
    match &adapter.lambda {
        Some(lambda) => lambda,
        None => panic!("rank control needs adapters with singular values"),
    }
}

/// The values of a vector, on the host.
fn read(values: Tensor<1>) -> Vec<f32> {
    values.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests;
