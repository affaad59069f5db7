//! Being asked to stop. A run stops behind an optimizer step, once the state there is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Who asks a run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StopCause {
    /// Ctrl-C.
    Interrupt = 1,
    /// SIGTERM, as from a batch system.
    Termination = 2,
    /// SIGHUP: the terminal is gone.
    HangUp = 3,
    /// The dashboard's user.
    Dashboard = 4,
}

/// A wish that a run should stop, shared by all that hold a clone.
#[derive(Clone, Debug, Default)]
pub struct StopRequest(Arc<AtomicU8>);

impl StopRequest {
    /// Asks to stop; of several causes the first counts.
    pub fn ask(&self, cause: StopCause) {
        // That another one was first is no failure.
        let _ = self
            .0
            .compare_exchange(0, cause as u8, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Why to stop, if that was asked for.
    pub fn cause(&self) -> Option<StopCause> {
        match self.0.load(Ordering::SeqCst) {
            1 => Some(StopCause::Interrupt),
            2 => Some(StopCause::Termination),
            3 => Some(StopCause::HangUp),
            4 => Some(StopCause::Dashboard),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays() {
        let request = StopRequest::default();
        assert_eq!(request.cause(), None);
        for cause in [StopCause::Termination, StopCause::Interrupt] {
            request.clone().ask(cause);
            assert_eq!(request.cause(), Some(StopCause::Termination));
        }
    }
}
