//! The `lingo` command: fine-tune language models on genomes.

mod allocator;
mod args;
mod command;
mod device;
mod progress;
mod scorer;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Verb};

/// Exit code after an interruption, as shells have it for SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    allocator::configure();
    let outcome = match Args::parse().verb {
        Verb::Train(args) => command::train::run(&args),
        Verb::Eval(args) => command::eval::run(&args),
        Verb::Predict(args) => command::predict::run(&args),
        Verb::Inspect(args) => command::inspect::run(&args),
        Verb::Bench(args) => command::bench::run(&args),
        Verb::Devices => command::devices::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref::<lingo_train::run::RunError>() {
                Some(lingo_train::run::RunError::Interrupted { .. }) => INTERRUPTED.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
