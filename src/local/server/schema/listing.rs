//! What the built-in types say about their lists and maps, which their `OpenAPI` form in k8s-openapi lacks.
//!
//! Two columns that Kubernetes keeps apart: the list type (server-side apply) and the merge key (strategic merge). The
//! facts are those of the markers `+listType`, `+listMapKey`, `+mapType`, `+patchStrategy` and `+patchMergeKey` in
//! Kubernetes' API types. What is not listed is atomic, and replaced by a patch.

use serde_json::Value;

use crate::local::server::schema::node::List;
use crate::local::server::schema::node::Merge;
use crate::local::server::schema::node::Node;

/// (type, field, list type keys, merge key). `set` stands for a list of scalars, `retain:` for `$retainKeys`.
const LISTS: &[(&str, &str, &[&str], &str)] = &[
    ("ObjectMeta", "finalizers", &["set"], "set"),
    ("ObjectMeta", "ownerReferences", &["uid"], "uid"),
    ("PodSpec", "containers", &["name"], "name"),
    ("PodSpec", "initContainers", &["name"], "name"),
    ("PodSpec", "ephemeralContainers", &["name"], "name"),
    ("PodSpec", "volumes", &["name"], "retain:name"),
    ("PodSpec", "imagePullSecrets", &["name"], "name"),
    ("PodSpec", "hostAliases", &["ip"], "ip"),
    ("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], "topologyKey"),
    ("PodSpec", "schedulingGates", &["name"], "name"),
    ("PodSpec", "resourceClaims", &["name"], "retain:name"),
    ("PodStatus", "conditions", &["type"], "type"),
    ("PodStatus", "podIPs", &["ip"], "ip"),
    ("PodStatus", "hostIPs", &[], "ip"),
    ("PodStatus", "resourceClaimStatuses", &["name"], "retain:name"),
    ("Container", "env", &["name"], "name"),
    ("Container", "ports", &["containerPort", "protocol"], "containerPort"),
    ("Container", "volumeMounts", &["mountPath"], "mountPath"),
    ("Container", "volumeDevices", &["devicePath"], "devicePath"),
    ("EphemeralContainer", "env", &["name"], "name"),
    ("EphemeralContainer", "ports", &["containerPort", "protocol"], "containerPort"),
    ("EphemeralContainer", "volumeMounts", &["mountPath"], "mountPath"),
    ("EphemeralContainer", "volumeDevices", &["devicePath"], "devicePath"),
    ("ContainerStatus", "volumeMounts", &["mountPath"], "mountPath"),
    ("ContainerStatus", "allocatedResourcesStatus", &["name"], "name"),
    ("ResourceRequirements", "claims", &["name"], ""),
    ("NamespaceStatus", "conditions", &["type"], "type"),
    ("NodeSpec", "podCIDRs", &["set"], "set"),
    ("NodeStatus", "conditions", &["type"], "type"),
    ("NodeStatus", "addresses", &["type"], "type"),
    ("ServiceAccount", "secrets", &["name"], "name"),
    ("ServiceAccount", "imagePullSecrets", &[], ""),
    ("JobStatus", "conditions", &[], "type"),
    ("UncountedTerminatedPods", "failed", &["set"], ""),
    ("UncountedTerminatedPods", "succeeded", &["set"], ""),
    ("PodFailurePolicyOnExitCodesRequirement", "values", &["set"], ""),
    ("CustomResourceDefinitionStatus", "conditions", &["type"], ""),
];

/// (type, field) of maps that are one value. An empty field: the type itself, wherever it stands.
const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("PodSpec", "nodeSelector"),
    ("LabelSelector", ""),
    ("NodeSelector", ""),
    ("NodeSelectorTerm", ""),
    ("LocalObjectReference", ""),
    ("ObjectReference", ""),
    ("TypedLocalObjectReference", ""),
    ("OwnerReference", ""),
    ("SecretKeySelector", ""),
    ("ConfigMapKeySelector", ""),
    ("ObjectFieldSelector", ""),
    ("ResourceFieldSelector", ""),
    ("FileKeySelector", ""),
];

/// Types that are fields by value in Go: they are written even when they are empty.
const ALWAYS_THERE: &[(&str, &str)] = &[
    ("ObjectMeta", ""),
    ("PodSpec", ""),
    ("PodSpec", "containers"),
    ("PodStatus", ""),
    ("PodTemplateSpec", ""),
    ("ResourceRequirements", ""),
    ("JobSpec", ""),
    ("JobStatus", ""),
    ("NamespaceSpec", ""),
    ("NamespaceStatus", ""),
    ("NodeSpec", ""),
    ("NodeStatus", ""),
    ("NodeDaemonEndpoints", ""),
    ("DaemonEndpoint", ""),
    ("LeaseSpec", ""),
    ("EventSource", ""),
];

/// The one default that is part of a list's keys.
const PROTOCOL: (&str, &str) = ("ContainerPort", "protocol");

/// Adds to `node` what is known about a field of a built-in type; an empty `field` is the type itself.
pub(super) fn describe(definition: &str, field: &str, node: &mut Node) {
    let name = definition.rsplit('.').next().unwrap_or(definition);
    node.atomic_map |= ATOMIC_MAPS.contains(&(name, field));
    node.always_there |= ALWAYS_THERE.contains(&(name, field));
    if (name, field) == PROTOCOL {
        node.default = Some(Value::from("TCP"));
    }
    let Some((_, _, keys, merge)) = LISTS.iter().find(|(kind, list, _, _)| (*kind, *list) == (name, field))
    else {
        return;
    };
    node.list = match *keys {
        [] => List::Atomic,
        ["set"] => List::Set,
        keys => List::Map(keys.iter().map(|key| (*key).to_owned()).collect()),
    };
    node.merge = match *merge {
        "" => None,
        "set" => Some(Merge { key: None, retain_keys: false }),
        key => Some(Merge {
            key: Some(key.trim_start_matches("retain:").to_owned()),
            retain_keys: key.starts_with("retain:"),
        }),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::server::kinds::Definitions;

    #[test]
    fn every_line_of_the_tables_names_a_field_that_exists() {
        let definitions = Definitions::builtin();
        let exists = |kind: &str, field: &str| {
            definitions.names().filter(|name| name.rsplit('.').next() == Some(kind)).any(|name| {
                let schema = definitions.get(name).unwrap();
                field.is_empty() || schema.pointer(&format!("/properties/{field}")).is_some()
            })
        };
        let lists = LISTS.iter().map(|(kind, field, _, _)| (*kind, *field));
        let missing: Vec<_> = lists
            .chain(ATOMIC_MAPS.iter().chain(ALWAYS_THERE).copied())
            .chain([PROTOCOL])
            .filter(|(kind, field)| !exists(kind, field))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
