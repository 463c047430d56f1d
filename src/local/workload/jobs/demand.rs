//! Which Pods a running Job needs more or fewer of.

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::backoff::Pace;
use crate::local::workload::jobs::policy::Verdict;
use crate::local::workload::jobs::tally::Tally;
use crate::local::workload::jobs::tally::size;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// Pods created or stopped in one pass; the next pass follows at once. It keeps one huge Job from holding up the others.
const BATCH: usize = 500;

/// A Pod to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Birth {
    pub(super) index: Option<u32>,
    /// (failures that count, failures ignored) of the index before this Pod, if each index has its own limit.
    pub(super) failures: Option<(u32, u32)>,
}

/// What a running Job needs.
#[derive(Debug, Default)]
pub(super) struct Demand<'a> {
    pub(super) create: Vec<Birth>,
    /// Pods that nobody needs: they are stopped and count as nothing.
    pub(super) stop: Vec<&'a Arc<Attempt>>,
    /// When waiting for a retry ends.
    pub(super) again: Option<Timestamp>,
}

/// Compares what runs with what should. A pass either stops or creates, never both.
pub(super) fn demand<'a>(tally: &Tally<'a>, pace: Pace, now: Timestamp) -> Demand<'a> {
    let active = size(tally.active.len());
    let wanted = wanted(tally);
    let mut stop = surplus(tally, active.saturating_sub(wanted));
    stop.truncate(BATCH);
    if !stop.is_empty() || tally.terms.suspended {
        return Demand { stop, ..Demand::default() };
    }
    let terminating = if tally.terms.replace_failed_only { size(tally.terminating.len()) } else { 0 };
    let room = wanted.saturating_sub(active).saturating_sub(terminating) as usize;
    let (create, again) = births(tally, room.min(BATCH), pace, now);
    Demand { create, stop, again }
}

/// How many Pods should be active.
fn wanted(tally: &Tally<'_>) -> u32 {
    let terms = tally.terms;
    match terms.completions {
        _ if terms.suspended => 0,
        Some(completions) => completions.saturating_sub(tally.succeeded).min(terms.parallelism),
        // Any success says that the work is done: what runs may finish, nothing new starts.
        None if tally.succeeded > 0 => size(tally.active.len()),
        None => terms.parallelism,
    }
}

/// Pods of no index, of an index that already ended, second Pods of one index; then, up to `at_least`, those that got least far.
fn surplus<'a>(tally: &Tally<'a>, at_least: u32) -> Vec<&'a Arc<Attempt>> {
    let mut pods = tally.active.clone();
    pods.sort_by(|a, b| progress(a).cmp(&progress(b)));
    let (mut stop, mut left) = (Vec::new(), Vec::new());
    if tally.terms.indexed {
        let best: HashMap<u32, &str> =
            pods.iter().filter_map(|pod| Some((pod.index?, pod.uid.as_str()))).collect();
        for pod in pods {
            let wanted = tally.valid(pod)
                && pod
                    .index
                    .is_some_and(|index| !tally.ended(index) && best.get(&index) == Some(&pod.uid.as_str()));
            if wanted { left.push(pod) } else { stop.push(pod) }
        }
    } else {
        left = pods;
    }
    let more = (at_least as usize).saturating_sub(stop.len());
    stop.extend(left.into_iter().take(more));
    stop
}

/// How far a Pod got; the least goes first. Among equals the youngest, then the highest index.
fn progress(attempt: &Attempt) -> impl Ord {
    let far = (attempt.scheduled, attempt.phase, attempt.ready);
    (far, Reverse(attempt.created), Reverse(attempt.index), attempt.name.clone())
}

fn births(tally: &Tally<'_>, room: usize, pace: Pace, now: Timestamp) -> (Vec<Birth>, Option<Timestamp>) {
    if room == 0 {
        return (Vec::new(), None);
    }
    if tally.terms.per_index.is_none() {
        let ready = tally.streak.until(pace, now);
        if ready > now {
            return (Vec::new(), Some(ready));
        }
    }
    if !tally.terms.indexed {
        return (vec![Birth::default(); room], None);
    }
    let mut busy: HashSet<u32> = tally.active_indexes();
    if tally.terms.replace_failed_only {
        busy.extend(tally.terminating.iter().filter_map(|attempt| attempt.index));
    }
    let ended = tally
        .failed_indexes
        .as_ref()
        .map_or_else(|| tally.completed_indexes.clone(), |failed| tally.completed_indexes.union(failed));
    let (mut create, mut again) = (Vec::new(), None::<Timestamp>);
    for index in ended.missing(tally.terms.completions.unwrap_or(0)).filter(|index| !busy.contains(index)) {
        if create.len() == room {
            break;
        }
        let last = tally.to_replace.get(&index);
        let ready = last.map_or(now, |last| pace.until(last.failures + last.ignored + 1, last.finished, now));
        // An index that waits does not keep the ones after it from starting.
        if ready > now {
            again = Some(again.map_or(ready, |before| before.min(ready)));
        } else {
            let failures = tally.terms.per_index.map(|_| last.map_or((0, 0), |last| failures(tally, last)));
            create.push(Birth { index: Some(index), failures });
        }
    }
    (create, again)
}

/// The counts that the replacement of a failed Pod carries.
fn failures(tally: &Tally<'_>, last: &Attempt) -> (u32, u32) {
    match tally.verdict(last) {
        Verdict::Ignore => (last.failures, last.ignored + 1),
        Verdict::Count | Verdict::FailIndex | Verdict::FailJob(_) => (last.failures + 1, last.ignored),
    }
}
