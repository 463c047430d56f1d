//! Reading, listing, writing and deleting objects of any kind, with our errors.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::api::FIELD_MANAGER;

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

/// Whether a request changes anything, or is only judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Commit,
    /// The API server says what would happen; nothing is kept.
    Validate,
}

impl Mode {
    /// What `validate_only` and its like ask for.
    pub fn validate_only(asked: bool) -> Self {
        if asked { Mode::Validate } else { Mode::Commit }
    }

    pub(super) fn post(self) -> PostParams {
        PostParams { dry_run: self == Mode::Validate, field_manager: Some(FIELD_MANAGER.to_owned()) }
    }
}

/// Creates an object under the name that it has.
pub async fn create<K>(client: &Client, object: &K, mode: Mode) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let (namespace, name) = key(object);
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&mode.post(), object).await.map_err(|error| match Error::of::<K>(error, name) {
        // What is missing cannot be the object that is being made.
        Error::NotFound { .. } => {
            Error::NotFound { kind: "namespace".to_owned(), name: namespace.to_owned() }
        }
        error => error,
    })
}

/// Replaces an object, if it is still as it was read: a change in between is [`Error::Conflict`].
pub async fn replace<K>(client: &Client, object: &K, mode: Mode) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let (namespace, name) = key(object);
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.replace(name, &mode.post(), object).await.map_err(|error| Error::of::<K>(error, name))
}

/// Deletes that very object, and in the background everything that it owns. One of the same name that was made since, or
/// one that changed since, is left alone: that is [`Error::Conflict`].
pub async fn delete_exactly<K>(client: &Client, object: &K, mode: Mode) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let (namespace, name) = key(object);
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let exactly = Preconditions {
        uid: object.meta().uid.clone(),
        resource_version: object.meta().resource_version.clone(),
    };
    let parameters = DeleteParams {
        dry_run: mode == Mode::Validate,
        preconditions: Some(exactly),
        ..DeleteParams::background()
    };
    api.delete(name, &parameters).await.map(drop).map_err(|error| Error::of::<K>(error, name))
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> (&str, &str) {
    let metadata = object.meta();
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
