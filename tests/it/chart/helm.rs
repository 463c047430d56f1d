//! The chart in the hands of helm itself: linted, rendered and compared with the committed renderings.
//!
//! `KAKEHI_TEST_HELM` names a helm; `tests/cluster/helm` builds one. Without it these tests say that they were skipped.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{RENDERINGS, Rendering, objects, root, word};
use crate::support::cluster;

/// Helm in a home of its own.
pub(crate) struct Helm {
    program: String,
    home: tempfile::TempDir,
}

impl Helm {
    pub(crate) fn find() -> Option<Self> {
        let Ok(program) = env::var("KAKEHI_TEST_HELM") else {
            cluster::say("skipped: KAKEHI_TEST_HELM names no helm");
            return None;
        };
        Some(Self { program, home: tempfile::tempdir().unwrap() })
    }

    /// Runs it, and returns what it printed if it succeeded, or else what it complained about.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        for place in ["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(place, self.home.path());
        }
        // A helm from `go install` knows no version of Kubernetes by itself.
        let version: &[&str] = if arguments[0] == "template" { &["--kube-version", "1.34.0"] } else { &[] };
        command.current_dir(root()).env_remove("KUBECONFIG").args(arguments).args(version);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn render(&self, rendering: Rendering) -> Result<String, String> {
        let Rendering { release, namespace, .. } = rendering;
        let values = rendering.values().map(|path| path.to_str().unwrap().to_owned());
        let mut arguments = vec!["template", release, "charts/kakehi", "--namespace", namespace];
        if let Some(values) = &values {
            arguments.extend(["--values", values]);
        }
        self.run(&arguments)
    }
}

/// Objects by kind and name: versions of helm print them in different orders.
fn by_name(text: &str) -> BTreeMap<(String, String), Value> {
    let key = |object: &Value| (word(object, "/kind").to_owned(), word(object, "/metadata/name").to_owned());
    objects(text).into_iter().map(|object| (key(&object), object)).collect()
}

#[test]
fn helm_has_nothing_to_say_against_the_chart() {
    let Some(helm) = Helm::find() else { return };
    for rendering in RENDERINGS {
        let values = rendering.values().map(|path| path.to_str().unwrap().to_owned());
        let mut arguments = vec!["lint", "--strict", "charts/kakehi"];
        if let Some(values) = &values {
            arguments.extend(["--values", values]);
        }
        helm.run(&arguments).unwrap();
    }
}

#[test]
fn helm_renders_what_is_committed() {
    let Some(helm) = Helm::find() else { return };
    for rendering in RENDERINGS {
        let rendered = by_name(&helm.render(rendering).unwrap());
        let committed = by_name(&fs::read_to_string(rendering.file()).unwrap());
        let Rendering { release, namespace, .. } = rendering;
        assert!(
            rendered == committed,
            "{} is not what the chart renders; write it again: helm template {release} charts/kakehi -n {namespace}{} > it",
            rendering.file().display(),
            rendering.values().map(|path| format!(" -f {}", path.display())).unwrap_or_default(),
        );
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let Some(helm) = Helm::find() else { return };
    for (value, place) in [
        ("sink.replicas=many", "sink"),
        ("sink.maxEventBytes=1048577", "maxEventBytes"),
        ("sink.service.type=Headless", "type"),
        ("sink.podLabels.app\\.kubernetes\\.io/name=other", "podLabels"),
        ("image.digest=latest", "digest"),
        ("image.repository=", "repository"),
        ("api.audiences=kakehi", "audiences"),
        ("sinkUrl=events.example", "sinkUrl"),
        ("watchNamespace=Shop", "watchNamespace"),
        ("gracePeriodSeconds=0", "gracePeriodSeconds"),
        ("controller.podDisruptionBudget.maxUnavailable=half", "maxUnavailable"),
        ("controler.replicas=1", "controler"),
    ] {
        let complaint = helm.run(&["template", "kakehi", "charts/kakehi", "--set", value]).unwrap_err();
        assert!(complaint.contains(place), "{value}: {complaint}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let Some(helm) = Helm::find() else { return };
    let render = |values: &[&str]| {
        let values = values.iter().flat_map(|value| ["--set", value]);
        let arguments: Vec<&str> =
            ["template", "kakehi", "charts/kakehi"].into_iter().chain(values).collect();
        helm.run(&arguments)
    };
    let account = render(&["sink.serviceAccount.create=false"]).unwrap_err();
    assert!(account.contains("sink.serviceAccount.name is required"), "{account}");
    let outside = render(&["watchNamespace=shop", "sink.defaultNamespace=other"]).unwrap_err();
    assert!(outside.contains("only watchNamespace shop is looked after"), "{outside}");
    let monitor =
        render(&["metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false"]).unwrap_err();
    assert!(monitor.contains("needs metrics.service"), "{monitor}");
}

#[test]
fn an_address_of_ones_own_is_that_of_the_jobs() {
    let Some(helm) = Helm::find() else { return };
    let address = "sinkUrl=https://events.example.com";
    let rendered = helm.run(&["template", "kakehi", "charts/kakehi", "--set", address]).unwrap();
    assert!(rendered.contains("- --sink-url=https://events.example.com\n"), "{rendered}");
}

#[test]
fn each_part_can_be_left_out() {
    let Some(helm) = Helm::find() else { return };
    let switches = [
        ("rbac.create=false", "ClusterRoleBinding"),
        ("metrics.service.enabled=false", "kakehi-metrics"),
        ("knative.addressable=false", "name: kakehi:kakehi-addressable\n"),
        ("rbac.aggregate=false", "aggregate-to-edit"),
        ("accountPolicy.enabled=false", "ValidatingAdmissionPolicy"),
        (
            "sink.podDisruptionBudget.enabled=false,controller.podDisruptionBudget.enabled=false",
            "PodDisruptionBudget",
        ),
        ("sink.serviceAccount.create=false,sink.serviceAccount.name=mine", "serviceAccountName: kakehi-sink"),
    ];
    let everything = helm.run(&["template", "kakehi", "charts/kakehi", "-n", "kakehi"]).unwrap();
    for (switch, part) in switches {
        assert!(everything.contains(part), "{part}");
        let rendered =
            helm.run(&["template", "kakehi", "charts/kakehi", "-n", "kakehi", "--set", switch]).unwrap();
        assert!(!rendered.contains(part), "{switch}");
    }
}
