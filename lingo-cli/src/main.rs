//! The `lingo` command: fine-tune language models on genomes.

#[macro_use]
mod say;

mod allocator;
mod args;
mod bank;
mod base;
mod beside;
mod command;
mod dashboard;
mod device;
mod hub;
mod peft;
mod picture;
mod progress;
mod scorer;
mod signals;
mod table;
mod tokenising;
mod whole;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Verb};
use lingo_train::pretrain::PretrainError;
use lingo_train::run::RunError;
use lingo_train::stop::StopCause;

/// Exit code of a run that was asked to stop: 128 and the signal's number, as shells have it.
fn exit_code(cause: StopCause) -> u8 {
    match cause {
        StopCause::Interrupt | StopCause::Dashboard => 130,
        StopCause::Termination => 143,
        StopCause::HangUp => 129,
    }
}

/// An error with its causes, each said once: many errors of the libraries hold the text of their cause.
fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.contains(&cause) {
            true => said,
            false if said.is_empty() => cause,
            false => format!("{said}: {cause}"),
        }
    })
}

fn main() -> ExitCode {
    allocator::configure();
    device::configure();
    let args = Args::parse();
    if args.quiet {
        say::keep_quiet();
    }
    let outcome = match args.verb {
        Verb::Demo(args) => command::demo::run(&args),
        Verb::Train(args) => command::train::run(&args),
        Verb::Pretrain(args) => command::pretrain::run(&args),
        Verb::Eval(args) => command::eval::run(&args),
        Verb::Predict(args) => command::predict::run(&args),
        Verb::Inspect(args) => command::inspect::run(&args),
        Verb::Export(args) => command::export::run(&args),
        Verb::Import(args) => command::import::run(&args),
        Verb::Compare(args) => command::compare::run(&args),
        Verb::Bench(args) => command::bench::run(&args),
        Verb::Config(verb) => command::config::run(&verb),
        Verb::Flops(args) => command::flops::run(&args),
        Verb::Devices(args) => command::devices::run(&args),
        Verb::Completions(args) => command::shell::completions(&args),
        Verb::Man(args) => command::shell::man(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(format_args!("error: {}", message(&error)));
            if let Some(PretrainError::Interrupted { cause, .. }) = error.downcast_ref() {
                return exit_code(*cause).into();
            }
            if let Some(stopped) = error.downcast_ref::<command::demo::Stopped>() {
                return exit_code(stopped.cause).into();
            }
            match error.downcast_ref::<RunError>() {
                Some(RunError::Interrupted { cause, .. }) => exit_code(*cause).into(),
                Some(RunError::Killed { .. }) => exit_code(StopCause::Dashboard).into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
