//! What is trained and for how long, for the user to read before it starts.

use std::fmt;

use super::Run;

impl Run {
    /// Evaluations that may be chosen: those behind which the ranks are fixed.
    fn counted_evaluations(&self) -> usize {
        let ranks = self.ranks.as_ref();
        let from = ranks.map_or(0, |ranks| ranks.config().schedule.final_step());
        let evaluations = self.plan.length.evaluations.iter();
        evaluations.filter(|step| **step >= from).count()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.plan.task)?;
        writeln!(f, "method      {}", self.plan.config.adapter.method.name())?;
        for found in &self.matches {
            let count = found.indices.len();
            write!(f, "            {:<10} {count:>4} matrices", found.pattern)?;
            match found.indices.first() {
                Some(first) => writeln!(f, ", the first {}", self.paths[*first])?,
                None => writeln!(f, " that no pattern before it has")?,
            }
        }
        let share =
            100.0 * self.plan.trainable_parameters as f64 / self.plan.total_parameters as f64;
        writeln!(
            f,
            "parameters  {} trainable of {} loaded ({share:.2} %)",
            self.plan.trainable_parameters, self.plan.total_parameters
        )?;
        let length = &self.plan.length;
        let batch = self.plan.config.train.batch_size;
        write!(f, "steps       {} of ", length.total_steps)?;
        match length.accumulation {
            1 => write!(f, "{batch} sequences")?,
            count => write!(f, "{count} batches of {batch} sequences")?,
        }
        write!(
            f,
            ", {} batches an epoch, {} evaluations",
            length.batches_an_epoch,
            length.evaluations.len()
        )?;
        if length.left_out > 0 {
            write!(
                f,
                "\nnote        the last {} batches do not fill a step and are left out",
                length.left_out
            )?;
        }
        let (patience, counted) = (self.plan.config.train.patience, self.counted_evaluations());
        // The first one is an improvement, and behind the last one there is nothing to save.
        if patience > 0 && counted < patience + 2 {
            write!(
                f,
                "\nnote        train.patience = {patience} cannot end this run early: {counted} of its evaluations count"
            )?;
        }
        let reference = self.plan.flops.reference;
        write!(
            f,
            "\nflops       an adjusted step is {reference:.3e}, as of OPT-125M on this task"
        )?;
        let Some(ranks) = &self.ranks else {
            return Ok(());
        };
        let schedule = &ranks.config().schedule;
        write!(
            f,
            "\nranks       {} to {}, fixed from step {} on",
            schedule.initial(),
            schedule.target(),
            schedule.final_step(),
        )?;
        if schedule.initial() == schedule.target() {
            write!(
                f,
                "\nnote        adapter.initial_rank is adapter.target_rank: the budget of ranks never falls"
            )?;
        }
        match schedule.gradual_allocations() {
            0 => write!(
                f,
                "\nnote        no multiple of adapter.interval = {} comes before that step: only the last \
                 allocation prunes",
                self.plan.config.adapter.interval
            ),
            1 => write!(f, ", one allocation before"),
            count => write!(f, ", {count} allocations before"),
        }
    }
}
