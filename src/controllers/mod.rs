//! Observe, plan, apply.

use kube::Client;
use tokio_util::sync::CancellationToken;

/// What the controllers need to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// URL of the event sink, without a path: what addresses of Jobs start with.
    pub sink_url: String,
}

/// Works until `shutdown`.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    drop((client, options));
    shutdown.cancelled().await;
}
