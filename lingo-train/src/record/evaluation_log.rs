//! Evaluations on dev: a metric for Burn's dashboard that also writes `metrics.csv` and `metrics.jsonl`.

use std::sync::Arc;

use burn::tensor::TensorReadError;
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName as BurnMetricName, Numeric,
    NumericAttributes, NumericEntry, SerializedEntry,
};

use super::ledger::{SharedLedger, lock};
use super::state::Evaluation;
use crate::data::{Label, Objective};
use crate::evaluate;
use crate::flops::FlopsMeter;
use crate::metric::MetricName;
use crate::step::{Clock, EvalOutput};

/// The metric that selects, over the whole dev split.
#[derive(Clone)]
pub struct EvaluationLog {
    name: BurnMetricName,
    select_by: MetricName,
    ledger: SharedLedger,
    objective: Objective,
    examples: usize,
    clock: Clock,
    flops: FlopsMeter,
    logits: Vec<f32>,
    labels: Vec<Label>,
    newest: Option<f64>,
}

impl EvaluationLog {
    /// A log into `ledger`, timed by the `clock` of training, of evaluations over `examples` examples.
    pub fn new(
        ledger: SharedLedger,
        clock: Clock,
        flops: FlopsMeter,
        select_by: MetricName,
        objective: Objective,
        examples: usize,
    ) -> Self {
        Self {
            name: Arc::new(select_by.name().to_owned()),
            select_by,
            ledger,
            objective,
            examples,
            clock,
            flops,
            logits: Vec::new(),
            labels: Vec::new(),
            newest: None,
        }
    }
}

impl Metric for EvaluationLog {
    type Input = EvalOutput;

    fn name(&self) -> BurnMetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: None,
            higher_is_better: self.select_by.higher_is_better(),
        }
        .into()
    }

    fn update(
        &mut self,
        item: &EvalOutput,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        self.logits
            .extend(item.logits.clone().try_into_data()?.iter::<f32>());
        self.labels.extend(item.labels.iter().cloned());
        Ok(SerializedEntry::not_available(None))
    }

    /// Records the evaluation, unless it was interrupted before it had seen every example.
    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        if self.labels.len() != self.examples {
            return Ok(SerializedEntry::not_available(None));
        }
        let labels = self.labels.iter().map(Some);
        let scores = match evaluate::score(&self.logits, &self.objective, labels) {
            Ok(scores) => scores,
            Err(error) => {
                lock(&self.ledger).fail(error.into());
                return Ok(SerializedEntry::not_available(None));
            }
        };
        self.newest = scores.get(self.select_by);
        let mut ledger = lock(&self.ledger);
        let evaluation = Evaluation {
            round: ledger.state.evaluations.len() + 1,
            step: ledger.state.steps,
            elapsed_secs: self.clock.elapsed_secs(),
            flops: ledger.state.flops,
            flops_adjusted_step: self.flops.adjusted_step(ledger.state.flops),
            eligible: ledger.eligible(),
            scores,
        };
        ledger.evaluated(evaluation);
        let text = self
            .newest
            .map_or("undefined".to_owned(), |v| format!("{v:.4}"));
        Ok(SerializedEntry::new(text.clone(), text))
    }

    fn clear(&mut self) {
        self.logits.clear();
        self.labels.clear();
    }
}

impl Numeric for EvaluationLog {
    fn value(&self) -> Option<NumericEntry> {
        None
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.newest.map(NumericEntry::Value)
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Value(self.newest.unwrap_or(f64::NAN))
    }
}

impl Adaptor<EvalOutput> for EvalOutput {
    fn adapt(&self) -> EvalOutput {
        self.clone()
    }
}
