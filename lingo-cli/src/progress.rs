//! Progress as plain lines, for output that is no terminal.

use std::time::{Duration, Instant};

use burn::train::LearnerSummary;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use lingo_train::record::SKIPPED;

/// Time between two lines of the same round.
const INTERVAL: Duration = Duration::from_secs(20);

/// Writes a line now and then, and one an evaluation, to standard error.
pub struct Plain {
    started: Instant,
    written: Instant,
    rounds: usize,
    round: usize,
    split: Option<Split>,
    loss: Option<String>,
    /// Whether it was said that a step was skipped.
    skipped: bool,
    dev: Option<(String, String)>,
    name: Option<String>,
}

struct Split {
    train: bool,
    total: usize,
}

impl Plain {
    /// Before anything has happened.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            written: now,
            rounds: 0,
            round: 1,
            split: None,
            loss: None,
            skipped: false,
            dev: None,
            name: None,
        }
    }

    fn line(&mut self, text: &str) {
        let secs = self.started.elapsed().as_secs();
        note!("[{:>3}:{:02}] {text}", secs / 60, secs % 60);
        self.written = Instant::now();
    }
}

fn text(state: &MetricState) -> String {
    match state {
        MetricState::Generic(entry) | MetricState::Numeric(entry, _) => {
            entry.serialized_entry.formatted.clone()
        }
    }
}

impl MetricsRendererTraining for Plain {
    fn update_train(&mut self, state: MetricState) {
        let text = text(&state);
        let skipped = text.contains(SKIPPED) && !std::mem::replace(&mut self.skipped, true);
        if skipped {
            self.line(&format!("round {}: loss {text}", self.round));
        }
        self.loss = Some(text);
    }

    fn update_valid(&mut self, state: MetricState) {
        let name = self.name.clone().unwrap_or_default();
        self.dev = Some((name, text(&state)));
    }

    fn on_train_end(
        &mut self,
        _summary: Option<LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl TrainingProgressLogger for Plain {
    fn start(&mut self, total: usize, first: usize, _items: Option<usize>, _label: Option<&str>) {
        (self.rounds, self.round) = (total, first);
    }

    fn update_epoch(&mut self, round: usize) {
        self.round = round + 1;
    }

    fn start_split(&mut self, split: &str, total: usize) {
        let train = split.eq_ignore_ascii_case("train");
        self.split = Some(Split { train, total });
    }

    fn update_split(&mut self, done: usize) {
        if self.written.elapsed() < INTERVAL {
            return;
        }
        let Some(Split { train, total }) = &self.split else {
            return;
        };
        let what = match (train, &self.loss) {
            (true, Some(loss)) => format!("batch {done} of {total}, loss {loss}"),
            (true, None) => format!("batch {done} of {total}"),
            (false, _) => format!("evaluating, batch {done} of {total}"),
        };
        let text = format!("round {} of {}: {what}", self.round, self.rounds);
        self.line(&text);
    }

    fn end_split(&mut self) {
        let trained = self.split.take().is_some_and(|split| split.train);
        if trained {
            return;
        }
        if let Some((name, value)) = self.dev.take() {
            let loss = self.loss.as_deref().unwrap_or("unknown");
            // Burn's words for a value that is not a number.
            let value = if value.contains("N/A") {
                "undefined"
            } else {
                &value
            };
            let text = format!(
                "round {} of {}: training loss {loss}; dev {name} {value}",
                self.round, self.rounds
            );
            self.line(&text);
        }
    }

    fn end(&mut self) {}

    fn log_event_training(&mut self, _event: String) {}
}

// Nothing is evaluated through Burn's evaluator.
impl MetricsRendererEvaluation for Plain {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl EvaluationProgressLogger for Plain {
    fn start_global_progress(&mut self, _tests: usize) {}
    fn start_test(&mut self, _name: &str, _total: usize) {}
    fn update_test_progress(&mut self, _done: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for Plain {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        // The dev metric is registered behind the training loss.
        self.name = Some(definition.name.to_string());
    }
}
