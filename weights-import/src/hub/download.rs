//! From the hub into the cache.

use std::collections::BTreeSet;

use super::cache::{MAIN, Place};
use super::client::Client;
use super::needed::{self, CONFIG, Weights};
use super::transfer::Fetcher;
use super::{HubError, HubEvent, HubId, HubSettings, Snapshot, licence};
use crate::hf::{self, index};
use crate::json::JsonFile;
use crate::listing::listed;

/// Fetches what is needed and not yet there.
pub(super) fn run(
    settings: &HubSettings,
    id: &HubId,
    observer: &mut dyn FnMut(HubEvent<'_>),
) -> Result<Snapshot, HubError> {
    let client = Client::new(settings, id)?;
    let revision = id.revision().unwrap_or(MAIN);
    let found = client
        .patiently(|_| client.revision(revision))
        .map_err(|failure| client.failed(failure))?;
    let files: BTreeSet<&str> = found.files().collect();
    let missing = |missing| HubError::Files {
        id: id.clone(),
        missing,
        found: listed(files.iter().map(|file| (*file).to_owned()).collect()).join(", "),
    };
    if !files.contains(CONFIG) {
        return Err(missing(CONFIG));
    }
    let weights = needed::weights(|file| files.contains(file)).ok_or_else(|| missing("weights"))?;

    let place = Place::of(&settings.cache, id);
    let folder = place.snapshot(&found.commit);
    let mut fetcher = Fetcher {
        client: &client,
        place: &place,
        commit: &found.commit,
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
    place
        .refer(revision, &found.commit)
        .map_err(|source| client.cache(source))?;
    Ok(Snapshot {
        folder,
        commit: found.commit,
    })
}
