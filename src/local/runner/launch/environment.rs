//! A container's environment, assembled in the kubelet's order.
//!
//! Lowest first: what the runner gives every process (`PATH`, `HOME`, `HOSTNAME`, its own variables), then `envFrom`, then `env`; the later
//! wins. As in Kubernetes, `$(NAME)` sees `envFrom` and the `env` entries above it, not what the image (here: the runner) provides.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource, Pod};

use crate::local::runner::launch::Refusal;
use crate::local::runner::launch::expand::expand;
use crate::local::runner::launch::fields;
use crate::local::runner::launch::sources::{SourceKind, Sources};
use crate::local::runner::node::NodeFacts;

/// Names and values; values are bytes because Secrets are.
pub(super) type Environment = BTreeMap<String, Vec<u8>>;

/// The variables that the container's `envFrom` and `env` define. `rewrite` sees every value before others can refer to it.
pub(super) fn assemble(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    node: &NodeFacts,
    rewrite: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Result<Environment, Refusal> {
    let mut environment = Environment::new();
    for from in container.env_from.iter().flatten() {
        import(from, sources, &rewrite, &mut environment)?;
    }
    for variable in container.env.iter().flatten() {
        let EnvVar { name, value, value_from } = variable;
        let value = match (value.as_deref().filter(|value| !value.is_empty()), value_from) {
            (Some(value), _) => Some(expand_in(value, &environment)),
            (None, Some(from)) => from_source(pod, container, from, sources, node)?,
            (None, None) => Some(Vec::new()),
        };
        // `None`: an optional key that does not exist leaves the variable as it was.
        if let Some(value) = value {
            environment.insert(name.clone(), rewrite(name, value));
        }
    }
    Ok(environment)
}

/// Expands references in text against an environment.
pub(super) fn expand_in(text: &str, environment: &Environment) -> Vec<u8> {
    expand(text.as_bytes(), |name| environment.get(name).map(Vec::as_slice))
}

fn import(
    from: &EnvFromSource,
    sources: &Sources,
    rewrite: &impl Fn(&str, Vec<u8>) -> Vec<u8>,
    environment: &mut Environment,
) -> Result<(), Refusal> {
    let EnvFromSource { config_map_ref, prefix, secret_ref } = from;
    let prefix = prefix.as_deref().unwrap_or_default();
    let config_map =
        config_map_ref.as_ref().map(|source| (SourceKind::ConfigMap, &source.name, source.optional));
    let secret = secret_ref.as_ref().map(|source| (SourceKind::Secret, &source.name, source.optional));
    for (kind, name, optional) in config_map.into_iter().chain(secret) {
        match sources.get(kind, name) {
            Some(keys) => {
                for (key, value) in keys {
                    let name = format!("{prefix}{key}");
                    // A process cannot be given any other name; the kubelet leaves such keys out as well.
                    if is_name(&name) {
                        let value = rewrite(&name, value.clone());
                        environment.insert(name, value);
                    }
                }
            }
            None if optional == Some(true) => {}
            None => return Err(Refusal::missing(kind, name)),
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| (' '..='~').contains(&c) && c != '=')
}

fn from_source(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
    node: &NodeFacts,
) -> Result<Option<Vec<u8>>, Refusal> {
    let EnvVarSource { config_map_key_ref, field_ref, file_key_ref, resource_field_ref, secret_key_ref } =
        from;
    if let Some(key) = config_map_key_ref {
        return key_of(sources, SourceKind::ConfigMap, &key.name, &key.key, key.optional);
    }
    if let Some(key) = secret_key_ref {
        return key_of(sources, SourceKind::Secret, &key.name, &key.key, key.optional);
    }
    if let Some(selector) = field_ref {
        return fields::field(pod, node, &selector.field_path).map(|text| Some(text.into_bytes()));
    }
    if let Some(selector) = resource_field_ref {
        return fields::resource(container, node, selector).map(|text| Some(text.into_bytes()));
    }
    if file_key_ref.is_some() {
        return Err(Refusal::unsupported("environment from a file (fileKeyRef)"));
    }
    Ok(Some(Vec::new()))
}

fn key_of(
    sources: &Sources,
    kind: SourceKind,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let optional = optional == Some(true);
    match sources.get(kind, name) {
        None if optional => Ok(None),
        None => Err(Refusal::missing(kind, name)),
        Some(keys) => match keys.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(Refusal::missing_key(kind, name, key)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::{node, pod, sources};

    /// Assembles the environment of a container given as YAML; the ConfigMap `cm` and the Secret `sec` exist.
    fn assembled(container: &str) -> Result<Vec<(String, String)>, Refusal> {
        let container: Container = serde_saphyr::from_str(container).unwrap();
        let mut pod = pod("
            metadata: {name: p, namespace: ns, uid: u-1, labels: {tier: gold}, annotations: {index: '3'}}
            spec: {containers: [{name: main}]}
        ");
        pod.spec.as_mut().unwrap().containers = vec![container.clone()];
        let environment = assemble(&pod, &container, &sources(), &node(), |_, value| value)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(environment.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    fn value(container: &str, name: &str) -> Option<String> {
        assembled(container).unwrap().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    #[test]
    fn plain_values_are_taken_as_they_are() {
        let container = "{name: m, env: [{name: A, value: x y}, {name: EMPTY, value: ''}, {name: BARE}]}";
        let want = [("A", "x y"), ("BARE", ""), ("EMPTY", "")];
        assert_eq!(
            assembled(container).unwrap(),
            want.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn the_later_definition_wins() {
        assert_eq!(
            value("{name: m, env: [{name: A, value: '1'}, {name: A, value: '2'}]}", "A").unwrap(),
            "2"
        );
        let over = "{name: m, env: [{name: key, value: env}], envFrom: [{configMapRef: {name: cm}}]}";
        assert_eq!(value(over, "key").unwrap(), "env");
        let from = "{name: m, envFrom: [{configMapRef: {name: cm}}, {secretRef: {name: sec}}]}";
        assert_eq!(value(from, "both").unwrap(), "from-secret");
    }

    #[test]
    fn references_see_only_what_stands_above() {
        let container = "{name: m, env: [{name: LATE, value: '$(A)'}, {name: A, value: a}, {name: B, value: '$(A)-$(X)'}]}";
        assert_eq!(value(container, "LATE").unwrap(), "$(A)");
        assert_eq!(value(container, "B").unwrap(), "a-$(X)");
    }

    #[test]
    fn a_value_may_build_on_its_own_former_value() {
        let container = "{name: m, env: [{name: A, value: a}, {name: A, value: '$(A)b'}]}";
        assert_eq!(value(container, "A").unwrap(), "ab");
    }

    #[test]
    fn references_see_imported_keys_and_escapes_hold() {
        let container =
            "{name: m, envFrom: [{configMapRef: {name: cm}}], env: [{name: A, value: '$(key) $$(key)'}]}";
        assert_eq!(value(container, "A").unwrap(), "value $(key)");
    }

    #[test]
    fn values_from_keys_and_fields_are_data_and_not_expanded() {
        let container = "{name: m, env: [{name: key, value: x}, {name: A, valueFrom: {configMapKeyRef: {name: cm, key: reference}}}]}";
        assert_eq!(value(container, "A").unwrap(), "$(key)");
    }

    #[test]
    fn every_kind_of_source_is_read() {
        for (from, want) in [
            ("{configMapKeyRef: {name: cm, key: key}}", "value"),
            ("{secretKeyRef: {name: sec, key: password}}", "hunter2"),
            ("{fieldRef: {fieldPath: metadata.name}}", "p"),
            ("{fieldRef: {fieldPath: metadata.uid}}", "u-1"),
            ("{fieldRef: {fieldPath: \"metadata.labels['tier']\"}}", "gold"),
            ("{fieldRef: {fieldPath: \"metadata.annotations['index']\"}}", "3"),
            ("{fieldRef: {fieldPath: spec.nodeName}}", "laptop"),
            ("{resourceFieldRef: {resource: limits.cpu}}", "8"),
        ] {
            let container = format!("{{name: m, env: [{{name: A, valueFrom: {from}}}]}}");
            assert_eq!(value(&container, "A").unwrap(), want, "{from}");
        }
    }

    #[test]
    fn a_prefix_goes_before_every_imported_key() {
        let container = "{name: m, envFrom: [{prefix: CM_, configMapRef: {name: cm}}]}";
        let names: Vec<_> = assembled(container).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CM_binary", "CM_both", "CM_key", "CM_reference"]);
    }

    #[test]
    fn a_name_that_no_process_can_have_is_left_out() {
        assert!(is_name("a.b-c d"));
        assert!(!is_name("a=b"));
        assert!(!is_name(""));
        assert!(!is_name("é"));
    }

    #[test]
    fn what_is_missing_is_named_unless_it_is_optional() {
        for (fragment, message) in [
            ("envFrom: [{configMapRef: {name: gone}}]", "configmap \"gone\" not found"),
            ("envFrom: [{secretRef: {name: gone}}]", "secret \"gone\" not found"),
            (
                "env: [{name: A, valueFrom: {secretKeyRef: {name: gone, key: k}}}]",
                "secret \"gone\" not found",
            ),
            (
                "env: [{name: A, valueFrom: {configMapKeyRef: {name: cm, key: gone}}}]",
                "couldn't find key gone in configmap \"cm\"",
            ),
        ] {
            let refusal = assembled(&format!("{{name: m, {fragment}}}")).unwrap_err();
            assert!(matches!(refusal, Refusal::Config(_)), "{fragment}");
            assert_eq!(refusal.to_string(), message);
            let optional = fragment.replace("name: gone", "optional: true, name: gone");
            let optional = optional.replace("key: gone", "optional: true, key: gone");
            assert_eq!(assembled(&format!("{{name: m, {optional}}}")).unwrap(), [], "{optional}");
        }
    }

    #[test]
    fn a_missing_optional_key_leaves_the_earlier_value() {
        let container = "{name: m, env: [{name: A, value: kept}, {name: A, valueFrom: {configMapKeyRef: {name: cm, key: gone, optional: true}}}]}";
        assert_eq!(value(container, "A").unwrap(), "kept");
    }

    #[test]
    fn secrets_need_not_be_text() {
        let container: Container = serde_saphyr::from_str(
            "{name: m, env: [{name: A, valueFrom: {secretKeyRef: {name: sec, key: raw}}}, {name: B, value: 'x$(A)'}]}",
        )
        .unwrap();
        let environment =
            assemble(&pod("spec: {containers: [{name: m}]}"), &container, &sources(), &node(), |_, value| {
                value
            })
            .unwrap();
        assert_eq!(environment["B"], b"x\xff\xfe");
    }
}
