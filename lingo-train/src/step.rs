//! One training step: forward, loss, gradients, penalty; then observe, update, allocate.

pub(crate) mod gradients;
mod loss;
mod loss_scale;
mod module;
mod replicas;
mod saving;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use burn::module::{Module, ParamId};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use lingo_core::adapter::orthogonality;
use lingo_core::models::{Classifier, recompute};
use lingo_core::nn::noise::MaskSource;
use lingo_core::nn::{Noise, Precision};
use lingo_core::rank::{Allocation, RankController};

use loss::mean_loss;
pub use loss_scale::LossScale;
use replicas::Replicas;
pub use saving::Saving;

use crate::checkpoint::Snapshot;
use crate::data::{Batch, Label};
use crate::workers::Workers;

/// The settings of a step, the same for the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepConfig {
    /// Seed of the dropout masks.
    pub seed: u64,
    /// Where dropout masks are drawn.
    pub masks: MaskSource,
    /// γ, the weight of the orthogonality penalty.
    pub orthogonality: f64,
    /// Batches whose gradients are averaged into one optimizer step.
    pub accumulation: usize,
    /// Largest global norm of the gradients, 0 for any.
    pub max_grad_norm: f64,
    /// What the model computes in; under f16 the loss is scaled.
    pub precision: Precision,
    /// Whether layers are computed again on the way back, in place of their graph being kept.
    pub gradient_checkpointing: bool,
}

/// What is trained: a classifier, and what controls its ranks.
#[derive(Module, Debug)]
pub struct Trained {
    /// The classifier with its adapters.
    pub classifier: Classifier,
    /// Rank control, under AdaLoRA and adaptive rank sampling.
    pub ranks: Option<RankController>,
    /// What the loss is multiplied with, in f16.
    pub loss_scale: Option<LossScale>,
}

/// A [`Trained`] in the hands of Burn's learner. Its records hold what is trained and what rank control remembers,
/// never the frozen weights.
#[derive(Clone, Debug)]
pub struct Trainee {
    /// What is trained.
    pub trained: Trained,
    config: StepConfig,
    workers: Workers,
    clock: Clock,
    /// The parameters that records hold.
    recorded: Arc<[ParamId]>,
    replicas: Replicas,
    /// The report of the optimizer step under way, shared with the last item that goes into it.
    update: Arc<OnceLock<Update>>,
    /// The losses `[1]` that go into it.
    losses: Arc<Mutex<Vec<Tensor<1>>>>,
    /// Optimizer steps taken.
    steps: u64,
    saving: Saving,
}

/// Time spent in training steps, shared by all that hold a clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// A clock that goes on from so many seconds.
    pub fn starting_at(secs: f64) -> Self {
        Self(Arc::new(AtomicU64::new((secs * 1e9) as u64)))
    }

    /// Seconds so far.
    pub fn elapsed_secs(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 * 1e-9
    }

    fn add_since(&self, start: Instant) {
        let elapsed = start.elapsed().as_nanos() as u64;
        self.0.fetch_add(elapsed, Ordering::Relaxed);
    }
}

/// What an optimizer step did, beside the loss.
#[derive(Debug)]
pub struct Update {
    /// Whether loss and gradients were finite; where not, the step changed nothing.
    pub finite: bool,
    /// Whether they were not finite because the loss was scaled too high, which is lower now.
    pub overflowed: bool,
    /// The allocation that was made, if one was due.
    pub allocation: Option<Allocation>,
    /// The state behind the step, where it is to be saved; to be taken out.
    pub snapshot: Mutex<Option<Snapshot>>,
}

/// What a training step returns for the record.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// Mean loss `[1]` over what is known of the batch.
    pub loss: Tensor<1>,
    /// Orthogonality penalty `[1]`, where there is one.
    pub penalty: Option<Tensor<1>>,
    /// How much is known of the batch: its examples, or the known labels of all of them.
    pub known: usize,
    /// Tokens of the batch, padding not counted.
    pub tokens: usize,
    /// B and T of the batch, padding included.
    pub shape: [usize; 2],
    /// Of the last batch of an optimizer step: what the step does, set by it.
    pub update: Option<Arc<OnceLock<Update>>>,
}

/// What an evaluation step returns.
#[derive(Clone, Debug)]
pub struct EvalOutput {
    /// Logits `[B, C]`.
    pub logits: Tensor<2>,
    /// What is known of each row.
    pub labels: Vec<Label>,
    /// Which examples of the split they are.
    pub indices: Vec<usize>,
}

impl Trainee {
    /// Prepares a classifier for training.
    pub fn new(
        classifier: Classifier,
        ranks: Option<RankController>,
        config: StepConfig,
        workers: Workers,
        clock: Clock,
    ) -> Self {
        let scaled = config.precision == Precision::F16;
        let loss_scale = scaled.then(|| LossScale::new(&classifier.device()));
        let trained = Trained {
            classifier,
            ranks,
            loss_scale,
        };
        Self {
            replicas: Replicas::default(),
            recorded: module::recorded(&trained).into(),
            trained,
            config,
            workers,
            clock,
            update: Arc::default(),
            losses: Arc::default(),
            steps: 0,
            saving: Saving::default(),
        }
    }

    /// Hands out the state at the steps that `saving` says, in a run that has taken `steps` steps.
    pub fn with_saving(self, saving: Saving, steps: u64) -> Self {
        Self {
            saving,
            steps,
            ..self
        }
    }

    /// Whether the losses of the step under way are all finite; forgets them.
    fn takes_finite_losses(&self) -> bool {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let device = self.trained.classifier.device().inner();
        let here = losses.drain(..).map(|loss| loss.to_device(&device));
        let here: Vec<Tensor<1>> = here.collect();
        here.is_empty() || Tensor::cat(here, 0).sum().into_scalar::<f64>().is_finite()
    }

    fn snapshot(&self, optimizer: &ModuleOptimizer) -> Snapshot {
        Snapshot {
            step: self.steps,
            train_secs: self.clock.elapsed_secs(),
            model: self.clone().into_record(),
            optimizer: optimizer.to_record(),
        }
    }
}

/// The part of a batch that one worker takes.
struct Part {
    classifier: Classifier,
    batch: Batch,
    noise: Noise,
    /// Of what is known of the whole batch.
    share: f64,
}

impl Part {
    /// This part's addend of the batch's mean loss `[1]`, and `weight` times that of the gradients.
    fn gradients(self, weight: f64, checkpointing: bool) -> (Tensor<1>, GradientsParams) {
        let (classifier, noise) = (&self.classifier, &self.noise);
        let tokens = self.batch.to_tokens(&classifier.device());
        let loss = |logits| mean_loss(logits, &self.batch.labels) * self.share; // [1]
        if checkpointing {
            return recompute::gradients(classifier, &tokens, noise, weight, loss);
        }
        let loss = loss(classifier.forward(&tokens, noise));
        let gradients = (loss.clone() * weight).backward();
        let gradients = GradientsParams::from_grads(gradients, classifier);
        (loss.inner(), gradients)
    }
}

impl TrainStep for Trainee {
    type Input = Batch;
    type Output = StepOutput;

    fn step(&self, batch: Batch) -> TrainOutput<StepOutput> {
        let start = Instant::now();
        let (known, tokens, shape) = (batch.known(), batch.tokens(), batch.shape);
        // Each answer weighs alike in a step, whichever of its batches it is in.
        let of_step = share(known, batch.known_in_step);
        let last = (batch.number + 1).is_multiple_of(self.config.accumulation as u64);
        let classifier = &self.trained.classifier;
        let device = classifier.device();
        let mut rows = 0;
        let parts = batch
            .split(self.workers.count())
            .into_iter()
            .enumerate()
            .map(|(index, batch)| {
                let of_part = rows..rows + batch.size();
                rows = of_part.end;
                Part {
                    classifier: match self.workers.device(index) {
                        Some(other) => self.replicas.on(index, other, classifier).train(),
                        // A graph of its own for each part; the tensors are shared.
                        None => classifier.clone().fork(&device),
                    },
                    noise: self.noise(batch.number, of_part),
                    share: share(batch.known(), known),
                    batch,
                }
            })
            .collect();
        let accumulation = self.config.accumulation as f64;
        let scale = self.trained.loss_scale.as_ref();
        let scale = scale.map_or(1.0, LossScale::value);
        let weight = of_step * scale;
        let checkpointing = self.config.gradient_checkpointing;
        let results = self
            .workers
            .run(parts, |part: Part| part.gradients(weight, checkpointing));

        let mut accumulator = GradientsAccumulator::new();
        let mut losses = Vec::with_capacity(results.len());
        let home = device.inner();
        for (index, (loss, gradients)) in results.into_iter().enumerate() {
            let gradients = match self.workers.device(index) {
                Some(_) => gradients.to_device(&home, classifier),
                None => gradients,
            };
            accumulator.accumulate(classifier, gradients);
            losses.push(loss.to_device(&home));
        }
        let mut gradients = accumulator.grads();

        let gamma = self.config.orthogonality * scale / accumulation;
        let penalty = orthogonality::penalise(&classifier.low_ranks(), gamma, &mut gradients);

        let loss = Tensor::cat(losses, 0).sum(); // [1]
        let mut pending = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        pending.push(loss.clone());
        drop(pending);
        let item = StepOutput {
            loss,
            penalty: penalty.map(|penalty| penalty * (accumulation / scale)),
            known,
            tokens,
            shape,
            update: last.then(|| self.update.clone()),
        };
        self.clock.add_since(start);
        TrainOutput {
            grads: gradients,
            item,
        }
    }

    fn optimize(
        mut self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let start = Instant::now();
        let (mut gradients, mut norm) = gradients::global_norm(&self.trained.classifier, gradients);
        // A loss can be infinite while its gradients are not.
        let finite = self.takes_finite_losses() && norm.is_finite();
        let mut overflowed = false;
        if let Some(loss_scale) = &mut self.trained.loss_scale {
            let scale = loss_scale.value();
            overflowed = loss_scale.update(finite);
            if finite {
                norm /= scale;
                gradients = gradients::scale(&self.trained.classifier, gradients, scale.recip());
            }
        }
        if finite {
            if let Some(ranks) = &mut self.trained.ranks {
                ranks.observe(&self.trained.classifier.low_ranks(), &gradients);
            }
            let limit = self.config.max_grad_norm;
            let gradients = gradients::clip(&self.trained.classifier, gradients, norm, limit);
            let classifier = optimizer.step(learning_rate, self.trained.classifier, gradients);
            self.trained.classifier = classifier;
        }
        let classifier = &mut self.trained.classifier;
        let allocation = self
            .trained
            .ranks
            .as_mut()
            .and_then(|ranks| ranks.allocate(&mut classifier.adapters_mut()));
        self.steps += 1;
        self.clock.add_since(start);
        let due = self.saving.is_due(self.steps);
        let snapshot = due.then(|| self.snapshot(optimizer));
        // The item of this step holds the other handle; a second report to it cannot come.
        let _ = self.update.set(Update {
            finite,
            overflowed,
            allocation,
            snapshot: Mutex::new(snapshot),
        });
        self.update = Arc::default();
        self
    }
}

impl Trainee {
    fn noise(&self, batch: u64, rows: Range<usize>) -> Noise {
        let device = self.trained.classifier.device();
        Noise::new(self.config.masks, &device, self.config.seed, batch, rows)
    }
}

impl InferenceStep for Trainee {
    type Input = Batch;
    type Output = EvalOutput;

    fn step(&self, batch: Batch) -> EvalOutput {
        // The state before the evaluation is saved already.
        self.saving.grant_stop();
        let (labels, indices) = (batch.labels.clone(), batch.indices.clone());
        let parts = batch.split(self.workers.count()).into_iter();
        let classifier = &self.trained.classifier;
        let home = classifier.device();
        let parts = parts.enumerate().map(|(index, part)| {
            let classifier = match self.workers.device(index) {
                Some(other) => self.replicas.on(index, other, classifier),
                None => classifier.clone(),
            };
            (classifier, part)
        });
        let logits = self.workers.run(parts.collect(), |(classifier, part)| {
            let tokens = part.to_tokens(&classifier.device());
            let logits = classifier.forward(&tokens, &Noise::off()); // [B / workers, C]
            logits.to_device(&home)
        });
        EvalOutput {
            logits: Tensor::cat(logits, 0),
            labels,
            indices,
        }
    }
}

impl ItemLazy for StepOutput {
    fn sync(self) -> Result<Self, burn::tensor::ExecutionError> {
        self.loss.device().flush()?;
        Ok(Self {
            loss: self.loss.without_autodiff(),
            ..self
        })
    }
}

impl ItemLazy for EvalOutput {
    fn sync(self) -> Result<Self, burn::tensor::ExecutionError> {
        self.logits.device().flush()?;
        Ok(Self {
            logits: self.logits.without_autodiff(),
            ..self
        })
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
