//! The address of a destination: what it says, or what the object says that it names (Knative's Addressable).

use std::collections::HashMap;
use std::time::Duration;

use http::Uri;
use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::core::gvk::ParseGroupVersionError;
use kube::{Api, Client, discovery};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{Destination, ObjectReference};
use crate::plan::{self, Route};

/// How long an address is believed. One that fails is looked up anew.
const FRESH: Duration = Duration::from_secs(30);
/// Addresses that are remembered.
const REMEMBERED: usize = 1024;
/// Time for a look-up.
const LOOK: Duration = Duration::from_secs(10);

/// Why there is no address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// There will not be one.
    ForGood(String),
    /// There is none now.
    ForNow(String),
}

/// Looks addresses up.
pub(super) struct Addresses {
    client: Client,
    known: Mutex<HashMap<(String, ObjectReference), (String, Instant)>>,
}

impl Addresses {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Where `destination` is for a run of that namespace.
    pub(super) async fn find(&self, destination: &Destination, namespace: &str) -> Result<Uri, Lost> {
        let (reference, more) = match plan::route(destination, namespace).map_err(Lost::ForGood)? {
            Route::To(uri) => return Ok(uri),
            Route::Through(reference, more) => (reference, more),
        };
        let base = self.address_of(reference, namespace).await?;
        plan::added(&base, more).map_err(Lost::ForGood)
    }

    /// The address of `destination` did not work.
    pub(super) fn forget(&self, destination: &Destination, namespace: &str) {
        if let Some(reference) = &destination.reference {
            self.known.lock().remove(&(namespace.to_owned(), reference.clone()));
        }
    }

    async fn address_of(&self, reference: &ObjectReference, namespace: &str) -> Result<String, Lost> {
        let ObjectReference { api_version, kind, name, namespace: _ } = reference;
        // It has no status with an address, but everybody knows it.
        if (api_version.as_str(), kind.as_str()) == ("v1", "Service") {
            return Ok(plan::of_service(name, namespace));
        }
        let key = (namespace.to_owned(), reference.clone());
        if let Some((url, since)) = self.known.lock().get(&key)
            && since.elapsed() < FRESH
        {
            return Ok(url.clone());
        }
        let named = || format!("{kind} {name} ({api_version})");
        let found = tokio::time::timeout(LOOK, self.look_up(reference, namespace)).await;
        let found =
            found.map_err(|_| Lost::ForNow(format!("the API server does not tell of {}", named())))?;
        let object = found.map_err(|problem| Lost::ForNow(format!("{}: {problem}", named())))?;
        let url = address(&object.data);
        let url = url.ok_or_else(|| Lost::ForNow(format!("{} has no address (yet)", named())))?.to_owned();
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, (url.clone(), Instant::now()));
        Ok(url)
    }

    async fn look_up(&self, reference: &ObjectReference, namespace: &str) -> Result<DynamicObject, String> {
        let ObjectReference { api_version, kind, name, namespace: _ } = reference;
        let version = api_version.parse().map_err(|error: ParseGroupVersionError| error.to_string())?;
        let kind: GroupVersionKind = kube::core::GroupVersion::with_kind(version, kind);
        let told = |error: kube::Error| match error {
            kube::Error::Api(status) if status.code == 404 => "it is not there".to_owned(),
            kube::Error::Api(status) => status.message,
            error => error.to_string(),
        };
        let (resource, _) = discovery::pinned_kind(&self.client, &kind).await.map_err(told)?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        api.get(name).await.map_err(told)
    }
}

/// The address that an object tells: the first of several, or the only one.
fn address(object: &Value) -> Option<&str> {
    let first = object.pointer("/status/addresses/0/url").or_else(|| object.pointer("/status/address/url"));
    first?.as_str().filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_may_have_one_address_or_several() {
        let several = json!({"status": {"address": {"url": "http://a"}, "addresses": [{"url": "https://b"}, {"url": "http://c"}]}});
        assert_eq!(address(&several), Some("https://b"));
        assert_eq!(address(&json!({"status": {"address": {"url": "http://a"}}})), Some("http://a"));
        for none in
            [json!({}), json!({"status": {"address": null}}), json!({"status": {"address": {"url": ""}}})]
        {
            assert_eq!(address(&none), None, "{none}");
        }
    }
}
