//! Which ConfigMaps and Secrets a Pod refers to, and what was found of them.
//!
//! Fetching is the shell's work; whether a missing one matters is decided where it is used.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret};

/// The kinds that environment and volumes are filled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local::runner) enum SourceKind {
    ConfigMap,
    Secret,
}

impl SourceKind {
    /// As Kubernetes writes it in messages.
    pub(in crate::local::runner) fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }
}

/// An object in the Pod's namespace that the Pod names.
pub(in crate::local::runner) type Reference = (SourceKind, String);

/// The keys and values of the objects that exist; a reference that is absent here does not exist.
#[derive(Clone, Debug, Default)]
pub(in crate::local::runner) struct Sources {
    found: BTreeMap<Reference, BTreeMap<String, Vec<u8>>>,
}

impl Sources {
    /// Remembers a `ConfigMap`; text and binary keys are one set, as Kubernetes guarantees that they are disjoint.
    pub(in crate::local::runner) fn add_config_map(&mut self, name: &str, object: ConfigMap) {
        let text = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = object.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        self.found.insert((SourceKind::ConfigMap, name.to_owned()), text.chain(binary).collect());
    }

    /// Remembers a Secret.
    pub(in crate::local::runner) fn add_secret(&mut self, name: &str, object: Secret) {
        let data = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        self.found.insert((SourceKind::Secret, name.to_owned()), data.collect());
    }

    /// The keys of an object; `None` if there is no such object.
    pub(super) fn get(&self, kind: SourceKind, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.found.get(&(kind, name.to_owned()))
    }
}

/// Everything that the Pod's environment and volumes may need, each once.
pub(in crate::local::runner) fn references(spec: &PodSpec) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        of_container(container, &mut found);
    }
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            found.insert((SourceKind::ConfigMap, source.name.clone()));
        }
        if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.clone()) {
            found.insert((SourceKind::Secret, name));
        }
        for projection in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            if let Some(source) = &projection.config_map {
                found.insert((SourceKind::ConfigMap, source.name.clone()));
            }
            if let Some(source) = &projection.secret {
                found.insert((SourceKind::Secret, source.name.clone()));
            }
        }
    }
    found
}

fn of_container(container: &Container, found: &mut BTreeSet<Reference>) {
    for from in container.env_from.iter().flatten() {
        if let Some(source) = &from.config_map_ref {
            found.insert((SourceKind::ConfigMap, source.name.clone()));
        }
        if let Some(source) = &from.secret_ref {
            found.insert((SourceKind::Secret, source.name.clone()));
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(key) = &source.config_map_key_ref {
            found.insert((SourceKind::ConfigMap, key.name.clone()));
        }
        if let Some(key) = &source.secret_key_ref {
            found.insert((SourceKind::Secret, key.name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::pod;

    #[test]
    fn every_object_that_a_pod_names_is_found_once() {
        let pod = pod("
            spec:
              initContainers:
                - name: first
                  env: [{name: X, valueFrom: {configMapKeyRef: {name: cm-init, key: k}}}]
              containers:
                - name: main
                  envFrom: [{configMapRef: {name: cm-from}}, {secretRef: {name: secret-from}}]
                  env:
                    - {name: A, valueFrom: {configMapKeyRef: {name: cm-env, key: k}}}
                    - {name: B, valueFrom: {secretKeyRef: {name: secret-env, key: k}}}
                    - {name: C, valueFrom: {configMapKeyRef: {name: cm-env, key: other}}}
                    - {name: D, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
                    - {name: E, value: plain}
              volumes:
                - {name: a, configMap: {name: cm-volume}}
                - {name: b, secret: {secretName: secret-volume}}
                - {name: c, emptyDir: {}}
                - name: d
                  projected: {sources: [{configMap: {name: cm-projected}}, {secret: {name: secret-projected}}]}
        ");
        let found = references(pod.spec.as_ref().unwrap());
        let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "cm-env",
                "cm-from",
                "cm-init",
                "cm-projected",
                "cm-volume",
                "secret-env",
                "secret-from",
                "secret-projected",
                "secret-volume"
            ]
        );
    }

    #[test]
    fn a_pod_without_references_needs_nothing() {
        let pod = pod("spec: {containers: [{name: main, command: [\"true\"]}]}");
        assert!(references(pod.spec.as_ref().unwrap()).is_empty());
    }

    #[test]
    fn text_and_binary_keys_of_a_config_map_are_one_set() {
        let mut sources = Sources::default();
        let object = serde_json::json!({"data": {"a": "text"}, "binaryData": {"b": "/w=="}});
        sources.add_config_map("cm", serde_json::from_value(object).unwrap());
        let keys = sources.get(SourceKind::ConfigMap, "cm").unwrap();
        assert_eq!(keys["a"], b"text");
        assert_eq!(keys["b"], [0xff]);
        assert!(sources.get(SourceKind::Secret, "cm").is_none());
    }
}
