//! The controllers of a cluster, for local mode: Jobs and garbage collection. They speak only the Kubernetes API, so they also work
//! against a real API server whose own controllers are off.

mod garbage;
mod jobs;

use kube::Client;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How the controllers work. The default is what Kubernetes does.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The wait before the first retry of a failed Pod; it doubles with each further one. Kubernetes: 10 s.
    pub backoff_base: Duration,
    /// The longest wait before a retry. Kubernetes: 10 min.
    pub backoff_cap: Duration,
    /// Jobs that are worked on at a time.
    pub concurrency: usize,
    /// How long a Job's status may wait to be written together with the next one, if nobody waits for it: that a Pod became ready,
    /// or that a counted Pod left the list of uncounted ones.
    pub status_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_secs(10),
            backoff_cap: Duration::from_secs(600),
            // A pass is a few requests in a row; more at a time only wait for the store.
            concurrency: 16,
            status_delay: Duration::from_millis(200),
        }
    }
}

/// Runs the controllers until the shutdown; then ends what is under way.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    let Options { backoff_base, backoff_cap, concurrency, status_delay } = options;
    let settings = jobs::Settings { backoff_base, backoff_cap, concurrency, status_delay };
    // Each loop is a task of its own, so that one does not wait while the other computes. Dropped, they end too.
    let mut loops = JoinSet::new();
    loops.spawn(jobs::run(client.clone(), settings, shutdown.clone()));
    loops.spawn(garbage::run(client, shutdown));
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            error!(error = %error, "a controller died");
        }
    }
}
