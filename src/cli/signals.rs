//! The signals that ask for an end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where Linux tells which signals a process ignores.
const STATUS: &str = "/proc/self/status";

/// The signals that ask for an end: SIGINT, SIGTERM, and the SIGHUP of a terminal that is closed. Those that come while
/// nobody waits are not forgotten.
pub(crate) struct Interruptions(Option<Caught>);

struct Caught {
    interrupt: Signal,
    terminate: Signal,
    /// None where somebody has seen to it that a closed terminal ends nothing: `nohup`.
    hangup: Option<Signal>,
}

impl Interruptions {
    /// From now on. If signals cannot be caught, the process dies of them as it would have anyway.
    pub(crate) fn new() -> Self {
        Self(catch().ok())
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let Some(Caught { interrupt, terminate, hangup }) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            Some(_) = async { Some(hangup.as_mut()?.recv().await) } => {}
        }
    }

    /// Waits for the next one that somebody insists with. A closed terminal may send SIGHUP several times, through its shell
    /// and by the kernel, and means no more by that.
    pub(crate) async fn insisted(&mut self) {
        let Some(Caught { interrupt, terminate, hangup: _ }) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

fn catch() -> io::Result<Caught> {
    let is_ignored = std::fs::read_to_string(STATUS).is_ok_and(|status| is_hangup_ignored(&status));
    let hangup = if is_ignored { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(Caught {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup,
    })
}

/// Whether a process with that status ignores SIGHUP (`proc_pid_status(5)`): the first bit of the mask, as it is signal 1.
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_to_ignore_a_closed_terminal_does() {
        assert!(is_hangup_ignored("Name:\tkakehi\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!is_hangup_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!is_hangup_ignored(""));
    }
}
