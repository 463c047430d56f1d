//! The names of the batch API: labels, annotations, finalizer, conditions and reasons.

/// Label and annotation of a Pod: which completion it works on.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: failures of the same index before this Pod that count.
pub(super) const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: failures of the same index before this Pod that the failure policy ignored.
pub(super) const IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Finalizer of a Pod whose end is not settled in the Job's status yet (KEP-2307).
pub(super) const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Labels of a Pod: the UID and the name of its Job, now and as they were called before 1.27.
pub(super) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
pub(super) const JOB_NAME: &str = "batch.kubernetes.io/job-name";
pub(super) const LEGACY_CONTROLLER_UID: &str = "controller-uid";
pub(super) const LEGACY_JOB_NAME: &str = "job-name";
/// The environment variable of Indexed Jobs.
pub(super) const COMPLETION_INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// `spec.managedBy` of Jobs that are ours.
pub(super) const CONTROLLER: &str = "kubernetes.io/job-controller";

/// Condition types of a Job.
pub(super) mod condition {
    pub(in crate::local::workload::jobs) const SUSPENDED: &str = "Suspended";
    pub(in crate::local::workload::jobs) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
    pub(in crate::local::workload::jobs) const FAILURE_TARGET: &str = "FailureTarget";
    pub(in crate::local::workload::jobs) const COMPLETE: &str = "Complete";
    pub(in crate::local::workload::jobs) const FAILED: &str = "Failed";
}

/// Reasons of a Job's conditions.
pub(super) mod reason {
    pub(in crate::local::workload::jobs) const SUSPENDED: &str = "JobSuspended";
    pub(in crate::local::workload::jobs) const RESUMED: &str = "JobResumed";
    pub(in crate::local::workload::jobs) const COMPLETIONS_REACHED: &str = "CompletionsReached";
    pub(in crate::local::workload::jobs) const SUCCESS_POLICY: &str = "SuccessPolicy";
    pub(in crate::local::workload::jobs) const POD_FAILURE_POLICY: &str = "PodFailurePolicy";
    pub(in crate::local::workload::jobs) const BACKOFF_LIMIT_EXCEEDED: &str = "BackoffLimitExceeded";
    pub(in crate::local::workload::jobs) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    pub(in crate::local::workload::jobs) const FAILED_INDEXES: &str = "FailedIndexes";
    pub(in crate::local::workload::jobs) const MAX_FAILED_INDEXES_EXCEEDED: &str = "MaxFailedIndexesExceeded";
}
