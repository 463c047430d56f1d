//! `OpenAPI` v3 documents, one per group version: what `kubectl explain` prints, what `kubectl apply` looks into for merge
//! keys and for the query parameters that a server understands.
//!
//! Schemas are the kinds' definitions with Kubernetes' extensions; paths are the routes with what clients read of them,
//! not every parameter.

mod paths;
mod schemas;

use std::collections::BTreeSet;
use std::fmt::Write;

use ring::digest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::local::server::kinds::Kind;
use crate::local::server::kinds::Kinds;

/// `GET /openapi/v3`: where the documents are. The hash in each address changes with the document.
pub(super) fn openapi_index(kinds: &Kinds) -> Value {
    let groups: BTreeSet<(&str, &str)> =
        kinds.iter().map(|kind| (kind.group.as_str(), kind.version.as_str())).collect();
    let mut paths = Map::new();
    for (group, version) in groups {
        let path = prefix(group, version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(kinds, group, version));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// `GET /openapi/v3/api/v1`, `GET /openapi/v3/apis/{group}/{version}`.
pub(super) fn openapi_v3(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let served: Vec<&Kind> = of(kinds, group, version).collect();
    if served.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths::of(&served, &prefix(group, version)),
        "components": {"schemas": schemas::of(&served, kinds)},
    }))
}

fn of<'k>(kinds: &'k Kinds, group: &str, version: &str) -> impl Iterator<Item = &'k Kind> {
    kinds.iter().filter(move |kind| kind.group == group && kind.version == version).map(AsRef::as_ref)
}

/// `api/v1` or `apis/{group}/{version}`.
fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Built-in documents change with the program, others with their definitions.
fn hash(kinds: &Kinds, group: &str, version: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(env!("CARGO_PKG_VERSION").as_bytes());
    for kind in of(kinds, group, version) {
        context.update(kind.definition.as_bytes());
        let definition = kinds.definitions().get(&kind.definition).filter(|_| kind.custom);
        if let Some(definition) = definition {
            context.update(definition.to_string().as_bytes());
        }
    }
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _infallible = write!(text, "{byte:02X}");
        text
    })
}

/// `x-kubernetes-group-version-kind` of a kind.
fn identity(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Kinds {
        Kinds::new(&[]).unwrap()
    }

    #[test]
    fn the_index_names_a_document_per_group_version() {
        let kinds = kinds();
        let index = openapi_index(&kinds);
        let url = index["paths"]["apis/batch/v1"]["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with("/openapi/v3/apis/batch/v1?hash="), "{url}");
        for path in index["paths"].as_object().unwrap().keys() {
            let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
                ["api", version] => ("", version),
                ["apis", group, version] => (group, version),
                _ => panic!("{path}"),
            };
            assert!(openapi_v3(&kinds, group, version).is_some(), "{path}");
        }
        assert_eq!(openapi_v3(&kinds, "none", "v1"), None);
    }

    #[test]
    fn every_reference_in_a_document_resolves_in_it() {
        fn references(value: &Value, into: &mut BTreeSet<String>) {
            match value {
                Value::Object(fields) => {
                    into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, into));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, into)),
                _ => {}
            }
        }
        let document = openapi_v3(&kinds(), "batch", "v1").unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    #[test]
    fn kubectl_finds_what_it_looks_for() {
        let document = openapi_v3(&kinds(), "batch", "v1").unwrap();
        let path = &document["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"];
        assert_eq!(
            path["patch"]["x-kubernetes-group-version-kind"],
            json!({"group": "batch", "version": "v1", "kind": "Job"})
        );
        let parameters = path["patch"]["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|one| one["name"] == "fieldValidation"));
        let schemas = &document["components"]["schemas"];
        let job = &schemas["io.k8s.api.batch.v1.Job"];
        assert_eq!(job["x-kubernetes-group-version-kind"][0]["kind"], "Job");
        assert_eq!(
            job["properties"]["spec"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.api.batch.v1.JobSpec"
        );
        assert!(job["properties"]["spec"]["description"].is_string());
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    }
}
