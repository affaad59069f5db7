//! One file after another from the hub into the cache.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::CacheRepo;
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiError, ApiRepo};

use super::download::Job;
use super::id::is_plain;
use super::{HubError, HubEvent};

/// How often a file is asked for; each time goes on where the last ended.
const TRIES: usize = 3;
/// Time between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Fetches the files of one commit.
pub(super) struct Fetcher<'a> {
    pub(super) job: Job<'a>,
    pub(super) api: Api,
    pub(super) repo: ApiRepo,
    pub(super) cache: CacheRepo,
    /// The commit.
    pub(super) commit: &'a str,
    /// Where its files go.
    pub(super) folder: &'a Path,
    pub(super) observer: &'a mut dyn FnMut(HubEvent<'_>),
}

impl Fetcher<'_> {
    /// The path of a file, which is fetched unless it is there.
    pub(super) fn get(&mut self, file: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join(file);
        if path.is_file() {
            return Ok(path);
        }
        let job = self.job;
        let metadata = self.api.metadata(&self.repo.url(file));
        let metadata = metadata.map_err(|error| job.failed(error))?;
        // Both become parts of paths; proxies that compress make the tag a weak one.
        let (commit, tag) = (metadata.commit_hash(), metadata.etag());
        if commit != self.commit || !is_plain(tag.strip_prefix("W/").unwrap_or(tag)) {
            return Err(job.answer(format!("{file} is of commit `{commit}`, tag `{tag}`")));
        }
        let bytes = metadata.size() as u64;
        let blob = self.cache.blob_path(tag);
        // A link to nothing, and a part that is no beginning of the file, would stay in the way for ever.
        remove(&path).map_err(|source| job.cache(source))?;
        let part = blob.with_extension("part");
        if part.metadata().is_ok_and(|part| part.len() >= bytes) {
            remove(&part).map_err(|source| job.cache(source))?;
        }
        (self.observer)(HubEvent::File { name: file, bytes });
        self.download(file)?;
        let found = path.metadata().map_err(|source| job.cache(source))?.len();
        if found == bytes {
            return Ok(path);
        }
        for wrong in [&path, &blob] {
            remove(wrong).map_err(|source| job.cache(source))?;
        }
        Err(self.cut_off(file, format!("{found} of {bytes} bytes")))
    }

    /// Fetches a file, going on after interruptions.
    fn download(&mut self, file: &str) -> Result<(), HubError> {
        let mut tries = 1;
        loop {
            let progress = Meter {
                observer: self.observer,
                received: 0,
            };
            let error = match self.repo.download_with_progress(file, progress) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if !is_interruption(&error) {
                return Err(self.job.failed(error));
            }
            if tries == TRIES {
                return Err(self.cut_off(file, error.to_string()));
            }
            tries += 1;
            std::thread::sleep(PAUSE);
        }
    }

    fn cut_off(&self, file: &str, reason: String) -> HubError {
        HubError::CutOff {
            id: self.job.id.clone(),
            file: file.to_owned(),
            reason,
        }
    }
}

/// Whether asking again may help.
fn is_interruption(error: &ApiError) -> bool {
    let of_network = |error: &std::io::Error| {
        use ErrorKind as Kind;
        matches!(
            error.kind(),
            Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::TimedOut
                | Kind::UnexpectedEof
                | Kind::Other
        )
    };
    match error {
        ApiError::IoError(error) => of_network(error),
        ApiError::RequestError(error) => match &**error {
            ureq::Error::StatusCode(status) => *status >= 500,
            ureq::Error::Io(error) => of_network(error),
            _ => true,
        },
        _ => false,
    }
}

/// Removes a file or a link, if there is one.
fn remove(path: &Path) -> Result<(), std::io::Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Adds up what arrives.
struct Meter<'a> {
    observer: &'a mut dyn FnMut(HubEvent<'_>),
    received: u64,
}

impl Progress for Meter<'_> {
    fn init(&mut self, _size: usize, _file: &str) {
        self.received = 0;
    }

    fn update(&mut self, bytes: usize) {
        self.received += bytes as u64;
        (self.observer)(HubEvent::Received(self.received));
    }

    fn finish(&mut self) {}
}
