//! How a command can end, and the exit code of each end.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// The exit codes. They are part of the interface: `kakehi --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well; where a run was waited for, it succeeded.
    Success = 0,
    /// The run failed or was cancelled, or the request was refused.
    Failure = 1,
    /// The command line or a file named on it makes no sense.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// The time given for waiting is over.
    TimedOut = 4,
    /// Interrupted from the keyboard (128 + SIGINT, as shells have it).
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user can mend it: flags, manifests, names.
    #[error(transparent)]
    Usage(anyhow::Error),
    /// Nothing answers there.
    #[error("cannot reach {target}\n  hint: {hint}")]
    Unreachable {
        /// What was called, with its URL.
        target: String,
        /// What to do about it.
        hint: String,
        /// What the transport said.
        #[source]
        source: anyhow::Error,
    },
    /// Waiting took too long.
    #[error("gave up after {} waiting for {what}", super::output::duration(*.after))]
    TimedOut {
        /// How long was waited.
        after: Duration,
        /// For what.
        what: String,
    },
    /// SIGINT, SIGTERM or SIGHUP.
    #[error("interrupted")]
    Interrupted,
    /// Standard output is gone.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The server refused, or the work failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl Error {
    /// A mistake on the command line or in a file.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Error::Usage(anyhow::Error::msg(message.into()))
    }

    /// The exit code of this end. A reader that closed the pipe early (`kakehi list | head -1`) got what it wanted.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_) => Exit::Usage,
            Error::Unreachable { .. } => Exit::Unreachable,
            Error::TimedOut { .. } => Exit::TimedOut,
            Error::Interrupted => Exit::Interrupted,
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Error::Output(_) | Error::Failed(_) => Exit::Failure,
        }
    }
}

/// An error and its causes, one line each, as the terminal shows them.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Transport errors like to repeat the words of what they wrap.
        if !last.ends_with(&words) {
            text.push_str("\n  caused by: ");
            text.push_str(&words.replace('\n', "\n    "));
        }
        last = words;
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_the_documented_code() {
        let table = [
            (Error::usage("x"), 2),
            (
                Error::Unreachable {
                    target: String::new(),
                    hint: String::new(),
                    source: anyhow::anyhow!(""),
                },
                3,
            ),
            (Error::TimedOut { after: Duration::ZERO, what: String::new() }, 4),
            (Error::Interrupted, 130),
            (Error::Output(io::Error::other("disk full")), 1),
            (Error::Failed(anyhow::anyhow!("refused")), 1),
        ];
        for (error, code) in table {
            assert_eq!(error.exit() as u8, code, "{error}");
        }
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit(), Exit::Success);
    }

    #[test]
    fn the_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("connection refused").context("connect").context("list jobs");
        assert_eq!(
            chain(error.as_ref()),
            "error: list jobs\n  caused by: connect\n  caused by: connection refused"
        );
        let doubled = anyhow::anyhow!("refused").context("client error: refused");
        assert_eq!(chain(doubled.as_ref()), "error: client error: refused");
    }
}
