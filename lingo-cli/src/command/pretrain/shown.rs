//! How far pretraining is: a bar on a terminal, else a line now and then; a line an evaluation on both.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use lingo_train::pretrain::Progress;

use crate::say;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(20);
/// Weight of the newest step in the means that are shown.
const NEWEST: f64 = 0.05;

/// Shows progress on standard error.
pub struct Shown {
    bar: Option<ProgressBar>,
    started: Instant,
    written: Instant,
    loss: Option<f64>,
    speed: Option<f64>,
}

impl Shown {
    /// Before the first of `total` steps.
    pub fn new(total: u64) -> Result<Self> {
        let style = "{bar:30} step {pos} of {len}, {msg}, {eta} left";
        let style = ProgressStyle::with_template(style).context("progress bar")?;
        let terminal = std::io::stderr().is_terminal();
        let now = Instant::now();
        Ok(Self {
            bar: terminal.then(|| say::bar(ProgressBar::new(total).with_style(style))),
            started: now,
            written: now,
            loss: None,
            speed: None,
        })
    }

    /// Shows what has happened.
    pub fn hear(&mut self, progress: Progress) {
        match progress {
            Progress::Step {
                step,
                total,
                loss,
                tokens_per_sec,
            } => self.step(step, total, loss, tokens_per_sec),
            Progress::Evaluating { done, total } => {
                let text = format!("evaluating, {} %", done * 100 / total);
                match &self.bar {
                    Some(bar) => bar.set_message(text),
                    None if self.written.elapsed() > INTERVAL => self.line(&text),
                    None => {}
                }
            }
            Progress::Evaluated(validation) => self.line(&format!(
                "step {}: validation loss {:.4}, perplexity {:.2}, {:.4} bits a byte",
                validation.step, validation.loss, validation.perplexity, validation.bits_per_byte
            )),
        }
    }

    fn step(&mut self, step: u64, total: u64, loss: f64, tokens_per_sec: f64) {
        let mean = |old: Option<f64>, new: f64| match old {
            Some(old) if new.is_finite() => old + NEWEST * (new - old),
            Some(old) => old,
            None => new,
        };
        let (loss, speed) = (mean(self.loss, loss), mean(self.speed, tokens_per_sec));
        (self.loss, self.speed) = (Some(loss), Some(speed));
        let text = format!("loss {loss:.4}, {speed:.0} tokens/s");
        match &self.bar {
            Some(bar) => {
                // A run that is resumed has not done in this session what lies behind it.
                if bar.position() == 0 && step > 1 {
                    bar.set_position(step - 1);
                    bar.reset_eta();
                }
                bar.set_position(step);
                bar.set_message(text);
            }
            None if self.written.elapsed() > INTERVAL || step == 1 => {
                self.line(&format!("step {step} of {total}: {text}"));
            }
            None => {}
        }
    }

    fn line(&mut self, text: &str) {
        let secs = self.started.elapsed().as_secs();
        note!("[{:>3}:{:02}] {text}", secs / 60, secs % 60);
        self.written = Instant::now();
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
