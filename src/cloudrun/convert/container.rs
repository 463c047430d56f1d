//! The container of a task: its program, environment, resources and mounts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ResourceRequirements, SecretKeySelector, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Refusals;
use super::text::{literals, plains, some};
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::env_var::Values;
use crate::plan::{literal, plain};

/// Name of a container that was sent without one.
const UNNAMED: &str = "main";

/// The container that a client sees.
pub(super) fn container(container: &Container) -> v2::Container {
    let Container {
        args,
        command,
        env,
        env_from: _,
        image,
        image_pull_policy: _,
        lifecycle: _,
        liveness_probe: _,
        name,
        ports,
        readiness_probe: _,
        resize_policy: _,
        resources,
        restart_policy: _,
        restart_policy_rules: _,
        security_context: _,
        startup_probe: _,
        stdin: _,
        stdin_once: _,
        termination_message_path: _,
        termination_message_policy: _,
        tty: _,
        volume_devices: _,
        volume_mounts,
        working_dir,
    } = container;
    v2::Container {
        name: name.clone(),
        image: image.clone().unwrap_or_default(),
        command: plains(command.as_ref()),
        args: plains(args.as_ref()),
        env: env.iter().flatten().map(variable).collect(),
        resources: resources.as_ref().and_then(limits),
        ports: ports.iter().flatten().map(port).collect(),
        volume_mounts: volume_mounts.iter().flatten().map(mount).collect(),
        working_dir: working_dir.clone().unwrap_or_default(),
        source_code: None,
        liveness_probe: None,
        startup_probe: None,
        readiness_probe: None,
        depends_on: Vec::new(),
        base_image_uri: String::new(),
        build_info: None,
    }
}

fn variable(variable: &EnvVar) -> v2::EnvVar {
    let EnvVar { name, value, value_from } = variable;
    let values = match value_from {
        None => Some(Values::Value(plain(value.as_deref().unwrap_or_default()))),
        Some(EnvVarSource {
            secret_key_ref: Some(secret),
            config_map_key_ref: _,
            field_ref: _,
            file_key_ref: _,
            resource_field_ref: _,
        }) => {
            let SecretKeySelector { key, name, optional: _ } = secret;
            let selector = v2::SecretKeySelector { secret: name.clone(), version: key.clone() };
            Some(Values::ValueSource(v2::EnvVarSource { secret_key_ref: Some(selector) }))
        }
        // Cloud Run has no words for the others.
        Some(_) => None,
    };
    v2::EnvVar { name: name.clone(), values }
}

fn limits(resources: &ResourceRequirements) -> Option<v2::ResourceRequirements> {
    let ResourceRequirements { claims: _, limits, requests: _ } = resources;
    let limits: BTreeMap<_, _> =
        limits.iter().flatten().map(|(name, quantity)| (name.clone(), quantity.0.clone())).collect();
    (!limits.is_empty()).then_some(v2::ResourceRequirements {
        limits,
        cpu_idle: false,
        startup_cpu_boost: false,
    })
}

fn port(port: &ContainerPort) -> v2::ContainerPort {
    let ContainerPort { container_port, host_ip: _, host_port: _, name, protocol: _ } = port;
    v2::ContainerPort { name: name.clone().unwrap_or_default(), container_port: *container_port }
}

fn mount(mount: &VolumeMount) -> v2::VolumeMount {
    let VolumeMount {
        bind_mount_options: _,
        mount_path,
        mount_propagation: _,
        name,
        read_only: _,
        recursive_read_only: _,
        sub_path,
        sub_path_expr: _,
    } = mount;
    v2::VolumeMount {
        name: name.clone(),
        mount_path: mount_path.clone(),
        sub_path: sub_path.clone().unwrap_or_default(),
    }
}

/// The container that a client sent, on top of the old one.
pub(super) fn read_container(
    path: &str,
    message: v2::Container,
    old: Option<&Container>,
    refusals: &mut Refusals,
) -> Container {
    let v2::Container {
        name,
        image,
        source_code,
        command,
        args,
        env,
        resources,
        ports,
        volume_mounts,
        working_dir,
        liveness_probe,
        startup_probe,
        readiness_probe,
        depends_on,
        base_image_uri,
        // The server's word.
        build_info: _,
    } = message;
    let within = |field: &str| format!("{path}.{field}");
    if image.is_empty() {
        refusals.add(within("image"), "an image is needed");
    }
    let mut unless_unset = |field: &str, is_unset: bool, why: &str| {
        if !is_unset {
            refusals.add(within(field), why);
        }
    };
    unless_unset("source_code", source_code.is_none(), "images are not built here");
    unless_unset("base_image_uri", base_image_uri.is_empty(), "base images are not updated here");
    unless_unset(
        "depends_on",
        depends_on.is_empty(),
        "a task has one container; there is nothing to depend on",
    );
    let no_probes = "a task is judged by how it ends; it is not probed";
    unless_unset("liveness_probe", liveness_probe.is_none(), no_probes);
    unless_unset("startup_probe", startup_probe.is_none(), no_probes);
    unless_unset("readiness_probe", readiness_probe.is_none(), no_probes);
    let old = old.cloned().unwrap_or_default();
    let name =
        if name.is_empty() { some(old.name.clone()).unwrap_or_else(|| UNNAMED.to_owned()) } else { name };
    Container {
        name,
        image: Some(image),
        command: literals(&command, old.command.as_ref()),
        args: literals(&args, old.args.as_ref()),
        env: list(read_env(&within("env"), env, old.env.as_deref().unwrap_or_default(), refusals)),
        resources: read_resources(
            &within("resources"),
            resources.unwrap_or_default(),
            old.resources.as_ref(),
            refusals,
        ),
        ports: list(read_ports(ports, old.ports.as_deref().unwrap_or_default())),
        volume_mounts: list(read_mounts(volume_mounts, old.volume_mounts.as_deref().unwrap_or_default())),
        working_dir: some(working_dir),
        ..old
    }
}

/// The environment that a client sent. A variable that is shown as the same is the same: what Cloud Run has no words for
/// is kept.
pub(super) fn read_env(
    field: &str,
    sent: Vec<v2::EnvVar>,
    old: &[EnvVar],
    refusals: &mut Refusals,
) -> Vec<EnvVar> {
    let mut all = Vec::with_capacity(sent.len());
    for (at, message) in sent.into_iter().enumerate() {
        let same = old.iter().find(|one| one.name == message.name).filter(|one| variable(one) == message);
        all.push(
            same.cloned().unwrap_or_else(|| read_variable(&format!("{field}[{at}]"), message, refusals)),
        );
    }
    all
}

fn read_variable(field: &str, message: v2::EnvVar, refusals: &mut Refusals) -> EnvVar {
    let v2::EnvVar { name, values } = message;
    if name.is_empty() || name.contains(['=', '\0']) {
        refusals.add(format!("{field}.name"), format!("{name:?} is no name of a variable"));
    }
    match values {
        None => EnvVar { name, value: Some(String::new()), value_from: None },
        Some(Values::Value(value)) => {
            if value.contains('\0') {
                refusals.add(format!("{field}.value"), "holds the character U+0000");
            }
            EnvVar { name, value: Some(literal(&value)), value_from: None }
        }
        Some(Values::ValueSource(v2::EnvVarSource { secret_key_ref })) => {
            let v2::SecretKeySelector { secret, version } = secret_key_ref.unwrap_or_default();
            let field = format!("{field}.value_source.secret_key_ref");
            let selector = SecretKeySelector {
                name: read_secret(&format!("{field}.secret"), secret, refusals),
                key: read_version(&format!("{field}.version"), version, refusals),
                optional: None,
            };
            let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
            EnvVar { name, value: None, value_from: Some(source) }
        }
    }
}

/// The name of a Secret of the namespace. Those of other projects are out of reach.
pub(super) fn read_secret(field: &str, secret: String, refusals: &mut Refusals) -> String {
    if secret.is_empty() || secret.contains('/') {
        refusals.add(field, "must be the name of a Secret in the namespace that is the project");
    }
    secret
}

/// A version of a secret is a key of the Secret: `latest` is the key `latest`.
pub(super) fn read_version(field: &str, version: String, refusals: &mut Refusals) -> String {
    if version.is_empty() {
        refusals.add(field, "must be a key of the Secret");
    }
    version
}

fn read_resources(
    field: &str,
    message: v2::ResourceRequirements,
    old: Option<&ResourceRequirements>,
    refusals: &mut Refusals,
) -> Option<ResourceRequirements> {
    let v2::ResourceRequirements { limits: sent, cpu_idle, startup_cpu_boost } = message;
    refusals.unless_unset(&format!("{field}.cpu_idle"), &cpu_idle, "a task has its processor until it ends");
    refusals.unless_unset(
        &format!("{field}.startup_cpu_boost"),
        &startup_cpu_boost,
        "there is no boost here",
    );
    let before = old.and_then(limits).map(|shown| shown.limits).unwrap_or_default();
    if before == sent {
        return old.cloned();
    }
    // Requests above the new limits would be refused, so the cluster derives them from the limits.
    let limits: BTreeMap<_, _> =
        sent.into_iter().map(|(name, quantity)| (name, Quantity(quantity))).collect();
    let claims = old.and_then(|old| old.claims.clone());
    let resources =
        ResourceRequirements { claims, limits: Some(limits).filter(|map| !map.is_empty()), requests: None };
    Some(resources).filter(|resources| *resources != ResourceRequirements::default())
}

fn read_ports(sent: Vec<v2::ContainerPort>, old: &[ContainerPort]) -> Vec<ContainerPort> {
    let read = |message: v2::ContainerPort| {
        if let Some(same) = old.iter().find(|one| port(one) == message) {
            return same.clone();
        }
        let v2::ContainerPort { name, container_port } = message;
        ContainerPort { name: some(name), container_port, ..ContainerPort::default() }
    };
    sent.into_iter().map(read).collect()
}

fn read_mounts(sent: Vec<v2::VolumeMount>, old: &[VolumeMount]) -> Vec<VolumeMount> {
    let read = |message: v2::VolumeMount| {
        if let Some(same) = old.iter().find(|one| mount(one) == message) {
            return same.clone();
        }
        let v2::VolumeMount { name, mount_path, sub_path } = message;
        VolumeMount { name, mount_path, sub_path: some(sub_path), ..VolumeMount::default() }
    };
    sent.into_iter().map(read).collect()
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
