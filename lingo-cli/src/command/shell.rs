//! `lingo completions` and `lingo man`: what shells and manuals want to know of the command.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs, ManArgs};

/// Prints a script that completes the command's arguments.
pub fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "lingo", &mut script);
    result!("{}", String::from_utf8(script)?.trim_end());
    Ok(())
}

/// Writes a manual page for the command, and one for each of its verbs.
pub fn man(args: &ManArgs) -> Result<()> {
    let folder = args.dir.display();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {folder}"))?;
    clap_mangen::generate_to(Args::command(), &args.dir)
        .with_context(|| format!("cannot write manual pages to {folder}"))?;
    note!("manual pages written to {folder}; read them with `man -l {folder}/lingo.1`");
    Ok(())
}
