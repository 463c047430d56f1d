//! Where events go: Knative's Destination, and the URL that it comes to.

use std::time::Duration;

use http::Uri;
use kube::api::DynamicObject;
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long the API server has to tell an address.
const LOOK: Duration = Duration::from_secs(5);

/// An address: a `uri`, or a `ref` to an object that has one, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// An object with `status.address.url`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// An absolute URL, or beside a `ref` what is added to its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Certificates to trust there, in PEM. Taken and not used: on this machine the system's are trusted.
    #[serde(rename = "CACerts", default, skip_serializing_if = "Option::is_none")]
    pub ca_certs: Option<String>,
    /// Audience of tokens. Taken and not used: on this machine nobody asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Names an object that has an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Its API group and version.
    #[serde(default)]
    pub api_version: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which of its addresses, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Why there is no URL. All of it may pass: what is missing can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no {kind} {name} in namespace {namespace}")]
    NoObject { kind: String, name: String, namespace: String },
    #[error("there are no objects of the kind {kind} in {api_version} here")]
    NoKind { kind: String, api_version: String },
    #[error("the {kind} {name} has no address yet")]
    NoAddress { kind: String, name: String },
    #[error("{url} is no URL of the form http://HOST or https://HOST")]
    NoUrl { url: String },
    #[error("the API server cannot tell the address of the {kind} {name}")]
    Unanswered {
        kind: String,
        name: String,
        #[source]
        source: Option<Box<kube::Error>>,
    },
}

impl Destination {
    /// What is wrong with it on its own, as `(field below it, value, reason)`.
    pub(super) fn objections(&self) -> Vec<(&'static str, String, &'static str)> {
        let Self { reference, uri, ca_certs: _, audience: _ } = self;
        match (reference, uri.as_deref()) {
            (None, None) => vec![("", String::new(), "a destination has a `ref`, a `uri`, or both")],
            (None, Some(uri)) if absolute(uri).is_none() => {
                vec![(
                    ".uri",
                    uri.to_owned(),
                    "without a `ref` it is of the form http://HOST or https://HOST",
                )]
            }
            (None, Some(_)) => Vec::new(),
            (Some(_), Some(uri)) if has_scheme(uri) => {
                vec![(".uri", uri.to_owned(), "beside a `ref` it is relative to that one's address")]
            }
            (Some(Reference { api_version, kind, name, namespace: _, address: _ }), _) => {
                let fields = [(".ref.apiVersion", api_version), (".ref.kind", kind), (".ref.name", name)];
                let missing = fields.into_iter().filter(|(_, value)| value.is_empty());
                missing.map(|(field, _)| (field, String::new(), "it is needed to find the object")).collect()
            }
        }
    }

    /// The URL that it comes to now, for an object of that namespace.
    pub(super) async fn resolve(&self, client: &Client, namespace: &str) -> Result<Uri, Error> {
        let Self { reference, uri, ca_certs: _, audience: _ } = self;
        let no_url = |url: &str| Error::NoUrl { url: url.to_owned() };
        let Some(reference) = reference else {
            let uri = uri.as_deref().unwrap_or_default();
            return absolute(uri).ok_or_else(|| no_url(uri));
        };
        let base = reference.url(client, namespace).await?;
        let base = absolute(&base).ok_or_else(|| no_url(&base))?;
        match uri.as_deref() {
            None | Some("") => Ok(base),
            Some(relative) => join(&base, relative).ok_or_else(|| no_url(relative)),
        }
    }
}

impl Reference {
    /// What the object says of its address.
    async fn url(&self, client: &Client, namespace: &str) -> Result<String, Error> {
        let Self { api_version, kind, name, namespace: other, address } = self;
        let namespace = other.as_deref().filter(|other| !other.is_empty()).unwrap_or(namespace);
        let no_kind = || Error::NoKind { kind: kind.clone(), api_version: api_version.clone() };
        let types = TypeMeta { api_version: api_version.clone(), kind: kind.clone() };
        let gvk = GroupVersionKind::try_from(&types).map_err(|_| no_kind())?;
        // Knative guesses the plural as well.
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&gvk));
        let unanswered = |source| Error::Unanswered { kind: kind.clone(), name: name.clone(), source };
        let object = match tokio::time::timeout(LOOK, api.get(name)).await {
            Ok(Ok(object)) => object,
            // A server that knows the kind names the object that it does not have.
            Ok(Err(kube::Error::Api(status)))
                if status.code == 404 && status.message.contains(name.as_str()) =>
            {
                let (kind, name) = (kind.clone(), name.clone());
                return Err(Error::NoObject { kind, name, namespace: namespace.to_owned() });
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(no_kind()),
            Ok(Err(error)) => return Err(unanswered(Some(Box::new(error)))),
            Err(_) => return Err(unanswered(None)),
        };
        let status = &object.data["status"];
        let url = address_of(status, address.as_deref());
        url.ok_or_else(|| Error::NoAddress { kind: kind.clone(), name: name.clone() })
    }
}

/// The address of that name; without a name the first of `addresses`, or else `address`.
fn address_of(status: &Value, name: Option<&str>) -> Option<String> {
    let all = status["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let address = match name {
        Some(name) => all.iter().chain([&status["address"]]).find(|address| address["name"] == name)?,
        None => all.first().unwrap_or(&status["address"]),
    };
    address["url"].as_str().map(str::to_owned)
}

/// A URL with a host that events can be sent to.
fn absolute(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let speaks_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (speaks_http && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// Whether it begins like a URL of its own (RFC 3986 §3.1).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// A relative reference resolved against a base (RFC 3986 §5.2.2), without its fragment.
fn join(base: &Uri, relative: &str) -> Option<Uri> {
    let relative = relative.split('#').next().unwrap_or_default();
    let (path, query) =
        relative.split_once('?').map_or((relative, None), |(path, query)| (path, Some(query)));
    let scheme = base.scheme_str()?;
    if let Some(authority) = path.strip_prefix("//") {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        return absolute(&format!("{scheme}://{authority}{query}"));
    }
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or(base.query())),
        absolute if absolute.starts_with('/') => (without_dots(absolute), query),
        beside => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            (without_dots(&format!("{folder}/{beside}")), query)
        }
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    absolute(&format!("{scheme}://{}{path}{query}", base.authority()?))
}

/// A path without `.` and `..` (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                // What ends in one of them is a folder.
                if is_last {
                    kept.push("");
                }
            }
            name => kept.push(name),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_relative_uri_is_added_as_rfc_3986_has_it() {
        let base: Uri = "http://sink.example/namespaces/shop/jobs/tick?a=1".parse().unwrap();
        let table = [
            ("?x=1", "/namespaces/shop/jobs/tick?x=1"),
            ("", "/namespaces/shop/jobs/tick?a=1"),
            ("more", "/namespaces/shop/jobs/more"),
            ("./more/", "/namespaces/shop/jobs/more/"),
            ("../x?y", "/namespaces/shop/x?y"),
            ("../../../../x", "/x"),
            ("..", "/namespaces/shop/"),
            ("/other/./path#part", "/other/path"),
        ];
        for (relative, wanted) in table {
            let joined = join(&base, relative).unwrap().to_string();
            assert_eq!(joined, format!("http://sink.example{wanted}"), "{relative}");
        }
        assert_eq!(join(&base, "//else.example/x?y").unwrap(), "http://else.example/x?y");
        assert_eq!(join(&base, "a b"), None);
    }

    #[test]
    fn a_destination_names_an_object_or_a_url() {
        let objections = |value: Value| -> Vec<&'static str> {
            let destination: Destination = serde_json::from_value(value).unwrap();
            destination.objections().into_iter().map(|(field, _, _)| field).collect()
        };
        let job = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": "tick"});
        for fine in [
            json!({"ref": job}),
            json!({"ref": job, "uri": "?x=1"}),
            json!({"ref": job, "uri": "/path:1"}),
            json!({"uri": "https://else.example"}),
            json!({"uri": "http://127.0.0.1:8080/x", "CACerts": "-", "audience": "a"}),
        ] {
            assert!(objections(fine.clone()).is_empty(), "{fine}");
        }
        let table = [
            (json!({}), vec![""]),
            (json!({"uri": "/path"}), vec![".uri"]),
            (json!({"uri": "ftp://else.example"}), vec![".uri"]),
            (json!({"uri": "http://"}), vec![".uri"]),
            (json!({"ref": job, "uri": "http://else.example"}), vec![".uri"]),
            (json!({"ref": {"kind": "Job"}}), vec![".ref.apiVersion", ".ref.name"]),
        ];
        for (wrong, fields) in table {
            assert_eq!(objections(wrong.clone()), fields, "{wrong}");
        }
    }

    #[test]
    fn the_first_of_several_addresses_counts_or_the_one_that_is_named() {
        let both = json!({"address": {"name": "http", "url": "http://a"}, "addresses": [{"name": "https", "url": "https://a"}]});
        assert_eq!(address_of(&both, None).as_deref(), Some("https://a"));
        assert_eq!(address_of(&both, Some("http")).as_deref(), Some("http://a"));
        assert_eq!(address_of(&both, Some("grpc")), None);
        assert_eq!(address_of(&json!({"address": {"url": "http://a"}}), None).as_deref(), Some("http://a"));
        assert_eq!(address_of(&Value::Null, None), None);
    }
}
