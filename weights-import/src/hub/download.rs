//! From the hub into the cache, by the crate `hf-hub`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::api::{Progress, RepoInfo};
use hf_hub::{Cache, CacheRepo};

use super::cache::{MAIN, repository};
use super::id::{is_commit, is_plain};
use super::needed::{self, CONFIG, TOKENIZER, Weights};
use super::{HubError, HubEvent, HubId, HubSettings, Snapshot, licence};
use crate::checkpoint::listed;
use crate::hf::{self, index};
use crate::json::JsonFile;

/// How long the hub may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// How often a file is asked for; each time goes on where the last ended.
const TRIES: usize = 3;
/// Time between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Fetches what is needed and not yet there.
pub(super) fn run(
    settings: &HubSettings,
    id: &HubId,
    observer: &mut dyn FnMut(HubEvent<'_>),
) -> Result<Snapshot, HubError> {
    let job = Job { settings, id };
    let api = ApiBuilder::from_cache(Cache::new(settings.cache.clone()))
        .with_endpoint(settings.endpoint.clone())
        .with_token(settings.token.clone())
        .with_progress(false)
        .with_user_agent("lingo", env!("CARGO_PKG_VERSION"))
        .build()
        .map_err(|error| job.failed(error))?;
    let revision = id.revision().unwrap_or(MAIN);
    let info = job.info(&api.repo(repository(id, revision)))?;
    let files: BTreeSet<&str> = info
        .siblings
        .iter()
        .map(|it| it.rfilename.as_str())
        .collect();
    let missing = |missing| HubError::Files {
        id: id.clone(),
        missing,
        found: listed(files.iter().map(|file| (*file).to_owned()).collect()).join(", "),
    };
    if !files.contains(CONFIG) {
        return Err(missing(CONFIG));
    }
    let weights = needed::weights(|file| files.contains(file)).ok_or_else(|| missing("weights"))?;

    let cache = Cache::new(settings.cache.clone()).repo(repository(id, &info.sha));
    let folder = cache.pointer_path(&info.sha);
    let mut fetcher = Fetcher {
        job,
        repo: api.repo(repository(id, &info.sha)),
        api,
        cache,
        commit: &info.sha,
        folder: &folder,
        observer,
    };
    // A model that cannot be read is refused before its weights come.
    let config = fetcher.get(CONFIG)?;
    hf::config::parse(&JsonFile::open(&config)?)?;
    if let Some(licence) = licence::of(id) {
        (fetcher.observer)(HubEvent::Licence(licence));
    }
    for file in TOKENIZER.into_iter().filter(|file| files.contains(file)) {
        fetcher.get(file)?;
    }
    match weights {
        Weights::Whole(file) => {
            fetcher.get(file)?;
        }
        Weights::Sharded(file) => {
            let index = fetcher.get(file)?;
            for shard in index::shards(&JsonFile::open(&index)?)? {
                if !files.contains(shard.as_str()) {
                    return Err(missing("shard that its index names"));
                }
                fetcher.get(&shard)?;
            }
        }
    }
    // Only now does the cache say that the revision is there.
    let named = Cache::new(settings.cache.clone()).repo(repository(id, revision));
    named
        .create_ref(&info.sha)
        .map_err(|source| job.cache(source))?;
    Ok(Snapshot {
        folder,
        commit: info.sha,
    })
}

/// What is fetched, for messages.
#[derive(Clone, Copy)]
struct Job<'a> {
    settings: &'a HubSettings,
    id: &'a HubId,
}

impl Job<'_> {
    /// The commit and its files.
    fn info(&self, repo: &ApiRepo) -> Result<RepoInfo, HubError> {
        let request = repo.info_request().config().timeout_connect(Some(CONNECT));
        let info: RepoInfo = request
            .build()
            .call()
            .and_then(|mut answer| answer.body_mut().read_json())
            .map_err(|error| self.failed(ApiError::RequestError(Box::new(error))))?;
        match is_commit(&info.sha) {
            true => Ok(info),
            false => Err(self.answer(format!("`{}` is no commit", info.sha))),
        }
    }

    fn answer(&self, problem: String) -> HubError {
        HubError::Answer {
            id: self.id.clone(),
            endpoint: self.settings.endpoint.clone(),
            problem,
        }
    }

    fn cache(&self, source: std::io::Error) -> HubError {
        HubError::Cache {
            id: self.id.clone(),
            cache: self.settings.cache.clone(),
            source,
        }
    }

    /// What `hf-hub` says, for the user.
    fn failed(&self, error: ApiError) -> HubError {
        let (id, endpoint) = (self.id.clone(), self.settings.endpoint.clone());
        match error {
            ApiError::RequestError(error) => match *error {
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
                ureq::Error::Json(_) | ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                    self.answer(error.to_string())
                }
                _ => HubError::Unreachable {
                    id,
                    endpoint,
                    reason: error.to_string(),
                },
            },
            ApiError::IoError(source) => self.cache(source),
            ApiError::LockAcquisition(lock) => HubError::Locked { id, lock },
            other => self.answer(other.to_string()),
        }
    }
}

/// Fetches the files of one commit.
struct Fetcher<'a> {
    job: Job<'a>,
    api: Api,
    repo: ApiRepo,
    cache: CacheRepo,
    commit: &'a str,
    folder: &'a Path,
    observer: &'a mut dyn FnMut(HubEvent<'_>),
}

impl Fetcher<'_> {
    /// The path of a file, which is fetched unless it is there.
    fn get(&mut self, file: &str) -> Result<PathBuf, HubError> {
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
