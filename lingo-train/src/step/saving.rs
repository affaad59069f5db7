//! At which steps the state of training is handed to the log, to be saved.

use std::fmt;
use std::sync::Arc;

use burn::train::Interrupter;

use crate::stop::StopRequest;

/// The steps behind which the state is saved, and where a stop is asked for.
#[derive(Clone, Default)]
pub struct Saving {
    /// Every so many steps; 0 for none of them.
    pub every: u64,
    /// The steps behind which dev is evaluated, ascending.
    pub evaluations: Arc<[u64]>,
    /// Asks for a stop.
    pub stop: StopRequest,
    /// Stops the learner.
    pub interrupter: Interrupter,
}

impl Saving {
    /// Whether the state behind `step` is to be saved. A stop that was asked for is granted with it: the learner ends
    /// behind this very step.
    pub(super) fn is_due(&self, step: u64) -> bool {
        let regular = self.every > 0 && step.is_multiple_of(self.every);
        self.grant_stop() || regular || self.evaluations.binary_search(&step).is_ok()
    }

    /// Stops the learner, if that was asked for.
    pub(super) fn grant_stop(&self) -> bool {
        let asked = self.stop.cause().is_some();
        if asked {
            self.interrupter.stop(Some("asked to stop"));
        }
        asked
    }
}

impl fmt::Debug for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            every, evaluations, ..
        } = self;
        write!(f, "Saving({every}, {evaluations:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::StopCause;

    #[test]
    fn it_is_due_every_n_steps_at_evaluations_and_once_a_stop_is_asked_for() {
        let saving = Saving {
            every: 4,
            evaluations: [3, 6].into(),
            ..Saving::default()
        };
        let due: Vec<u64> = (1..=9).filter(|step| saving.is_due(*step)).collect();
        assert_eq!(due, [3, 4, 6, 8]);
        assert!(!saving.interrupter.should_stop());
        saving.stop.ask(StopCause::Termination);
        assert!(saving.is_due(9));
        assert!(saving.interrupter.should_stop());
        assert!(!Saving::default().is_due(1));
    }
}
