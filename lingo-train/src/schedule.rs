//! The learning rate: linear warm-up, then linear decay to zero.

use burn::optim::LearningRate;
use burn::optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};

/// The learning rate at each optimizer step, counted from 1: `peak · t / w` for the `w` steps of warm-up, then a line
/// from `peak` that reaches zero one step behind the last.
///
/// ```
/// use lingo_train::schedule::WarmupLinear;
///
/// let schedule = WarmupLinear::new(3e-4, 0.1, 100);
/// assert_eq!(schedule.at(5), 1.5e-4);
/// assert_eq!(schedule.at(10), 3e-4);
/// assert_eq!(schedule.at(101), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WarmupLinear {
    peak: f64,
    warmup_steps: u64,
    total_steps: u64,
    taken: u64,
}

impl WarmupLinear {
    /// A schedule over `total_steps` with warm-up over `warmup_ratio` of them, rounded up.
    pub fn new(peak: f64, warmup_ratio: f64, total_steps: u64) -> Self {
        Self {
            peak,
            warmup_steps: (total_steps as f64 * warmup_ratio).ceil() as u64,
            total_steps,
            taken: 0,
        }
    }

    /// The same schedule behind `taken` steps.
    pub fn behind(self, taken: u64) -> Self {
        Self { taken, ..self }
    }

    /// The learning rate of step `t`.
    pub fn at(&self, t: u64) -> f64 {
        if t <= self.warmup_steps {
            return self.peak * t as f64 / self.warmup_steps as f64;
        }
        let left = (self.total_steps + 1).saturating_sub(t);
        self.peak * left as f64 / (self.total_steps + 1 - self.warmup_steps.max(1)) as f64
    }
}

const TAKEN: &str = "taken";

impl LrScheduler for WarmupLinear {
    fn step(&mut self) -> LearningRate {
        self.taken += 1;
        self.at(self.taken)
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar(TAKEN, self.taken)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(taken) = record.scalar(TAKEN) {
            self.taken = taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_zero_behind_the_last_step() {
        let mut schedule = WarmupLinear::new(1.0, 0.1, 100);
        let rates: Vec<f64> = (0..100).map(|_| schedule.step()).collect();
        assert_eq!(rates[0], 0.1);
        assert_eq!(rates[9], 1.0);
        assert!((rates[10] - 90.0 / 91.0).abs() < 1e-12);
        assert!((rates[99] - 1.0 / 91.0).abs() < 1e-12);
        assert!(rates[9..].is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn without_warmup_the_first_step_has_the_peak() {
        let mut schedule = WarmupLinear::new(2.0, 0.0, 4);
        let rates: Vec<f64> = (0..4).map(|_| schedule.step()).collect();
        assert_eq!(rates, [2.0, 1.5, 1.0, 0.5]);
    }

    #[test]
    fn a_restored_schedule_goes_on_where_it_was() {
        let mut schedule = WarmupLinear::new(1.0, 0.1, 50);
        for _ in 0..7 {
            schedule.step();
        }
        assert_eq!(WarmupLinear::new(1.0, 0.1, 50).behind(7), schedule);
        let mut restored = WarmupLinear::new(1.0, 0.1, 50);
        restored.load_record(schedule.to_record());
        assert_eq!(schedule.step(), restored.step());
    }
}
