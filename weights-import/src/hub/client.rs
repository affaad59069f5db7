//! What the hub is asked, and its answers, none of which is trusted: redirects are few and lead somewhere, the token
//! goes to the hub alone, and what becomes part of a path is looked at first.

use std::cell::Cell;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode, Uri, header};
use ureq::{Agent, Body, BodyReader};

use super::failure::Failure;
use super::id::{is_commit, is_plain};
use super::{HubError, HubId, HubSettings, roots};

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
/// Its size.
const LINKED_SIZE: &str = "x-linked-size";

/// Asks the hub for one model.
pub(super) struct Client<'a> {
    pub(super) settings: &'a HubSettings,
    pub(super) id: &'a HubId,
    agent: Agent,
    has_answered: Cell<bool>,
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

/// A content on its way.
pub(super) struct Content {
    /// The first byte that comes.
    pub(super) from: u64,
    /// Whether it is a part of the whole.
    pub(super) partial: bool,
    /// The bytes.
    pub(super) content: BodyReader<'static>,
}

impl<'a> Client<'a> {
    /// A client for a model.
    pub(super) fn new(settings: &'a HubSettings, id: &'a HubId) -> Result<Self, HubError> {
        let agent = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(settings.silence))
            .tls_config(roots::trusted(settings.certificates.as_deref())?)
            .user_agent(concat!("lingo/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self {
            settings,
            id,
            agent,
            has_answered: Cell::new(false),
        })
    }

    /// Whether anybody has answered yet.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.get()
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
        let mut linked_size = None;
        let answer = self.get(&self.url(commit, file), Some("bytes=0-0"), |headers| {
            let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
            let size = text(LINKED_SIZE).and_then(|size| size.parse::<u64>().ok());
            linked_size = linked_size.or(size);
            // The first that knows both; whoever keeps the content knows no commit.
            let tag = text(LINKED_TAG).or_else(|| text(header::ETAG.as_str()));
            if let (None, Some(commit), Some(tag)) = (&described, text(COMMIT), tag) {
                described = Some((commit, tag));
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
        // Not everybody gives parts.
        let size = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = value(&answer, header::CONTENT_RANGE);
                range.and_then(|range| range.rsplit('/').next()?.parse().ok())
            }
            // Content that is unpacked on its way has another size, and none is said then.
            _ => value(&answer, header::CONTENT_LENGTH).and_then(|size| size.parse().ok()),
        };
        Ok(Described {
            tag: plain.to_owned(),
            bytes: linked_size.or(size).ok_or_else(|| {
                let problem = format!("it does not say how large {file} is");
                Failure::Answer(problem)
            })?,
        })
    }

    /// The content of a file from a byte on.
    pub(super) fn content(&self, commit: &str, file: &str, from: u64) -> Result<Content, Failure> {
        let range = format!("bytes={from}-");
        let answer = self.get(&self.url(commit, file), Some(&range), |_| {})?;
        let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        let begins = value(&answer, header::CONTENT_RANGE).and_then(first_byte);
        Ok(Content {
            from: begins.filter(|_| partial).unwrap_or(0),
            partial,
            content: answer.into_body().into_reader(),
        })
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
            self.has_answered.set(true);
            inspect(answer.headers());
            if answer.status().is_success() {
                return Ok(answer);
            }
            if !answer.status().is_redirection() {
                let wait = value(&answer, header::RETRY_AFTER);
                return Err(Failure::Status {
                    status: answer.status().as_u16(),
                    wait: wait.and_then(|secs| secs.parse().ok().map(Duration::from_secs)),
                });
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
}

/// A header's text.
fn value(answer: &Response<Body>, name: HeaderName) -> Option<&str> {
    answer.headers().get(name)?.to_str().ok()
}

/// The first byte of `bytes 5-9/10`.
fn first_byte(range: &str) -> Option<u64> {
    let (first, _) = range.strip_prefix("bytes")?.trim().split_once('-')?;
    first.parse().ok()
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
