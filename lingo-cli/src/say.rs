//! Lines and bars for the user. A reader that is gone (`lingo train ... | head`) neither stops the work nor is a panic.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::process::exit;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

static QUIET: AtomicBool = AtomicBool::new(false);
/// Every bar, on standard error where that is a terminal: lines are written above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Keeps remarks and progress back from now on; results and errors are still written.
pub fn keep_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether remarks and progress are kept back.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line to standard error, where somebody reads it.
pub fn error(text: fmt::Arguments<'_>) {
    make_room();
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The same, of what is no error.
pub fn note(text: fmt::Arguments<'_>) {
    if !is_quiet() {
        error(text);
    }
}

/// Writes a line of a command's result to standard output; where it cannot be written, the command ends.
pub fn result(text: fmt::Arguments<'_>) {
    make_room();
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => {}
        Err(source) if source.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(source) => {
            error(format_args!(
                "error: cannot write to standard output: {source}"
            ));
            exit(1);
        }
    }
}

/// Takes the bars away until they are drawn again. The terminal may be gone, which must stop nobody.
fn make_room() {
    let _ = BARS.clear();
}

/// A bar as it is, or one that nobody sees.
pub fn bar(bar: ProgressBar) -> ProgressBar {
    if is_quiet() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        return bar;
    }
    BARS.add(bar)
}

/// As `eprintln!`, for progress and remarks.
macro_rules! note {
    ($($text:tt)*) => { $crate::say::note(format_args!($($text)*)) };
}

/// As `println!`, for what a command is asked for.
macro_rules! result {
    ($($text:tt)*) => { $crate::say::result(format_args!($($text)*)) };
}
