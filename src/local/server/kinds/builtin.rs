//! The kinds of Kubernetes that local mode serves: what our controllers, kubectl and a Job need, and no more.

use crate::local::server::kinds::Definitions;
use crate::local::server::kinds::Kind;
use crate::local::server::kinds::Stored;
use crate::local::server::schema::Parser;
use crate::local::server::schema::Schema;
use crate::local::server::selector::Selectable;
use crate::local::server::table;

/// One line per kind; lists are comma-separated.
struct Line {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    has_status: bool,
    definition: &'static str,
}

/// In the order in which discovery lists them.
const KINDS: &[Line] = &[
    line("", "ConfigMap", "configmaps", &["cm"], true, "io.k8s.api.core.v1.ConfigMap"),
    line("", "Event", "events", &["ev"], true, "io.k8s.api.core.v1.Event"),
    line("", "Namespace", "namespaces", &["ns"], false, "io.k8s.api.core.v1.Namespace").with_status(),
    line("", "Node", "nodes", &["no"], false, "io.k8s.api.core.v1.Node").with_status(),
    line("", "Pod", "pods", &["po"], true, "io.k8s.api.core.v1.Pod").with_status().in_all(),
    line("", "Secret", "secrets", &[], true, "io.k8s.api.core.v1.Secret"),
    line("", "ServiceAccount", "serviceaccounts", &["sa"], true, "io.k8s.api.core.v1.ServiceAccount"),
    line(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        &["crd", "crds"],
        false,
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    )
    .with_status(),
    line("batch", "Job", "jobs", &[], true, "io.k8s.api.batch.v1.Job").with_status().in_all(),
    line("coordination.k8s.io", "Lease", "leases", &[], true, "io.k8s.api.coordination.v1.Lease"),
    line("events.k8s.io", "Event", "events", &["ev"], true, "io.k8s.api.events.v1.Event"),
];

const fn line(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
    definition: &'static str,
) -> Line {
    Line { group, kind, plural, short_names, categories: &[], namespaced, has_status: false, definition }
}

impl Line {
    const fn with_status(mut self) -> Self {
        self.has_status = true;
        self
    }

    const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    fn kind(&self, parser: &mut Parser<'_>) -> Kind {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        Kind {
            group: self.group.to_owned(),
            version: "v1".to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            list_kind: format!("{}List", self.kind),
            short_names: owned(self.short_names),
            categories: owned(self.categories),
            namespaced: self.namespaced,
            has_status: self.has_status,
            custom: false,
            read_only: self.group == "apiextensions.k8s.io",
            schema: Schema::builtin(parser.builtin(self.definition), self.group, self.kind, self.has_status),
            columns: table::builtin_columns(self.group, self.kind),
            selectable: selectable(self.group, self.kind),
            definition: self.definition.to_owned(),
            stored: if self.group == "events.k8s.io" { Stored::CoreEvent } else { Stored::Same },
        }
    }
}

pub(super) fn kinds(definitions: &Definitions) -> Vec<Kind> {
    let mut parser = Parser::new(definitions);
    KINDS.iter().map(|line| line.kind(&mut parser)).collect()
}

fn selectable(group: &str, kind: &str) -> Vec<Selectable> {
    let same = |fields: &[&str]| fields.iter().map(|field| Selectable::at(field)).collect();
    match (group, kind) {
        ("", "Pod") => {
            let mut fields: Vec<Selectable> = same(&[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ]);
            fields.push(Selectable::at("spec.hostNetwork").absent("false"));
            fields
        }
        ("batch", "Job") => {
            vec![Selectable::at("status.successful").reading(&["status.succeeded"]).absent("0")]
        }
        ("", "Secret") => same(&["type"]),
        ("", "Namespace") => same(&["status.phase"]),
        ("", "Node") => vec![Selectable::at("spec.unschedulable").absent("false")],
        ("", "Event") => {
            let mut fields: Vec<Selectable> = same(&[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "type",
            ]);
            fields.push(Selectable::at("reportingComponent"));
            fields.push(Selectable::at("source").reading(&["source.component", "reportingComponent"]));
            fields
        }
        ("events.k8s.io", "Event") => {
            let mut fields: Vec<Selectable> = same(&[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reason",
                "type",
            ]);
            fields.push(Selectable::at("reportingController"));
            fields
        }
        _ => Vec::new(),
    }
}
