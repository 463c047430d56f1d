//! Whether a Job has come to its end, and why. The order of the questions is that of the Job API: what is recorded stays,
//! then the failure policy, the limits, the deadline, the indexes, the success policy.

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::attempt::Phase;
use crate::local::workload::jobs::indexes::Indexes;
use crate::local::workload::jobs::names::condition;
use crate::local::workload::jobs::names::reason;
use crate::local::workload::jobs::policy::Verdict;
use crate::local::workload::jobs::tally::Tally;
use crate::local::workload::jobs::tally::natural;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::batch::v1::SuccessPolicyRule;
use std::sync::Arc;

/// The end that a Job goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) success: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Ending {
    fn failure(reason: &str, message: &str) -> Self {
        Self { success: false, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// The end of a Job that has all its completions.
    pub(super) fn completed() -> Self {
        let message = "Reached expected number of succeeded pods".to_owned();
        Self { success: true, reason: reason::COMPLETIONS_REACHED.to_owned(), message }
    }

    fn recorded(condition: &JobCondition, success: bool) -> Self {
        let reason = condition.reason.clone().unwrap_or_default();
        Self { success, reason, message: condition.message.clone().unwrap_or_default() }
    }
}

/// The condition of this type, if it is true.
pub(super) fn holds<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let mut conditions = job.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.find(|condition| condition.type_ == kind && condition.status == "True")
}

/// The condition by which the Job is over, and nothing of it runs or will run.
pub(super) fn finished(job: &Job) -> Option<&JobCondition> {
    holds(job, condition::COMPLETE).or_else(|| holds(job, condition::FAILED))
}

/// When the Job's `activeDeadlineSeconds` end it; a suspended Job has no deadline.
pub(super) fn deadline(tally: &Tally<'_>, started: Option<Timestamp>) -> Option<Timestamp> {
    let allowed = tally.terms.deadline.filter(|_| !tally.terms.suspended)?;
    Some(started?.saturating_add(allowed).unwrap_or(Timestamp::MAX))
}

/// The end of the Job, if something other than its completions decides it.
pub(super) fn ending(
    job: &Job,
    tally: &Tally<'_>,
    attempts: &[Arc<Attempt>],
    now: Timestamp,
) -> Option<Ending> {
    if let Some(met) = holds(job, condition::SUCCESS_CRITERIA_MET) {
        return Some(Ending::recorded(met, true));
    }
    if let Some(target) = holds(job, condition::FAILURE_TARGET) {
        return Some(Ending::recorded(target, false));
    }
    if let Some(message) = fails_job(tally, attempts) {
        return Some(Ending { success: false, reason: reason::POD_FAILURE_POLICY.to_owned(), message });
    }
    if tally.failed > tally.terms.backoff_limit || restarted_too_often(tally) {
        return Some(Ending::failure(
            reason::BACKOFF_LIMIT_EXCEEDED,
            "Job has reached the specified backoff limit",
        ));
    }
    // A Job that is just being resumed begins anew: the time before counts no more.
    let resuming = holds(job, condition::SUSPENDED).is_some();
    let started = job
        .status
        .as_ref()
        .filter(|_| !resuming)
        .and_then(|status| status.start_time.as_ref())
        .map(|time| time.0);
    if deadline(tally, started).is_some_and(|deadline| deadline <= now) {
        return Some(Ending::failure(
            reason::DEADLINE_EXCEEDED,
            "Job was active longer than specified deadline",
        ));
    }
    indexes(tally).or_else(|| success_policy(tally))
}

fn fails_job(tally: &Tally<'_>, attempts: &[Arc<Attempt>]) -> Option<String> {
    tally.terms.failure_policy?;
    attempts.iter().filter(|attempt| tally.failed(attempt)).find_map(|attempt| match tally.verdict(attempt) {
        Verdict::FailJob(message) => Some(message),
        Verdict::Count | Verdict::Ignore | Verdict::FailIndex => None,
    })
}

/// With restartPolicy `OnFailure` the restarts within the Pods use up the limit.
fn restarted_too_often(tally: &Tally<'_>) -> bool {
    let alive = |attempt: &&&Arc<Attempt>| matches!(attempt.phase, Phase::Running | Phase::Pending);
    let living = tally.active.iter().chain(&tally.terminating).filter(alive);
    let restarts: u32 = living.map(|attempt| attempt.restarts).fold(0, u32::saturating_add);
    tally.terms.restarts_in_place && restarts > 0 && restarts >= tally.terms.backoff_limit
}

fn indexes(tally: &Tally<'_>) -> Option<Ending> {
    let failed = tally.failed_indexes.as_ref()?.len();
    if tally.terms.max_failed_indexes.is_some_and(|limit| failed > limit) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Ending::failure(reason::MAX_FAILED_INDEXES_EXCEEDED, message));
    }
    let all = tally
        .terms
        .completions
        .is_some_and(|completions| failed + tally.completed_indexes.len() >= completions);
    (failed > 0 && all).then(|| Ending::failure(reason::FAILED_INDEXES, "Job has failed indexes"))
}

/// KEP-3998: the first rule whose indexes have succeeded ends the Job as a success.
fn success_policy(tally: &Tally<'_>) -> Option<Ending> {
    let completions = tally.terms.completions.filter(|_| tally.terms.indexed)?;
    let met = |rule: &SuccessPolicyRule| {
        let count = rule.succeeded_count.map(|count| natural(Some(count)));
        let Some(text) = &rule.succeeded_indexes else {
            return count.is_some_and(|count| tally.succeeded >= count);
        };
        let wanted = Indexes::parse(text, completions);
        let reached =
            wanted.len() + tally.completed_indexes.len() - wanted.union(&tally.completed_indexes).len();
        reached >= count.unwrap_or_else(|| wanted.len())
    };
    let place = tally.terms.success_policy?.rules.iter().position(met)?;
    let message = format!("Matched rules at index {place}");
    Some(Ending { success: true, reason: reason::SUCCESS_POLICY.to_owned(), message })
}
