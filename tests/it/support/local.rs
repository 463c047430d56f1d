//! A small Kubernetes in this process, in memory, with our CRDs.

use std::sync::LazyLock;

use kakehi::local::server;
use kakehi::local::server::Server;
use kakehi::local::store;
use kakehi::local::store::Store;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

/// Knows our kinds. Made once: reading the definitions takes most of a second without optimisation.
static PROTOTYPE: LazyLock<Server> = LazyLock::new(|| {
    let server = Server::new(memory(), kakehi::api::crds(), server::Options::default());
    server.expect("our definitions can be served")
});

fn memory() -> Store {
    Store::open(store::Options::memory()).expect("a store in memory opens")
}

/// A server over a store in memory. Its background work ends with this value.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) client: Client,
    _running: DropGuard,
}

/// Starts one. Must be called inside a runtime.
pub(crate) fn cluster() -> Cluster {
    over(memory())
}

/// The same over a given store.
pub(crate) fn over(store: Store) -> Cluster {
    let server = PROTOTYPE.over(store);
    let shutdown = CancellationToken::new();
    let (running, token) = (server.clone(), shutdown.clone());
    tokio::spawn(async move { running.run(token).await });
    let client = Client::new(server.router(), "default");
    Cluster { server, client, _running: shutdown.drop_guard() }
}

/// Only the client, for scenarios that need nothing else: namespaces that are deleted are not emptied.
pub(crate) fn client() -> Client {
    Client::new(PROTOTYPE.over(memory()).router(), "default")
}
