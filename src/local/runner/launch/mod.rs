//! What has to be done to start a Pod's containers, as a plain function of the Pod and what it refers to.
//!
//! `plan` answers with programs, arguments, environments and files, or with a refusal. Nothing here touches a disk, a process or a client.

mod environment;
mod expand;
mod fields;
mod mounts;
pub(super) mod quantity;
mod sources;
mod volumes;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::local::runner::launch::mounts::{Mount, real_place as in_mounts};
pub(super) use crate::local::runner::launch::sources::{Reference, SourceKind, Sources, references};
pub(super) use crate::local::runner::launch::volumes::{FilePlan, VolumePlan};

use crate::local::runner::directory::PodDirectory;
use crate::local::runner::launch::environment::{Environment, expand_in};
use crate::local::runner::node::NodeFacts;

/// Names the directory in which every `mountPath` of the container exists. Also how processes of a former run are recognised, so it
/// is set for every process and cannot be overridden.
pub(super) const MOUNTS_VARIABLE: &str = "KAKEHI_MOUNTS";

/// Names the file whose content becomes the termination message: `/dev/termination-log` cannot be written by a process on a laptop.
const MESSAGE_VARIABLE: &str = "TERMINATION_LOG_PATH";

/// `JobSink`'s contract with programs: the directory that holds the event.
const EVENT_VARIABLE: &str = "K_EVENT_PATH";

/// `terminationMessagePath` when a container does not say another.
const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";

/// Why a Pod's containers cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Something the Pod refers to is missing or unreadable. It may appear: wait and try again.
    #[error("{0}")]
    Config(String),
    /// The Pod asks for what this runner never offers: it fails.
    #[error("{message}")]
    Invalid { reason: &'static str, message: String },
}

impl Refusal {
    fn config(message: impl Into<String>) -> Self {
        Self::Config(message.into())
    }

    fn missing(kind: SourceKind, name: &str) -> Self {
        Self::Config(format!("{} {name:?} not found", kind.word()))
    }

    fn missing_key(kind: SourceKind, name: &str, key: &str) -> Self {
        Self::Config(format!("couldn't find key {key} in {} {name:?}", kind.word()))
    }

    fn invalid(reason: &'static str, message: String) -> Self {
        Self::Invalid { reason, message }
    }

    fn unsupported(what: &str) -> Self {
        Self::Invalid { reason: "NotSupported", message: format!("local mode does not offer {what}") }
    }
}

/// What every Pod gets from the machine it runs on.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) node: NodeFacts,
    /// The lowest layer of every environment: `PATH`, `HOME`.
    pub(super) inherited: BTreeMap<String, OsString>,
}

/// Everything needed to start a Pod.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) volumes: Vec<VolumePlan>,
    pub(super) init: Vec<ContainerLaunch>,
    pub(super) main: Vec<ContainerLaunch>,
}

/// Everything needed to start one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerLaunch {
    pub(super) name: String,
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: BTreeMap<OsString, OsString>,
    /// Tried as it is and below the Pod's working directory; the latter itself otherwise.
    pub(super) working_directory: Option<PathBuf>,
    /// Real places that must exist before the start: parts of volumes named by a `subPath`.
    pub(super) places: Vec<PathBuf>,
    /// (link, target) pairs of the directory that `KAKEHI_MOUNTS` names.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Whether the end of the log stands in for an empty termination message of a failure.
    pub(super) message_from_logs: bool,
}

/// Plans the start of every container of a Pod.
pub(super) fn plan(
    pod: &Pod,
    sources: &Sources,
    host: &Host,
    directory: &PodDirectory,
) -> Result<Launch, Refusal> {
    let spec = check(pod)?;
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let volumes = volumes::plan(pod, sources, &host.node)?;
    let planner = Planner { pod, sources, host, directory, volumes: &volumes };
    let init = init.iter().map(|container| planner.container(container)).collect::<Result<_, _>>()?;
    let main =
        spec.containers.iter().map(|container| planner.container(container)).collect::<Result<_, _>>()?;
    Ok(Launch { volumes, init, main })
}

/// Refuses what can never work, which is told before anything is waited for.
pub(super) fn check(pod: &Pod) -> Result<&PodSpec, Refusal> {
    let Some(spec) = &pod.spec else {
        return Err(Refusal::invalid("InvalidPod", "the Pod has no spec".to_owned()));
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for container in init.iter().chain(&spec.containers) {
        command_is_given(container)?;
    }
    if init.iter().any(|container| container.restart_policy.as_deref() == Some("Always")) {
        return Err(Refusal::unsupported("sidecar containers (init containers with restartPolicy: Always)"));
    }
    Ok(spec)
}

fn command_is_given(container: &Container) -> Result<(), Refusal> {
    if container.command.as_ref().is_some_and(|command| !command.is_empty()) {
        return Ok(());
    }
    let also = if container.args.as_ref().is_some_and(|args| !args.is_empty()) {
        " (args alone belong to the image's entry point)"
    } else {
        ""
    };
    let message = format!(
        "container {:?} has no command{also}: local mode runs commands of this machine, not images; \
         write what the image would run, for example command: [\"python3\", \"/path/to/main.py\"]",
        container.name
    );
    Err(Refusal::invalid("CommandRequired", message))
}

struct Planner<'a> {
    pod: &'a Pod,
    sources: &'a Sources,
    host: &'a Host,
    directory: &'a PodDirectory,
    volumes: &'a [VolumePlan],
}

impl Planner<'_> {
    fn container(&self, container: &Container) -> Result<ContainerLaunch, Refusal> {
        let assemble = |rewrite: &dyn Fn(&str, Vec<u8>) -> Vec<u8>| {
            environment::assemble(self.pod, container, self.sources, &self.host.node, rewrite)
        };
        // Twice, because where a mount is may depend on the environment, and what the environment says on where the mounts are.
        let plain = assemble(&|_, value| value)?;
        let mounts = mounts::mounts(container, self.volumes, self.directory, &plain)?;
        let defined = assemble(&|name, value| self.redirect(container, &mounts, name, value))?;
        let message_path = message_path(container);
        let mut words =
            container.command.iter().flatten().chain(container.args.iter().flatten()).map(|word| {
                let expanded = expand_in(word, &defined);
                if expanded == message_path.as_bytes() {
                    self.directory.message(&container.name).into_os_string()
                } else {
                    OsString::from_vec(expanded)
                }
            });
        let program = words.next().unwrap_or_default();
        let program = in_mounts(Path::new(&program), &mounts).map_or(program, PathBuf::into_os_string);
        let arguments = words.collect();
        let base = self.directory.mounts(&container.name);
        let working_directory = container.working_dir.as_deref().filter(|dir| !dir.is_empty()).map(Path::new);
        Ok(ContainerLaunch {
            name: container.name.clone(),
            program,
            arguments,
            environment: self.complete(container, defined),
            working_directory: working_directory
                .map(|path| in_mounts(path, &mounts).unwrap_or_else(|| path.to_owned())),
            places: mounts.iter().map(|mount| mount.place.clone()).collect(),
            links: mounts::links(&mounts, &base),
            message_from_logs: container.termination_message_policy.as_deref()
                == Some("FallbackToLogsOnError"),
        })
    }

    /// Points the two paths that a program is given by contract at their real places.
    fn redirect(&self, container: &Container, mounts: &[Mount], name: &str, value: Vec<u8>) -> Vec<u8> {
        if value == message_path(container).as_bytes() {
            return self.directory.message(&container.name).into_os_string().into_vec();
        }
        if name != EVENT_VARIABLE {
            return value;
        }
        let place = in_mounts(Path::new(OsStr::from_bytes(&value)), mounts);
        place.map_or(value, |place| place.into_os_string().into_vec())
    }

    /// Lays what the container defines over what the runner provides.
    fn complete(&self, container: &Container, defined: Environment) -> BTreeMap<OsString, OsString> {
        let spec = self.pod.spec.as_ref();
        let hostname = spec.and_then(|spec| spec.hostname.clone()).or_else(|| self.pod.metadata.name.clone());
        let message = self.directory.message(&container.name);
        let mut all: BTreeMap<OsString, OsString> =
            self.host.inherited.iter().map(|(name, value)| (name.into(), value.clone())).collect();
        all.insert("HOSTNAME".into(), hostname.unwrap_or_default().into());
        all.insert(MESSAGE_VARIABLE.into(), message.into_os_string());
        all.extend(defined.into_iter().map(|(name, value)| (name.into(), OsString::from_vec(value))));
        all.insert(MOUNTS_VARIABLE.into(), self.directory.mounts(&container.name).into_os_string());
        all
    }
}

fn message_path(container: &Container) -> &str {
    container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or(DEFAULT_MESSAGE_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::{host, pod, sources};

    fn planned(text: &str) -> Result<Launch, Refusal> {
        plan(&pod(text), &sources(), &host(), &PodDirectory::new(Path::new("/data"), "u-1"))
    }

    fn only(container: &str) -> ContainerLaunch {
        let text = format!(
            "{{metadata: {{name: p-1}}, spec: {{containers: [{container}], volumes: [{{name: event, emptyDir: {{}}}}]}}}}"
        );
        planned(&text).unwrap().main.remove(0)
    }

    fn variable<'a>(launch: &'a ContainerLaunch, name: &str) -> Option<&'a str> {
        launch.environment.get(&OsString::from(name)).and_then(|value| value.to_str())
    }

    #[test]
    fn command_and_arguments_are_expanded() {
        let launch = only(
            "{name: m, command: ['$(TOOL)', -c], args: ['x$(A)', '$$(A)', '$(GONE)'], env: [{name: TOOL, value: sh}, {name: A, value: a}]}",
        );
        assert_eq!(launch.program, "sh");
        assert_eq!(launch.arguments, ["-c", "xa", "$(A)", "$(GONE)"]);
    }

    #[test]
    fn a_process_gets_path_home_and_its_own_variables_and_nothing_else() {
        let launch = only("{name: m, command: ['true']}");
        let names: Vec<_> = launch.environment.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["HOME", "HOSTNAME", "KAKEHI_MOUNTS", "PATH", "TERMINATION_LOG_PATH"]);
        assert_eq!(variable(&launch, "PATH"), Some("/usr/bin:/bin"));
        assert_eq!(variable(&launch, "HOSTNAME"), Some("p-1"));
        assert_eq!(
            variable(&launch, "TERMINATION_LOG_PATH"),
            Some("/data/pods/u-1/containers/m/termination-log")
        );
    }

    #[test]
    fn what_the_container_defines_wins_but_for_the_mark_of_the_runner() {
        let launch = only(
            "{name: m, command: ['true'], env: [{name: PATH, value: /opt}, {name: HOSTNAME, value: h}, {name: KAKEHI_MOUNTS, value: x}]}",
        );
        assert_eq!(variable(&launch, "PATH"), Some("/opt"));
        assert_eq!(variable(&launch, "HOSTNAME"), Some("h"));
        assert_eq!(variable(&launch, "KAKEHI_MOUNTS"), Some("/data/pods/u-1/containers/m/mounts"));
    }

    #[test]
    fn what_the_host_provides_is_not_visible_to_references() {
        let launch = only("{name: m, command: ['true'], env: [{name: A, value: '$(PATH)'}]}");
        assert_eq!(variable(&launch, "A"), Some("$(PATH)"));
    }

    #[test]
    fn the_event_path_points_at_the_real_directory() {
        let mounts = "volumeMounts: [{name: event, mountPath: /etc/kakehi-event}]";
        let launch = only(&format!(
            "{{name: m, command: [cat, /etc/kakehi-event/data], {mounts}, env: [{{name: K_EVENT_PATH, value: /etc/kakehi-event}}, {{name: OTHER, value: /etc/kakehi-event}}]}}"
        ));
        assert_eq!(variable(&launch, "K_EVENT_PATH"), Some("/data/pods/u-1/volumes/event"));
        assert_eq!(variable(&launch, "OTHER"), Some("/etc/kakehi-event"), "other values are left alone");
        assert_eq!(launch.arguments, ["/etc/kakehi-event/data"], "arguments are left alone");
        assert_eq!(
            launch.links,
            [(
                PathBuf::from("/data/pods/u-1/containers/m/mounts/etc/kakehi-event"),
                PathBuf::from("/data/pods/u-1/volumes/event")
            )]
        );
    }

    #[test]
    fn arguments_see_the_redirected_event_path() {
        let launch = only(
            "{name: m, command: [cat, '$(K_EVENT_PATH)/data'], volumeMounts: [{name: event, mountPath: /e}], env: [{name: K_EVENT_PATH, value: /e}]}",
        );
        assert_eq!(launch.arguments, ["/data/pods/u-1/volumes/event/data"]);
    }

    #[test]
    fn variables_see_the_redirected_event_path() {
        let launch = only(
            "{name: m, command: ['true'], volumeMounts: [{name: event, mountPath: /e}], env: [{name: K_EVENT_PATH, value: /e}, {name: DATA, value: '$(K_EVENT_PATH)/data'}]}",
        );
        assert_eq!(variable(&launch, "DATA"), Some("/data/pods/u-1/volumes/event/data"));
    }

    #[test]
    fn a_command_and_a_working_directory_in_a_mount_are_found_there() {
        let launch = only(
            "{name: m, command: [/scripts/run.sh, /scripts/x], workingDir: /scripts/sub, volumeMounts: [{name: event, mountPath: /scripts}]}",
        );
        assert_eq!(launch.program, "/data/pods/u-1/volumes/event/run.sh");
        assert_eq!(launch.arguments, ["/scripts/x"]);
        assert_eq!(launch.working_directory.as_deref(), Some(Path::new("/data/pods/u-1/volumes/event/sub")));
    }

    #[test]
    fn an_event_path_outside_of_every_mount_stays() {
        let launch = only("{name: m, command: ['true'], env: [{name: K_EVENT_PATH, value: /elsewhere}]}");
        assert_eq!(variable(&launch, "K_EVENT_PATH"), Some("/elsewhere"));
    }

    #[test]
    fn whoever_names_the_termination_log_gets_the_real_file() {
        let real = "/data/pods/u-1/containers/m/termination-log";
        let launch = only(
            "{name: m, command: [tee, /dev/termination-log], env: [{name: OUT, value: /dev/termination-log}]}",
        );
        assert_eq!(variable(&launch, "OUT"), Some(real));
        assert_eq!(launch.arguments, [real]);
        let own = only("{name: m, command: [tee, /out, /dev/termination-log], terminationMessagePath: /out}");
        assert_eq!(own.arguments, [real, "/dev/termination-log"]);
    }

    #[test]
    fn a_container_without_a_command_is_told_what_to_write() {
        for container in ["{name: m, image: busybox}", "{name: m, command: [], args: [x]}"] {
            let refusal = planned(&format!("spec: {{containers: [{container}]}}")).unwrap_err();
            let Refusal::Invalid { reason, message } = refusal else { panic!("{refusal:?}") };
            assert_eq!(reason, "CommandRequired");
            assert!(message.contains("local mode runs commands of this machine, not images"), "{message}");
            assert!(message.contains("command: ["), "{message}");
        }
    }

    #[test]
    fn an_init_container_without_a_command_is_refused_before_anything_is_waited_for() {
        let text = "spec: {initContainers: [{name: i}], containers: [{name: m, command: [x], envFrom: [{secretRef: {name: gone}}]}]}";
        assert!(matches!(planned(text), Err(Refusal::Invalid { reason: "CommandRequired", .. })));
    }

    #[test]
    fn sidecars_are_refused() {
        let text = "spec: {initContainers: [{name: i, command: [x], restartPolicy: Always}], containers: [{name: m, command: [x]}]}";
        assert!(planned(text).unwrap_err().to_string().contains("sidecar"));
    }

    #[test]
    fn init_containers_come_in_their_order() {
        let text = "spec: {initContainers: [{name: b, command: [x]}, {name: a, command: [y]}], containers: [{name: m, command: [z], workingDir: /srv, terminationMessagePolicy: FallbackToLogsOnError}]}";
        let launch = planned(text).unwrap();
        let names: Vec<_> = launch.init.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(launch.main[0].working_directory.as_deref(), Some(Path::new("/srv")));
        assert!(launch.main[0].message_from_logs && !launch.init[0].message_from_logs);
    }
}
