//! The progress of a run, as Burn's trainer tells it, in the few events that are shown.

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

/// What happens in a run.
pub enum Event {
    /// A batch was trained on, or evaluated.
    Batch {
        /// Whether it was trained on.
        trained: bool,
        /// Batches of the round so far.
        done: usize,
        /// Batches of the round.
        total: usize,
    },
    /// The first step was skipped.
    Skipped,
    /// Dev was evaluated: the name of the metric and its value.
    Evaluated {
        /// The metric that chooses.
        name: String,
        /// Its value, as it is shown.
        value: String,
    },
}

/// How far a run is.
#[derive(Default)]
pub struct Position {
    /// Rounds of the run, an evaluation at the end of each.
    pub rounds: usize,
    /// The one under way, from 1.
    pub round: usize,
    /// The training loss as it is shown.
    pub loss: Option<String>,
}

/// Whoever shows a run.
pub trait Listener: Send + Sync + 'static {
    /// Shows what happened.
    fn hear(&mut self, event: Event, at: &Position);
}

/// Hears the trainer, and tells a listener.
pub struct Told<L> {
    listener: L,
    at: Position,
    split: Option<Split>,
    /// Whether it was said that a step was skipped.
    skipped: bool,
    dev: Option<String>,
    name: Option<String>,
}

struct Split {
    train: bool,
    total: usize,
}

impl<L: Listener> Told<L> {
    /// Before anything has happened.
    pub fn new(listener: L) -> Self {
        Self {
            listener,
            at: Position::default(),
            split: None,
            skipped: false,
            dev: None,
            name: None,
        }
    }
}

/// A run as plain lines on standard error: one now and then, and one an evaluation.
pub struct Plain {
    started: Instant,
    written: Instant,
}

impl Plain {
    /// Before anything has happened.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            written: now,
        }
    }

    fn line(&mut self, text: &str) {
        let secs = self.started.elapsed().as_secs();
        note!("[{:>3}:{:02}] {text}", secs / 60, secs % 60);
        self.written = Instant::now();
    }
}

impl Listener for Plain {
    fn hear(&mut self, event: Event, at: &Position) {
        let Position { rounds, round, .. } = at;
        let loss = at.loss.as_deref();
        match event {
            Event::Batch { .. } if self.written.elapsed() < INTERVAL => {}
            Event::Batch {
                trained,
                done,
                total,
            } => {
                let what = match (trained, loss) {
                    (true, Some(loss)) => format!("batch {done} of {total}, loss {loss}"),
                    (true, None) => format!("batch {done} of {total}"),
                    (false, _) => format!("evaluating, batch {done} of {total}"),
                };
                self.line(&format!("round {round} of {rounds}: {what}"));
            }
            Event::Skipped => {
                self.line(&format!("round {round}: loss {}", loss.unwrap_or_default()));
            }
            Event::Evaluated { name, value } => {
                let loss = loss.unwrap_or("unknown");
                let text =
                    format!("round {round} of {rounds}: training loss {loss}; dev {name} {value}");
                self.line(&text);
            }
        }
    }
}

fn text(state: &MetricState) -> String {
    match state {
        MetricState::Generic(entry) | MetricState::Numeric(entry, _) => {
            entry.serialized_entry.formatted.clone()
        }
    }
}

impl<L: Listener> MetricsRendererTraining for Told<L> {
    fn update_train(&mut self, state: MetricState) {
        let text = text(&state);
        let skipped = text.contains(SKIPPED) && !std::mem::replace(&mut self.skipped, true);
        self.at.loss = Some(text);
        if skipped {
            self.listener.hear(Event::Skipped, &self.at);
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        self.dev = Some(text(&state));
    }

    fn on_train_end(
        &mut self,
        _summary: Option<LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl<L: Listener> TrainingProgressLogger for Told<L> {
    fn start(&mut self, total: usize, first: usize, _items: Option<usize>, _label: Option<&str>) {
        (self.at.rounds, self.at.round) = (total, first);
    }

    fn update_epoch(&mut self, round: usize) {
        self.at.round = round + 1;
    }

    fn start_split(&mut self, split: &str, total: usize) {
        let train = split.eq_ignore_ascii_case("train");
        self.split = Some(Split { train, total });
    }

    fn update_split(&mut self, done: usize) {
        if let Some(Split { train, total }) = &self.split {
            let batch = Event::Batch {
                trained: *train,
                done,
                total: *total,
            };
            self.listener.hear(batch, &self.at);
        }
    }

    fn end_split(&mut self) {
        let trained = self.split.take().is_some_and(|split| split.train);
        if trained {
            return;
        }
        // Burn's words for an evaluation that was cut short.
        let dev = self.dev.take().filter(|value| !value.contains("N/A"));
        if let Some(value) = dev {
            let name = self.name.clone().unwrap_or_default();
            self.listener
                .hear(Event::Evaluated { name, value }, &self.at);
        }
    }

    fn end(&mut self) {}

    fn log_event_training(&mut self, _event: String) {}
}

// Nothing is evaluated through Burn's evaluator.
impl<L: Listener> MetricsRendererEvaluation for Told<L> {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl<L: Listener> EvaluationProgressLogger for Told<L> {
    fn start_global_progress(&mut self, _tests: usize) {}
    fn start_test(&mut self, _name: &str, _total: usize) {}
    fn update_test_progress(&mut self, _done: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl<L: Listener> MetricsRenderer for Told<L> {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        // The dev metric is registered behind the training loss.
        self.name = Some(definition.name.to_string());
    }
}
