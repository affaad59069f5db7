//! Why something was not had, and whether asking again may help.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ureq::Timeout;

use super::HubError;
use super::client::Client;

/// Why something was not had.
#[derive(Debug)]
pub(super) enum Failure {
    /// A request failed.
    Request(ureq::Error),
    /// An answer has another status than it should.
    Status {
        /// The status.
        status: u16,
        /// When to ask again, where the hub says so.
        wait: Option<Duration>,
    },
    /// An answer is not understood.
    Answer(String),
    /// A content ended early.
    Short(String),
    /// A content is another than was described.
    Damaged {
        /// What is wrong with it.
        problem: String,
        /// Whether its beginning was from an earlier transfer.
        resumed: bool,
    },
    /// The cache cannot be written.
    Cache(io::Error),
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Request(error)
    }
}

impl Failure {
    /// Whether asking again may help; a hub that has answered before will be there again.
    pub(super) fn may_pass(&self, has_answered: bool) -> bool {
        use ErrorKind as Kind;
        match self {
            Self::Short(_) => true,
            Self::Damaged { resumed, .. } => *resumed,
            Self::Answer(_) | Self::Cache(_) => false,
            Self::Status { status, .. } => *status >= 500 || [408, 429].contains(status),
            Self::Request(error) => match error {
                ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed => has_answered,
                ureq::Error::Timeout(_) | ureq::Error::BodyStalled => true,
                // A list that ends amid a word.
                ureq::Error::Json(error) => error.is_io() || error.is_eof(),
                ureq::Error::Io(error) => match error.kind() {
                    Kind::ConnectionReset
                    | Kind::ConnectionAborted
                    | Kind::BrokenPipe
                    | Kind::TimedOut
                    | Kind::WouldBlock
                    | Kind::UnexpectedEof => true,
                    Kind::ConnectionRefused
                    | Kind::HostUnreachable
                    | Kind::NetworkUnreachable
                    | Kind::NetworkDown
                    | Kind::Other => has_answered,
                    _ => false,
                },
                _ => false,
            },
        }
    }

    /// What happened, if it was an interruption.
    pub(super) fn interruption(&self) -> Option<String> {
        match self {
            Self::Short(problem) => Some(problem.clone()),
            Self::Request(error) if self.may_pass(true) => Some(error.to_string()),
            _ => None,
        }
    }
}

impl Client<'_> {
    /// A failure, for the user.
    pub(super) fn failed(&self, failure: Failure) -> HubError {
        let (id, endpoint) = (self.id.clone(), self.settings.endpoint.clone());
        match failure {
            Failure::Answer(problem) | Failure::Damaged { problem, .. } => HubError::Answer {
                id,
                endpoint,
                problem,
            },
            Failure::Cache(source) => self.cache(source),
            Failure::Status { status: 404, .. } => HubError::NotFound { id, endpoint },
            Failure::Status {
                status: status @ (401 | 403),
                ..
            } => HubError::Refused {
                id,
                endpoint,
                status,
                with_token: self.settings.token.is_some(),
            },
            Failure::Status { status, .. } => HubError::Status {
                id,
                endpoint,
                status,
            },
            Failure::Request(
                error @ (ureq::Error::Json(_)
                | ureq::Error::Protocol(_)
                | ureq::Error::Http(_)
                | ureq::Error::BadUri(_)
                | ureq::Error::BodyExceedsLimit(_)
                | ureq::Error::LargeResponseHeader(..)),
            ) => HubError::Answer {
                id,
                endpoint,
                problem: error.to_string(),
            },
            Failure::Request(error) => HubError::Unreachable {
                id,
                endpoint,
                reason: error.to_string(),
            },
            Failure::Short(reason) => HubError::Unreachable {
                id,
                endpoint,
                reason,
            },
        }
    }

    /// The system's complaint about the cache.
    pub(super) fn cache(&self, source: io::Error) -> HubError {
        HubError::Cache {
            id: self.id.clone(),
            cache: self.settings.cache.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_asked_for_again_and_what_stays_is_not() {
        let status = |status| Failure::Status { status, wait: None };
        for passing in [408, 429, 500, 502, 503, 504] {
            assert!(status(passing).may_pass(false), "{passing}");
        }
        for lasting in [400, 401, 403, 404, 416] {
            assert!(!status(lasting).may_pass(true), "{lasting}");
        }
        let request = |kind: ErrorKind| Failure::Request(ureq::Error::Io(kind.into()));
        assert!(request(ErrorKind::ConnectionReset).may_pass(false));
        assert!(Failure::Request(ureq::Error::Timeout(Timeout::PerRead)).may_pass(false));
        let json = |text: &str| {
            let read = serde_json::from_str::<serde_json::Value>(text);
            read.map_err(|error| Failure::Request(ureq::Error::Json(error)))
        };
        assert!(json("{\"sha\": \"01").is_err_and(|cut| cut.may_pass(false)));
        assert!(json("<html>").is_err_and(|page| !page.may_pass(true)));
        // Without a network nobody waits, unless it was there a moment ago.
        for absent in [
            request(ErrorKind::ConnectionRefused),
            Failure::Request(ureq::Error::HostNotFound),
            Failure::Request(ureq::Error::Timeout(Timeout::Connect)),
        ] {
            assert!(!absent.may_pass(false), "{absent:?}");
            assert!(absent.may_pass(true), "{absent:?}");
        }
        assert!(!Failure::Cache(ErrorKind::TimedOut.into()).may_pass(true));
    }
}
