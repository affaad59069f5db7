//! Notes the versions of compiler and framework, which a run's record names.
#![allow(clippy::print_stdout)] // how a build script speaks

use std::process::Command;

const LOCK: &str = "../Cargo.lock";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LOCK}");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = Command::new(rustc).arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let lock = std::fs::read_to_string(LOCK).unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"burn\"");
    let burn = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = "))
        .map(|version| version.trim_matches('"').to_owned());
    let unknown = || "unknown".to_owned();
    println!(
        "cargo::rustc-env=LINGO_RUSTC_VERSION={}",
        rustc.unwrap_or_else(|_| unknown())
    );
    println!(
        "cargo::rustc-env=LINGO_BURN_VERSION={}",
        burn.unwrap_or_else(unknown)
    );
}
