//! Our Kubernetes objects: Job, Execution and Trigger of group `run.kakehi.dev`, version `v1alpha1`.
//!
//! A [`Job`] is a template. An [`Execution`] is one run of it: an immutable snapshot, with the event that asked for
//! it inside, so that accepting an event is a single create. A [`Trigger`] says which events run which Job. The
//! `batch/v1` Job that carries the tasks of an Execution is always written `batchv1::Job`, to keep the two apart.
//!
//! What admission can check is written into the schema (`kakehi crd` prints it); this module decides nothing else:
//! that is `plan`'s work.

mod completion;
mod concurrency;
mod condition;
mod crds;
mod event_record;
mod execution;
mod job;
mod names;
mod parameter;
mod template;
mod trigger;

pub use completion::{
    BackoffPolicy, Completion, CompletionOutcome, CompletionStatus, Delivery, Destination, ObjectReference,
};
pub use concurrency::{Concurrency, ConcurrencyPolicy, DEFAULT_CONCURRENCY_LIMIT, MAX_CONCURRENCY_KEY};
pub use condition::{
    CONDITION_COMPLETED, CONDITION_READY, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED, Condition,
    NewCondition, Reason, Status, condition, set_condition,
};
pub use crds::crds;
pub use event_record::{EventRecord, ExtensionValue};
pub use execution::{
    Cause, CauseKind, ContainerOverride, Execution, ExecutionSpec, ExecutionStatus, JobReference, Overrides,
    ParameterValue, Rerun, RerunTask, TaskOutcome,
};
pub use job::{
    Address, DEFAULT_REPLY_SECONDS, EventRules, ExecutionReference, History, Job, JobSpec, JobStatus,
    MAX_WAIT_SECONDS, Reply,
};
pub use names::{
    ANNOTATION_ACCEPTED, ANNOTATION_DECISION, ANNOTATION_DIGEST, ANNOTATION_RESULT, ANNOTATION_TRACEPARENT,
    ANNOTATION_TRACESTATE, API_VERSION, DEFAULT_NAMESPACE, ENV_PREFIX, EVENT_MOUNT_PATH, EVENT_VOLUME,
    EXTENSION_CHAIN, FIELD_MANAGER, GROUP, LABEL_EXECUTION, LABEL_JOB, MAX_JOB_NAME, VERSION, job_audience,
    namespace_audience,
};
pub use parameter::Parameter;
pub use template::{
    DEFAULT_MAX_RETRIES, DEFAULT_TASK_COUNT, DEFAULT_TIMEOUT_SECONDS, ExecutionTemplate,
    ExecutionTemplateSpec, MAX_TASK_COUNT, TaskSpec, TaskTemplate, TemplateMetadata,
};
pub use trigger::{Filter, JobTarget, LegacyFilter, Trigger, TriggerSpec, TriggerStatus};
