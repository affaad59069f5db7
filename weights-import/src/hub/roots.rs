//! Which authorities are trusted to say who a server is.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::HubError;

/// Trust in the authorities of a PEM file; without one, in those of this machine, and where it has none, in those that
/// browsers trust.
pub(super) fn trusted(file: Option<&Path>) -> Result<TlsConfig, HubError> {
    let roots = match file {
        None => of_machine(),
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

/// What the system's administrator trusts.
fn of_machine() -> RootCerts {
    // Certificates that cannot be read are as good as none.
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::from(
            found
                .iter()
                .map(|certificate| Certificate::from_der(certificate).to_owned()),
        ),
    }
}
