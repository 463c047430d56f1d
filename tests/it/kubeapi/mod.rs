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
use k8s_openapi::api::core::v1::Namespace;
use kakehi::local::store;
use kakehi::local::store::Store;
use kube::Api;
use kube::Client;
use kube::api::PostParams;

use crate::support::local;

/// A place of its own for one test.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    _cluster: local::Cluster,
}

impl Place {
    /// Objects of a namespaced kind, here.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A new namespace.
pub(crate) async fn place() -> Place {
    place_in(local::cluster()).await
}

/// A new namespace on an API server that remembers hardly any of its past: revision 1 is long forgotten.
pub(crate) async fn forgetful_place() -> Place {
    let options = store::Options { log_changes: 4, ..store::Options::memory() };
    let place = place_in(local::over(Store::open(options).expect("a store in memory opens"))).await;
    let maps: Api<ConfigMap> = place.api();
    for number in 0..8 {
        let map = objects::map(&format!("history-{number}"), &[]);
        maps.create(&PostParams::default(), &map).await.expect("a map can be created");
    }
    place
}

async fn place_in(cluster: local::Cluster) -> Place {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.generate_name = Some("contract-".to_owned());
    let created =
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace can be created");
    let namespace = created.metadata.name.expect("the server gave it a name");
    Place { client: cluster.client.clone(), namespace, _cluster: cluster }
}

/// The status of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> kube::core::Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
