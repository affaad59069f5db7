//! Models of the Hugging Face hub, fetched into the ordinary cache and used from there ever after.
//!
//! [`fetch`] first looks into the cache and asks nobody when a model's files are there. Else it asks the hub once for
//! the list of files, takes the few that are needed, and points the cache's reference at them only when all have
//! arrived, so that an interrupted download is completed by the next one and never taken for a model.

mod cache;
mod client;
mod content;
mod download;
mod error;
mod failure;
mod hold;
mod id;
mod licence;
mod needed;
mod roots;
mod settings;
mod transfer;
mod tries;

pub use error::HubError;
pub use id::HubId;
pub use licence::Licence;
pub use settings::HubSettings;

use std::path::{Path, PathBuf};

use cache::Cached;

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder, in Hugging Face's layout.
    pub folder: PathBuf,
    /// Which version of the model it is.
    pub commit: String,
}

/// What happens while a model is fetched; nothing when it is in the cache already.
#[derive(Debug)]
pub enum HubEvent<'a> {
    /// The model may not be used for everything.
    Licence(&'static Licence),
    /// A file is about to come.
    File {
        /// Its name.
        name: &'a str,
        /// Its size in bytes.
        bytes: u64,
    },
    /// So many bytes of the file are there.
    Received(u64),
    /// Another process is fetching a file, and is waited for.
    Waiting {
        /// Its name.
        name: &'a str,
        /// What the other process holds.
        lock: &'a Path,
    },
    /// The hub was asked in vain for the tokenizer that the cache does not have; the rest is used.
    WithoutTokenizer(&'a HubError),
}

/// The folder of a model: from the cache, else from the hub into the cache.
///
/// # Errors
/// If it is not in the cache and the hub cannot be asked, does not have it or refuses it, or if it is nothing that
/// this crate can read.
pub fn fetch(
    settings: &HubSettings,
    id: &HubId,
    observer: &mut dyn FnMut(HubEvent<'_>),
) -> Result<Snapshot, HubError> {
    let without_tokenizer = match cache::find(&settings.cache, id) {
        Some(Cached::Whole(snapshot)) => return Ok(snapshot),
        Some(Cached::WithoutTokenizer(snapshot)) => Some(snapshot),
        None => None,
    };
    let fetched = match settings.offline {
        true => Err(HubError::Offline {
            id: id.clone(),
            cache: settings.cache.clone(),
        }),
        false => download::run(settings, id, observer),
    };
    match (fetched, without_tokenizer) {
        // Whoever needs the tokenizer will say so.
        (Err(error), Some(snapshot)) => {
            if !matches!(error, HubError::Offline { .. }) {
                observer(HubEvent::WithoutTokenizer(&error));
            }
            Ok(snapshot)
        }
        (fetched, _) => fetched,
    }
}
