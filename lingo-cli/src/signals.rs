//! Signals that ask a run to stop, or a file that is being written to be given up.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use lingo_train::record::temporary;
use lingo_train::stop::{StopCause, StopRequest};
use tempfile::NamedTempFile;

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

/// The file that is being written.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Has signals that end the process remove what is [`unfinished`] first.
///
/// # Errors
/// If signals cannot be listened to.
pub fn clean_up_on_signals() -> Result<()> {
    // Kept to the end, so that no other file is begun.
    let remove = || {
        let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it has its name already, there is nothing to remove.
        let _ = unfinished.as_ref().map(std::fs::remove_file);
        unfinished
    };
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGINT;
        use signal_hook::low_level::emulate_default_handler;

        let ended = move |signal| {
            let _unfinished = remove();
            let _ = emulate_default_handler(signal);
        };
        on_signals(&[SIGINT], ended).context("cannot listen to signals")
    }
    #[cfg(not(unix))]
    ctrlc::set_handler(move || {
        let _unfinished = remove();
        std::process::exit(crate::exit_code(StopCause::Interrupt).into());
    })
    .context("cannot listen to Ctrl-C")
}

/// Makes a file under a temporary name, which is removed if a signal ends the process; of several the last counts.
///
/// # Errors
/// If it cannot be made.
pub fn unfinished(dir: &Path) -> std::io::Result<NamedTempFile> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = temporary("", dir)?;
    *unfinished = Some(file.path().to_owned());
    Ok(file)
}

fn ask(stop: &StopRequest, cause: StopCause) {
    if stop.cause().is_none() {
        stop.ask(cause);
        note!("stopping as soon as nothing is lost; Ctrl-C to quit at once");
    }
}

#[cfg(unix)]
fn stop_on_termination(stop: StopRequest) -> std::io::Result<()> {
    use signal_hook::consts::SIGHUP;

    on_signals(&[], move |signal| {
        let cause = match signal {
            SIGHUP => StopCause::HangUp,
            _ => StopCause::Termination,
        };
        ask(&stop, cause);
    })
}

/// Has a thread call `met` with each SIGTERM, SIGHUP or one of `more`.
#[cfg(unix)]
fn on_signals(more: &[i32], met: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGTERM};
    use signal_hook::iterator::Signals;

    // Under nohup the process is to outlive its terminal; in the background of a script Ctrl-C is not meant for it.
    let ends = |signal: &i32| *signal == SIGTERM || !is_ignored(*signal);
    let listened = [SIGTERM, SIGHUP].iter().chain(more).copied();
    let mut signals = Signals::new(listened.filter(ends))?;
    std::thread::spawn(move || signals.forever().for_each(met));
    Ok(())
}

/// Whether a signal was set to be ignored, as nohup does with SIGHUP.
// No library asks without setting it.
#[cfg(unix)]
#[allow(unsafe_code)]
fn is_ignored(signal: i32) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one, and it has done so where it gives 0.
    unsafe {
        let asked = libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
        asked == 0 && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
