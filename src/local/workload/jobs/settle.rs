//! The Job's next status, and the Pods whose end it has taken in.
//!
//! **No end is lost or counted twice, whenever the process dies.** A Pod keeps its finalizer until its end stands in the status, so it
//! cannot vanish before. A Failed (and, without indexes, a Succeeded) Pod goes through three steps, each a single write: its UID enters
//! `uncountedTerminatedPods`; its finalizer goes; the counter grows as the UID leaves the list. A UID is counted exactly when the list
//! holds it and the Pod no longer has the finalizer, and both sides of that change in the same status write, which fails on a
//! conflict. Completed and failed indexes are sets, where twice is once.
//!
//! The last status counts what is open directly: it is one write with the terminal condition, and a finished Job is never counted again.

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::attempt::Phase;
use crate::local::workload::jobs::demand::Birth;
use crate::local::workload::jobs::ending::Ending;
use crate::local::workload::jobs::names::condition;
use crate::local::workload::jobs::names::reason;
use crate::local::workload::jobs::policy::Verdict;
use crate::local::workload::jobs::tally::Tally;
use crate::local::workload::jobs::tally::natural;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::batch::v1::UncountedTerminatedPods;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::HashSet;
use std::sync::Arc;

/// UIDs that the status may list as not yet counted: about 20 KB, as in the Job API.
const UNCOUNTED: usize = 500;

/// What this pass does to the Pods, as far as the status must know it.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) create: &'a [Birth],
    /// Stopped without being counted.
    pub(super) stop: &'a [&'a Arc<Attempt>],
    /// Deleted because the Job ends.
    pub(super) delete: &'a [&'a Arc<Attempt>],
    pub(super) ending: Option<&'a Ending>,
    /// Nothing runs any more: the status is the last one.
    pub(super) last: bool,
    /// The Job is being deleted: its Pods are let go.
    pub(super) leaving: bool,
}

/// Pods to take the finalizer from once the status is written, and the status. `now` is in whole seconds.
pub(super) fn settle<'a>(
    job: &Job,
    tally: &Tally<'a>,
    pass: &Pass<'_>,
    now: Timestamp,
) -> (Vec<&'a Arc<Attempt>>, JobStatus) {
    let mut status = job.status.clone().unwrap_or_default();
    let release = count(&mut status, tally, pass);
    let gone: HashSet<&str> =
        pass.stop.iter().chain(pass.delete).map(|attempt| attempt.uid.as_str()).collect();
    let stays = |attempt: &&&Arc<Attempt>| !gone.contains(attempt.uid.as_str());
    let active = tally.active.iter().filter(stays).count() + pass.create.len();
    let ready = tally.active.iter().filter(stays).filter(|attempt| attempt.ready).count();
    status.active = Some(counter(active)).filter(|active| *active > 0);
    status.ready = Some(counter(ready));
    status.terminating = Some(counter(tally.terminating.len() + gone.len()));
    if tally.terms.indexed {
        status.completed_indexes = Some(tally.completed_indexes.to_string()).filter(|text| !text.is_empty());
        status.succeeded =
            Some(counter(tally.completed_indexes.len() as usize)).filter(|succeeded| *succeeded > 0);
        status.failed_indexes = tally.failed_indexes.as_ref().map(ToString::to_string);
    }
    if status.start_time.is_none() && (!tally.terms.suspended || pass.last) {
        status.start_time = Some(Time(now));
    }
    match pass.ending {
        Some(ending) => end(&mut status, ending, pass.last, now),
        None if !pass.leaving => suspend(&mut status, tally.terms.suspended, now),
        None => {}
    }
    (release, status)
}

/// Moves UIDs through `uncountedTerminatedPods` into the counters; returns the Pods whose end the status holds then.
fn count<'a>(status: &mut JobStatus, tally: &Tally<'a>, pass: &Pass<'_>) -> Vec<&'a Arc<Attempt>> {
    let tracked: HashSet<&str> = tally.tracked.iter().map(|attempt| attempt.uid.as_str()).collect();
    let listed = status.uncounted_terminated_pods.take().unwrap_or_default();
    let (mut succeeded, counted_succeeded) = divide(listed.succeeded, &tracked);
    let (mut failed, counted_failed) = divide(listed.failed, &tracked);
    failed.retain(|uid| tally.uncounted_failed.contains(uid.as_str()));
    let stopped: HashSet<&str> = pass.stop.iter().map(|attempt| attempt.uid.as_str()).collect();
    let mut release = Vec::new();
    let mut indexes = 0;
    for attempt in tally.tracked.iter().copied().filter(|attempt| !stopped.contains(attempt.uid.as_str())) {
        if !pass.last && succeeded.len() + failed.len() + indexes >= UNCOUNTED {
            break; // the next pass goes on
        }
        if !releasable(attempt, tally, pass) {
            continue;
        }
        release.push(attempt);
        let listed = tally.uncounted_failed.contains(attempt.uid.as_str())
            || tally.uncounted_succeeded.contains(attempt.uid.as_str());
        if listed || !tally.valid(attempt) {
            continue;
        }
        let lost = tally.failed(attempt) || pass.ending.is_some_and(|ending| !ending.success);
        match attempt.phase {
            Phase::Succeeded if tally.terms.indexed => indexes += 1,
            Phase::Succeeded => succeeded.push(attempt.uid.clone()),
            _ if lost && tally.verdict(attempt) != Verdict::Ignore => failed.push(attempt.uid.clone()),
            _ => {}
        }
    }
    let (more_succeeded, more_failed) = if pass.last { (succeeded.len(), failed.len()) } else { (0, 0) };
    if pass.last {
        (succeeded, failed) = (Vec::new(), Vec::new());
    }
    if !tally.terms.indexed {
        status.succeeded = grown(status.succeeded, counted_succeeded + more_succeeded);
    }
    status.failed = grown(status.failed, counted_failed + more_failed);
    let list = |uids: Vec<String>| (!uids.is_empty()).then_some(uids);
    status.uncounted_terminated_pods =
        Some(UncountedTerminatedPods { failed: list(failed), succeeded: list(succeeded) });
    release
}

fn releasable(attempt: &Attempt, tally: &Tally<'_>, pass: &Pass<'_>) -> bool {
    if pass.leaving || pass.ending.is_some() || attempt.phase == Phase::Succeeded {
        return true;
    }
    let replaced = |index| pass.create.iter().any(|birth| birth.index == Some(index));
    let awaited = attempt
        .index
        .and_then(|index| tally.to_replace.get(&index))
        .is_some_and(|last| last.uid == attempt.uid);
    tally.failed(attempt) && (!awaited || attempt.index.is_some_and(replaced))
}

/// The UIDs that still have their Pod's finalizer, in their order, and how many have not.
fn divide(uids: Option<Vec<String>>, tracked: &HashSet<&str>) -> (Vec<String>, usize) {
    let uids = uids.unwrap_or_default();
    let all = uids.len();
    let kept: Vec<String> = uids.into_iter().filter(|uid| tracked.contains(uid.as_str())).collect();
    let counted = all - kept.len();
    (kept, counted)
}

fn grown(counter: Option<i32>, by: usize) -> Option<i32> {
    let sum = i64::from(natural(counter)) + i64::try_from(by).unwrap_or(i64::MAX);
    Some(i32::try_from(sum).unwrap_or(i32::MAX)).filter(|sum| *sum > 0)
}

fn counter(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn end(status: &mut JobStatus, ending: &Ending, last: bool, now: Timestamp) {
    let Ending { success, reason, message } = ending;
    let (interim, terminal) = if *success {
        (condition::SUCCESS_CRITERIA_MET, condition::COMPLETE)
    } else {
        (condition::FAILURE_TARGET, condition::FAILED)
    };
    set(status, interim, true, (reason, message), now);
    if last {
        set(status, terminal, true, (reason, message), now);
        if *success {
            status.completion_time = Some(Time(now));
        }
    }
}

fn suspend(status: &mut JobStatus, suspended: bool, now: Timestamp) {
    if suspended {
        set(status, condition::SUSPENDED, true, (reason::SUSPENDED, "Job suspended"), now);
    } else if set(status, condition::SUSPENDED, false, (reason::RESUMED, "Job resumed"), now) {
        // The deadline counts the time since the Job was resumed.
        status.start_time = Some(Time(now));
    }
}

/// Sets a condition unless it already says so; returns whether it changed. A condition that is absent is false already.
fn set(
    status: &mut JobStatus,
    kind: &str,
    holds: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> bool {
    let value = if holds { "True" } else { "False" };
    let next = JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
    };
    match status.conditions.iter_mut().flatten().find(|condition| condition.type_ == kind) {
        Some(condition) if condition.status == value && condition.reason.as_deref() == Some(reason) => {
            return false;
        }
        Some(condition) => *condition = next,
        None if holds => status.conditions.get_or_insert_default().push(next),
        None => return false,
    }
    true
}
