//! What the cache has already.

use std::path::Path;

use hf_hub::{Cache, Repo, RepoType};

use super::id::is_commit;
use super::needed::{self, CONFIG, Weights};
use super::{HubId, Snapshot};
use crate::hf::index;
use crate::json::JsonFile;

/// The branch of a name without a revision.
pub(super) const MAIN: &str = "main";

/// A model that can be opened.
#[derive(Debug)]
pub(super) enum Cached {
    /// All of it is there.
    Whole(Snapshot),
    /// Its tokenizer is not; the hub may have one.
    WithoutTokenizer(Snapshot),
}

/// The repository at a revision, as `hf-hub` names it.
pub(super) fn repository(id: &HubId, revision: &str) -> Repo {
    Repo::with_revision(id.repository(), RepoType::Model, revision.to_owned())
}

/// The model, if its configuration and weights are in the cache.
pub(super) fn find(cache: &Path, id: &HubId) -> Option<Cached> {
    let revision = id.revision().unwrap_or(MAIN);
    let repo = repository(id, revision);
    let root = cache.join(repo.folder_name());
    let commit = match is_commit(revision) {
        true => revision.to_owned(),
        false => {
            let text = std::fs::read_to_string(root.join("refs").join(revision)).ok()?;
            let commit = text.trim().to_owned();
            is_commit(&commit).then_some(commit)?
        }
    };
    let folder = Cache::new(cache.to_owned())
        .repo(repo)
        .pointer_path(&commit);
    let has = |file: &str| folder.join(file).is_file();
    if !has(CONFIG) || !has_weights(&folder, has) {
        return None;
    }
    let snapshot = Snapshot {
        folder: folder.clone(),
        commit,
    };
    Some(match needed::has_tokenizer(has) {
        true => Cached::Whole(snapshot),
        false => Cached::WithoutTokenizer(snapshot),
    })
}

fn has_weights(folder: &Path, has: impl Fn(&str) -> bool) -> bool {
    match needed::weights(&has) {
        None => false,
        Some(Weights::Whole(_)) => true,
        Some(Weights::Sharded(name)) => JsonFile::open(&folder.join(name))
            .and_then(|file| index::shards(&file))
            .is_ok_and(|shards| shards.iter().all(|shard| has(shard))),
    }
}
