//! `lingo devices`.

use anyhow::Result;
use lingo_core::nn::Precision;
use serde::Serialize;

use crate::args::DevicesArgs;
use crate::device::{Kind, precisions};

/// A backend with what it finds.
#[derive(Serialize)]
struct Backend {
    name: &'static str,
    compiled: bool,
    devices: Vec<Found>,
}

/// A device.
#[derive(Serialize)]
struct Found {
    /// As `--device` takes it.
    name: String,
    description: String,
    /// What it computes in.
    precisions: Vec<&'static str>,
}

impl Backend {
    fn look(kind: Kind) -> Self {
        let name = kind.name();
        let found = kind.found();
        let device = |(index, device)| Found {
            name: match found.len() {
                1 => name.to_owned(),
                _ => format!("{name}:{index}"),
            },
            description: kind.describe(device),
            precisions: precisions(device)
                .into_iter()
                .map(Precision::name)
                .collect(),
        };
        Self {
            name,
            compiled: kind.compiled(),
            devices: found.iter().enumerate().map(device).collect(),
        }
    }
}

/// Lists backends, what they find, and what that computes in.
pub fn run(args: &DevicesArgs) -> Result<()> {
    let backends = Kind::ALL.map(Backend::look);
    if args.json {
        result!("{}", serde_json::to_string_pretty(&backends)?);
        return Ok(());
    }
    for backend in backends {
        let name = backend.name;
        if !backend.compiled {
            result!(
                "{name:<8} not compiled in (cargo build --release -p lingo-cli --features {name})"
            );
        } else if backend.devices.is_empty() {
            result!("{name:<8} compiled in, no device found");
        }
        for device in backend.devices {
            let can = device.precisions.join(", ");
            result!("{:<8} {}: {can}", device.name, device.description);
        }
    }
    Ok(())
}
