//! What runs that go on have in common, whatever they train.

use anyhow::{Result, bail};
use lingo_train::checkpoint::Origin;

use crate::args::RunArgs;

/// Refuses to set what a run follows from; `free` are the keys that may differ.
pub fn check_set(args: &RunArgs, free: &[&str]) -> Result<()> {
    // Where the run goes is said by the folder that is given.
    let free: Vec<&str> = free
        .iter()
        .copied()
        .filter(|key| *key != "output.dir")
        .collect();
    let fixed = args
        .set
        .iter()
        .find(|(key, _)| !free.contains(&key.as_str()));
    if let Some((key, _)) = fixed {
        bail!(
            "--set {key}: a run goes on as it began; with --resume only {} can be set",
            free.join(", ")
        );
    }
    Ok(())
}

/// Says which checkpoints are of no use, and why what comes may differ in its last digits.
pub fn say(damaged: &[String], origin: &Origin, device: &str) {
    for damaged in damaged {
        note!("note        {damaged}; the checkpoint before it is used");
    }
    if origin.version != env!("CARGO_PKG_VERSION") {
        note!(
            "note        lingo {} began this run: what it gives from here on may differ in the last digits",
            origin.version
        );
    }
    if origin.device != device {
        note!(
            "note        the run was begun on {}: on {device} it differs in the last digits",
            origin.device
        );
    }
}
