//! What a container finds in its environment besides what its author wrote.
//!
//! Precedence by name, highest first: the author's own variables, the parameters, ours. Ours come first in the list,
//! so that the author's values may refer to them (`$(CE_TYPE)`).
//!
//! A value that comes from an event is data. Kubernetes expands `$(NAME)` and folds `$$` in every literal value, so
//! each `$` of such a value is doubled: what the container sees is what was sent, byte for byte.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

use super::rerun::alone;
use super::trace::trace;
use crate::api::{ENV_PREFIX, Execution, RerunTask};

/// Most bytes that an event's attributes and the parameters may add to the environment. Linux ends a program's start
/// with E2BIG at 128 KiB per variable; half of that for all of ours leaves room for the author's.
pub const MAX_EVENT_ENVIRONMENT: usize = 64 * 1024;

/// Tells a container which task it is.
const TASK_INDEX: &str = "CLOUD_RUN_TASK_INDEX";
/// Where the Job controller tells a Pod its index (set before the container is created).
const INDEX_FIELD: &str = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
/// Where it tells how often that index failed before: the attempt, from 0 (KEP-3850).
const ATTEMPT_FIELD: &str = "metadata.annotations['batch.kubernetes.io/job-index-failure-count']";

/// The environment of the container of `execution`: ours, then the author's.
///
/// `event_path` is the directory with the event's files, where there is an event.
pub(super) fn environment(execution: &Execution, own: &[EnvVar], event_path: Option<&str>) -> Vec<EnvVar> {
    let mut taken: HashSet<&str> = own.iter().map(|variable| variable.name.as_str()).collect();
    let parameters = execution.spec.parameters.iter();
    let mut ours: Vec<EnvVar> = Vec::new();
    for parameter in parameters {
        if taken.insert(&parameter.name) {
            ours.push(literal(&parameter.name, escaped(&parameter.value)));
        }
    }
    let known =
        ours.iter().map(|variable| variable.name.clone()).chain(taken.iter().map(|name| (*name).to_owned()));
    let known: HashSet<String> = known.collect();
    let contract =
        contract(execution, event_path).into_iter().filter(|variable| !known.contains(&variable.name));
    contract.chain(ours).chain(own.iter().cloned()).collect()
}

/// The variables that every container gets: `JobSink`'s contract, Cloud Run's, and the event's attributes.
fn contract(execution: &Execution, event_path: Option<&str>) -> Vec<EnvVar> {
    let name = execution.metadata.name.clone().unwrap_or_default();
    let (index, count) = match alone(execution) {
        Some(RerunTask { index, count }) => (literal(TASK_INDEX, index.to_string()), count),
        None => (field(TASK_INDEX, INDEX_FIELD), execution.spec.template.spec.task_count),
    };
    let mut variables = vec![
        literal("K_EXECUTION_MODE", "batch".to_owned()),
        literal("CLOUD_RUN_JOB", execution.spec.job.name.clone()),
        literal("CLOUD_RUN_EXECUTION", name),
        literal("CLOUD_RUN_TASK_COUNT", count.to_string()),
        index,
        field("CLOUD_RUN_TASK_ATTEMPT", ATTEMPT_FIELD),
    ];
    if let Some(path) = event_path {
        variables.push(literal("K_EVENT_PATH", path.to_owned()));
    }
    if let Some(trace) = trace(execution) {
        // What tracing libraries read where there is no request to read it from.
        variables.push(literal("TRACEPARENT", trace.parent().to_owned()));
        variables.extend(trace.state().map(|state| literal("TRACESTATE", escaped(state))));
    }
    for event in &execution.spec.events {
        let attributes = event.attributes().into_iter();
        variables.extend(attributes.map(|(name, value)| {
            literal(&format!("{ENV_PREFIX}{}", name.to_ascii_uppercase()), escaped(&value))
        }));
    }
    variables
}

/// The value that Kubernetes' expansion turns back into `value`.
fn escaped(value: &str) -> String {
    value.replace('$', "$$")
}

fn literal(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}

fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { api_version: None, field_path: path.to_owned() };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::api::{
        ANNOTATION_TRACEPARENT, ANNOTATION_TRACESTATE, EventRecord, ExecutionSpec, ExtensionValue,
        JobReference, ParameterValue, Rerun,
    };

    /// Kubernetes' expansion (`third_party/forked/golang/expansion`), with no variable known: a reference stays as it is.
    fn expanded(input: &str) -> String {
        let (mut output, mut rest) = (String::new(), input);
        while let Some(at) = rest.find('$') {
            output.push_str(rest.get(..at).unwrap());
            let after = rest.get(at + 1..).unwrap();
            match after.chars().next() {
                None => return output + "$",
                Some('$') => {
                    output.push('$');
                    rest = after.get(1..).unwrap();
                }
                Some('(') if after.contains(')') => {
                    output.push_str("EXPANDED");
                    rest = after.get(after.find(')').unwrap() + 1..).unwrap();
                }
                Some(other) => {
                    output.push('$');
                    output.push(other);
                    rest = after.get(other.len_utf8()..).unwrap();
                }
            }
        }
        output + rest
    }

    fn execution(event: EventRecord, parameters: &[(&str, &str)]) -> Execution {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ParameterValue { name: (*name).into(), value: (*value).into() });
        let spec = ExecutionSpec {
            job: JobReference { name: "resize".into(), ..JobReference::default() },
            events: vec![event],
            parameters: parameters.collect(),
            ..ExecutionSpec::default()
        };
        Execution::new("resize-abc", spec)
    }

    fn value<'a>(variables: &'a [EnvVar], name: &str) -> Option<&'a str> {
        let found: Vec<_> = variables.iter().filter(|variable| variable.name == name).collect();
        assert!(found.len() <= 1, "{name} is set {} times", found.len());
        found.first().and_then(|variable| variable.value.as_deref())
    }

    fn event() -> EventRecord {
        EventRecord {
            id: "1".into(),
            source: "/s".into(),
            kind: "order".into(),
            extensions: BTreeMap::from([
                ("priority".to_owned(), ExtensionValue::Integer(7)),
                ("urgent".to_owned(), ExtensionValue::Boolean(true)),
            ]),
            ..EventRecord::default()
        }
    }

    #[test]
    fn attributes_and_extensions_become_variables() {
        let found = environment(&execution(event(), &[]), &[], Some("/e"));
        for (name, wanted) in [
            ("CE_SPECVERSION", "1.0"),
            ("CE_ID", "1"),
            ("CE_SOURCE", "/s"),
            ("CE_TYPE", "order"),
            ("CE_PRIORITY", "7"),
            ("CE_URGENT", "true"),
            ("K_EVENT_PATH", "/e"),
            ("K_EXECUTION_MODE", "batch"),
            ("CLOUD_RUN_JOB", "resize"),
            ("CLOUD_RUN_EXECUTION", "resize-abc"),
            ("CLOUD_RUN_TASK_COUNT", "1"),
        ] {
            assert_eq!(value(&found, name), Some(wanted), "{name}");
        }
        assert_eq!(value(&found, "CE_SUBJECT"), None);
    }

    #[test]
    fn a_task_that_is_repeated_alone_is_told_what_it_was_told_the_first_time() {
        let mut run = execution(event(), &[]);
        let task = Some(RerunTask { index: 7, count: 9 });
        run.spec.cause.rerun_of = Some(Rerun { task, ..Rerun::default() });
        let found = environment(&run, &[], None);
        assert_eq!(value(&found, "CLOUD_RUN_TASK_INDEX"), Some("7"));
        assert_eq!(value(&found, "CLOUD_RUN_TASK_COUNT"), Some("9"));
    }

    #[test]
    fn the_authors_variables_win_and_come_last() {
        let own = [literal("CE_ID", "mine".into()), literal("CLOUD_RUN_JOB", "other".into())];
        let found =
            environment(&execution(event(), &[("CE_ID", "parameter"), ("CE_TYPE", "computed")]), &own, None);
        assert_eq!(value(&found, "CE_ID"), Some("mine"));
        assert_eq!(value(&found, "CE_TYPE"), Some("computed"));
        assert_eq!(value(&found, "CLOUD_RUN_JOB"), Some("other"));
        assert_eq!(found[found.len() - 2..], own);
    }

    #[test]
    fn a_parameter_named_twice_is_set_once() {
        let found = environment(&execution(event(), &[("A", "1"), ("A", "2")]), &[], None);
        assert_eq!(value(&found, "A"), Some("1"));
    }

    #[test]
    fn the_trace_of_the_run_is_handed_on_unless_the_author_sets_his_own() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut run = execution(event(), &[]);
        assert_eq!(value(&environment(&run, &[], None), "TRACEPARENT"), None);
        let annotations = [(ANNOTATION_TRACEPARENT, parent), (ANNOTATION_TRACESTATE, "a=$(b)")];
        run.metadata.annotations =
            Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let found = environment(&run, &[], None);
        assert_eq!(value(&found, "TRACEPARENT"), Some(parent));
        assert_eq!(value(&found, "TRACESTATE"), Some("a=$$(b)"));
        let found = environment(&run, &[literal("TRACEPARENT", "mine".into())], None);
        assert_eq!(value(&found, "TRACEPARENT"), Some("mine"));
    }

    proptest! {
        #[test]
        fn the_container_sees_what_was_sent(text in "[$()a-cé ]{0,12}") {
            let sent = EventRecord { subject: Some(text.clone()), ..event() };
            let found = environment(&execution(sent, &[("P", &text)]), &[], None);
            prop_assert_eq!(expanded(value(&found, "CE_SUBJECT").unwrap()), text.clone());
            prop_assert_eq!(expanded(value(&found, "P").unwrap()), text);
        }
    }
}
