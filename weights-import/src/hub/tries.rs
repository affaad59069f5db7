//! Asking again after what passes.

use std::time::Duration;

use super::client::Client;
use super::failure::Failure;

/// How often something is asked for.
const MOST: u32 = 4;
/// The longest time that the hub may ask us to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The tries since anything was achieved.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Counts anew: something was achieved.
    pub(super) fn renew(&mut self) {
        self.0 = 0;
    }

    /// How long to wait before the next one, if there is one: 1, 2 and 4 seconds, unless the hub names a time.
    fn pause(&mut self, failure: &Failure) -> Option<Duration> {
        let pause = Duration::from_secs(1 << self.0.min(MOST));
        self.0 += 1;
        let asked = match failure {
            Failure::Status { wait, .. } => *wait,
            _ => None,
        };
        (self.0 < MOST).then(|| asked.unwrap_or(pause).min(LONGEST_PAUSE))
    }
}

impl Client<'_> {
    /// What `ask` brings, asked again as long as it may help.
    pub(super) fn patiently<T>(
        &self,
        mut ask: impl FnMut(&mut Tries) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut tries = Tries::default();
        loop {
            let failure = match ask(&mut tries) {
                Err(failure) if failure.may_pass(self.has_answered()) => failure,
                done => return done,
            };
            match tries.pause(&failure) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(failure),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_something_is_achieved_or_the_hub_names_a_time() {
        let failure = |secs: Option<u64>| Failure::Status {
            status: 429,
            wait: secs.map(Duration::from_secs),
        };
        let mut tries = Tries::default();
        let mut pause = |secs| Some(tries.pause(&failure(secs))?.as_secs());
        let grown = [None, None, None, None].map(&mut pause);
        assert_eq!(grown, [Some(1), Some(2), Some(4), None]);
        let mut tries = Tries::default();
        let mut pause = |secs| Some(tries.pause(&failure(secs))?.as_secs());
        assert_eq!([Some(7), Some(3600)].map(&mut pause), [Some(7), Some(60)]);
        tries.renew();
        assert_eq!(tries.pause(&failure(None)), Some(Duration::from_secs(1)));
    }
}
