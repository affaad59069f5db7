//! Where the hub and its cache are: Hugging Face's environment variables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

/// The public hub.
const PUBLIC: &str = "https://huggingface.co";
/// How long the hub may say nothing, unless somebody sets it.
const SILENCE: Duration = Duration::from_secs(30);
/// Files of authorities' certificates, by preference.
const CERTIFICATES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// How the hub is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The cache's folder.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// What gated and private models are asked for with.
    pub token: Option<String>,
    /// Whether nobody may be asked.
    pub offline: bool,
    /// How long the hub may say nothing amid a transfer before it counts as interrupted.
    pub silence: Duration,
    /// The certificates of the authorities that are trusted; without it those that the machine trusts.
    pub certificates: Option<PathBuf>,
}

/// A token is nobody's business.
impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .field("silence", &self.silence)
            .field("certificates", &self.certificates)
            .finish()
    }
}

impl HubSettings {
    /// The settings of `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_OFFLINE` and
    /// `HF_HUB_DOWNLOAD_TIMEOUT`, with the older names and the defaults of Hugging Face's own tools; without `HF_TOKEN`
    /// the token that these tools have saved. `SSL_CERT_FILE` and its like name the certificates.
    ///
    /// # Errors
    /// If there is no home folder and none of the variables names one, or `HF_ENDPOINT` is no address.
    pub fn from_env() -> Result<Self, HubError> {
        let variable =
            |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
        Self::from_variables(variable, std::env::home_dir())
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        let variable = |name: &str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let folder = |name: &str| variable(name).map(|value| expanded(&value, home.as_deref()));
        let cached = || home.as_ref().map(|home| home.join(".cache"));
        let base = folder("HF_HOME").or_else(|| {
            let caches = folder("XDG_CACHE_HOME").or_else(cached);
            caches.map(|caches| caches.join("huggingface"))
        });
        let saved_token = || {
            let path = folder("HF_TOKEN_PATH").or_else(|| Some(base.as_ref()?.join("token")))?;
            let text = std::fs::read_to_string(path).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| PUBLIC.to_owned());
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            return Err(HubError::Endpoint { found: endpoint });
        }
        Ok(Self {
            token: variable("HF_TOKEN")
                .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
                .or_else(saved_token),
            cache: folder("HF_HUB_CACHE")
                .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
                .or_else(|| base.as_ref().map(|base| base.join("hub")))
                .ok_or(HubError::NoHome)?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            offline: variable("HF_HUB_OFFLINE")
                .or_else(|| variable("TRANSFORMERS_OFFLINE"))
                .is_some_and(|value| {
                    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
                }),
            silence: variable("HF_HUB_DOWNLOAD_TIMEOUT")
                .and_then(|secs| secs.parse().ok())
                .filter(|secs| *secs > 0)
                .map_or(SILENCE, Duration::from_secs),
            certificates: CERTIFICATES.into_iter().find_map(folder),
        })
    }
}

/// A path with the home folder in place of `~`.
fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        HubSettings::from_variables(variable, Some(PathBuf::from("/nobody")))
    }

    #[test]
    fn the_cache_is_where_other_tools_have_it() {
        let cache = |variables: &[(&str, &str)]| of(variables).unwrap().cache;
        let default = PathBuf::from("/nobody/.cache/huggingface/hub");
        assert_eq!(cache(&[]), default);
        assert_eq!(cache(&[("HF_HOME", "")]), default);
        assert_eq!(cache(&[("HF_HOME", "/x")]), PathBuf::from("/x/hub"));
        assert_eq!(cache(&[("HF_HOME", "~/x")]), PathBuf::from("/nobody/x/hub"));
        let both = [("HF_HOME", "/x"), ("HF_HUB_CACHE", "/y")];
        assert_eq!(cache(&both), PathBuf::from("/y"));
        let xdg = [("XDG_CACHE_HOME", "/z")];
        assert_eq!(cache(&xdg), PathBuf::from("/z/huggingface/hub"));
    }

    #[test]
    fn address_token_and_offline_are_read() {
        let none = of(&[]).unwrap();
        assert_eq!(none.endpoint, PUBLIC);
        assert_eq!((none.token, none.offline), (None, false));
        let all = of(&[
            ("HF_ENDPOINT", "http://localhost:8000/"),
            ("HF_TOKEN", " hf_x\n"),
            ("HF_HUB_OFFLINE", "True"),
        ])
        .unwrap();
        assert_eq!(all.endpoint, "http://localhost:8000");
        assert_eq!((all.token.as_deref(), all.offline), (Some("hf_x"), true));
        assert!(!format!("{all:?}").contains("hf_x"));
        assert!(!of(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
        let error = of(&[("HF_ENDPOINT", "file:///etc")]).unwrap_err();
        assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
    }

    #[test]
    fn older_names_count_where_the_newer_are_not_set() {
        let older = [
            ("HUGGINGFACE_HUB_CACHE", "/old"),
            ("HUGGING_FACE_HUB_TOKEN", "hf_old"),
            ("TRANSFORMERS_OFFLINE", "1"),
        ];
        let found = of(&older).unwrap();
        assert_eq!(found.cache, PathBuf::from("/old"));
        assert_eq!(
            (found.token.as_deref(), found.offline),
            (Some("hf_old"), true)
        );
        let newer = [
            ("HF_HUB_CACHE", "/new"),
            ("HF_TOKEN", "hf_new"),
            ("HF_HUB_OFFLINE", "0"),
        ];
        let found = of(&[&older[..], &newer].concat()).unwrap();
        assert_eq!(found.cache, PathBuf::from("/new"));
        assert_eq!(
            (found.token.as_deref(), found.offline),
            (Some("hf_new"), false)
        );
    }

    #[test]
    fn patience_and_certificates_are_read() {
        let silence = |value| of(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]).unwrap().silence;
        assert_eq!(silence("7"), Duration::from_secs(7));
        for senseless in ["", "0", "-1", "soon"] {
            assert_eq!(silence(senseless), SILENCE, "{senseless}");
        }
        assert_eq!(of(&[]).unwrap().certificates, None);
        let two = [("CURL_CA_BUNDLE", "/c"), ("REQUESTS_CA_BUNDLE", "~/r")];
        let found = of(&two).unwrap().certificates;
        assert_eq!(found, Some(PathBuf::from("/nobody/r")));
    }

    #[test]
    fn a_saved_token_does_where_none_is_given() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_saved\n").unwrap();
        let path = home.path().to_str().unwrap();
        let token = of(&[("HF_HOME", path)]).unwrap().token;
        assert_eq!(token.as_deref(), Some("hf_saved"));
        let elsewhere = home.path().join("token");
        let elsewhere = [("HF_TOKEN_PATH", elsewhere.to_str().unwrap())];
        let token = of(&elsewhere).unwrap().token;
        assert_eq!(token.as_deref(), Some("hf_saved"));
        let token = of(&[("HF_HOME", path), ("HF_TOKEN", "hf_x")])
            .unwrap()
            .token;
        assert_eq!(token.as_deref(), Some("hf_x"));
    }
}
