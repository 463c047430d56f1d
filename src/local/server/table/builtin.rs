//! The columns of the built-in kinds, as Kubernetes' own printers have them.

use jiff::Timestamp;
use serde_json::Value;

use crate::local::server::table::Column;
use crate::local::server::table::age;
use crate::local::server::table::age_column;
use crate::local::server::table::column;
use crate::local::server::table::name_column;
use crate::local::server::table::pod;
use crate::local::server::table::pod::list;
use crate::local::server::table::pod::text;

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// Kubernetes' own columns for a built-in kind.
pub(in crate::local::server) fn columns(group: &str, kind: &str) -> Vec<Column> {
    match (group, kind) {
        ("", "Pod") => pods(),
        ("batch", "Job") => jobs(),
        ("", "Node") => nodes(),
        ("" | "events.k8s.io", "Event") => events(),
        ("", "Namespace") => {
            between(vec![string("Status", |namespace, _| shown(text(namespace, "/status/phase")))])
        }
        ("", "ConfigMap") => {
            between(vec![column("Data", "string", "", |map, _| count(map, &["/data", "/binaryData"]))])
        }
        ("", "Secret") => between(vec![
            string("Type", |secret, _| shown(text(secret, "/type"))),
            column("Data", "string", "", |secret, _| count(secret, &["/data"])),
        ]),
        ("", "ServiceAccount") => between(vec![column("Secrets", "string", "", |account, _| {
            Value::from(list(account, "/secrets").len())
        })]),
        ("coordination.k8s.io", "Lease") => {
            between(vec![string("Holder", |lease, _| shown(text(lease, "/spec/holderIdentity")))])
        }
        ("apiextensions.k8s.io", _) => vec![
            name_column(),
            column("Created At", "date", "", |crd, _| shown(text(crd, "/metadata/creationTimestamp"))),
        ],
        _ => between(Vec::new()),
    }
}

/// Name, these, Age.
fn between(columns: Vec<Column>) -> Vec<Column> {
    [vec![name_column()], columns, vec![age_column()]].concat()
}

fn string(name: &str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "string", "", cell)
}

fn shown(text: &str) -> Value {
    Value::from(text)
}

fn or_none(text: &str) -> Value {
    Value::from(if text.is_empty() { NONE } else { text })
}

fn count(object: &Value, maps: &[&str]) -> Value {
    let entries = maps.iter().filter_map(|map| object.pointer(map)?.as_object());
    Value::from(entries.map(serde_json::Map::len).sum::<usize>())
}

fn pods() -> Vec<Column> {
    vec![
        name_column(),
        string("Ready", |pod, now| Value::from(pod::summary(pod, now).ready)),
        string("Status", |pod, now| Value::from(pod::summary(pod, now).status)),
        string("Restarts", |pod, now| Value::from(pod::summary(pod, now).restarts)),
        age_column(),
        string("IP", |pod, _| {
            let first = text(pod, "/status/podIPs/0/ip");
            or_none(if first.is_empty() { text(pod, "/status/podIP") } else { first })
        })
        .wide(),
        string("Node", |pod, _| or_none(text(pod, "/spec/nodeName"))).wide(),
        string("Nominated Node", |pod, _| or_none(text(pod, "/status/nominatedNodeName"))).wide(),
        string("Readiness Gates", |pod, _| {
            let gates = list(pod, "/spec/readinessGates");
            let met = |gate: &&Value| {
                list(pod, "/status/conditions").iter().any(|condition| {
                    condition.get("type") == gate.get("conditionType") && text(condition, "/status") == "True"
                })
            };
            if gates.is_empty() {
                return Value::from(NONE);
            }
            Value::from(format!("{}/{}", gates.iter().filter(met).count(), gates.len()))
        })
        .wide(),
    ]
}

fn jobs() -> Vec<Column> {
    vec![
        name_column(),
        string("Status", |job, _| Value::from(job_status(job))),
        string("Completions", |job, _| Value::from(completions(job))),
        string("Duration", |job, now| Value::from(job_duration(job, now))),
        age_column(),
        string("Containers", |job, _| joined(list(job, "/spec/template/spec/containers"), "/name")).wide(),
        string("Images", |job, _| joined(list(job, "/spec/template/spec/containers"), "/image")).wide(),
        string("Selector", |job, _| selector(job.pointer("/spec/selector"))).wide(),
    ]
}

fn job_status(job: &Value) -> &'static str {
    let holds = |name: &str| {
        list(job, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == name && text(condition, "/status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if job.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string) {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let number = |pointer: &str| job.pointer(pointer).and_then(Value::as_i64);
    let succeeded = number("/status/succeeded").unwrap_or(0);
    match (number("/spec/completions"), number("/spec/parallelism").unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let start = text(job, "/status/startTime");
    let end = text(job, "/status/completionTime").parse().unwrap_or(now);
    if start.is_empty() { String::new() } else { age::of(start, end) }
}

fn joined(items: &[Value], pointer: &str) -> Value {
    Value::from(items.iter().map(|item| text(item, pointer)).collect::<Vec<_>>().join(","))
}

/// A label selector as kubectl writes it.
fn selector(selector: Option<&Value>) -> Value {
    let labels = selector.and_then(|selector| selector.get("matchLabels")).and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let terms: Vec<String> =
        labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    or_none(&terms.join(","))
}

fn nodes() -> Vec<Column> {
    vec![
        name_column(),
        string("Status", |node, _| Value::from(node_status(node))),
        string("Roles", |node, _| Value::from(roles(node))),
        age_column(),
        string("Version", |node, _| shown(text(node, "/status/nodeInfo/kubeletVersion"))),
        string("Internal-IP", |node, _| address(node, "InternalIP")).wide(),
        string("External-IP", |node, _| address(node, "ExternalIP")).wide(),
        string("OS-Image", |node, _| or_unknown(text(node, "/status/nodeInfo/osImage"))).wide(),
        string("Kernel-Version", |node, _| or_unknown(text(node, "/status/nodeInfo/kernelVersion"))).wide(),
        string("Container-Runtime", |node, _| {
            or_unknown(text(node, "/status/nodeInfo/containerRuntimeVersion"))
        })
        .wide(),
    ]
}

fn or_unknown(text: &str) -> Value {
    Value::from(if text.is_empty() { UNKNOWN } else { text })
}

fn node_status(node: &Value) -> String {
    let ready = list(node, "/status/conditions").iter().find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (label == "kubernetes.io/role").then(|| value.as_str().unwrap_or_default()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn address(node: &Value, kind: &str) -> Value {
    let found = list(node, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
    or_none(found.map(|address| text(address, "/address")).unwrap_or_default())
}

/// Of the core group and of `events.k8s.io`, whose field names differ.
fn events() -> Vec<Column> {
    vec![
        string("Last Seen", |event, now| Value::from(last_seen(event, now))),
        string("Type", |event, _| shown(text(event, "/type"))),
        string("Reason", |event, _| shown(text(event, "/reason"))),
        string("Object", |event, _| {
            let about = event.get("involvedObject").or(event.get("regarding")).unwrap_or(&Value::Null);
            let (kind, name) = (text(about, "/kind").to_lowercase(), text(about, "/name"));
            Value::from(if kind.is_empty() { name.to_owned() } else { format!("{kind}/{name}") })
        }),
        string("Subobject", |event, _| {
            shown(either(event, "/involvedObject/fieldPath", "/regarding/fieldPath"))
        })
        .wide(),
        string("Source", |event, _| Value::from(source(event))).wide(),
        string("Message", |event, _| shown(either(event, "/message", "/note").trim())),
        string("First Seen", |event, now| Value::from(first_seen(event, now))).wide(),
        string("Count", |event, _| {
            let numbers = ["/series/count", "/count", "/deprecatedCount"];
            let count = numbers
                .iter()
                .filter_map(|pointer| event.pointer(pointer)?.as_i64())
                .find(|count| *count > 0);
            Value::from(count.unwrap_or(1))
        })
        .wide(),
        name_column().wide(),
    ]
}

fn either<'v>(event: &'v Value, core: &str, other: &str) -> &'v str {
    match text(event, core) {
        "" => text(event, other),
        found => found,
    }
}

fn source(event: &Value) -> String {
    let component = match either(event, "/source/component", "/deprecatedSource/component") {
        "" => either(event, "/reportingComponent", "/reportingController"),
        found => found,
    };
    let host = match either(event, "/source/host", "/deprecatedSource/host") {
        "" => text(event, "/reportingInstance"),
        found => found,
    };
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    match either(event, "/firstTimestamp", "/deprecatedFirstTimestamp") {
        "" => age::of(text(event, "/eventTime"), now),
        time => age::of(time, now),
    }
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    let series = text(event, "/series/lastObservedTime");
    match either(event, "/lastTimestamp", "/deprecatedLastTimestamp") {
        _ if !series.is_empty() => age::of(series, now),
        "" => first_seen(event, now),
        time => age::of(time, now),
    }
}
