//! Knative's event sources, for where there is no Knative: the same YAML does on a laptop what it does in a cluster.
//!
//! In a cluster Knative's own controllers and adapters do this. Here are the definitions of its kinds ([`definitions`]),
//! what its web hooks refuse ([`admissions`]), and whoever sends the events ([`run`]). They go over HTTP to the
//! address of the sink, as they do there, so that nothing about their way is different.

mod destination;
mod ping;
mod send;

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use kube::{Api, Client, CustomResourceExt as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::feed;

pub use self::destination::{Destination, Reference};
pub use self::ping::{Overrides, PingSource, PingSourceSpec, PingSourceStatus};

/// Time that deliveries under way have to finish: all their attempts fit into it.
const FINISH: Duration = Duration::from_secs(5);
/// Ticks that wait for their turn to be sent.
const WAITING: usize = 256;

/// Tells the time.
pub type Clock = fn() -> Timestamp;

/// The definitions of these kinds, ours in their words and Knative's in what they take.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut ping = PingSource::crd();
    ping.spec.names.categories = Some(["all", "knative", "sources"].map(str::to_owned).to_vec());
    vec![ping]
}

/// A field that is refused: its path, its value and the reason.
pub type Objection = (String, Value, String);

/// Group, kind, and what a web hook refuses of an object of that kind.
pub type Admission = (&'static str, &'static str, fn(&Value) -> Vec<Objection>);

/// What Knative's web hooks refuse, by kind.
pub fn admissions() -> Vec<Admission> {
    vec![("sources.knative.dev", "PingSource", ping::objections)]
}

/// Sends the events of all sources until `shutdown`; those under way are finished first.
pub async fn run(client: Client, shutdown: CancellationToken) {
    run_by(Timestamp::now, client, shutdown).await;
}

/// The same by another clock.
pub async fn run_by(clock: Clock, client: Client, shutdown: CancellationToken) {
    let (ticks, due) = mpsc::channel(WAITING);
    let pings = ping::Pings::new(ping::Context { client: client.clone(), clock, ticks }, shutdown.clone());
    let api = Api::<PingSource>::all(client.clone());
    let schedules = async {
        shutdown.run_until_cancelled(feed::follow(api, watcher::Config::default(), &pings)).await;
        pings.finish().await;
    };
    tokio::join!(schedules, ping::deliver_all(client, clock, due, FINISH, &shutdown));
}
