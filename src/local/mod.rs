//! Local mode: a small Kubernetes in this process, for laptops and tests.
//!
//! Three parts that know each other only by the Kubernetes API, so that each can be replaced by the real thing:
//! [`server`] keeps and serves objects, [`workload`] holds the controllers that a cluster brings along, [`runner`] is
//! a kubelet that runs commands as processes. Nothing else of ours is imported here: the definitions of our kinds are
//! handed in as values, and to this module they are any custom resources.
//!
//! What it does not do: pull images, isolate tasks from the machine, or authenticate callers. It is for one developer
//! on one machine.

pub mod runner;
pub mod server;
pub mod store;
pub mod workload;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use tokio_util::sync::CancellationToken;

use self::runner::Runner;
use self::server::Admission;
use self::server::Server;
use self::store::Store;

/// Namespace of clients that name none.
const DEFAULT_NAMESPACE: &str = "default";
/// File of the store below the directory.
const STORE_FILE: &str = "objects.redb";
/// Folder of the runner below the directory: what its Pods mount, write and log.
const RUNNER_FOLDER: &str = "runner";
/// First pause before a failed task is tried again. A cluster waits ten seconds; nobody wants to on a laptop.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a local Kubernetes is made of.
#[derive(Debug)]
pub struct Options {
    /// Where its files go; created where missing.
    pub directory: PathBuf,
    /// Whether objects survive the process.
    pub durable: bool,
    /// The custom resources it serves.
    pub definitions: Vec<CustomResourceDefinition>,
    /// What is refused of them beyond their schemas.
    pub admissions: Vec<Admission>,
    /// Pods that run at the same time.
    pub max_pods: usize,
    /// The lowest layer of every task's environment: `PATH` and `HOME` of the user, say.
    pub inherited: BTreeMap<String, OsString>,
}

/// Starting or working failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be made.
    #[error("cannot create the directory {path}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store {path}")]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// The definitions are unfit.
    #[error("cannot serve the custom resources")]
    Server(#[source] server::Error),
    /// Pods cannot be run.
    #[error("cannot run Pods")]
    Runner(#[source] runner::Error),
}

/// A local Kubernetes that is open but does not work yet: see [`Local::run`].
pub struct Local {
    server: Server,
    client: Client,
    runner: Runner,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

impl Local {
    /// Opens the store and builds the parts. Must be called inside a runtime.
    pub fn open(options: Options) -> Result<Self, Error> {
        let Options { directory, durable, definitions, admissions, max_pods, inherited } = options;
        let root = directory.join(RUNNER_FOLDER);
        std::fs::create_dir_all(&root).map_err(|source| Error::Directory { path: root.clone(), source })?;
        let path = directory.join(STORE_FILE);
        let backing = if durable { store::Options::file(path.clone()) } else { store::Options::memory() };
        let store = Store::open(backing).map_err(|source| Error::Store { path, source })?;
        let serving = server::Options { admissions, ..server::Options::default() };
        let server = Server::new(store, definitions, serving).map_err(Error::Server)?;
        let client = Client::new(server.router(), DEFAULT_NAMESPACE);
        let runner = Runner::new(
            client.clone(),
            runner::Options { max_pods, inherited, ..runner::Options::new(root) },
        );
        Ok(Self { server, client, runner })
    }

    /// A client that reaches the server without a socket.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The server's routes, for kubectl on a loopback port.
    pub fn router(&self) -> Router {
        self.server.router()
    }

    /// Works until `shutdown`: the server's upkeep, the controllers, and the runner, which ends its processes.
    ///
    /// # Errors
    /// If Pods cannot be run, at once.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { server, client, runner } = self;
        // The runner reports the end of its processes while it stops, so the others outlive it.
        let others = CancellationToken::new();
        let workload = workload::Options { backoff_base: RETRY_PAUSE, ..workload::Options::default() };
        let pods = async {
            let ran = runner.run(shutdown).await;
            others.cancel();
            ran.map_err(Error::Runner)
        };
        let (ran, (), ()) =
            tokio::join!(pods, workload::run(client, workload, others.clone()), server.run(others.clone()));
        ran
    }
}
