//! The Job controller's decision: (Job, its Pods, now) → what to do. No client, no clock.
//!
//! A pass does one step and the next one follows from what it left, until there is nothing to do: so a crash between any two writes is
//! only another beginning.

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::backoff::Pace;
use crate::local::workload::jobs::backoff::Streak;
use crate::local::workload::jobs::demand;
use crate::local::workload::jobs::demand::Birth;
use crate::local::workload::jobs::demand::Demand;
use crate::local::workload::jobs::ending;
use crate::local::workload::jobs::ending::Ending;
use crate::local::workload::jobs::names::condition;
use crate::local::workload::jobs::settle;
use crate::local::workload::jobs::settle::Pass;
use crate::local::workload::jobs::tally::Tally;
use crate::local::workload::jobs::terms::Terms;
use jiff::SignedDuration;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobStatus;
use std::sync::Arc;

/// A Kubernetes Event about the Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) warning: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Announcement {
    pub(super) fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.to_owned(), message: message.into() }
    }
}

/// What to do for one Job. The fields stand in the order in which they must be applied; the first error ends the pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// The Job outlived `ttlSecondsAfterFinished`: delete it.
    pub(super) expire: bool,
    /// Pods nobody needs: take the finalizer, then delete. They count as nothing.
    pub(super) stop: Vec<Arc<Attempt>>,
    /// Pods to delete because the Job ends. They keep the finalizer until the status holds their end.
    pub(super) delete: Vec<Arc<Attempt>>,
    /// Pods to create.
    pub(super) create: Vec<Birth>,
    /// The new status, if it differs.
    pub(super) status: Option<JobStatus>,
    /// Nobody waits for this status: it may be written a little later, together with what comes next.
    pub(super) lazy: bool,
    /// Events, once the status is written.
    pub(super) announce: Vec<Announcement>,
    /// Pods whose end the status holds: take the finalizer.
    pub(super) release: Vec<Arc<Attempt>>,
    /// The streak of failures to remember, once the status is written.
    pub(super) streak: Streak,
    /// When to decide again if nothing changes until then.
    pub(super) again: Option<Timestamp>,
}

impl Plan {
    /// Nothing to write.
    pub(super) fn idle(&self) -> bool {
        let pods = self.stop.is_empty()
            && self.delete.is_empty()
            && self.create.is_empty()
            && self.release.is_empty();
        pods && self.status.is_none() && !self.expire
    }
}

/// Decides the next step of a Job.
pub(super) fn decide(
    job: &Job,
    attempts: &[Arc<Attempt>],
    streak: &Streak,
    pace: Pace,
    now: Timestamp,
) -> Plan {
    if let Some(end) = expiry(job) {
        return depart(attempts, end, now);
    }
    if ending::finished(job).is_some() {
        return depart(attempts, Timestamp::MAX, now);
    }
    let Some(terms) = Terms::of(job) else { return Plan::default() };
    let tally = Tally::of(job, &terms, attempts, streak);
    let leaving = job.metadata.deletion_timestamp.is_some();
    let mut ending = ending::ending(job, &tally, attempts, now);
    let (demand, delete) = match &ending {
        Some(_) => (Demand::default(), tally.active.clone()),
        None if leaving => (Demand::default(), Vec::new()),
        None => (demand::demand(&tally, pace, now), Vec::new()),
    };
    let Demand { create, stop, again } = demand;
    if ending.is_none() && complete(&tally, &create, &stop) {
        ending = Some(Ending::completed());
    }
    let last =
        ending.is_some() && tally.active.is_empty() && tally.terminating.is_empty() && create.is_empty();
    let pass = Pass { create: &create, stop: &stop, delete: &delete, ending: ending.as_ref(), last, leaving };
    // Times in the API are whole seconds.
    let stamp = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let (release, status) = settle::settle(job, &tally, &pass, stamp);

    let started = status.start_time.as_ref().map(|time| time.0);
    let deadline = if ending.is_some() || leaving { None } else { ending::deadline(&tally, started) };
    let owned = |attempts: Vec<&Arc<Attempt>>| attempts.into_iter().cloned().collect::<Vec<_>>();
    let announce = announce(job, &status, ending.as_ref().filter(|_| last));
    let (status, lazy) = difference(job, status);
    Plan {
        expire: false,
        stop: owned(stop),
        delete: owned(delete),
        create,
        status,
        lazy,
        announce,
        release: owned(release),
        streak: tally.streak,
        again: [again, deadline].into_iter().flatten().min(),
    }
}

/// The Job has all the completions it asks for and nothing of it is active.
fn complete(tally: &Tally<'_>, create: &[Birth], stop: &[&Arc<Attempt>]) -> bool {
    let enough = match tally.terms.completions {
        Some(completions) => tally.succeeded >= completions,
        None => tally.succeeded > 0,
    };
    enough && create.is_empty() && tally.active.len() == stop.len()
}

/// When a finished Job is to be deleted.
fn expiry(job: &Job) -> Option<Timestamp> {
    let seconds = job
        .spec
        .as_ref()?
        .ttl_seconds_after_finished
        .filter(|_| job.metadata.deletion_timestamp.is_none())?;
    let ended = ending::finished(job)?.last_transition_time.as_ref()?.0;
    Some(ended.saturating_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX))
}

/// A finished Job lets go of its Pods and waits for its time to be deleted, if it has one.
fn depart(attempts: &[Arc<Attempt>], end: Timestamp, now: Timestamp) -> Plan {
    let release = attempts.iter().filter(|attempt| attempt.tracked()).cloned().collect();
    let expire = end <= now;
    Plan { expire, release, again: (!expire && end < Timestamp::MAX).then_some(end), ..Plan::default() }
}

/// The status if it differs from the Job's, and whether nobody waits for it.
fn difference(job: &Job, status: JobStatus) -> (Option<JobStatus>, bool) {
    let before = job.status.clone().unwrap_or_default();
    if before == status {
        return (None, false);
    }
    // Readiness is a hint, and moving counted Pods from the list to the counter changes no sum.
    let quiet = |status: &JobStatus| JobStatus { ready: None, ..status.clone() };
    let settling = before.failed != status.failed || before.succeeded != status.succeeded;
    let moved = settling && before.completed_indexes == status.completed_indexes;
    let lazy = if moved {
        let sum = |status: &JobStatus| JobStatus {
            failed: None,
            succeeded: None,
            uncounted_terminated_pods: None,
            ..quiet(status)
        };
        shrinks(&before, &status) && sum(&before) == sum(&status)
    } else {
        quiet(&before) == quiet(&status)
    };
    (Some(status), lazy)
}

/// Every UID listed as uncounted after was listed before.
fn shrinks(before: &JobStatus, after: &JobStatus) -> bool {
    let uids = |status: &JobStatus| -> Vec<String> {
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        uncounted.failed.into_iter().chain(uncounted.succeeded).flatten().collect()
    };
    let listed = uids(before);
    uids(after).iter().all(|uid| listed.contains(uid))
}

fn announce(job: &Job, status: &JobStatus, ended: Option<&Ending>) -> Vec<Announcement> {
    let mut announcements = Vec::new();
    let suspended = |status: Option<&JobStatus>| {
        let condition =
            status?.conditions.iter().flatten().find(|condition| condition.type_ == condition::SUSPENDED)?;
        Some(condition.status == "True")
    };
    match (suspended(job.status.as_ref()), suspended(Some(status))) {
        (None | Some(false), Some(true)) => {
            announcements.push(Announcement::normal("Suspended", "Job suspended"));
        }
        (Some(true), Some(false)) => announcements.push(Announcement::normal("Resumed", "Job resumed")),
        _ => {}
    }
    if let Some(Ending { success, reason, message }) = ended {
        announcements.push(if *success {
            Announcement::normal("Completed", "Job completed")
        } else {
            Announcement { warning: true, reason: reason.clone(), message: message.clone() }
        });
    }
    announcements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::workload::jobs::attempt::Phase;
    use k8s_openapi::api::batch::v1::UncountedTerminatedPods;
    use std::time::Duration;

    const PACE: Pace = Pace { base: Duration::from_secs(10), cap: Duration::from_secs(600) };

    /// Seconds after the creation of everything.
    fn at(second: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(second)
    }

    fn job(spec: &str, status: &str) -> Job {
        let text = format!(
            "metadata: {{name: j, namespace: ns, uid: J}}\nspec: {{template: {{spec: {{containers: []}}}}, {spec}}}\nstatus: {{{status}}}"
        );
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// `3 failed f1 @5` = index 3, failed at second 5 after 1 failure before. Words: pending running ready succeeded failed; deleted,
    /// loose (no finalizer), disrupted, x<exit code>, i<ignored>.
    fn pod(text: &str) -> Arc<Attempt> {
        let mut words = text.split_whitespace();
        let index = words.next().expect("an index");
        let mut pod = Attempt {
            name: format!("p{}", text.replace(' ', "-")),
            created: at(0),
            finished: at(0),
            ..Attempt::default()
        };
        pod.uid = format!("U{text}");
        pod.index = index.parse().ok();
        pod.finalizer = Some(0);
        for word in words {
            let number = || word.get(1..).and_then(|number| number.parse::<i64>().ok()).expect("a number");
            match word {
                "pending" => pod.phase = Phase::Pending,
                "running" => (pod.phase, pod.scheduled) = (Phase::Running, true),
                "ready" => (pod.phase, pod.scheduled, pod.ready) = (Phase::Running, true, true),
                "succeeded" => pod.phase = Phase::Succeeded,
                "failed" => pod.phase = Phase::Failed,
                "deleted" => pod.deleted = true,
                "loose" => pod.finalizer = None,
                "disrupted" => pod.conditions.push(("DisruptionTarget".to_owned(), "True".to_owned())),
                _ if word.starts_with('@') => pod.finished = at(number()),
                _ if word.starts_with('f') => pod.failures = u32::try_from(number()).expect("a count"),
                _ if word.starts_with('i') => pod.ignored = u32::try_from(number()).expect("a count"),
                _ if word.starts_with('r') => pod.restarts = u32::try_from(number()).expect("a count"),
                _ if word.starts_with('c') => pod.created = at(number()),
                _ if word.starts_with('x') => {
                    pod.exits.push(("main".to_owned(), i32::try_from(number()).expect("a code")));
                }
                _ => panic!("{word}"),
            }
        }
        Arc::new(pod)
    }

    fn decided(job: &Job, pods: &[&str], second: i64) -> Plan {
        let pods: Vec<Arc<Attempt>> = pods.iter().map(|text| pod(text)).collect();
        decide(job, &pods, &Streak::default(), PACE, at(second))
    }

    /// A plan in words: `+0 f1 -"pod" !"pod"(deleted) ~"pod"(released)`.
    fn words(plan: &Plan) -> String {
        let mut words = Vec::new();
        let uids = |sign: &str, pods: &[Arc<Attempt>]| {
            pods.iter().map(|pod| format!("{sign}{}", pod.uid.trim_start_matches('U'))).collect::<Vec<_>>()
        };
        words.extend(uids("-", &plan.stop));
        words.extend(uids("!", &plan.delete));
        words.extend(plan.create.iter().map(|birth| {
            let index = birth.index.map_or("+".to_owned(), |index| format!("+{index}"));
            birth
                .failures
                .map_or(index.clone(), |(failures, ignored)| format!("{index} f{failures} i{ignored}"))
        }));
        words.extend(uids("~", &plan.release));
        words.join(", ")
    }

    fn status(plan: &Plan) -> JobStatus {
        plan.status.clone().expect("a new status")
    }

    /// Conditions in words: `Failed(FailedIndexes)`, with `!` before a false one.
    fn conditions(status: &JobStatus) -> String {
        let one = |condition: &k8s_openapi::api::batch::v1::JobCondition| {
            let not = if condition.status == "True" { "" } else { "!" };
            format!("{not}{}({})", condition.type_, condition.reason.clone().unwrap_or_default())
        };
        status.conditions.iter().flatten().map(one).collect::<Vec<_>>().join(" ")
    }

    const INDEXED: &str = "completionMode: Indexed, completions: 3, parallelism: 2, backoffLimitPerIndex: 1";
    const STARTED: &str =
        "startTime: 2026-01-01T00:00:00Z, ready: 0, terminating: 0, uncountedTerminatedPods: {}";

    #[test]
    fn a_new_job_starts_as_many_pods_as_run_side_by_side() {
        let plan = decided(&job(INDEXED, ""), &[], 7);
        assert_eq!(words(&plan), "+0 f0 i0, +1 f0 i0");
        let expected: JobStatus = serde_saphyr::from_str(
            "{startTime: 2026-01-01T00:00:07Z, active: 2, ready: 0, terminating: 0, uncountedTerminatedPods: {}, failedIndexes: ''}",
        )
        .expect("a status");
        assert_eq!(status(&plan), expected);
        assert!(!plan.lazy && plan.announce.is_empty() && plan.again.is_none());
    }

    #[test]
    fn pods_are_created_and_stopped_as_the_spec_asks() {
        let plain = "completions: 3, parallelism: 2";
        let queue = "parallelism: 2";
        let failed_only =
            "completionMode: Indexed, completions: 3, parallelism: 2, podReplacementPolicy: Failed";
        for (spec, state, pods, expected) in [
            (plain, "", &[][..], "+, +"),
            (plain, "", &["- running"], "+"),
            (plain, "succeeded: 2", &["- running"], ""),
            (plain, "succeeded: 2", &["- running", "- pending"], "-- pending"),
            (queue, "", &[], "+, +"),
            (queue, "succeeded: 1", &["- running"], ""),
            ("", "", &[], "+"),
            ("parallelism: 0, completions: 2", "", &[], ""),
            ("parallelism: 0, completions: 2", "", &["- running"], "-- running"),
            (INDEXED, "completedIndexes: '0'", &["1 running"], "+2 f0 i0"),
            (INDEXED, "completedIndexes: '0,2'", &["1 running"], ""),
            (INDEXED, "failedIndexes: '0'", &["1 running"], "+2 f0 i0"),
            // Two of one index: the one that got further stays.
            (INDEXED, "", &["0 pending", "0 running", "1 running"], "-0 pending"),
            (INDEXED, "", &["0 ready", "7 running", "x running"], "-7 running, -x running"),
            // Of too many, the one that got least far goes; then the youngest; then the last index.
            (
                "completionMode: Indexed, completions: 3, parallelism: 1",
                "",
                &["0 pending", "1 ready"],
                "-0 pending",
            ),
            (
                "completionMode: Indexed, completions: 3, parallelism: 1",
                "",
                &["0 running c5", "1 running c1"],
                "-0 running c5",
            ),
            (
                "completionMode: Indexed, completions: 3, parallelism: 1",
                "",
                &["0 running", "1 running"],
                "-1 running",
            ),
            // A terminating pod keeps its place only if just ended pods are replaced.
            (failed_only, "", &["0 running deleted", "1 running"], ""),
            (
                "completionMode: Indexed, completions: 3, parallelism: 2",
                "",
                &["0 running deleted loose", "1 running"],
                "+0",
            ),
            (failed_only, "", &["0 failed deleted loose", "1 running"], "+0"),
        ] {
            assert_eq!(words(&decided(&job(spec, state), pods, 0)), expected, "{spec} {state} {pods:?}");
        }
    }

    #[test]
    fn a_failed_index_waits_and_its_pod_stays_until_it_is_replaced() {
        let it = job(INDEXED, &format!("{STARTED}, active: 1, failedIndexes: ''"));
        let waiting = decided(&it, &["0 failed @100", "1 running"], 105);
        // Index 2 need not wait for index 0.
        assert_eq!(words(&waiting), "+2 f0 i0");
        let it =
            job(&format!("{INDEXED}, suspend: false"), &format!("{STARTED}, active: 2, failedIndexes: ''"));
        let waiting = decided(&it, &["0 failed @100", "1 running"], 105);
        assert!(waiting.again.is_some());
        let due = decided(
            &job("completionMode: Indexed, completions: 1, backoffLimitPerIndex: 3", STARTED),
            &["0 failed f1 i1 @100"],
            140,
        );
        assert_eq!(words(&due), "+0 f2 i1, ~0 failed f1 i1 @100");
        assert_eq!(
            status(&due).uncounted_terminated_pods.and_then(|pods| pods.failed),
            Some(vec!["U0 failed f1 i1 @100".to_owned()])
        );
        assert_eq!((status(&due).active, status(&due).failed), (Some(1), None));
    }

    #[test]
    fn waiting_ends_when_the_backoff_of_the_index_does() {
        let it = job("completionMode: Indexed, completions: 1, backoffLimitPerIndex: 9", STARTED);
        for (pod, until) in [
            ("0 failed @100", 110),
            ("0 failed f1 @100", 120),
            ("0 failed f1 i2 @100", 180),
            ("0 failed f8 @100", 700),
        ] {
            let plan = decided(&it, &[pod], until - 1);
            assert_eq!((words(&plan), plan.again), (String::new(), Some(at(until))), "{pod}");
            assert!(words(&decided(&it, &[pod], until)).starts_with("+0"), "{pod}");
        }
    }

    #[test]
    fn an_index_without_retries_left_fails_and_so_does_the_job_after_all_were_tried() {
        let first =
            decided(&job(INDEXED, &format!("{STARTED}, active: 2")), &["0 failed f1 @0", "1 running"], 0);
        assert_eq!(words(&first), "+2 f0 i0, ~0 failed f1 @0");
        assert_eq!(status(&first).failed_indexes.as_deref(), Some("0"));
        assert_eq!(conditions(&status(&first)), "");
        let it = job(
            INDEXED,
            &format!("{STARTED}, active: 1, failedIndexes: '0', completedIndexes: '1', failed: 2"),
        );
        let last = decided(&it, &["2 succeeded"], 50);
        assert_eq!(words(&last), "~2 succeeded");
        let end = status(&last);
        assert_eq!(conditions(&end), "FailureTarget(FailedIndexes) Failed(FailedIndexes)");
        assert_eq!(
            (end.completed_indexes.as_deref(), end.succeeded, end.failed),
            (Some("1,2"), Some(2), Some(2))
        );
        assert_eq!((end.completion_time, end.active), (None, None));
        assert_eq!(
            last.announce,
            [Announcement {
                warning: true,
                reason: "FailedIndexes".to_owned(),
                message: "Job has failed indexes".to_owned()
            }]
        );
    }

    #[test]
    fn a_job_whose_last_pod_succeeds_is_complete_in_one_write() {
        let plan = decided(
            &job(
                INDEXED,
                &format!("{STARTED}, active: 1, failedIndexes: '', completedIndexes: '0,1', succeeded: 2"),
            ),
            &["2 succeeded"],
            30,
        );
        let expected: JobStatus = serde_saphyr::from_str(
            r#"
startTime: 2026-01-01T00:00:00Z
completionTime: 2026-01-01T00:00:30Z
ready: 0
terminating: 0
uncountedTerminatedPods: {}
failedIndexes: ''
completedIndexes: 0-2
succeeded: 3
conditions:
- {type: SuccessCriteriaMet, status: "True", reason: CompletionsReached, message: Reached expected number of succeeded pods, lastProbeTime: 2026-01-01T00:00:30Z, lastTransitionTime: 2026-01-01T00:00:30Z}
- {type: Complete, status: "True", reason: CompletionsReached, message: Reached expected number of succeeded pods, lastProbeTime: 2026-01-01T00:00:30Z, lastTransitionTime: 2026-01-01T00:00:30Z}
"#,
        )
        .expect("a status");
        assert_eq!(status(&plan), expected);
        assert_eq!(words(&plan), "~2 succeeded");
        assert_eq!(plan.announce, [Announcement::normal("Completed", "Job completed")]);
    }

    #[test]
    fn a_job_is_over_only_when_all_its_pods_are() {
        let state = format!("{STARTED}, active: 0, completedIndexes: '0,1'");
        let waiting = decided(&job(INDEXED, &state), &["2 succeeded", "1 running deleted loose"], 30);
        assert_eq!(conditions(&status(&waiting)), "SuccessCriteriaMet(CompletionsReached)");
        assert_eq!(status(&waiting).terminating, Some(1));
        assert!(waiting.announce.is_empty());

        let state = "conditions: [{type: SuccessCriteriaMet, status: 'True', reason: CompletionsReached}], completedIndexes: 0-2";
        let over = decided(&job(INDEXED, state), &["1 failed deleted loose"], 40);
        assert_eq!(
            conditions(&status(&over)),
            "SuccessCriteriaMet(CompletionsReached) Complete(CompletionsReached)"
        );
    }

    #[test]
    fn a_failing_job_deletes_what_runs_and_counts_it() {
        let it = job("completions: 3, parallelism: 3, backoffLimit: 0", &format!("{STARTED}, active: 3"));
        let plan = decided(&it, &["- failed", "- running", "- pending"], 5);
        assert_eq!(words(&plan), "!- running, !- pending, ~- failed, ~- pending, ~- running");
        let state = status(&plan);
        assert_eq!(conditions(&state), "FailureTarget(BackoffLimitExceeded)");
        assert_eq!((state.active, state.terminating, state.failed), (None, Some(2), None));
        assert_eq!(
            state.uncounted_terminated_pods.and_then(|pods| pods.failed).map(|uids| uids.len()),
            Some(3)
        );
        assert!(plan.announce.is_empty(), "the end is told when it has come");
    }

    #[test]
    fn every_limit_ends_the_job_with_its_reason() {
        let rules = "podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}, {action: FailIndex, onExitCodes: {operator: In, values: [7]}}, {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}";
        let none = "";
        for (spec, state, pods, second, expected) in [
            ("completions: 2, backoffLimit: 1", "failed: 1", &["- failed"][..], 0, "BackoffLimitExceeded"),
            ("completions: 2, backoffLimit: 1", none, &["- failed"], 0, none),
            (
                "completions: 2, backoffLimit: 1",
                "uncountedTerminatedPods: {failed: [U- failed]}",
                &["- failed"],
                0,
                none,
            ),
            (
                "completions: 2, backoffLimit: 1",
                "uncountedTerminatedPods: {failed: [u9]}",
                &["- failed"],
                0,
                "BackoffLimitExceeded",
            ),
            ("completions: 2, activeDeadlineSeconds: 60", STARTED, &["- running"], 59, none),
            ("completions: 2, activeDeadlineSeconds: 60", STARTED, &["- running"], 60, "DeadlineExceeded"),
            ("completions: 2, activeDeadlineSeconds: 60, suspend: true", STARTED, &[], 60, none),
            (
                &format!("{INDEXED}, maxFailedIndexes: 0"),
                none,
                &["1 failed f1", "0 running"],
                0,
                "MaxFailedIndexesExceeded",
            ),
            (&format!("{INDEXED}, maxFailedIndexes: 1"), none, &["1 failed f1", "0 running"], 0, none),
            (INDEXED, "failedIndexes: '0,1'", &["2 failed f1"], 0, "FailedIndexes"),
            (&format!("{INDEXED}, {rules}"), none, &["1 failed x42", "0 running"], 0, "PodFailurePolicy"),
            (&format!("{INDEXED}, {rules}"), "completedIndexes: '0,1'", &["2 failed x7"], 0, "FailedIndexes"),
            (
                &format!("{INDEXED}, {rules}"),
                "completedIndexes: '0,1'",
                &["2 failed x7 f1 disrupted"],
                0,
                "FailedIndexes",
            ),
            (&format!("{INDEXED}, {rules}"), "completedIndexes: '0,1'", &["2 failed f1 disrupted"], 0, none),
            (
                "template: {spec: {containers: [], restartPolicy: OnFailure}}, backoffLimit: 3",
                none,
                &["- running r2"],
                0,
                none,
            ),
            (
                "template: {spec: {containers: [], restartPolicy: OnFailure}}, backoffLimit: 3",
                none,
                &["- running r3"],
                0,
                "BackoffLimitExceeded",
            ),
            (
                "template: {spec: {containers: [], restartPolicy: OnFailure}}, backoffLimit: 0",
                none,
                &["- running"],
                0,
                none,
            ),
        ] {
            let text = spec.replace("template:", "x:");
            let mut it = job(if text == spec { spec } else { "" }, state);
            if text != spec {
                it.spec = serde_saphyr::from_str(&format!("{{{spec}}}")).expect("a spec");
            }
            let plan = decided(&it, pods, second);
            let reason = plan.status.as_ref().map(conditions).unwrap_or_default();
            let reason = reason
                .split_once("FailureTarget(")
                .map_or("", |(_, rest)| rest.split(')').next().unwrap_or_default());
            assert_eq!(reason, expected, "{spec} {state} {pods:?}");
        }
    }

    #[test]
    fn ignored_failures_cost_no_retry() {
        let spec = "completionMode: Indexed, completions: 1, backoffLimitPerIndex: 0, podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}";
        let plan = decided(&job(spec, STARTED), &["0 failed disrupted @0"], 10);
        assert_eq!(words(&plan), "+0 f0 i1, ~0 failed disrupted @0");
        assert_eq!(status(&plan).uncounted_terminated_pods, Some(UncountedTerminatedPods::default()));
        assert_eq!(status(&plan).failed_indexes.as_deref(), Some(""));
    }

    #[test]
    fn without_limits_per_index_the_whole_job_waits() {
        let it = job("completions: 3, parallelism: 2", STARTED);
        let pods = [pod("- failed @100"), pod("- running")];
        let plan = decide(&it, &pods, &Streak { failures: 1, last: Some(at(90)) }, PACE, at(101));
        assert_eq!((words(&plan), plan.again), ("~- failed @100".to_owned(), Some(at(120))));
        assert_eq!(plan.streak, Streak { failures: 2, last: Some(at(100)) });
        let plan = decide(&it, &[pod("- running")], &plan.streak, PACE, at(120));
        assert_eq!(words(&plan), "+");
    }

    #[test]
    fn suspension_stops_everything_and_resuming_starts_the_clock_anew() {
        let spec = format!("{INDEXED}, activeDeadlineSeconds: 60");
        let plan = decided(
            &job(&format!("{spec}, suspend: true"), &format!("{STARTED}, active: 2, completedIndexes: '0'")),
            &["1 running", "2 pending"],
            50,
        );
        assert_eq!(words(&plan), "-2 pending, -1 running");
        let suspended = status(&plan);
        assert_eq!(
            (conditions(&suspended).as_str(), suspended.active, suspended.terminating),
            ("Suspended(JobSuspended)", None, Some(2))
        );
        assert_eq!(suspended.completed_indexes.as_deref(), Some("0"));
        assert_eq!(plan.announce, [Announcement::normal("Suspended", "Job suspended")]);

        let mut resumed = job(&spec, "");
        resumed.status = Some(suspended);
        let plan = decided(&resumed, &[], 500);
        assert_eq!(words(&plan), "+1 f0 i0, +2 f0 i0");
        assert_eq!(conditions(&status(&plan)), "!Suspended(JobResumed)");
        assert_eq!(
            status(&plan).start_time,
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(500)))
        );
        assert_eq!(plan.again, Some(at(560)));
        assert_eq!(plan.announce, [Announcement::normal("Resumed", "Job resumed")]);
    }

    #[test]
    fn a_job_born_suspended_does_not_start() {
        let plan = decided(&job(&format!("{INDEXED}, suspend: true"), ""), &[], 3);
        assert_eq!(words(&plan), "");
        assert_eq!(
            (conditions(&status(&plan)).as_str(), status(&plan).start_time),
            ("Suspended(JobSuspended)", None)
        );
    }

    #[test]
    fn a_stopped_pod_counts_as_nothing_even_if_it_fails_later() {
        let it = job("completions: 2, parallelism: 1", STARTED);
        for state in ["- running deleted loose", "- failed deleted loose"] {
            let plan = decided(&it, &[state], 9);
            let after = status(&plan);
            assert_eq!(
                (after.failed, after.uncounted_terminated_pods),
                (None, Some(UncountedTerminatedPods::default())),
                "{state}"
            );
        }
    }

    #[test]
    fn an_end_is_counted_when_the_finalizer_is_gone_and_only_then() {
        let list = "uncountedTerminatedPods: {failed: [U- failed, gone], succeeded: [other]}";
        let it = job(
            "completions: 9, parallelism: 0",
            &format!(
                "startTime: 2026-01-01T00:00:00Z, failed: 4, succeeded: 1, ready: 0, terminating: 0, {list}"
            ),
        );
        let after = status(&decided(&it, &["- failed"], 0));
        assert_eq!((after.failed, after.succeeded), (Some(5), Some(2)));
        let left = after.uncounted_terminated_pods.expect("a list");
        assert_eq!((left.failed, left.succeeded), (Some(vec!["U- failed".to_owned()]), None));
    }

    #[test]
    fn what_nobody_waits_for_may_be_written_later() {
        let base = format!("{STARTED}, active: 1, completedIndexes: '0'");
        for (state, pods, lazy) in [
            (base.clone(), &["1 ready", "2 running"][..], false), // active differs
            (base.replace("active: 1", "active: 2"), &["1 ready", "2 running"], true),
            (
                format!(
                    "{}, failed: 1",
                    base.replace("active: 1", "active: 2").replace("Pods: {}", "Pods: {failed: [gone]}")
                ),
                &["1 running", "2 running"],
                true,
            ),
            (
                base.replace("active: 1", "active: 2"),
                &["1 running", "2 running", "0 running deleted loose"],
                false,
            ),
            (base.clone(), &["1 succeeded", "2 running"], false),
        ] {
            let plan = decided(&job(INDEXED, &format!("{state}, failedIndexes: '', succeeded: 1")), pods, 0);
            assert_eq!((plan.status.is_some(), plan.lazy), (true, lazy), "{state} {pods:?}");
        }
    }

    #[test]
    fn a_job_at_rest_needs_nothing() {
        let it = job(INDEXED, &format!("{STARTED}, active: 2, failedIndexes: ''"));
        assert!(decided(&it, &["0 running", "1 running"], 50).idle());
    }

    #[test]
    fn a_success_policy_ends_the_job_early() {
        let rules = "successPolicy: {rules: [{succeededIndexes: '0,2', succeededCount: 2}, {succeededCount: 3}, {succeededIndexes: '4'}]}";
        let spec = format!("completionMode: Indexed, completions: 5, parallelism: 5, {rules}");
        for (completed, message) in [
            ("'1,3'", None),
            ("'0,1'", None),
            ("'0,2'", Some("Matched rules at index 0")),
            ("'0,1,3'", Some("Matched rules at index 1")),
            ("'4'", Some("Matched rules at index 2")),
        ] {
            let plan = decided(&job(&spec, &format!("completedIndexes: {completed}")), &["3 running"], 0);
            let found = status(&plan)
                .conditions
                .and_then(|list| list.into_iter().find(|c| c.type_ == "SuccessCriteriaMet"))
                .and_then(|c| c.message);
            assert_eq!(found.as_deref(), message, "{completed}");
            assert_eq!(words(&plan).contains("!3 running"), message.is_some());
        }
    }

    #[test]
    fn a_finished_job_lets_go_of_its_pods_and_goes_when_its_time_is_up() {
        let ended =
            "conditions: [{type: Complete, status: 'True', lastTransitionTime: 2026-01-01T00:01:00Z}]";
        let it = job("ttlSecondsAfterFinished: 10", ended);
        let plan = decided(&it, &["- succeeded", "- failed loose"], 65);
        assert_eq!((words(&plan).as_str(), plan.expire, plan.again), ("~- succeeded", false, Some(at(70))));
        assert!(decided(&it, &[], 70).expire);
        assert!(decided(&job("", ended), &[], 700).idle());
        let mut leaving = it.clone();
        leaving.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(70)));
        assert!(!decided(&leaving, &[], 80).expire, "it is being deleted already");
    }

    #[test]
    fn a_job_that_is_being_deleted_creates_nothing_and_lets_go_of_its_pods() {
        let mut it = job(INDEXED, STARTED);
        it.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
        let plan = decided(&it, &["0 running", "1 failed", "2 succeeded"], 5);
        assert_eq!(words(&plan), "~0 running, ~1 failed, ~2 succeeded");
        assert_eq!(status(&plan).completed_indexes.as_deref(), Some("2"));
    }

    #[test]
    fn jobs_of_other_controllers_are_not_touched() {
        assert!(decided(&job("managedBy: example.com/other", ""), &["0 failed"], 5).idle());
    }

    #[test]
    fn a_job_without_completions_to_reach_is_complete_at_once() {
        let plan = decided(&job("completions: 0", ""), &[], 5);
        assert_eq!(
            conditions(&status(&plan)),
            "SuccessCriteriaMet(CompletionsReached) Complete(CompletionsReached)"
        );
        assert!(status(&plan).start_time.is_some());
    }

    #[test]
    fn a_work_queue_job_lets_the_others_finish_after_the_first_success() {
        let it = job("parallelism: 2", &format!("{STARTED}, active: 2"));
        let plan = decided(&it, &["- succeeded", "- running"], 5);
        assert_eq!((words(&plan).as_str(), conditions(&status(&plan)).as_str()), ("~- succeeded", ""));
        let it = job("parallelism: 2", &format!("{STARTED}, active: 1, succeeded: 1"));
        let plan = decided(&it, &["- failed"], 9);
        assert_eq!(
            conditions(&status(&plan)),
            "SuccessCriteriaMet(CompletionsReached) Complete(CompletionsReached)"
        );
        assert_eq!((status(&plan).succeeded, status(&plan).failed), (Some(1), Some(1)));
    }

    #[test]
    fn one_pass_is_bounded() {
        let it = job("completionMode: Indexed, completions: 2000, parallelism: 2000", "");
        assert_eq!(decided(&it, &[], 0).create.len(), 500);
        let texts: Vec<String> = (0..700).map(|index| format!("{index} failed f9")).collect();
        let pods: Vec<&str> = texts.iter().map(String::as_str).collect();
        let plan = decided(
            &job("completionMode: Indexed, completions: 2000, backoffLimitPerIndex: 0", STARTED),
            &pods,
            0,
        );
        assert_eq!(plan.release.len(), 500);
        assert_eq!(
            status(&plan).uncounted_terminated_pods.and_then(|list| list.failed).map(|uids| uids.len()),
            Some(500)
        );
    }
}
