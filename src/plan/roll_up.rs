//! What a Job says of its runs, and which of them it forgets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::prepared::problem;
use super::runs::Runs;
use crate::api::{
    Address, CONDITION_READY, ExecutionReference, Job, JobStatus, NewCondition, Reason, Status, job_audience,
    set_condition,
};

/// No run is forgotten before it is that old, whatever the limits say: it is also what tells a repeated event from a
/// new one, and senders repeat for minutes.
const MIN_AGE: SignedDuration = SignedDuration::from_hours(1);
/// Runs deleted in one step; the next step follows at once.
const MAX_DELETIONS: usize = 100;

/// What the world says of a Job, beside its runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Where events can be sent.
    pub entrance: Option<Entrance<'a>>,
    /// Why its runs may not use the `ServiceAccount` that it names, if they may not.
    pub refusal: Option<&'a str>,
}

/// The status of `job`, if it would say anything new.
pub fn roll_up(job: &Job, runs: &Runs, around: Surroundings<'_>, now: Timestamp) -> Option<JobStatus> {
    let Surroundings { entrance, refusal } = around;
    let (waiting, running) = runs.waiting_and_running();
    let mut conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let (status, reason, message) = match (problem(&job.spec), refusal) {
        (Some(problem), _) => {
            (Status::False, Reason::ExpressionInvalid, format!("no event is taken: {problem}"))
        }
        (None, Some(refusal)) => {
            let message = format!("events are accepted, and nothing starts: {refusal}");
            (Status::False, Reason::AccountNotAllowed, message)
        }
        (None, None) if job.spec.suspend => {
            (Status::True, Reason::Ready, "suspended: events are accepted and queued".to_owned())
        }
        (None, None) => (Status::True, Reason::Ready, String::new()),
    };
    let ready = NewCondition { kind: CONDITION_READY, status, reason, message };
    set_condition(&mut conditions, ready, job.metadata.generation, now);
    let status = JobStatus {
        observed_generation: job.metadata.generation,
        conditions,
        address: entrance.map(|entrance| address(job, entrance)),
        execution_count: count(runs.len()),
        latest_created_execution: runs.latest().map(|(name, run)| ExecutionReference {
            name: name.to_owned(),
            creation_timestamp: Some(Time(run.created)),
            completion_timestamp: run.completed.map(Time),
        }),
        running_count: count(running),
        queued_count: count(waiting),
    };
    (job.status.as_ref() != Some(&status)).then_some(status)
}

/// Where events can be sent.
#[derive(Debug, Clone, Copy)]
pub struct Entrance<'a> {
    /// Its URL, without a Job's path.
    pub url: &'a str,
    /// Whether senders have to say who they are.
    pub is_guarded: bool,
}

fn address(job: &Job, sink: Entrance<'_>) -> Address {
    let Entrance { url: sink_url, is_guarded } = sink;
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let url = format!("{}/namespaces/{namespace}/jobs/{name}", sink_url.trim_end_matches('/'));
    let audience = is_guarded.then(|| job_audience(namespace, name));
    Address { name: Some("http".to_owned()), url, audience }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Which runs to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Name and uid of each run to delete now, the oldest ends first.
    pub delete: Vec<(String, String)>,
    /// When there may be more.
    pub wake: Option<Timestamp>,
}

/// Which finished runs of `job` are past its limits.
pub fn retention(job: &Job, runs: &Runs, now: Timestamp) -> Retention {
    let history = job.spec.history.clone().unwrap_or_default();
    let finished = runs.finished();
    let excess = finished.len().saturating_sub(usize::try_from(history.limit).unwrap_or(usize::MAX));
    let ttl = SignedDuration::from_secs(history.ttl_seconds);
    let mut found = Retention::default();
    for (position, (name, run)) in finished.enumerate() {
        let expires = run.completed.unwrap_or(now).saturating_add(ttl).unwrap_or(Timestamp::MAX);
        if position >= excess && expires > now {
            // Whatever ended later expires later.
            found.wake_by(expires);
            break;
        }
        let old_enough = run.created.saturating_add(MIN_AGE).unwrap_or(Timestamp::MAX);
        if run.owed {
            // That its end is told is news of the Job.
            continue;
        }
        if old_enough > now {
            found.wake_by(old_enough);
        } else if found.delete.len() < MAX_DELETIONS {
            found.delete.push((name.to_owned(), run.uid.clone()));
        } else {
            found.wake_by(now);
            break;
        }
    }
    found
}

impl Retention {
    fn wake_by(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::plan::Brief;
    use crate::plan::Phase;

    const HOUR: i64 = 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn job(extra: &str) -> Job {
        let text = format!(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {{name: resize, namespace: shop, generation: 4}}
spec: {{{extra} template: {{spec: {{template: {{spec: {{containers: [{{image: i}}]}}}}}}}}}}
"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn at_sink(entrance: Entrance<'_>) -> Surroundings<'_> {
        Surroundings { entrance: Some(entrance), refusal: None }
    }

    fn finished(name: &str, created: i64, completed: i64) -> (String, Brief) {
        let run = Brief {
            uid: format!("uid-{name}"),
            created: at(created),
            completed: Some(at(completed)),
            phase: Phase::Succeeded,
            owed: false,
        };
        (name.to_owned(), run)
    }

    fn runs(all: impl IntoIterator<Item = (String, Brief)>) -> Runs {
        let mut runs = Runs::default();
        all.into_iter().for_each(|(name, run)| runs.insert(&name, run));
        runs
    }

    fn deleted(retention: &Retention) -> Vec<&str> {
        retention.delete.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn unguarded(url: &str) -> Entrance<'_> {
        Entrance { url, is_guarded: false }
    }

    #[test]
    fn a_job_sums_up_its_runs() {
        let open = |phase| Brief { uid: String::new(), created: at(20), completed: None, phase, owed: false };
        let runs = runs([
            finished("a", 10, 15),
            ("b".to_owned(), open(Phase::Running)),
            ("c".to_owned(), open(Phase::Queued)),
            ("d".to_owned(), open(Phase::Cancelling)),
        ]);
        let status = roll_up(&job(""), &runs, at_sink(unguarded("http://sink.example/")), at(30)).unwrap();
        let wanted: Value = serde_saphyr::from_str(
            "
observedGeneration: 4
conditions: [{type: Ready, status: 'True', reason: Ready, message: '', observedGeneration: 4, lastTransitionTime: '1970-01-01T00:00:30Z'}]
address: {name: http, url: 'http://sink.example/namespaces/shop/jobs/resize'}
executionCount: 4
latestCreatedExecution: {name: d, creationTimestamp: '1970-01-01T00:00:20Z'}
runningCount: 2
queuedCount: 1
",
        )
        .unwrap();
        assert_eq!(serde_json::to_value(&status).unwrap(), wanted);
        let mut settled = job("");
        settled.status = Some(status);
        assert_eq!(
            roll_up(&settled, &runs, at_sink(unguarded("http://sink.example")), at(99)),
            None,
            "nothing new"
        );
        let guarded = Entrance { is_guarded: true, ..unguarded("http://sink.example") };
        let status = roll_up(&settled, &runs, at_sink(guarded), at(99)).unwrap();
        let audience = status.address.unwrap().audience;
        assert_eq!(audience.as_deref(), Some("run.kakehi.dev/job/shop/resize"));
    }

    #[test]
    fn a_suspended_job_is_ready_and_says_so() {
        let status =
            roll_up(&job("suspend: true,"), &Runs::default(), Surroundings::default(), at(0)).unwrap();
        assert_eq!(status.conditions[0].status, "True");
        assert_eq!(status.conditions[0].message, "suspended: events are accepted and queued");
        assert_eq!((status.address, status.latest_created_execution), (None, None));
    }

    #[test]
    fn a_job_whose_expression_does_not_compile_is_not_ready() {
        let status =
            roll_up(&job("event: {dedupKey: 'event.'},"), &Runs::default(), Surroundings::default(), at(0))
                .unwrap();
        let ready = &status.conditions[0];
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "ExpressionInvalid"));
        assert!(
            ready.message.starts_with("no event is taken: spec.event.dedupKey: line 1, column 7"),
            "{ready:?}"
        );
    }

    #[test]
    fn a_job_whose_account_nobody_allowed_is_not_ready_unless_more_is_wrong() {
        let around = Surroundings { refusal: Some("no use"), ..Surroundings::default() };
        let ready = |extra: &str| {
            let status = roll_up(&job(extra), &Runs::default(), around, at(0)).unwrap();
            let ready = &status.conditions[0];
            (ready.status.clone(), ready.reason.clone(), ready.message.clone())
        };
        let (status, reason, message) = ready("suspend: true,");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "AccountNotAllowed"));
        assert_eq!(message, "events are accepted, and nothing starts: no use");
        assert_eq!(ready("event: {dedupKey: 'event.'},").1, "ExpressionInvalid");
    }

    #[test]
    fn the_newest_are_kept_and_none_younger_than_an_hour_goes() {
        let runs = runs((0..5).map(|n| finished(&format!("r{n}"), n * 60, n * 60 + 1)));
        let limited = job("history: {limit: 2, ttlSeconds: 86400},");
        let young = retention(&limited, &runs, at(HOUR - 1));
        assert_eq!((young.delete.len(), young.wake), (0, Some(at(HOUR))));
        let two = retention(&limited, &runs, at(HOUR + 60));
        assert_eq!(deleted(&two), ["r0", "r1"]);
        assert_eq!(two.delete[0].1, "uid-r0");
        assert_eq!(two.wake, Some(at(HOUR + 120)));
        let all = retention(&limited, &runs, at(2 * HOUR));
        assert_eq!(deleted(&all), ["r0", "r1", "r2"]);
        assert_eq!(all.wake, Some(at(181 + 86_400)), "the oldest that is kept expires then");
    }

    #[test]
    fn a_limit_of_zero_keeps_only_the_last_hour() {
        let runs = runs([finished("old", 0, HOUR), finished("young", 3 * HOUR, 3 * HOUR)]);
        let found = retention(&job("history: {limit: 0},"), &runs, at(3 * HOUR + 5));
        assert_eq!(deleted(&found), ["old"]);
        assert_eq!(found.wake, Some(at(4 * HOUR)));
    }

    #[test]
    fn a_run_expires_after_its_end_and_not_after_its_start() {
        let runs = runs([finished("long", 0, 10 * HOUR)]);
        let limited = job("history: {limit: 9, ttlSeconds: 60},");
        assert_eq!(deleted(&retention(&limited, &runs, at(10 * HOUR + 59))), [""; 0]);
        assert_eq!(deleted(&retention(&limited, &runs, at(10 * HOUR + 60))), ["long"]);
    }

    #[test]
    fn a_run_whose_end_is_still_to_be_told_stays() {
        let (name, owed) = finished("owed", 0, 1);
        let runs = runs([(name, Brief { owed: true, ..owed }), finished("told", 2, 3)]);
        let found = retention(&job("history: {limit: 0},"), &runs, at(9 * HOUR));
        assert_eq!(deleted(&found), ["told"]);
        assert_eq!(found.wake, None);
    }

    #[test]
    fn many_go_in_several_steps() {
        let runs = runs((0..250).map(|n| finished(&format!("r{n:03}"), n, n)));
        let found = retention(&job("history: {limit: 0},"), &runs, at(9 * HOUR));
        assert_eq!((found.delete.len(), found.wake), (MAX_DELETIONS, Some(at(9 * HOUR))));
        assert_eq!(found.delete[0].0, "r000");
    }

    proptest! {
        #[test]
        fn only_old_finished_runs_beyond_the_limits_go(
            ends in prop::collection::vec((0..20_000i64, 0..20_000i64, any::<bool>()), 0..30),
            limit in 0..10i64, ttl in 0..20_000i64, now in 0..60_000i64,
        ) {
            let all = ends.iter().enumerate().map(|(n, (created, lasted, open))| {
                let (name, mut run) = finished(&format!("r{n:02}"), *created, created + lasted);
                if *open {
                    run.completed = None;
                    run.phase = Phase::Running;
                }
                (name, run)
            });
            let runs = runs(all);
            let found = retention(&job(&format!("history: {{limit: {limit}, ttlSeconds: {ttl}}},")), &runs, at(now));
            for (name, _) in &found.delete {
                let run = runs.get(name).unwrap();
                let end = run.completed.expect("only finished runs go");
                prop_assert!(run.created.as_second() + HOUR <= now);
                let later = runs.finished().filter(|(other, brief)| (brief.completed, *other) > (Some(end), name.as_str())).count();
                prop_assert!(later >= usize::try_from(limit).unwrap() || end.as_second() + ttl <= now);
            }
            if let Some(wake) = found.wake {
                prop_assert!(wake >= at(now));
            }
        }
    }
}
