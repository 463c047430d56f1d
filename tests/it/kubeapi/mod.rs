//! The contract of a Kubernetes API, written against `kube::Client` and HTTP only: local mode must pass all of it, and so
//! must a real API server.

mod apply;
mod definitions;
mod deletion;
mod discovery;
mod lists;
mod negotiation;
mod objects;
mod patch;
mod pods;
mod schema;
mod spaces;
mod status;
mod table;
mod watches;

use k8s_openapi::api::core::v1::ConfigMap;
use kakehi::local::store;
use kakehi::local::store::Store;
use kube::Api;
use kube::api::PostParams;

use crate::support::cluster;
pub(crate) use crate::support::cluster::Place;
pub(crate) use crate::support::cluster::place;
use crate::support::local;

/// A new namespace on an API server that has long forgotten revision 1; that of local mode remembers hardly any of its past.
pub(crate) async fn forgetful_place() -> Place {
    if cluster::is_real() {
        return place().await;
    }
    let options = store::Options { log_changes: 4, ..store::Options::memory() };
    let place = cluster::place_in(local::over(Store::open(options).expect("a store in memory opens"))).await;
    let maps: Api<ConfigMap> = place.api();
    for number in 0..8 {
        let map = objects::map(&format!("history-{number}"), &[]);
        maps.create(&PostParams::default(), &map).await.expect("a map can be created");
    }
    place
}

/// The status of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> kube::core::Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
