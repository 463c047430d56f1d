//! What every part of a running runner shares.

use kube::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::local::runner::Options;
use crate::local::runner::launch::Host;
use crate::local::runner::logs::LogIndex;

/// Requests that change something, at once: enough to keep two cores of an API server busy.
pub(super) const WRITES: usize = 32;

pub(super) struct Context {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) host: Host,
    pub(super) logs: LogIndex,
    pub(super) writes: Semaphore,
    /// Stop all Pods and end.
    pub(super) shutdown: CancellationToken,
}
