//! Reading, listing and deleting objects of any kind, with our errors.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::error::Error;

/// Objects per page of a list: what the API server itself proposes to its clients.
const PAGE: u32 = 500;

/// The objects of a kind in a namespace, or in all of them.
pub fn scoped<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// The object of that name.
pub async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.get(name).await.map_err(|error| Error::of::<K>(error, name))
}

/// The objects of a namespace (or of all of them), in the API server's order: by namespace and name.
///
/// `labels` is a label selector.
pub async fn list<K>(client: &Client, namespace: Option<&str>, labels: Option<&str>) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = scoped(client.clone(), namespace);
    let mut parameters = ListParams::default().limit(PAGE);
    parameters.label_selector = labels.map(str::to_owned);
    let mut found = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(|error| Error::of::<K>(error, ""))?;
        found.extend(page.items);
        parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if parameters.continue_token.is_none() {
            return Ok(found);
        }
    }
}

/// Deletes the object of that name, and in the background everything that it owns.
pub async fn delete<K>(client: &Client, namespace: &str, name: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams::background();
    api.delete(name, &parameters).await.map(drop).map_err(|error| Error::of::<K>(error, name))
}
