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
    line("", "ConfigMap", "configmaps", "io.k8s.api.core.v1.ConfigMap").short(&["cm"]),
    line("", "Event", "events", "io.k8s.api.core.v1.Event").short(&["ev"]),
    line("", "Namespace", "namespaces", "io.k8s.api.core.v1.Namespace")
        .short(&["ns"])
        .cluster_wide()
        .with_status(),
    line("", "Node", "nodes", "io.k8s.api.core.v1.Node").short(&["no"]).cluster_wide().with_status(),
    line("", "Pod", "pods", "io.k8s.api.core.v1.Pod").short(&["po"]).with_status().in_all(),
    line("", "Secret", "secrets", "io.k8s.api.core.v1.Secret"),
    line("", "ServiceAccount", "serviceaccounts", "io.k8s.api.core.v1.ServiceAccount").short(&["sa"]),
    line(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    )
    .short(&["crd", "crds"])
    .cluster_wide()
    .with_status(),
    line("batch", "Job", "jobs", "io.k8s.api.batch.v1.Job").with_status().in_all(),
    line("coordination.k8s.io", "Lease", "leases", "io.k8s.api.coordination.v1.Lease"),
    line("events.k8s.io", "Event", "events", "io.k8s.api.events.v1.Event").short(&["ev"]),
];

const fn line(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    definition: &'static str,
) -> Line {
    Line {
        group,
        kind,
        plural,
        short_names: &[],
        categories: &[],
        namespaced: true,
        has_status: false,
        definition,
    }
}

impl Line {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    const fn cluster_wide(mut self) -> Self {
        self.namespaced = false;
        self
    }

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
            review: None,
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
