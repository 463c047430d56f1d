//! The contract of a Kubernetes API, written against `kube::Client` and HTTP only: local mode must pass all of it, and so
//! must a real API server.

mod objects;

use k8s_openapi::api::core::v1::Namespace;
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
    let cluster = local::cluster();
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
