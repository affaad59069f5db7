//! Burn's dashboard, for output that is a terminal.
//!
//! The dashboard takes keys for itself, and forgets at its end who stopped a run: it gets a handle of its own, whose
//! stop is passed on, and Ctrl-C is given back to the system, which makes a signal of it.

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::renderer::tui::TuiMetricsRendererWrapper;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use burn::train::{Interrupter, LearnerSummary};
use lingo_train::stop::{StopCause, StopRequest};

/// The dashboard, and whom its user stops.
pub struct Dashboard {
    shown: TuiMetricsRendererWrapper,
    stopped_here: Interrupter,
    run: StopRequest,
}

impl Dashboard {
    /// A dashboard whose user can ask for a stop through `run`.
    pub fn new(run: StopRequest) -> Self {
        remember_terminal();
        let stopped_here = Interrupter::new();
        Self {
            shown: TuiMetricsRendererWrapper::new(stopped_here.clone(), None),
            stopped_here,
            run,
        }
    }

    fn pass_on(&self) {
        if self.stopped_here.should_stop() {
            self.run.ask(StopCause::Dashboard);
        }
    }
}

/// The terminal's modes before the dashboard took it.
#[cfg(unix)]
static BEFORE: std::sync::OnceLock<rustix::termios::Termios> = std::sync::OnceLock::new();

#[cfg(unix)]
fn remember_terminal() {
    if let Ok(modes) = rustix::termios::tcgetattr(std::io::stdin()) {
        BEFORE.get_or_init(|| modes);
    }
}

/// Leaves the terminal as it was before the dashboard, for a process that ends without closing it.
#[cfg(unix)]
pub fn give_terminal_back() {
    use std::io::Write as _;

    use rustix::termios::{OptionalActions, tcsetattr};

    /// Reports no mouse, shows the screen of before, and the cursor.
    const LEAVE: &[u8] =
        b"\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1049l\x1b[?25h";

    if let Some(modes) = BEFORE.get() {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        let mut terminal = std::io::stdout();
        let _ = terminal.write_all(LEAVE).and_then(|()| terminal.flush());
    }
}

#[cfg(not(unix))]
fn remember_terminal() {}

#[cfg(not(unix))]
pub fn give_terminal_back() {}

/// Undoes that part of the terminal's raw mode, which the dashboard enters on a thread of its own.
#[cfg(unix)]
fn let_ctrl_c_interrupt() {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let terminal = std::io::stdin();
    if let Ok(mut modes) = tcgetattr(&terminal)
        && !modes.local_modes.contains(LocalModes::ISIG)
    {
        modes.local_modes.insert(LocalModes::ISIG);
        // Without it there is still `q`.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &modes);
    }
}

#[cfg(not(unix))]
fn let_ctrl_c_interrupt() {}

impl MetricsRendererTraining for Dashboard {
    fn update_train(&mut self, state: MetricState) {
        self.shown.update_train(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.shown.update_valid(state);
    }

    fn on_train_end(
        &mut self,
        summary: Option<LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.pass_on();
        self.shown.on_train_end(summary)
    }
}

impl MetricsRendererEvaluation for Dashboard {
    fn update_test(&mut self, name: EvaluationName, state: MetricState) {
        self.shown.update_test(name, state);
    }
}

impl TrainingProgressLogger for Dashboard {
    fn start(&mut self, total: usize, first: usize, items: Option<usize>, label: Option<&str>) {
        self.shown.start(total, first, items, label);
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.shown.update_epoch(epoch);
    }

    fn start_split(&mut self, split: &str, total: usize) {
        self.shown.start_split(split, total);
    }

    fn update_split(&mut self, done: usize) {
        self.shown.update_split(done);
        let_ctrl_c_interrupt();
        self.pass_on();
    }

    fn end_split(&mut self) {
        self.shown.end_split();
    }

    fn end(&mut self) {
        TrainingProgressLogger::end(&mut self.shown);
    }

    fn log_event_training(&mut self, event: String) {
        self.shown.log_event_training(event);
    }
}

impl EvaluationProgressLogger for Dashboard {
    fn start_global_progress(&mut self, total: usize) {
        self.shown.start_global_progress(total);
    }

    fn start_test(&mut self, name: &str, total: usize) {
        self.shown.start_test(name, total);
    }

    fn update_test_progress(&mut self, done: usize) {
        self.shown.update_test_progress(done);
    }

    fn end_test(&mut self) {
        self.shown.end_test();
    }

    fn end_global_progress(&mut self) {
        self.shown.end_global_progress();
    }

    fn log_event_evaluation(&mut self, event: String) {
        self.shown.log_event_evaluation(event);
    }
}

impl MetricsRenderer for Dashboard {
    fn manual_close(&mut self) {
        self.shown.manual_close();
    }

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.shown.register_metric(definition);
    }
}
