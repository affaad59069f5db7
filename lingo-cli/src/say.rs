//! Lines for the user. A reader that is gone (`lingo train ... | head`) neither stops the work nor is a panic.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::process::exit;

/// Writes a line to standard error, where somebody reads it.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes a line of a command's result to standard output; where it cannot be written, the command ends.
pub fn result(text: fmt::Arguments<'_>) {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            note(format_args!(
                "error: cannot write to standard output: {error}"
            ));
            exit(1);
        }
    }
}

/// As `eprintln!`, for progress and remarks.
macro_rules! note {
    ($($text:tt)*) => { $crate::say::note(format_args!($($text)*)) };
}

/// As `println!`, for what a command is asked for.
macro_rules! result {
    ($($text:tt)*) => { $crate::say::result(format_args!($($text)*)) };
}
