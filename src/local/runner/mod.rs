//! A kubelet for processes: takes Pods and runs their containers' commands on this machine.
//!
//! It speaks the Kubernetes API through [`kube::Client`] and nothing else, so it serves a real API server as well as the one of local mode.
//! It registers one Node, binds waiting Pods to it, and for each Pod writes the volumes, starts the processes, keeps their output and
//! reports what became of them.
//!
//! ```text
//! dispatch ── watch ──▶ schedule (pure: whose turn is it) ──▶ one worker per Pod ──▶ report
//!                                                               │ launch (pure: what to start), process, logs
//!                                                               └ state (plain) ──▶ status (pure: the PodStatus)
//! ```
//!
//! What differs from a container, and why:
//!
//! - **No image.** The container's `command` runs as it is found on this machine. A container without one fails with a sentence that says so.
//! - **No mounts.** Nothing appears at a `mountPath`. The volumes are below the Pod's directory; `K_EVENT_PATH` is pointed at the real place, and
//!   `KAKEHI_MOUNTS` names a directory that contains every `mountPath`: `"${KAKEHI_MOUNTS}/etc/config"` works here and in a cluster.
//!   A command or a `workingDir` that lies in a mount is found there; arguments and other values are never rewritten.
//! - **Environment.** `PATH` and `HOME` as handed to [`Options::inherited`], `HOSTNAME` (the Pod's), then what the container defines. Nothing else of the
//!   machine's environment is passed on.
//! - **Termination message.** `/dev/termination-log` cannot be written by an ordinary process. The file's real place is in `TERMINATION_LOG_PATH`;
//!   a value or argument that is exactly the container's `terminationMessagePath` is replaced by it.
//! - **Not enforced:** resource limits, security contexts, probes and lifecycle hooks. Refused: sidecars, other kinds of volumes.
//!
//! After a crash nothing of the former run goes on: leftovers are killed, ended Pods tell their true result from the records on disk,
//! and the rest fail as disrupted (`DisruptionTarget`), which a Job may ignore. See `records` for the order of writing.

mod backoff;
mod collect;
mod context;
mod directory;
mod dispatch;
mod endpoint;
#[cfg(test)]
mod fixtures;
mod launch;
mod logs;
mod materialise;
mod node;
mod process;
mod records;
mod recovery;
mod report;
mod schedule;
mod secure;
mod state;
mod status;
mod worker;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::local::runner::context::{Context, WRITES};
use crate::local::runner::dispatch::Dispatcher;
use crate::local::runner::launch::Host;
use crate::local::runner::logs::LogIndex;
use crate::local::runner::node::NodeFacts;

/// How long readers of logs may take for what is left when all Pods have ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How a runner is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it keeps Pods' directories (`<root>/pods/<uid>`). One runner at a time.
    pub root: PathBuf,
    /// The name of the Node. A Node of this name that exists is taken over.
    pub node_name: String,
    /// The namespace whose Pods it takes; none for all of them. Several runners share an API server by this.
    pub namespace: Option<String>,
    /// Pods at once; further ones wait in the order of their creation.
    pub max_pods: usize,
    /// The lowest layer of every process's environment: `PATH` and `HOME` of the user.
    pub inherited: BTreeMap<String, OsString>,
    /// Size in bytes at which a container's log is rotated; at most two such files are kept for each of its last two attempts.
    pub log_bytes: u64,
    /// Pause before a container is started again for the first time; it doubles up to five minutes.
    pub restart_backoff: Duration,
    /// How long processes may take to end when the runner is stopped.
    pub shutdown_grace: Duration,
    /// Serves logs over TLS, as a real API server demands of its kubelets; without it, in the clear.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Options {
    /// The defaults: a node called `local`, 16 Pods, logs of 2 × 10 MiB, the kubelet's pauses.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            node_name: "local".to_owned(),
            namespace: None,
            max_pods: 16,
            inherited: BTreeMap::new(),
            log_bytes: 10 << 20,
            restart_backoff: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(5),
            tls: None,
        }
    }
}

/// Why a runner cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory for Pods cannot be made or read.
    #[error("cannot prepare the directory {path}")]
    Root {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No port of the loopback address can be had for the logs.
    #[error("cannot listen on loopback for logs")]
    Listen(#[source] io::Error),
}

/// Runs Pods as processes.
#[derive(Clone)]
pub struct Runner {
    client: Client,
    options: Options,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, options } = self;
        formatter.debug_struct("Runner").field("options", options).finish_non_exhaustive()
    }
}

impl Runner {
    /// Nothing happens before [`Runner::run`].
    pub fn new(client: Client, options: Options) -> Self {
        Self { client, options }
    }

    /// Runs Pods until `shutdown`; then stops their processes, reports them as disrupted and returns.
    ///
    /// The API server must be reachable for about `shutdown_grace` after that for the reports to arrive; what does not arrive is
    /// reported at the next start.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { client, mut options } = self;
        let failed = |path: &PathBuf, source| Error::Root { path: path.clone(), source };
        // Processes start in directories of their own: relative paths would lead them astray.
        options.root = std::path::absolute(&options.root).map_err(|source| failed(&options.root, source))?;
        let root = options.root.clone();
        let logs = LogIndex::default();
        let taken_over = tokio::task::spawn_blocking(move || {
            let kept = records::take_over(&root, &logs);
            kept.map(|kept| (kept, logs))
        });
        let (kept, logs) = taken_over
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| failed(&options.root, source))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Error::Listen)?;
        let port = listener.local_addr().map_err(Error::Listen)?.port();
        let node = NodeFacts::of_this_machine(&options.node_name);
        let host = Host { node, inherited: options.inherited.clone() };
        let writes = Semaphore::new(WRITES);
        let context = Arc::new(Context { client, options, host, logs, writes, shutdown: shutdown.clone() });
        serve(context, kept, (listener, port)).await;
        Ok(())
    }
}

/// Serves logs, keeps the Node alive and runs Pods; the first two end after the last.
async fn serve(context: Arc<Context>, kept: Vec<String>, (listener, port): (TcpListener, u16)) {
    let over = CancellationToken::new();
    let registered = CancellationToken::new();
    let pods = async {
        tokio::select! {
            () = registered.cancelled() => Dispatcher::new(context.clone(), kept).run().await,
            () = context.shutdown.cancelled() => {}
        }
        over.cancel();
    };
    let (node, max_pods) = (&context.host.node, context.options.max_pods);
    let heartbeat = node::keep(&context.client, node, max_pods, port, (&registered, &over));
    let endpoint = async {
        let too_late = async {
            over.cancelled().await;
            tokio::time::sleep(LAST_LINES).await;
        };
        tokio::select! {
            served = endpoint::serve(listener, context.clone(), over.clone()) => {
                if let Err(error) = served {
                    tracing::error!(error = &error as &dyn std::error::Error, "logs are not served any more");
                }
            }
            () = too_late => {}
        }
    };
    tokio::join!(pods, heartbeat, endpoint);
}
