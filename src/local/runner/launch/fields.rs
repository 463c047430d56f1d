//! Values that a Pod takes from itself: `fieldRef` and `resourceFieldRef`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::local::runner::launch::Refusal;
use crate::local::runner::launch::quantity::{Amount, ceil};
use crate::local::runner::node::NodeFacts;

/// The value of a `fieldRef` path.
pub(super) fn field(pod: &Pod, node: &NodeFacts, path: &str) -> Result<String, Refusal> {
    let metadata = &pod.metadata;
    if let Some(key) = subscript(path, "metadata.labels") {
        return Ok(lookup(metadata.labels.as_ref(), key));
    }
    if let Some(key) = subscript(path, "metadata.annotations") {
        return Ok(lookup(metadata.annotations.as_ref(), key));
    }
    let text = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "metadata.labels" => Some(format_map(metadata.labels.as_ref())),
        "metadata.annotations" => Some(format_map(metadata.annotations.as_ref())),
        "spec.nodeName" => Some(node.name.clone()),
        "spec.serviceAccountName" => {
            let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
            Some(account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()))
        }
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => Some(node.address.clone()),
        other => return Err(Refusal::config(format!("unsupported fieldPath: {other}"))),
    };
    Ok(text.unwrap_or_default())
}

/// The key in `base['key']`.
fn subscript<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    path.strip_prefix(base)?.strip_prefix("['")?.strip_suffix("']")
}

/// A key that is not there is an empty value, as in Kubernetes.
fn lookup(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

/// A map as lines of `key="value"`, sorted, the value quoted as Go's `%q` does.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<_> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of a `resourceFieldRef`: the resource divided by the divisor, rounded up.
///
/// A limit that is not set is what the node has; a request that is not set is zero.
pub(super) fn resource(
    container: &Container,
    node: &NodeFacts,
    selector: &ResourceFieldSelector,
) -> Result<String, Refusal> {
    let unsupported = || Refusal::config(format!("unsupported container resource: {}", selector.resource));
    let (list, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let node_has = match name {
        "cpu" => Amount::units(node.cpus),
        "memory" => Amount::units(node.memory),
        "ephemeral-storage" => Amount::ZERO,
        _ => return Err(unsupported()),
    };
    let resources = container.resources.as_ref();
    let (values, otherwise) = match list {
        "limits" => (resources.and_then(|resources| resources.limits.as_ref()), node_has),
        "requests" => (resources.and_then(|resources| resources.requests.as_ref()), Amount::ZERO),
        _ => return Err(unsupported()),
    };
    let amount = values.and_then(|values| values.get(name)).map_or(Ok(otherwise), parse)?;
    let divisor = match &selector.divisor {
        Some(divisor) => parse(divisor)?,
        None => Amount::ZERO,
    };
    let divisor = if divisor == Amount::ZERO { Amount::units(1) } else { divisor };
    let value = if name == "cpu" {
        ceil(amount.ceil_millis(), divisor.ceil_millis().max(1))
    } else {
        ceil(amount.ceil_units(), divisor.ceil_units().max(1))
    };
    Ok(value.to_string())
}

fn parse(quantity: &Quantity) -> Result<Amount, Refusal> {
    Amount::parse(&quantity.0).ok_or_else(|| Refusal::config(format!("not a quantity: {:?}", quantity.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::{node, pod};

    fn sample() -> Pod {
        pod("
            metadata:
              name: web-1
              namespace: shop
              uid: 11-22
              labels: {app: web, run.kakehi.dev/job: resize}
              annotations: {note: \"say \\\"hi\\\"\\nnow\", batch.kubernetes.io/job-completion-index: '4'}
            spec:
              serviceAccountName: robot
              containers: [{name: main}]
        ")
    }

    #[test]
    fn every_field_that_kubernetes_offers_has_its_value() {
        let node = node();
        for (path, want) in [
            ("metadata.name", "web-1"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "11-22"),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['run.kakehi.dev/job']", "resize"),
            ("metadata.labels['absent']", ""),
            ("metadata.annotations['batch.kubernetes.io/job-completion-index']", "4"),
            ("spec.nodeName", "laptop"),
            ("spec.serviceAccountName", "robot"),
            ("status.hostIP", "127.0.0.1"),
            ("status.podIP", "127.0.0.1"),
            ("status.podIPs", "127.0.0.1"),
        ] {
            assert_eq!(field(&sample(), &node, path).unwrap(), want, "{path}");
        }
    }

    #[test]
    fn a_pod_without_a_service_account_runs_as_default() {
        let plain = pod("spec: {containers: [{name: main}]}");
        assert_eq!(field(&plain, &node(), "spec.serviceAccountName").unwrap(), "default");
    }

    #[test]
    fn whole_maps_are_sorted_quoted_lines() {
        assert_eq!(
            field(&sample(), &node(), "metadata.labels").unwrap(),
            "app=\"web\"\nrun.kakehi.dev/job=\"resize\""
        );
        assert_eq!(
            field(&sample(), &node(), "metadata.annotations").unwrap(),
            "batch.kubernetes.io/job-completion-index=\"4\"\nnote=\"say \\\"hi\\\"\\nnow\""
        );
        assert_eq!(quoted("\u{1}é\u{85}\\"), "\"\\x01é\\u0085\\\\\"");
    }

    #[test]
    fn a_field_that_is_not_offered_is_refused() {
        for path in ["spec.containers", "status.phase", "metadata.labels[app]", ""] {
            let refusal = field(&sample(), &node(), path).unwrap_err();
            assert!(refusal.to_string().contains("unsupported fieldPath"), "{path}");
        }
    }

    fn ask(container: &str, selector: &str) -> Result<String, Refusal> {
        let container: Container = serde_saphyr::from_str(container).unwrap();
        let selector: ResourceFieldSelector = serde_saphyr::from_str(selector).unwrap();
        resource(&container, &node(), &selector)
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let container = "{name: m, resources: {limits: {cpu: 1500m, memory: 1Gi}, requests: {cpu: 250m}}}";
        for (selector, want) in [
            ("{resource: limits.cpu}", "2"),
            ("{resource: limits.cpu, divisor: 1m}", "1500"),
            ("{resource: requests.cpu}", "1"),
            ("{resource: limits.memory}", "1073741824"),
            ("{resource: limits.memory, divisor: 1Mi}", "1024"),
            ("{resource: limits.memory, divisor: 1G}", "2"),
            ("{resource: limits.memory, divisor: '0'}", "1073741824"),
        ] {
            assert_eq!(ask(container, selector).unwrap(), want, "{selector}");
        }
    }

    #[test]
    fn an_unset_limit_is_what_the_node_has_and_an_unset_request_is_zero() {
        assert_eq!(ask("{name: m}", "{resource: limits.cpu}").unwrap(), "8");
        assert_eq!(ask("{name: m}", "{resource: limits.memory, divisor: 1Gi}").unwrap(), "16");
        assert_eq!(ask("{name: m}", "{resource: requests.memory}").unwrap(), "0");
    }

    #[test]
    fn unknown_resources_are_refused() {
        for selector in ["{resource: cpu}", "{resource: limits.gpu}", "{resource: uses.cpu}"] {
            assert!(ask("{name: m}", selector).is_err(), "{selector}");
        }
        assert!(ask("{name: m, resources: {limits: {cpu: lots}}}", "{resource: limits.cpu}").is_err());
    }
}
