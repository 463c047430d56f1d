//! What a Job's spec asks for, read once, with the defaults of the API where a field is absent.

use crate::local::workload::jobs::names;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::PodFailurePolicy;
use k8s_openapi::api::batch::v1::SuccessPolicy;

/// Failures that a Job without `backoffLimit` survives; there is no such limit beside `backoffLimitPerIndex`.
const BACKOFF_LIMIT: u32 = 6;

/// The terms of one Job.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent answers of a spec")]
pub(super) struct Terms<'a> {
    pub(super) indexed: bool,
    /// None: the Job is done when any Pod succeeded and all ended.
    pub(super) completions: Option<u32>,
    pub(super) parallelism: u32,
    pub(super) backoff_limit: u32,
    pub(super) per_index: Option<u32>,
    pub(super) max_failed_indexes: Option<u32>,
    pub(super) failure_policy: Option<&'a PodFailurePolicy>,
    pub(super) success_policy: Option<&'a SuccessPolicy>,
    /// A Pod is replaced only when it ended (podReplacementPolicy Failed), not already while it terminates.
    pub(super) replace_failed_only: bool,
    pub(super) suspended: bool,
    pub(super) deadline: Option<SignedDuration>,
    /// Containers restart within their Pod (restartPolicy `OnFailure`).
    pub(super) restarts_in_place: bool,
}

impl<'a> Terms<'a> {
    /// The terms, or None if the Job is not ours: another controller manages it, or its completion mode is unknown.
    pub(super) fn of(job: &'a Job) -> Option<Self> {
        let spec = job.spec.as_ref()?;
        if spec.managed_by.as_deref().is_some_and(|name| name != names::CONTROLLER) {
            return None;
        }
        let indexed = match spec.completion_mode.as_deref() {
            None | Some("NonIndexed") => false,
            Some("Indexed") => true,
            Some(_) => return None,
        };
        let positive = |number: Option<i32>| number.map(|number| u32::try_from(number).unwrap_or(0));
        let per_index = positive(spec.backoff_limit_per_index);
        let completions = match (spec.completions, spec.parallelism) {
            (None, None) => Some(1),
            (completions, _) => positive(completions),
        };
        if indexed && completions.is_none() {
            return None;
        }
        let replace_failed_only = match spec.pod_replacement_policy.as_deref() {
            Some(policy) => policy == "Failed",
            None => spec.pod_failure_policy.is_some(),
        };
        Some(Self {
            indexed,
            completions,
            parallelism: positive(spec.parallelism).unwrap_or(1),
            backoff_limit: positive(spec.backoff_limit).unwrap_or(if per_index.is_some() {
                u32::MAX
            } else {
                BACKOFF_LIMIT
            }),
            per_index: per_index.filter(|_| indexed),
            max_failed_indexes: positive(spec.max_failed_indexes),
            failure_policy: spec.pod_failure_policy.as_ref(),
            success_policy: spec.success_policy.as_ref(),
            replace_failed_only: replace_failed_only || spec.pod_failure_policy.is_some(),
            suspended: spec.suspend == Some(true),
            deadline: spec.active_deadline_seconds.map(SignedDuration::from_secs),
            restarts_in_place: spec
                .template
                .spec
                .as_ref()
                .is_some_and(|pod| pod.restart_policy.as_deref() == Some("OnFailure")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: &str) -> Job {
        serde_saphyr::from_str(&format!(
            "metadata: {{name: j}}\nspec: {{template: {{spec: {{containers: []}}}}{spec}}}"
        ))
        .expect("a job")
    }

    #[test]
    fn absent_fields_have_the_defaults_of_the_api() {
        let it = job("");
        let terms = Terms::of(&it).expect("ours");
        assert_eq!(
            (terms.indexed, terms.completions, terms.parallelism, terms.backoff_limit),
            (false, Some(1), 1, 6)
        );
        assert!(!terms.suspended && !terms.replace_failed_only && !terms.restarts_in_place);
        let it = job(", parallelism: 3");
        assert_eq!(Terms::of(&it).expect("ours").completions, None);
        let it = job(", completionMode: Indexed, completions: 3, backoffLimitPerIndex: 0");
        let terms = Terms::of(&it).expect("ours");
        assert_eq!((terms.backoff_limit, terms.per_index), (u32::MAX, Some(0)));
    }

    #[test]
    fn jobs_of_others_are_left_alone() {
        for (spec, ours) in [
            ("", true),
            (", managedBy: kubernetes.io/job-controller", true),
            (", managedBy: kueue.x-k8s.io/multikueue", false),
            (", completionMode: Sorted", false),
            (", completionMode: Indexed, completions: 1", true),
            (", completionMode: Indexed, parallelism: 1", false),
        ] {
            assert_eq!(Terms::of(&job(spec)).is_some(), ours, "{spec}");
        }
    }

    #[test]
    fn a_failure_policy_implies_that_only_ended_pods_are_replaced() {
        for (spec, failed_only) in [
            ("", false),
            (", podReplacementPolicy: TerminatingOrFailed", false),
            (", podReplacementPolicy: Failed", true),
            (", podFailurePolicy: {rules: []}", true),
        ] {
            assert_eq!(Terms::of(&job(spec)).expect("ours").replace_failed_only, failed_only, "{spec}");
        }
    }
}
