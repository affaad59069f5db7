//! The cubic budget (AdaLoRA, Zhang et al. 2023, eq. 12).

/// Why a schedule cannot prune as it is asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no step is left to prune in: {warmup_steps} steps without pruning, but the budget must be reached at step \
     {final_step} of {total_steps}; lower adapter.warmup_steps or adapter.final_ratio, or train longer"
)]
pub struct NoRoom {
    /// Steps before pruning starts.
    pub warmup_steps: u64,
    /// Step of the last allocation.
    pub final_step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

/// How many triplets may live, over all matrices, at each optimizer step (counted from 1).
///
/// ```
/// use lingo_core::rank::BudgetSchedule;
///
/// // 72 matrices from rank 12 to 6, in the first 3/4 of 1000 steps, an allocation every 100.
/// let schedule = BudgetSchedule::new(72, [12, 6], 0, 0.25, 100, 1000)?;
/// assert_eq!(schedule.budget(1), 862);
/// assert_eq!(schedule.budget(375), 72 * 6 + 72 * 6 / 8); // half the way: an eighth of what is to go is left
/// assert_eq!(schedule.budget(750), 72 * 6);
/// # Ok::<(), lingo_core::rank::schedule::NoRoom>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSchedule {
    initial: usize,
    target: usize,
    warmup_steps: u64,
    final_step: u64,
    interval: u64,
}

/// What is due after an optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// An allocation of this many triplets, that training may undo.
    Allocation(usize),
    /// The last allocation, which stays.
    FinalAllocation(usize),
    /// The last allocation has been made: its mask is applied again.
    Mask,
}

impl BudgetSchedule {
    /// A schedule for `matrices` matrices with `initial_rank` triplets each, of which `target_rank` each are left
    /// at step T = round(total · (1 − final_ratio)).
    ///
    /// # Errors
    /// If T does not lie behind the steps without pruning.
    pub fn new(
        matrices: usize,
        [initial_rank, target_rank]: [usize; 2],
        warmup_steps: u64,
        final_ratio: f64,
        interval: u64,
        total_steps: u64,
    ) -> Result<Self, NoRoom> {
        let final_step = ((total_steps as f64 * (1.0 - final_ratio)).round() as u64).max(1);
        if final_step <= warmup_steps || final_step > total_steps {
            return Err(NoRoom {
                warmup_steps,
                final_step,
                total_steps,
            });
        }
        Ok(Self {
            initial: matrices * initial_rank,
            target: matrices * target_rank,
            warmup_steps,
            final_step,
            interval,
        })
    }

    /// b(t): the budget in force at step `t`, a total over all matrices.
    pub fn budget(&self, t: u64) -> usize {
        if t <= self.warmup_steps {
            return self.initial;
        }
        if t >= self.final_step {
            return self.target;
        }
        let done = (t - self.warmup_steps) as f64 / (self.final_step - self.warmup_steps) as f64;
        let surplus = (self.initial - self.target) as f64 * (1.0 - done).powi(3);
        (self.target as f64 + surplus).floor() as usize
    }

    /// What to do after optimizer step `t`.
    pub fn due(&self, t: u64) -> Due {
        if t == self.final_step {
            Due::FinalAllocation(self.target)
        } else if t > self.final_step {
            Due::Mask
        } else if t.is_multiple_of(self.interval) && t > self.warmup_steps {
            Due::Allocation(self.budget(t))
        } else {
            Due::Nothing
        }
    }

    /// N: the triplets at the start.
    pub fn initial(&self) -> usize {
        self.initial
    }

    /// n · bT: the triplets at the end.
    pub fn target(&self) -> usize {
        self.target
    }

    /// T: the step of the last allocation.
    pub fn final_step(&self) -> u64 {
        self.final_step
    }

    /// How many allocations come before the last.
    pub fn gradual_allocations(&self) -> u64 {
        (self.final_step - 1) / self.interval - self.warmup_steps / self.interval
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_budget_falls_cubically_between_warmup_and_final_step() {
        // 60 matrices, 12 to 6 ranks, 1000 steps, final ratio 0.25: T = 750.
        let schedule = BudgetSchedule::new(60, [12, 6], 50, 0.25, 100, 1000).unwrap();
        assert_eq!(schedule.final_step(), 750);
        assert_eq!(schedule.budget(50), 720);
        // Half of the way: 360 + 360 / 8.
        assert_eq!(schedule.budget(400), 405);
        // 360 + 360 · (650 / 700)³ = 648.2
        assert_eq!(schedule.budget(100), 648);
        assert_eq!(schedule.budget(749), 360);
        assert_eq!(schedule.budget(750), 360);
        assert_eq!(schedule.due(100), Due::Allocation(648));
        assert_eq!(schedule.due(101), Due::Nothing);
        assert_eq!(schedule.due(750), Due::FinalAllocation(360));
        assert_eq!(schedule.due(800), Due::Mask);
        assert_eq!(schedule.gradual_allocations(), 7);
    }

    #[test]
    fn the_papers_prom_tata_has_the_last_allocation_alone() {
        let schedule = BudgetSchedule::new(72, [8, 6], 0, 0.15, 5000, 3065).unwrap();
        assert_eq!(schedule.final_step(), 2605);
        assert_eq!(schedule.gradual_allocations(), 0);
        let due: Vec<u64> = (1..=3065)
            .filter(|t| matches!(schedule.due(*t), Due::Allocation(_)))
            .collect();
        assert!(due.is_empty());
    }

    #[test]
    fn a_schedule_without_room_says_so() {
        let error = BudgetSchedule::new(4, [8, 6], 90, 0.2, 10, 100).unwrap_err();
        assert_eq!(error.final_step, 80);
        assert!(BudgetSchedule::new(4, [8, 6], 0, 0.0, 10, 1).is_ok());
    }
}
