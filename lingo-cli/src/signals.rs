//! Signals that ask a run to stop.

use anyhow::{Context as _, Result};
use lingo_train::stop::{StopCause, StopRequest};

use crate::dashboard;

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
            dashboard::give_terminal_back();
            std::process::exit(crate::exit_code(StopCause::Interrupt).into());
        }
        ask(&stop, StopCause::Interrupt);
    })
    .context("cannot listen to Ctrl-C")
}

fn ask(stop: &StopRequest, cause: StopCause) {
    if stop.cause().is_none() {
        stop.ask(cause);
        note!("stopping as soon as nothing is lost; Ctrl-C to quit at once");
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

/// Whether SIGHUP was set to be ignored, as nohup does.
// No library asks without setting it.
#[cfg(unix)]
#[allow(unsafe_code)]
fn hang_up_is_ignored() -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one, and it has done so where it gives 0.
    unsafe {
        let asked = libc::sigaction(libc::SIGHUP, std::ptr::null(), now.as_mut_ptr());
        asked == 0 && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
