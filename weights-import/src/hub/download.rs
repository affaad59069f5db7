//! From the hub into the cache, by the crate `hf-hub`.

use std::collections::BTreeSet;
use std::time::Duration;

use hf_hub::Cache;
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};

use super::cache::{MAIN, repository};
use super::id::is_commit;
use super::needed::{self, CONFIG, Weights};
use super::transfer::Fetcher;
use super::{HubError, HubEvent, HubId, HubSettings, Snapshot, licence};
use crate::checkpoint::listed;
use crate::hf::{self, index};
use crate::json::JsonFile;

/// How long the hub may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(20);

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
    for file in crate::tokenizer::FILES
        .into_iter()
        .filter(|file| files.contains(file))
    {
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
pub(super) struct Job<'a> {
    settings: &'a HubSettings,
    pub(super) id: &'a HubId,
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

    /// An answer that is not understood.
    pub(super) fn answer(&self, problem: String) -> HubError {
        HubError::Answer {
            id: self.id.clone(),
            endpoint: self.settings.endpoint.clone(),
            problem,
        }
    }

    /// The system's complaint about the cache.
    pub(super) fn cache(&self, source: std::io::Error) -> HubError {
        HubError::Cache {
            id: self.id.clone(),
            cache: self.settings.cache.clone(),
            source,
        }
    }

    /// What `hf-hub` says, for the user.
    pub(super) fn failed(&self, error: ApiError) -> HubError {
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
