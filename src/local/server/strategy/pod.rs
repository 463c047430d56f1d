//! Pods: defaults of a pod spec, what may change, and how long an end may take.

use serde_json::Value;
use serde_json::json;

use crate::local::server::metadata;
use crate::local::server::schema::FieldError;
use crate::local::server::strategy::default;
use crate::local::server::strategy::items;

pub(super) fn create(object: &mut Value) {
    object["status"] =
        json!({"phase": "Pending", "qosClass": qos_class(object.get("spec").unwrap_or(&Value::Null))});
    if let Some(spec) = object.get_mut("spec") {
        default_spec(spec);
        // Admission gives every pod an account.
        default(spec, "serviceAccountName", || json!("default"));
    }
}

pub(super) fn update(object: &mut Value, old: &Value) {
    if let Some(spec) = object.get_mut("spec") {
        default_spec(spec);
        if let Some(account) = old.pointer("/spec/serviceAccountName") {
            default(spec, "serviceAccountName", || account.clone());
        }
    }
}

/// The values that the API server gives to absent fields of a pod spec, in a Pod and in a template.
pub(super) fn default_spec(spec: &mut Value) {
    default(spec, "restartPolicy", || json!("Always"));
    default(spec, "dnsPolicy", || json!("ClusterFirst"));
    default(spec, "schedulerName", || json!("default-scheduler"));
    default(spec, "terminationGracePeriodSeconds", || json!(30));
    default(spec, "securityContext", || json!({}));
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            default_container(container);
        }
    }
    for volume in items(spec, "volumes") {
        default_volume(volume);
    }
}

fn default_container(container: &mut Value) {
    default(container, "terminationMessagePath", || json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", || json!("File"));
    default(container, "resources", || json!({}));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    // The tag follows the last colon after the last slash; a registry's port is not a tag.
    let tag = image.rsplit('/').next().and_then(|last| last.rsplit_once(':')).map(|(_, tag)| tag);
    let moving = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    default(container, "imagePullPolicy", || json!(if moving { "Always" } else { "IfNotPresent" }));
    for port in items(container, "ports") {
        default(port, "protocol", || json!("TCP"));
    }
    for variable in items(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            default(field, "apiVersion", || json!("v1"));
        }
    }
}

fn default_volume(volume: &mut Value) {
    // 420 is 0644.
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
            default(source, "defaultMode", || json!(420));
        }
    }
    for pointer in ["/downwardAPI/items", "/projected/sources"] {
        let list = volume.pointer_mut(pointer).and_then(Value::as_array_mut);
        for item in list.into_iter().flatten() {
            if let Some(field) = item.get_mut("fieldRef") {
                default(field, "apiVersion", || json!("v1"));
            }
            for nested in item.get_mut("downwardAPI").into_iter().flat_map(|source| items(source, "items")) {
                if let Some(field) = nested.get_mut("fieldRef") {
                    default(field, "apiVersion", || json!("v1"));
                }
            }
        }
    }
}

/// Guaranteed if every container limits processor and memory and asks for exactly that, `BestEffort` if none asks for
/// anything, Burstable otherwise.
fn qos_class(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers = lists.iter().filter_map(|list| spec.get(list)?.as_array()).flatten();
    let (mut any, mut all) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let limit = container.pointer(&format!("/resources/limits/{resource}"));
            let request = container.pointer(&format!("/resources/requests/{resource}"));
            any |= limit.is_some() || request.is_some();
            all &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Seconds between the request to end and the end: none for a pod that no node runs or that has ended.
pub(super) fn grace(object: &Value, asked: Option<i64>) -> i64 {
    let assigned =
        object.pointer("/spec/nodeName").and_then(Value::as_str).is_some_and(|node| !node.is_empty());
    let phase = object.pointer("/status/phase").and_then(Value::as_str);
    if !assigned || matches!(phase, Some("Succeeded" | "Failed")) {
        return 0;
    }
    let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    // A negative time is treated as one second, as in the API server.
    match asked.or(own).unwrap_or(30) {
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
}

/// What may change in a running pod's spec.
const CHANGEABLE: &[&str] = &["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"];

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old else { return Vec::new() };
    let rest = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !CHANGEABLE.contains(&name.as_str()));
        }
        for list in ["containers", "initContainers"] {
            for container in items(&mut spec, list) {
                container["image"] = Value::Null;
            }
        }
        spec
    };
    if old.get("spec") == object.get("spec") || rest(old) == rest(object) {
        return Vec::new();
    }
    vec![FieldError {
        field: "spec".to_owned(),
        reason: "FieldValueForbidden",
        message: "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
                  `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                  existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                  previously negative)"
            .to_owned(),
    }]
}

/// Assigns the pod to a node, once (`pods/binding`). The error is a reason for a conflict.
pub(in crate::local::server) fn bind(object: &mut Value, binding: &Value, now: &str) -> Result<(), String> {
    let node = binding.pointer("/target/name").and_then(Value::as_str).unwrap_or_default();
    if let Some(uid) = metadata::text(binding, "uid")
        && Some(uid) != metadata::text(object, "uid")
    {
        return Err(format!("Precondition failed: UID in precondition: {uid}"));
    }
    if metadata::deleting(object) {
        return Err("pod is being deleted, cannot be assigned to a host".to_owned());
    }
    let name = metadata::name(object);
    match object.pointer("/spec/nodeName").and_then(Value::as_str) {
        None | Some("") => {}
        Some(taken) => return Err(format!("pod {name} is already assigned to node \"{taken}\"")),
    }
    object["spec"]["nodeName"] = json!(node);
    if let Some(annotations) = binding.pointer("/metadata/annotations").and_then(Value::as_object) {
        for (key, value) in annotations {
            if !object["metadata"].get("annotations").is_some_and(Value::is_object) {
                object["metadata"]["annotations"] = json!({});
            }
            object["metadata"]["annotations"][key] = value.clone();
        }
    }
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !object.get("status").is_some_and(Value::is_object) {
        object["status"] = json!({});
    }
    default(&mut object["status"], "conditions", || json!([]));
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition.get("type") != scheduled.get("type"));
        conditions.push(scheduled);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_takes_time_only_where_something_runs() {
        let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 20}, "status": {"phase": phase}});
        assert_eq!(grace(&pod("n", "Running"), None), 20);
        assert_eq!(grace(&pod("n", "Running"), Some(5)), 5);
        assert_eq!(grace(&pod("n", "Running"), Some(0)), 0);
        assert_eq!(grace(&pod("n", "Running"), Some(-1)), 1);
        assert_eq!(grace(&pod("", "Pending"), None), 0);
        assert_eq!(grace(&pod("n", "Succeeded"), None), 0);
        assert_eq!(grace(&json!({"spec": {"nodeName": "n"}}), None), 30);
    }

    #[test]
    fn only_moving_tags_are_always_pulled() {
        for (image, policy) in [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("registry:5000/a", "Always"),
            ("a:1.2", "IfNotPresent"),
            ("registry:5000/a:1.2", "IfNotPresent"),
            ("a@sha256:00", "IfNotPresent"),
        ] {
            let mut spec = json!({"containers": [{"image": image}]});
            default_spec(&mut spec);
            assert_eq!(spec["containers"][0]["imagePullPolicy"], policy, "{image}");
        }
    }

    #[test]
    fn the_quality_of_service_follows_requests_and_limits() {
        let spec = |resources: Value| json!({"containers": [{"name": "a", "resources": resources}]});
        assert_eq!(qos_class(&spec(json!({}))), "BestEffort");
        assert_eq!(qos_class(&spec(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(qos_class(&spec(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), "Guaranteed");
        let uneven = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
        assert_eq!(qos_class(&spec(uneven)), "Burstable");
    }

    #[test]
    fn a_pod_is_bound_once() {
        let mut pod =
            json!({"metadata": {"name": "p", "uid": "u"}, "spec": {}, "status": {"phase": "Pending"}});
        let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
        bind(&mut pod, &binding, "t").unwrap();
        assert_eq!(pod["spec"]["nodeName"], "n1");
        assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
        assert!(bind(&mut pod, &binding, "t").unwrap_err().contains("already assigned"));
    }

    #[test]
    fn a_pods_spec_hardly_changes() {
        let old = json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x:1", "command": ["a"]}]}});
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = json!("x:2");
        new["spec"]["activeDeadlineSeconds"] = json!(5);
        assert!(validate(&new, Some(&old)).is_empty());
        new["spec"]["containers"][0]["command"] = json!(["b"]);
        assert_eq!(validate(&new, Some(&old)).len(), 1);
    }
}
