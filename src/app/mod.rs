//! What a process is made of: its parts, started in order and stopped in reverse, each with a name and a deadline.
//!
//! [`Dev`] is everything on one machine, [`Serve`] what runs in a cluster. A part is a [`stage::Stage`]: tasks that are
//! watched while they should run and joined once they should not.

mod access;
mod admin;
mod dev;
mod leader;
mod preflight;
mod serve;
mod stage;

use std::time::Duration;

use crate::auth::TokenFileError;
use crate::listen::{BindError, TlsError};
use crate::local;

pub use access::{Access, TlsFiles};
pub use dev::{Dev, DevOptions};
pub use leader::{LeaseOptions, Timing};
pub use serve::{ApiRole, Clients, ControllerRole, Serve, ServeOptions, SinkRole};

/// Starting or running failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken or forbidden.
    #[error("cannot start {part}")]
    Bind {
        /// Whose port.
        part: &'static str,
        /// Why.
        #[source]
        source: BindError,
    },
    /// There is no token to compare with.
    #[error("nobody could be let in")]
    Token(#[source] TokenFileError),
    /// There is no certificate to show.
    #[error("cannot serve TLS")]
    Tls(#[source] TlsError),
    /// The local Kubernetes did not open.
    #[error("cannot open the local Kubernetes")]
    Local(#[source] local::Error),
    /// A part ended although nobody asked it to.
    #[error("{part} ended although nobody asked it to")]
    Ended {
        /// Which one.
        part: &'static str,
        /// Why, where it said so.
        #[source]
        source: Option<Fault>,
    },
    /// A part did not end in time.
    #[error("{part} did not end within {within:?}")]
    Stuck {
        /// Which one.
        part: &'static str,
        /// The time that it had.
        within: Duration,
    },
}

/// Why a part ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The local Kubernetes cannot go on.
    #[error(transparent)]
    Local(#[from] local::Error),
    /// Whoever leads cannot go on.
    #[error(transparent)]
    Leader(#[from] leader::Error),
}
