//! A small Kubernetes in this process, in memory, with our CRDs.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kakehi::local::server;
use kakehi::local::server::Server;
use kakehi::local::store;
use kakehi::local::store::Store;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

/// Made once: deriving the schemas takes most of a second without optimisation.
static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(kakehi::api::crds);

/// A server over a store in memory. Its background work ends with this value.
pub struct Cluster {
    pub server: Server,
    pub client: Client,
    _running: DropGuard,
}

/// Starts one. Must be called inside a runtime.
pub fn cluster() -> Cluster {
    over(Store::open(store::Options::memory()).expect("a store in memory opens"))
}

/// The same over a given store.
pub fn over(store: Store) -> Cluster {
    let definitions = DEFINITIONS.clone();
    let server =
        Server::new(store, definitions, server::Options::default()).expect("our definitions can be served");
    let shutdown = CancellationToken::new();
    let (running, token) = (server.clone(), shutdown.clone());
    tokio::spawn(async move { running.run(token).await });
    let client = Client::new(server.router(), "default");
    Cluster { server, client, _running: shutdown.drop_guard() }
}

/// Only the client, for scenarios that need nothing else. The server lives as long as the client does; namespaces are not emptied.
pub fn client() -> Client {
    let store = Store::open(store::Options::memory()).expect("a store in memory opens");
    let server = Server::new(store, DEFINITIONS.clone(), server::Options::default());
    Client::new(server.expect("our definitions can be served").router(), "default")
}
