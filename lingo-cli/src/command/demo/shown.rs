//! How far a run of the demo is: a bar on a terminal, and a line behind each run everywhere.

use std::time::Instant;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use lingo_train::result::RunResult;

use crate::progress::{Event, Listener, Position};
use crate::say;

/// Shows a run on standard error.
pub struct Shown {
    name: String,
    bar: ProgressBar,
    started: Instant,
}

impl Shown {
    /// Before the run of this name.
    pub fn new(name: &str) -> Result<Self> {
        let style = "{prefix:30} {bar:12} {percent:>3} %, {eta} left{msg}";
        let style = ProgressStyle::with_template(style).context("progress bar")?;
        let bar = say::bar(ProgressBar::new(1).with_style(style));
        bar.set_prefix(name.to_owned());
        Ok(Self {
            name: name.to_owned(),
            bar,
            started: Instant::now(),
        })
    }

    /// Who moves the bar.
    pub fn listener(&self) -> Bar {
        Bar(self.bar.clone())
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Says how the run ended.
    pub fn report(&self, result: &RunResult) {
        let dev = result.dev.get(result.selected_by);
        let dev = dev.map_or("undefined".to_owned(), |value| format!("{value:.3}"));
        note!(
            "{:<30} {:>3} s, best dev {} {dev} at step {} of {}",
            self.name,
            self.started.elapsed().as_secs(),
            result.selected_by,
            result.chosen_step,
            result.steps
        );
    }

    /// Says that it has ended before, on a device.
    pub fn kept(&self, device: Option<&String>) {
        let device = device.map_or("", String::as_str).trim_matches('"');
        note!("{:<30} is there already, from {device}", self.name);
    }
}

/// Moves a bar.
pub struct Bar(ProgressBar);

impl Listener for Bar {
    fn hear(&mut self, event: Event, at: &Position) {
        match event {
            Event::Batch {
                trained: true,
                done,
                total,
            } => {
                let before = total * at.round.saturating_sub(1);
                self.0.set_length((total * at.rounds) as u64);
                self.0.set_position((before + done) as u64);
            }
            Event::Batch { .. } | Event::Skipped => {}
            Event::Evaluated { name, value } => {
                self.0.set_message(format!(", dev {name} {value}"));
            }
        }
    }
}
