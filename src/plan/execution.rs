//! From a Job and the reason to run it to the Execution that is created.
//!
//! The Execution is a snapshot: everything that the run needs is in it, so that accepting an event is one create and
//! nothing that happens to the Job later changes the run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::chain::is_loop;
use super::environment::MAX_EVENT_ENVIRONMENT;
use super::files;
use super::identity::Identity;
use super::overrides::overridden;
use super::prepared::{Asked, Matched, Prepared};
use super::trace;
use crate::api::{
    ANNOTATION_DECISION, ANNOTATION_DIGEST, Cause, CauseKind, EventRecord, Execution, ExecutionSpec, Job,
    JobReference, LABEL_EXECUTION, LABEL_JOB, Overrides, ParameterValue,
};
use crate::event::Event;
use crate::event::TraceContext;
use crate::params::{self, NoValue};

/// Most bytes of an event as JSON inside its Execution. etcd takes 1.5 MiB per request; this leaves a fifth of it to the
/// template and to the status that the run will have.
const MAX_STORED_EVENT: usize = 1200 * 1024;

/// An Execution that is to be created, under the first of its names that is free.
#[derive(Debug, Clone)]
pub struct Planned {
    execution: Execution,
    names: Vec<String>,
}

impl Planned {
    /// That run under that identity.
    pub(super) fn new(mut execution: Execution, identity: &Identity, names: Vec<String>) -> Self {
        identify(&mut execution, identity);
        Self { execution, names }
    }

    /// Namespace of the run: that of its Job.
    pub fn namespace(&self) -> &str {
        self.execution.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// What tells a repeated request from a new one.
    pub fn digest(&self) -> Option<&str> {
        digest(&self.execution)
    }

    /// The same as part of the trace `hop`, unless its event belongs to one already.
    #[must_use]
    pub fn in_trace(mut self, hop: Option<&TraceContext>) -> Self {
        if let Some(hop) = hop
            && trace::trace(&self.execution).is_none()
        {
            trace::keep(&mut self.execution, hop);
        }
        self
    }

    /// The same with a note of how it came about, which bears on nothing.
    #[must_use]
    pub fn noted(mut self, trail: String) -> Self {
        let annotations = self.execution.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_DECISION.to_owned(), trail);
        self
    }

    /// Values of the parameters.
    pub fn parameters(&self) -> &[ParameterValue] {
        &self.execution.spec.parameters
    }

    /// With which other runs it is counted, if its Job counts by a key.
    pub fn concurrency_key(&self) -> Option<&str> {
        self.execution.spec.concurrency_key.as_deref()
    }

    /// The names to try, in that order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The object under that name.
    pub fn named(&self, name: &str) -> Execution {
        let mut execution = self.execution.clone();
        execution.metadata.name = Some(name.to_owned());
        execution.metadata.labels.get_or_insert_default().insert(LABEL_EXECUTION.to_owned(), name.to_owned());
        execution
    }
}

/// The digest that an Execution was created with.
pub fn digest(execution: &Execution) -> Option<&str> {
    execution.metadata.annotations.as_ref()?.get(ANNOTATION_DIGEST).map(String::as_str)
}

/// Why a Job cannot be run for an event. The sender has to change something; asking again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its Executions would be deleted with it.
    #[error("job {job} is being deleted")]
    JobDeleting {
        /// Name of the Job.
        job: String,
    },
    /// The object at hand did not come from an API server.
    #[error("job {job} has no uid")]
    JobNotStored {
        /// Name of the Job.
        job: String,
    },
    /// A run of the Job led to the event, and the Job does not want that. It is no fault of the sender.
    #[error("a run of job {job} led to this event, and spec.event.allowLoop of the job is not set")]
    Loop {
        /// Name of the Job.
        job: String,
    },
    /// What the run is to change of the Job's template makes no sense.
    #[error("override {field}: {problem}")]
    Override {
        /// Path of the field, as in [`Overrides`].
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The Job takes no events, because an expression of it does not compile.
    #[error("job {job} takes no events: {problem}")]
    JobInvalid {
        /// Name of the Job.
        job: String,
        /// Which one, and why.
        problem: String,
    },
    /// A key that the Job asks for has no value for the event.
    #[error("{field} of job {job} has no value for this event: {problem}")]
    NoKey {
        /// Name of the Job.
        job: String,
        /// Where the Job asks for it.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// A parameter has no value for the event.
    #[error(transparent)]
    NoParameter(#[from] NoValue),
    /// More data than the Job takes.
    #[error("the data of the event has {size} bytes; job {job} takes at most {limit}")]
    DataTooLarge {
        /// Name of the Job.
        job: String,
        /// Bytes of the data.
        size: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// Attributes become environment variables, which cannot hold NUL, and which people print.
    #[error("attribute {attribute} holds the control character U+{:04X} at byte {at}", u32::from(*.character))]
    ControlCharacter {
        /// Name of the attribute.
        attribute: String,
        /// What was found.
        character: char,
        /// Where in the value, in bytes.
        at: usize,
    },
    /// A program with a larger environment might not start.
    #[error(
        "the attributes of the event and the parameters take {size} bytes; at most {limit} fit a task's environment"
    )]
    EnvironmentTooLarge {
        /// Bytes that the event asks for.
        size: usize,
        /// Bytes that it may take.
        limit: usize,
    },
    /// The event would not fit its Execution, or the object that carries it to the tasks.
    #[error("the event takes {size} bytes as JSON; at most {limit} can be kept and reach a task")]
    EventTooLarge {
        /// Bytes of the event.
        size: usize,
        /// Bytes that it may have.
        limit: usize,
    },
}

/// The run of `prepared` for `event`; `matched` is the Trigger that matched, none means that the event was sent to the
/// Job's own address.
///
/// The same event at the same Job gives the same names, whatever else about the Job changed.
pub(super) fn from_event(
    prepared: &Prepared,
    event: &Event,
    matched: Option<Matched<'_>>,
) -> Result<Planned, Refusal> {
    if is_loop(prepared.job(), event) {
        return Err(Refusal::Loop { job: prepared.job().metadata.name.clone().unwrap_or_default() });
    }
    let record = EventRecord::from(event);
    let attributes = check(&record)?;
    let Asked { key, concurrency_key, parameters } = prepared.ask(event, matched)?;
    let size: usize = parameters.iter().map(|one| one.name.len() + one.value.len()).sum();
    fits_environment(attributes + size)?;
    let identity = |origin: &Origin<'_>| match &key {
        Some(key) => Identity::keyed(origin.uid, key),
        None => Identity::of(origin.uid, event.source(), event.id()),
    };
    let mut planned = from_record(prepared.job(), record, matched.map(|one| one.trigger), identity)?;
    planned.execution.spec.parameters = parameters;
    planned.execution.spec.concurrency_key = concurrency_key;
    Ok(planned)
}

fn from_record(
    job: &Job,
    event: EventRecord,
    trigger: Option<&str>,
    identity: impl FnOnce(&Origin<'_>) -> Identity,
) -> Result<Planned, Refusal> {
    let kind = if trigger.is_some() { CauseKind::Trigger } else { CauseKind::Address };
    let cause = Cause { kind, trigger: trigger.map(str::to_owned), rerun_of: None };
    let origin = Origin::of(job)?;
    let identity = identity(&origin);
    let trace = trace::of_event(&event);
    let mut execution = origin.execution(cause, vec![event]);
    identify(&mut execution, &identity);
    if let Some(trace) = trace {
        trace::keep(&mut execution, &trace);
    }
    Ok(Planned { execution, names: identity.names(origin.name).collect() })
}

/// A run of `job` that somebody asked for by hand.
///
/// `nonce` tells this request from all others: random, or an id that the caller keeps over its own retries. So a manual
/// run is as repeatable as an event's. `overrides` is what it changes of the Job's template.
pub fn manual(job: &Job, nonce: &str, overrides: Option<&Overrides>) -> Result<Planned, Refusal> {
    let origin = Origin::of(job)?;
    // No event has an empty source, so the two kinds of identity never meet.
    let identity = Identity::of(origin.uid, "", nonce);
    let mut execution = origin.execution(Cause { kind: CauseKind::Manual, ..Cause::default() }, Vec::new());
    execution.spec.parameters = params::defaults(&job.spec.parameters);
    if let Some(overrides) = overrides.filter(|overrides| **overrides != Overrides::default()) {
        execution.spec.template = overridden(&execution.spec.template, overrides)?;
        execution.spec.overrides = Some(overrides.clone());
    }
    identify(&mut execution, &identity);
    Ok(Planned { execution, names: identity.short_names(origin.name).collect() })
}

fn identify(execution: &mut Execution, identity: &Identity) {
    let annotations = execution.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_DIGEST.to_owned(), identity.digest().to_owned());
}

/// A Job that can be run.
struct Origin<'a> {
    job: &'a Job,
    name: &'a str,
    uid: &'a str,
}

impl<'a> Origin<'a> {
    fn of(job: &'a Job) -> Result<Self, Refusal> {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        if job.metadata.deletion_timestamp.is_some() {
            return Err(Refusal::JobDeleting { job: name.to_owned() });
        }
        match job.metadata.uid.as_deref() {
            Some(uid) if !name.is_empty() => Ok(Self { job, name, uid }),
            _ => Err(Refusal::JobNotStored { job: name.to_owned() }),
        }
    }

    /// The snapshot, without a name.
    fn execution(&self, cause: Cause, events: Vec<EventRecord>) -> Execution {
        let template = self.job.spec.template.clone();
        let given = template.metadata.clone().unwrap_or_default();
        let mut labels = given.labels.unwrap_or_default();
        labels.insert(LABEL_JOB.to_owned(), self.name.to_owned());
        let owner = OwnerReference {
            api_version: Job::api_version(&()).into_owned(),
            kind: Job::kind(&()).into_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let job = JobReference {
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            generation: self.job.metadata.generation.unwrap_or_default(),
        };
        let metadata = ObjectMeta {
            namespace: self.job.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: given.annotations,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        let spec = ExecutionSpec {
            job,
            cause,
            events,
            parameters: Vec::new(),
            concurrency_key: None,
            overrides: None,
            completion: self.job.spec.completion.clone(),
            template,
            parallelism: None,
            cancelled: false,
        };
        Execution { metadata, spec, status: None }
    }
}

/// An event can never change the shape of an object, nor keep a task from starting. Returns what its attributes take of an
/// environment.
fn check(event: &EventRecord) -> Result<usize, Refusal> {
    let mut size = 0;
    for (name, value) in event.attributes() {
        if let Some((at, character)) = value.char_indices().find(|(_, character)| character.is_control()) {
            return Err(Refusal::ControlCharacter { attribute: name.to_owned(), character, at });
        }
        size += name.len() + value.len();
    }
    fits_environment(size)?;
    let sizes = [(event.stored_size(), MAX_STORED_EVENT), (files::event_size(event), files::MAX_SIZE)];
    if let Some((size, limit)) = sizes.into_iter().find(|(size, limit)| size > limit) {
        return Err(Refusal::EventTooLarge { size, limit });
    }
    Ok(size)
}

fn fits_environment(size: usize) -> Result<(), Refusal> {
    let limit = MAX_EVENT_ENVIRONMENT;
    if size > limit { Err(Refusal::EnvironmentTooLarge { size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::ExtensionValue;

    fn job() -> Job {
        serde_saphyr::from_str(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: resize, namespace: shop, uid: 7a1f, generation: 3, labels: {not: copied}}
spec:
  template:
    metadata:
      labels: {team: red, run.kakehi.dev/job: forged}
      annotations: {run.kakehi.dev/digest: forged, note: kept}
    spec:
      taskCount: 2
      template: {spec: {containers: [{name: main, image: busybox}]}}
",
        )
        .unwrap()
    }

    /// The run for an event as it is kept: some of these no sender can send.
    fn from_event(job: &Job, event: EventRecord, trigger: Option<&str>) -> Result<Planned, Refusal> {
        check(&event)?;
        let (source, id) = (event.source.clone(), event.id.clone());
        from_record(job, event, trigger, |origin| Identity::of(origin.uid, &source, &id))
    }

    fn event(source: &str, id: &str) -> EventRecord {
        EventRecord { id: id.into(), source: source.into(), kind: "order".into(), ..EventRecord::default() }
    }

    #[test]
    fn an_event_becomes_a_whole_snapshot() {
        let planned = from_event(&job(), event("/orders", "42"), Some("new-orders")).unwrap();
        assert_eq!(planned.namespace(), "shop");
        let found = serde_json::to_value(planned.named(&planned.names()[0])).unwrap();
        let wanted: serde_json::Value = serde_saphyr::from_str(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Execution
metadata:
  name: resize-ckv424vq4i
  namespace: shop
  labels: {team: red, run.kakehi.dev/job: resize, run.kakehi.dev/execution: resize-ckv424vq4i}
  annotations: {run.kakehi.dev/digest: ckv424vq4iepeoai32ixy2vqb5y5hgd25kkfylqvf2bi2dnojvkq, note: kept}
  ownerReferences:
  - {apiVersion: run.kakehi.dev/v1alpha1, kind: Job, name: resize, uid: 7a1f, controller: true, blockOwnerDeletion: true}
spec:
  job: {name: resize, uid: 7a1f, generation: 3}
  cause: {type: Trigger, trigger: new-orders}
  events: [{id: '42', source: /orders, type: order}]
  parameters: []
  cancelled: false
  template:
    metadata:
      labels: {team: red, run.kakehi.dev/job: forged}
      annotations: {run.kakehi.dev/digest: forged, note: kept}
    spec:
      taskCount: 2
      template: {spec: {containers: [{name: main, image: busybox}], maxRetries: 3, timeoutSeconds: 600}}
",
        )
        .unwrap();
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_same_event_gives_the_same_names_whatever_matched() {
        let mut later = job();
        later.metadata.generation = Some(9);
        let first = from_event(&job(), event("/s", "1"), Some("a")).unwrap();
        let again = from_event(&later, event("/s", "1"), None).unwrap();
        assert_eq!((first.names(), first.digest()), (again.names(), again.digest()));
        assert_eq!(again.named("n").spec.cause, Cause { kind: CauseKind::Address, ..Cause::default() });
    }

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn the_trace_of_the_event_goes_before_that_of_the_request_and_neither_names_the_run() {
        let traced = |parent: &str| {
            let extensions = [("traceparent", parent), ("tracestate", "a=1")];
            let extensions =
                extensions.map(|(name, value)| (name.to_owned(), ExtensionValue::String(value.into())));
            EventRecord { extensions: extensions.into(), ..event("/s", "1") }
        };
        let hop = TraceContext::new(OTHER, None);
        let found = |event: EventRecord| {
            let planned = from_event(&job(), event, None).unwrap().in_trace(hop.as_ref());
            let trace = trace::trace(&planned.named("n")).unwrap();
            (trace.parent().to_owned(), trace.state().map(str::to_owned), planned.digest().map(str::to_owned))
        };
        let plain = found(event("/s", "1"));
        assert_eq!((plain.0.as_str(), &plain.1), (OTHER, &None));
        assert_eq!(found(traced(TRACE)), (TRACE.to_owned(), Some("a=1".to_owned()), plain.2.clone()));
        assert_eq!(found(traced("00-nonsense")), plain, "a bad one is none");
        assert_eq!(trace::trace(&from_event(&job(), event("/s", "1"), None).unwrap().named("n")), None);
    }

    #[test]
    fn a_manual_run_is_told_by_its_nonce() {
        let first = manual(&job(), "one", None).unwrap();
        let (again, other) = (manual(&job(), "one", None).unwrap(), manual(&job(), "two", None).unwrap());
        assert_eq!((first.names(), first.digest()), (again.names(), again.digest()));
        assert_ne!(first.digest(), other.digest());
        assert!(first.names().iter().all(|name| name.len() == "resize-".len() + 5), "{:?}", first.names());
        assert_eq!(first.named("n").spec.cause.kind, CauseKind::Manual);
        assert_eq!(first.named("n").spec.events, []);
    }

    #[test]
    fn a_digest_in_the_template_is_overwritten() {
        let planned = manual(&job(), "one", None).unwrap();
        assert_ne!(planned.digest(), Some("forged"));
    }

    #[test]
    fn a_job_being_deleted_accepts_nothing() {
        let mut leaving = job();
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let refusal = Refusal::JobDeleting { job: "resize".into() };
        assert_eq!(from_event(&leaving, event("/s", "1"), None).unwrap_err(), refusal);
        assert_eq!(manual(&leaving, "ab2cd", None).unwrap_err(), refusal);
    }

    #[test]
    fn a_job_without_uid_is_no_job_yet() {
        let mut unsaved = job();
        unsaved.metadata.uid = None;
        assert!(matches!(manual(&unsaved, "x", None), Err(Refusal::JobNotStored { .. })));
    }

    #[test]
    fn control_characters_are_refused_by_name() {
        for (subject, at) in [("a\0b", 1), ("line\n", 4), ("\u{85}", 0), ("é\u{7f}", 2)] {
            let sent = EventRecord { subject: Some(subject.into()), ..event("/s", "1") };
            match from_event(&job(), sent, None) {
                Err(Refusal::ControlCharacter { attribute, at: found, .. }) => {
                    assert_eq!((attribute.as_str(), found), ("subject", at));
                }
                other => panic!("{subject:?}: {other:?}"),
            }
        }
        let message = from_event(&job(), event("/s", "1\0"), None).unwrap_err().to_string();
        assert_eq!(message, "attribute id holds the control character U+0000 at byte 1");
    }

    #[test]
    fn attributes_that_do_not_fit_an_environment_are_refused() {
        let sent = EventRecord { subject: Some("x".repeat(70_000)), ..event("/s", "1") };
        assert!(matches!(from_event(&job(), sent, None), Err(Refusal::EnvironmentTooLarge { .. })));
    }

    #[test]
    fn an_event_that_no_task_could_read_is_refused() {
        let fits = EventRecord { data: Some("x".repeat(600_000)), ..event("/s", "1") };
        assert!(from_event(&job(), fits, None).is_ok());
        let text = Some("text/plain".to_owned());
        let sent =
            EventRecord { data: Some("\"".repeat(600_000)), datacontenttype: text, ..event("/s", "1") };
        assert!(matches!(from_event(&job(), sent, None), Err(Refusal::EventTooLarge { .. })));
    }

    #[test]
    fn an_event_that_no_execution_could_hold_is_refused() {
        // As JSON it goes into the file as it is; as text inside an object every quote doubles.
        let json = |length: usize| {
            let data = Some(format!("[{}\"\"]", "\"\",".repeat(length / 3)));
            let datacontenttype = Some("application/json".to_owned());
            EventRecord { datacontenttype, data, ..event("/s", "1") }
        };
        assert!(from_event(&job(), json(700_000), None).is_ok());
        match from_event(&job(), json(900_000), None) {
            Err(Refusal::EventTooLarge { size, limit }) => assert!(size > limit && limit == MAX_STORED_EVENT),
            other => panic!("{other:?}"),
        }
    }
}
