//! What can go wrong between the hub and the cache.

use std::path::PathBuf;

use super::HubId;
use crate::error::ImportError;

/// Why a model of the hub is not there.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is no place for the cache.
    #[error(
        "no folder for models of the Hugging Face hub: there is no home folder; set HF_HOME to a folder"
    )]
    NoHome,
    /// The hub's address is none.
    #[error("HF_ENDPOINT is `{found}`; expected an address that begins with https:// or http://")]
    Endpoint {
        /// Its value.
        found: String,
    },
    /// The certificates of the variables cannot be read.
    #[error(
        "{}: no certificates of authorities: {problem}; expected a PEM file; mend or unset the variable that names it \
         (SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE)", path.display()
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The model is not in the cache, and nothing may be fetched.
    #[error(
        "{id}: no such path, and the cache of the Hugging Face hub ({}) does not have it, which HF_HUB_OFFLINE (or \
         TRANSFORMERS_OFFLINE) forbids to fetch; {}", cache.display(), by_hand(id)
    )]
    Offline {
        /// The model.
        id: HubId,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub does not answer.
    #[error(
        "{id}: no such path, and {endpoint} cannot be reached to fetch it: {reason}; without a network, {}",
        by_hand(id)
    )]
    Unreachable {
        /// The model.
        id: HubId,
        /// The hub's address.
        endpoint: String,
        /// What the network said.
        reason: String,
    },
    /// The hub does not know the model or its revision.
    #[error(
        "{id}: no such path, and {endpoint} has no such model{}; check the name, or give the path of a local folder",
        id.revision().map_or(String::new(), |revision| format!(" or no revision `{revision}` of it"))
    )]
    NotFound {
        /// The model.
        id: HubId,
        /// The hub's address.
        endpoint: String,
    },
    /// The hub does not give the model to everybody.
    #[error("{id}: {endpoint} refuses it (status {status}): {}", refusal(*with_token))]
    Refused {
        /// The model.
        id: HubId,
        /// The hub's address.
        endpoint: String,
        /// The answer's status.
        status: u16,
        /// Whether it was asked with a token.
        with_token: bool,
    },
    /// The hub answers with another status than it should.
    #[error(
        "{id}: {endpoint} answers with status {status}; try again later, or {}",
        by_hand(id)
    )]
    Status {
        /// The model.
        id: HubId,
        /// The hub's address.
        endpoint: String,
        /// The answer's status.
        status: u16,
    },
    /// The hub's answer is not understood.
    #[error(
        "{id}: {endpoint} does not answer as a Hugging Face hub does: {problem}; check HF_ENDPOINT"
    )]
    Answer {
        /// The model.
        id: HubId,
        /// The hub's address.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The repository is no model that could be read.
    #[error(
        "{id}: the repository has no {missing} (it has {found}); expected config.json with safetensors or \
         pytorch_model.bin; fetch a .gguf file by hand and give its path"
    )]
    Files {
        /// The model.
        id: HubId,
        /// What is missing.
        missing: &'static str,
        /// What is there.
        found: String,
    },
    /// A file did not arrive whole.
    #[error(
        "{id}: {file} was cut off after several tries: {reason}; run the command again, which continues the download"
    )]
    CutOff {
        /// The model.
        id: HubId,
        /// The file.
        file: String,
        /// What happened.
        reason: String,
    },
    /// The cache cannot be written.
    #[error("{id}: the cache {} cannot be used: {source}; make room and see to its permissions, or set HF_HOME to another folder", cache.display())]
    Cache {
        /// The model.
        id: HubId,
        /// The cache.
        cache: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A fetched file shows that the model cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// What to do without the hub.
fn by_hand(id: &HubId) -> String {
    format!(
        "put config.json, the tokenizer (tokenizer.json, or vocab.json with merges.txt) and the weights \
         (model.safetensors or pytorch_model.bin, if sharded the index with all shards) of {} into a folder, say \
         models/{}, and give its path as the model",
        id.repository(),
        id.name()
    )
}

fn refusal(with_token: bool) -> &'static str {
    match with_token {
        true => {
            "the token's account may not read it, or there is no such model; accept the conditions on the model's page \
             and give HF_TOKEN a token of that account"
        }
        false => {
            "there is no such model, or it is private or gated; check the name, accept the conditions on the model's \
             page and set HF_TOKEN to a token of your account"
        }
    }
}
