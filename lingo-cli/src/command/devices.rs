//! `lingo devices`.

use anyhow::Result;

use lingo_core::nn::Precision;

use crate::device::{Kind, precisions};

/// Lists backends, what they find, and what that computes in.
pub fn run() -> Result<()> {
    for kind in Kind::ALL {
        let name = kind.name();
        if !kind.compiled() {
            result!(
                "{name:<8} not compiled in (cargo build --release -p lingo-cli --features {name})"
            );
            continue;
        }
        let found = kind.found();
        if found.is_empty() {
            result!("{name:<8} compiled in, no device found");
        }
        for (index, device) in found.iter().enumerate() {
            let name = match found.len() {
                1 => name.to_owned(),
                _ => format!("{name}:{index}"),
            };
            let can = precisions(device).into_iter().map(Precision::name);
            let can: Vec<&str> = can.collect();
            result!("{name:<8} {device:?}: {}", can.join(", "));
        }
    }
    Ok(())
}
