//! How far a run of the demo is: a bar on a terminal, and a line behind each run everywhere.

use std::io::IsTerminal as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
        let style = "{prefix:28} {bar:30} {percent:>3} %, {msg}";
        let style = ProgressStyle::with_template(style).context("progress bar")?;
        let bar = say::bar(ProgressBar::new(1).with_style(style));
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_prefix(name.to_owned());
        bar.set_message("loading");
        Ok(Self {
            name: name.to_owned(),
            bar,
            started: Instant::now(),
        })
    }

    /// Who moves the bar.
    pub fn listener(&self) -> Bar {
        Bar {
            bar: self.bar.clone(),
            dev: String::new(),
        }
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
            "{:<28} {:>3} s, {} steps, best dev {} {dev} at step {}",
            self.name,
            self.started.elapsed().as_secs(),
            result.steps,
            result.selected_by,
            result.chosen_step
        );
    }

    /// Says that it has ended before.
    pub fn kept(&self) {
        note!("{:<28} is there already", self.name);
    }
}

/// Moves a bar.
pub struct Bar {
    bar: ProgressBar,
    dev: String,
}

impl Listener for Bar {
    fn hear(&mut self, event: Event, at: &Position) {
        match event {
            Event::Batch {
                trained: true,
                done,
                total,
            } => {
                let before = total * at.round.saturating_sub(1);
                self.bar.set_length((total * at.rounds) as u64);
                self.bar.set_position((before + done) as u64);
            }
            Event::Batch { .. } | Event::Skipped => {}
            Event::Evaluated { name, value } => self.dev = format!(", dev {name} {value}"),
        }
        let loss = at.loss.as_deref().unwrap_or("unknown");
        self.bar.set_message(format!("loss {loss}{}", self.dev));
    }
}
