//! Which authorities are trusted to say who a server is.

use std::path::Path;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::HubError;

/// Trust in the authorities of a PEM file; without one, in those that browsers trust.
pub(super) fn trusted(file: Option<&Path>) -> Result<TlsConfig, HubError> {
    let roots = match file {
        None => RootCerts::WebPki,
        Some(path) => {
            let failed = |problem: String| HubError::Certificates {
                path: path.to_owned(),
                problem,
            };
            let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let mut found = Vec::new();
            for item in parse_pem(&text) {
                let item = item.map_err(|error| failed(error.to_string()))?;
                // Keys and their like are no matter.
                if let PemItem::Certificate(certificate) = item {
                    found.push(certificate);
                }
            }
            if found.is_empty() {
                return Err(failed("it has none".to_owned()));
            }
            RootCerts::from(found)
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}
