//! Signals that ask a run to stop.

use anyhow::{Context as _, Result};
use lingo_train::stop::{StopCause, StopRequest};

/// The first signal asks for a stop behind the step under way; Ctrl-C after that ends the process. Batch systems send
/// SIGTERM more than once, which is no impatience.
///
/// # Errors
/// If signals cannot be listened to.
pub fn stop_on_signals(stop: &StopRequest) -> Result<()> {
    #[cfg(unix)]
    stop_on_termination(stop.clone()).context("cannot listen to signals")?;
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.cause().is_some() {
            std::process::exit(crate::exit_code(StopCause::Interrupt).into());
        }
        ask(&stop, StopCause::Interrupt);
    })
    .context("cannot listen to Ctrl-C")
}

fn ask(stop: &StopRequest, cause: StopCause) {
    if stop.cause().is_none() {
        note!("stopping as soon as nothing is lost; Ctrl-C to quit at once");
        stop.ask(cause);
    }
}

#[cfg(unix)]
fn stop_on_termination(stop: StopRequest) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut listened = vec![SIGTERM];
    // Under nohup the run is to outlive its terminal.
    listened.extend((!hang_up_is_ignored()).then_some(SIGHUP));
    let mut signals = Signals::new(listened)?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let cause = match signal {
                SIGHUP => StopCause::HangUp,
                _ => StopCause::Termination,
            };
            ask(&stop, cause);
        }
    });
    Ok(())
}

/// Whether SIGHUP was set to be ignored, as nohup does; where the system does not tell, it may have been.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signals are numbered from 1, and this is the first.
    ignored.is_none_or(|mask| mask & 1 == 1)
}
