//! Names that several parts and our users rely on: group, labels, annotations, paths.

/// API group of our kinds.
pub const GROUP: &str = "run.kakehi.dev";
/// Version of our kinds.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of our kinds.
pub const API_VERSION: &str = "run.kakehi.dev/v1alpha1";
/// Field manager of our controllers in server-side apply.
pub const FIELD_MANAGER: &str = "kakehi";

/// Label on Executions, `batch/v1` Jobs and Pods: the name of our Job.
pub const LABEL_JOB: &str = "run.kakehi.dev/job";
/// Label on `batch/v1` Jobs, Pods and `ConfigMap`s: the name of the Execution.
pub const LABEL_EXECUTION: &str = "run.kakehi.dev/execution";
/// Annotation on an Execution: the whole digest of (job uid, dedup key), compared when names meet.
pub const ANNOTATION_DIGEST: &str = "run.kakehi.dev/digest";
/// Annotation on an Execution: how it came about, as JSON (`explain::Trail`).
pub const ANNOTATION_DECISION: &str = "run.kakehi.dev/decision";

/// Annotation on an Execution: when it was accepted, to the microsecond. Kubernetes says the second; within it, runs that wait
/// for each other are told apart by this.
pub const ANNOTATION_ACCEPTED: &str = "run.kakehi.dev/accepted";

/// Annotation on an Execution: the trace that its event belongs to, as a W3C `traceparent`.
pub const ANNOTATION_TRACEPARENT: &str = "run.kakehi.dev/traceparent";
/// Annotation on an Execution: the `tracestate` of that trace.
pub const ANNOTATION_TRACESTATE: &str = "run.kakehi.dev/tracestate";
/// Annotation on a task, where Cloud Run's API shows one: its termination message.
pub const ANNOTATION_RESULT: &str = "run.kakehi.dev/result";
/// Extension of an event that tells the end of a run: the Jobs whose runs led to it, the latest last.
pub const EXTENSION_CHAIN: &str = "kakehichain";
/// Longest name of a Job. An Execution adds `-` and 10 characters, its Pods `-` and up to 4 digits, and the whole
/// must fit the 63 characters of a label value.
pub const MAX_JOB_NAME: usize = 46;

/// For whom a token must be that an event is sent to that Job with: the form that Knative gives to all audiences.
pub fn job_audience(namespace: &str, job: &str) -> String {
    format!("{GROUP}/job/{namespace}/{job}").to_lowercase()
}

/// The same for events to the Triggers of a namespace.
pub fn namespace_audience(namespace: &str) -> String {
    format!("{GROUP}/namespace/{namespace}").to_lowercase()
}

/// The namespace of `POST /` and of commands without `-n`.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Where the event's files are mounted in a container.
pub const EVENT_MOUNT_PATH: &str = "/etc/kakehi-event";
/// Name of the volume that holds the event's files.
pub const EVENT_VOLUME: &str = "kakehi-event";
/// Prefix of the environment variables that carry the event's attributes.
pub const ENV_PREFIX: &str = "CE_";
