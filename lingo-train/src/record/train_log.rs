//! Training steps: a metric for Burn's dashboard that also writes `train.csv` and `ranks.csv`.

use std::sync::{Arc, PoisonError};

use burn::tensor::TensorReadError;
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes,
    NumericEntry, SerializedEntry,
};
use lingo_core::flops::Flops;
use lingo_core::rank::BudgetSchedule;
use lingo_core::rank::schedule::Due;

use super::files::TrainLine;
use super::ledger::{LedgerError, SharedLedger, lock};
use crate::step::StepOutput;

/// The training loss.
#[derive(Clone)]
pub struct TrainLog {
    name: MetricName,
    ledger: SharedLedger,
    schedule: Option<BudgetSchedule>,
    flops: Flops,
    // Since the last optimizer step, and since the round began.
    step: Mean,
    round: Mean,
    newest: f64,
    skipped: u64,
}

/// What follows the number of steps that changed nothing, wherever it is shown.
pub const SKIPPED: &str = "steps skipped, loss or gradients were not finite";

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn value(self) -> f64 {
        self.sum / self.weight
    }
}

impl TrainLog {
    /// A log into `ledger` of batches that take so many `flops`; with rank control, the budget comes from `schedule`.
    pub fn new(ledger: SharedLedger, schedule: Option<BudgetSchedule>, flops: Flops) -> Self {
        Self {
            name: Arc::new("Loss".to_owned()),
            ledger,
            schedule,
            flops,
            step: Mean::default(),
            round: Mean::default(),
            newest: f64::NAN,
            skipped: 0,
        }
    }

    fn entry(&self) -> SerializedEntry {
        let mean = self.round.value();
        let mut formatted = format!("mean {mean:.4} - batch {:.4}", self.newest);
        if self.skipped > 0 {
            formatted += &format!(" - {} {SKIPPED}", self.skipped);
        }
        SerializedEntry::new(formatted, self.newest.to_string())
    }
}

impl Metric for TrainLog {
    type Input = StepOutput;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        let higher_is_better = false;
        NumericAttributes {
            unit: None,
            higher_is_better,
        }
        .into()
    }

    fn update(
        &mut self,
        item: &StepOutput,
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let scalar = |tensor: &burn::tensor::Tensor<1>| tensor.clone().try_into_scalar::<f64>();
        let loss = scalar(&item.loss)?;
        let penalty = item.penalty.as_ref().map(scalar).transpose()?;
        self.newest = loss;
        let known = item.known as f64;
        self.step.add(loss, known);
        self.round.add(loss, known);

        let mut ledger = lock(&self.ledger);
        ledger.state.tokens += item.tokens as u64;
        ledger.state.flops += self.flops.of_batch(item.shape) as f64;
        let Some(update) = item.update.as_ref().and_then(|update| update.get()) else {
            return Ok(self.entry());
        };
        ledger.state.overflowed += u64::from(update.overflowed);
        // While the scale of the loss is sought, steps are skipped as a matter of course.
        ledger.count_step(update.finite || update.overflowed);
        self.skipped = ledger.state.skipped;
        let due = self
            .schedule
            .map(|schedule| schedule.due(ledger.state.steps));
        if matches!(due, Some(Due::Allocation(_) | Due::FinalAllocation(_)))
            && update.allocation.is_none()
        {
            let step = ledger.state.steps;
            ledger.fail(LedgerError::NoAllocation { step });
        }
        if let Some(allocation) = &update.allocation {
            ledger.state.returned += allocation.returned;
            ledger.state.active = Some(allocation.total_active());
            ledger.write(|files| files.allocation(allocation));
        }
        let line = TrainLine {
            step: ledger.state.steps,
            loss: self.step.value(),
            penalty,
            learning_rate: metadata.lr.as_ref().map_or(f64::NAN, |lr| lr.base()),
            budget: self.schedule.map(|s| s.budget(ledger.state.steps)),
            active_ranks: ledger.state.active,
        };
        ledger.write(|files| files.train(&line));
        let mut snapshot = update
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = snapshot.take() {
            ledger.save(snapshot);
        }
        drop(ledger);
        self.step = Mean::default();
        Ok(self.entry())
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry())
    }

    fn clear(&mut self) {
        self.round = Mean::default();
    }
}

impl Numeric for TrainLog {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Value(self.newest))
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.final_value())
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Value(self.round.value())
    }
}

impl Adaptor<StepOutput> for StepOutput {
    fn adapt(&self) -> StepOutput {
        self.clone()
    }
}
