//! Arguments of what shells and manuals want.

use std::path::PathBuf;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder to write lingo.1, lingo-train.1 and so on to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
