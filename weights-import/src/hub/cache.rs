//! What the cache has, laid out as Hugging Face's own tools do: contents by tag in `blobs`, links to them by name in
//! `snapshots`, a folder a commit, and the commits of branches in `refs`.

use std::io;
use std::path::{Path, PathBuf};

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

/// A model's folder in the cache.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// The model's folder, which need not be there.
    pub(super) fn of(cache: &Path, id: &HubId) -> Self {
        Self(cache.join(format!("models--{}--{}", id.owner(), id.name())))
    }

    /// The files of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// The content with a tag.
    pub(super) fn blob(&self, tag: &str) -> PathBuf {
        self.0.join("blobs").join(tag)
    }

    /// Gives a content a name in a snapshot.
    pub(super) fn link(&self, tag: &str, commit: &str, file: &str) -> io::Result<()> {
        let folder = self.snapshot(commit);
        std::fs::create_dir_all(&folder)?;
        let name = folder.join(file);
        let target = Path::new("../../blobs").join(tag);
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(target, &name);
        #[cfg(windows)]
        let linked = std::os::windows::fs::symlink_file(target, &name);
        #[cfg(not(any(unix, windows)))]
        let linked = Err(io::Error::from(io::ErrorKind::Unsupported));
        match linked {
            // Not every file system, nor every user, has links.
            Err(_) if !name.exists() => std::fs::rename(self.blob(tag), name),
            _ => Ok(()),
        }
    }

    /// The commit that a revision stands for.
    fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = std::fs::read_to_string(self.0.join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Says which commit a revision stands for.
    pub(super) fn refer(&self, revision: &str, commit: &str) -> io::Result<()> {
        let folder = self.0.join("refs");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(revision), commit)
    }
}

/// The model, if its configuration and weights are in the cache.
pub(super) fn find(cache: &Path, id: &HubId) -> Option<Cached> {
    let place = Place::of(cache, id);
    let commit = place.commit(id.revision().unwrap_or(MAIN))?;
    let folder = place.snapshot(&commit);
    // An empty file is what a loss of power leaves.
    let has = |file: &str| {
        let file = folder.join(file).metadata();
        file.is_ok_and(|file| file.is_file() && file.len() > 0)
    };
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
