//! What the hub is asked, and its answers, none of which is trusted: redirects are few and lead somewhere, the token
//! goes to the hub alone, and what becomes part of a path is looked at first.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::{Agent, Body};

use super::id::{is_commit, is_plain};
use super::{HubError, HubId, HubSettings};

/// How long the hub may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// How long it may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How often a request may be sent elsewhere.
const MOST_REDIRECTS: usize = 5;
/// The commit of a file.
const COMMIT: &str = "x-repo-commit";
/// The tag of a file whose content is kept elsewhere.
const LINKED_TAG: &str = "x-linked-etag";

/// Asks the hub for one model.
pub(super) struct Client<'a> {
    settings: &'a HubSettings,
    pub(super) id: &'a HubId,
    agent: Agent,
}

/// What the hub says of a revision.
#[derive(Debug, Deserialize)]
pub(super) struct Revision {
    /// The commit.
    #[serde(rename = "sha")]
    pub(super) commit: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Revision {
    /// The names of its files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.siblings.iter().map(|file| &*file.rfilename)
    }
}

/// What the hub says of a file.
#[derive(Debug)]
pub(super) struct Described {
    /// What the cache calls its content: a plain name.
    pub(super) tag: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// Why something was not had.
#[derive(Debug)]
pub(super) enum Failure {
    /// A request failed.
    Request(ureq::Error),
    /// An answer is not understood.
    Answer(String),
    /// The cache cannot be written.
    Cache(io::Error),
    /// Another process holds a lock.
    Locked(PathBuf),
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Request(error)
    }
}

impl<'a> Client<'a> {
    /// A client for a model.
    pub(super) fn new(settings: &'a HubSettings, id: &'a HubId) -> Self {
        let agent = Agent::config_builder()
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .user_agent(concat!("lingo/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Self {
            settings,
            id,
            agent,
        }
    }

    /// The commit and the files of a revision.
    pub(super) fn revision(&self, revision: &str) -> Result<Revision, Failure> {
        let HubSettings { endpoint, .. } = self.settings;
        let id = self.id.repository();
        let url = format!("{endpoint}/api/models/{id}/revision/{revision}");
        let answer = self.get(&url, None, |_| {})?;
        let found: Revision = answer.into_body().read_json()?;
        match is_commit(&found.commit) {
            true => Ok(found),
            false => Err(Failure::Answer(format!("`{}` is no commit", found.commit))),
        }
    }

    /// Tag and size of a file of a commit.
    pub(super) fn describe(&self, commit: &str, file: &str) -> Result<Described, Failure> {
        let mut described = None;
        let answer = self.get(&self.url(commit, file), Some("bytes=0-0"), |headers| {
            // The hub itself knows the file; whoever keeps the content only knows its size.
            let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
            if let (None, Some(commit)) = (&described, text(COMMIT)) {
                let tag = text(LINKED_TAG).or_else(|| text(header::ETAG.as_str()));
                described = Some((commit, tag.unwrap_or_default()));
            }
        })?;
        let (of, tag) = described.unwrap_or_default();
        // Proxies that compress make the tag a weak one.
        let plain = tag.trim_start_matches("W/").trim_matches('"');
        // Both become parts of paths.
        if of != commit || !is_plain(plain) {
            let problem = format!("{file} is of commit `{of}`, tag `{tag}`");
            return Err(Failure::Answer(problem));
        }
        let range = answer.headers().get(header::CONTENT_RANGE);
        let size = range.and_then(|range| range.to_str().ok()?.rsplit('/').next()?.parse().ok());
        Ok(Described {
            tag: plain.to_owned(),
            bytes: size.ok_or_else(|| {
                Failure::Answer(format!("it does not say how large {file} is: {range:?}"))
            })?,
        })
    }

    /// The content of a file from a byte on.
    pub(super) fn content(
        &self,
        commit: &str,
        file: &str,
        from: u64,
    ) -> Result<Response<Body>, Failure> {
        let range = format!("bytes={from}-");
        self.get(&self.url(commit, file), Some(&range), |_| {})
    }

    fn url(&self, commit: &str, file: &str) -> String {
        let HubSettings { endpoint, .. } = self.settings;
        format!(
            "{endpoint}/{}/resolve/{commit}/{file}",
            self.id.repository()
        )
    }

    /// The answer at the end of all redirects; `inspect` sees the headers of each.
    fn get(
        &self,
        url: &str,
        range: Option<&str>,
        mut inspect: impl FnMut(&HeaderMap),
    ) -> Result<Response<Body>, Failure> {
        let hub = origin(&self.settings.endpoint);
        let mut place = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(&place);
            if let Some(range) = range {
                // A range counts the bytes that come, and those of the file are meant.
                request = request
                    .header(header::RANGE, range)
                    .header(header::ACCEPT_ENCODING, "identity");
            }
            if let Some(token) = &self.settings.token
                && hub.is_some()
                && origin(&place) == hub
            {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let answer = request.call()?;
            inspect(answer.headers());
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(header::LOCATION);
            let target = location.and_then(|location| moved(&place, location.to_str().ok()?));
            place = target.ok_or_else(|| {
                let to = location.map_or_else(
                    || "nowhere".to_owned(),
                    |to| format!("`{}`", String::from_utf8_lossy(to.as_bytes())),
                );
                Failure::Answer(format!("it redirects {place} to {to}"))
            })?;
        }
        let problem = format!("it redirects {url} more than {MOST_REDIRECTS} times");
        Err(Failure::Answer(problem))
    }

    /// A failure, for the user.
    pub(super) fn failed(&self, failure: Failure) -> HubError {
        let (id, endpoint) = (self.id.clone(), self.settings.endpoint.clone());
        let error = match failure {
            Failure::Request(error) => error,
            Failure::Answer(problem) => {
                return HubError::Answer {
                    id,
                    endpoint,
                    problem,
                };
            }
            Failure::Cache(source) => return self.cache(source),
            Failure::Locked(lock) => return HubError::Locked { id, lock },
        };
        match error {
            ureq::Error::StatusCode(404) => HubError::NotFound { id, endpoint },
            ureq::Error::StatusCode(status @ (401 | 403)) => HubError::Refused {
                id,
                endpoint,
                status,
                with_token: self.settings.token.is_some(),
            },
            ureq::Error::StatusCode(status) => HubError::Status {
                id,
                endpoint,
                status,
            },
            ureq::Error::Json(_)
            | ureq::Error::Protocol(_)
            | ureq::Error::Http(_)
            | ureq::Error::BadUri(_)
            | ureq::Error::BodyExceedsLimit(_)
            | ureq::Error::LargeResponseHeader(..) => HubError::Answer {
                id,
                endpoint,
                problem: error.to_string(),
            },
            _ => HubError::Unreachable {
                id,
                endpoint,
                reason: error.to_string(),
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

/// Scheme and authority of an address.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string()))
}

/// Where a redirect from `place` leads: to a path of the same server or to a whole address.
fn moved(place: &str, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        let (scheme, authority) = origin(place)?;
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let (scheme, _) = origin(location)?;
    ["http", "https"]
        .contains(&&*scheme)
        .then(|| location.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_within_the_server_or_to_a_whole_address() {
        let from = |location| moved("https://hub.example/a/b?c", location);
        let to = |url: &str| Some(url.to_owned());
        assert_eq!(from("/d/e?f"), to("https://hub.example/d/e?f"));
        assert_eq!(from("http://other.example/"), to("http://other.example/"));
        for none in [
            "",
            "d",
            "//other.example/",
            "file:///etc/passwd",
            "ftp://x/y",
        ] {
            assert_eq!(from(none), None, "{none}");
        }
    }
}
