//! Discovery documents: which groups, versions and resources there are, in the legacy and in the aggregated form.
//!
//! The legacy form is one request per group version; the aggregated one (`apidiscovery.k8s.io`, KEP-3352) says
//! everything in two. kubectl asks for the second and understands both.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use crate::local::server::kinds::Kind;
use crate::local::server::kinds::Kinds;
use crate::local::server::openapi;

/// The document at `path`, and its content type: discovery in the form that `accept` asks for first, and `OpenAPI`.
pub(super) fn document(kinds: &Kinds, path: &str, accept: &str) -> Option<(Value, &'static str)> {
    const JSON: &str = "application/json";
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let value = match parts[..] {
        [root @ ("api" | "apis")] => {
            if let Some((version, content_type)) = wants_aggregated(accept) {
                return Some((aggregated(kinds, root == "api", version), content_type));
            }
            if root == "api" { api_versions() } else { api_groups(kinds) }
        }
        ["api", version] => api_resources(kinds, "", version)?,
        ["apis", group] => api_group(kinds, group)?,
        ["apis", group, version] => api_resources(kinds, group, version)?,
        ["openapi", "v3"] => openapi::openapi_index(kinds),
        ["openapi", "v3", "api", version] => openapi::openapi_v3(kinds, "", version)?,
        ["openapi", "v3", "apis", group, version] => openapi::openapi_v3(kinds, group, version)?,
        _ => return None,
    };
    Some((value, JSON))
}

/// The version of the aggregated form that the client prefers to the legacy one, and its content type.
fn wants_aggregated(accept: &str) -> Option<(&'static str, &'static str)> {
    let wanted = accept.split(',').map(|one| one.split(';').map(str::trim).collect::<Vec<_>>());
    for parameters in wanted {
        if parameters.contains(&"as=APIGroupDiscoveryList") && parameters.contains(&"g=apidiscovery.k8s.io") {
            if parameters.contains(&"v=v2") {
                return Some(("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
            }
            if parameters.contains(&"v=v2beta1") {
                let content_type =
                    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
                return Some(("v2beta1", content_type));
            }
        } else if matches!(parameters.first(), Some(&("application/json" | "*/*"))) && parameters.len() == 1 {
            return None;
        }
    }
    None
}

/// A part of a resource with a path of its own.
struct Subresource {
    name: &'static str,
    /// `None`: the resource's own kind.
    kind: Option<&'static str>,
    /// Where that kind comes from, if not from the resource's group version.
    group_version: Option<(&'static str, &'static str)>,
    verbs: &'static [&'static str],
}

const STATUS: Subresource =
    Subresource { name: "status", kind: None, group_version: None, verbs: &["get", "patch", "update"] };
const STATUS_TO_READ: Subresource =
    Subresource { name: "status", kind: None, group_version: None, verbs: &["get"] };
const FINALIZE: Subresource =
    Subresource { name: "finalize", kind: None, group_version: None, verbs: &["update"] };
const BINDING: Subresource =
    Subresource { name: "binding", kind: Some("Binding"), group_version: None, verbs: &["create"] };
const EVICTION: Subresource = Subresource {
    name: "eviction",
    kind: Some("Eviction"),
    group_version: Some(("policy", "v1")),
    verbs: &["create"],
};
const LOG: Subresource = Subresource { name: "log", kind: None, group_version: None, verbs: &["get"] };

fn subresources(kind: &Kind) -> Vec<Subresource> {
    let mut all = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => vec![BINDING, EVICTION, LOG],
        ("", "namespaces") => vec![FINALIZE],
        _ => Vec::new(),
    };
    if kind.has_status {
        all.push(if kind.read_only { STATUS_TO_READ } else { STATUS });
    }
    all
}

/// `GET /api`.
pub(super) fn api_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `GET /apis`.
pub(super) fn api_groups(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = groups(kinds).iter().map(|(name, versions)| group(name, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/{group}`.
pub(super) fn api_group(kinds: &Kinds, name: &str) -> Option<Value> {
    let groups = groups(kinds);
    let mut document = group(name, groups.get(name)?);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

fn group(name: &str, versions: &BTreeMap<&str, Vec<&Arc<Kind>>>) -> Value {
    let versions: Vec<Value> = versions
        .keys()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// The named groups (all but the core group) with their versions.
fn groups(kinds: &Kinds) -> BTreeMap<&str, BTreeMap<&str, Vec<&Arc<Kind>>>> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Arc<Kind>>>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        groups.entry(&kind.group).or_default().entry(&kind.version).or_default().push(kind);
    }
    groups
}

/// `GET /api/v1` and `GET /apis/{group}/{version}`.
pub(super) fn api_resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.version == version) {
        resources.push(resource(kind));
        for part in subresources(kind) {
            let mut resource = json!({
                "name": format!("{}/{}", kind.plural, part.name),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": part.kind.unwrap_or(&kind.kind),
                "verbs": part.verbs,
            });
            if let Some((group, version)) = part.group_version {
                resource["group"] = json!(group);
                resource["version"] = json!(version);
            }
            resources.push(resource);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

fn resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs(),
    });
    named(&mut resource, kind);
    resource
}

fn named(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
}

/// `GET /api` (the core group) and `GET /apis` (all others) when the client accepts the aggregated form. `version` is
/// that of the apidiscovery.k8s.io group: `v2` or `v2beta1`, which look the same.
pub(super) fn aggregated(kinds: &Kinds, core: bool, version: &str) -> Value {
    let items: Vec<Value> = if core {
        let mut versions = BTreeMap::new();
        versions.insert("v1", kinds.iter().filter(|kind| kind.group.is_empty()).collect());
        vec![aggregated_group("", &versions)]
    } else {
        groups(kinds).iter().map(|(name, versions)| aggregated_group(name, versions)).collect()
    };
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(name: &str, versions: &BTreeMap<&str, Vec<&Arc<Kind>>>) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(version, kinds)| {
            let resources: Vec<Value> = kinds.iter().map(|kind| aggregated_resource(kind)).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    let metadata = if name.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": name, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let own = (kind.group.as_str(), kind.version.as_str());
    let response = |(group, version): (&str, &str), name: &str| json!({"group": group, "version": version, "kind": name});
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response(own, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs(),
    });
    named(&mut resource, kind);
    let parts: Vec<Value> = subresources(kind)
        .iter()
        .map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": response(part.group_version.unwrap_or(own), part.kind.unwrap_or(&kind.kind)),
                "verbs": part.verbs,
            })
        })
        .collect();
    if !parts.is_empty() {
        resource["subresources"] = json!(parts);
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Kinds {
        Kinds::new(&[]).unwrap()
    }

    fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
        list.as_array().unwrap().iter().find(|one| one[key] == name).unwrap_or(&Value::Null)
    }

    #[test]
    fn the_core_group_lists_its_resources_with_their_parts() {
        let document = api_resources(&kinds(), "", "v1").unwrap();
        assert_eq!(document["groupVersion"], "v1");
        let pods = named(&document["resources"], "name", "pods");
        assert_eq!(pods["shortNames"], json!(["po"]));
        assert_eq!(pods["singularName"], "pod");
        assert_eq!(pods["categories"], json!(["all"]));
        assert!(pods["verbs"].as_array().unwrap().contains(&json!("deletecollection")));
        assert_eq!(named(&document["resources"], "name", "pods/binding")["kind"], "Binding");
        assert_eq!(named(&document["resources"], "name", "pods/log")["verbs"], json!(["get"]));
        assert_eq!(named(&document["resources"], "name", "nodes")["namespaced"], false);
        assert_eq!(api_resources(&kinds(), "none", "v1"), None);
    }

    #[test]
    fn groups_are_listed_with_their_preferred_version() {
        let document = api_groups(&kinds());
        let batch = named(&document["groups"], "name", "batch");
        assert_eq!(batch["preferredVersion"], json!({"groupVersion": "batch/v1", "version": "v1"}));
        assert_eq!(api_group(&kinds(), "batch").unwrap()["kind"], "APIGroup");
        assert_eq!(api_group(&kinds(), "none"), None);
    }

    #[test]
    fn the_form_is_what_the_client_names_first() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                       application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let (document, content_type) = super::document(&kinds(), "/apis", kubectl).unwrap();
        assert_eq!(document["kind"], "APIGroupDiscoveryList");
        assert!(content_type.contains("v=v2;"));
        for plain in [
            "",
            "*/*",
            "application/json",
            "application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ] {
            assert_eq!(
                super::document(&kinds(), "/apis/", plain).unwrap().0["kind"],
                "APIGroupList",
                "{plain}"
            );
        }
        assert_eq!(super::document(&kinds(), "/apis/none/v1", kubectl), None);
    }

    #[test]
    fn definitions_can_only_be_read() {
        let document = api_resources(&kinds(), "apiextensions.k8s.io", "v1").unwrap();
        let crds = named(&document["resources"], "name", "customresourcedefinitions");
        assert_eq!(crds["verbs"], json!(["get", "list", "watch"]));
    }

    #[test]
    fn the_aggregated_form_says_everything_at_once() {
        let core = aggregated(&kinds(), true, "v2");
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        let resources = &core["items"][0]["versions"][0]["resources"];
        let pods = named(resources, "resource", "pods");
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(pods["responseKind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
        assert_eq!(named(&pods["subresources"], "subresource", "binding")["responseKind"]["kind"], "Binding");
        let eviction = named(&pods["subresources"], "subresource", "eviction");
        assert_eq!(eviction["responseKind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
        let others = aggregated(&kinds(), false, "v2beta1");
        let groups: Vec<_> =
            others["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
        assert!(groups.contains(&&json!("batch")) && groups.contains(&&json!("events.k8s.io")));
    }
}
