//! How many runs there are at a time: every policy of `spec.concurrency`, through crashes, edits and suspension.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::jiff::SignedDuration;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::support::faults::{Fault, is_write};

/// A place on this machine where the tasks of a scenario meet.
struct Yard(TempDir);

impl Yard {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A task that takes one of so many places as long as it runs, and fails if there is none.
    fn takes_one_of(&self, places: usize) -> String {
        let place = |number| format!("mkdir {}/{number} 2>/dev/null && p={number}", self.path().display());
        let places: Vec<String> = (0..places).map(place).collect();
        format!("{} || exit 9; sleep 0.05; rmdir {}/$p", places.join(" || "), self.path().display())
    }

    /// A task that runs until the gate is opened.
    fn waits(&self) -> String {
        format!("until test -e {}; do sleep 0.02; done", self.gate().display())
    }

    fn gate(&self) -> PathBuf {
        self.path().join("open")
    }

    fn open(&self) {
        fs::write(self.gate(), "").unwrap();
    }
}

/// Sends so many events, one after the other.
async fn send(house: &House, job: &Job, count: usize) -> Vec<String> {
    let mut runs = Vec::new();
    for number in 0..count {
        runs.push(house.send(job, &number.to_string()).await.execution);
    }
    runs
}

async fn all_succeed(house: &House, runs: &[String]) -> Vec<Execution> {
    let mut ended = Vec::new();
    for run in runs {
        let run = house.ended(run).await;
        assert_completed(&run, "Succeeded", "1 task succeeded");
        ended.push(run);
    }
    ended
}

fn message(execution: &Execution) -> String {
    let conditions = &execution.status.as_ref().unwrap().conditions;
    condition(conditions, "Completed").unwrap().message.clone()
}

fn keyed(subject: &str, id: &str) -> Event {
    Event::builder().required(id, "/orders", "order").set("subject", subject).build().unwrap()
}

/// When the task sets of these runs were made, by the API server's versions: their order, without a clock.
async fn made_in_order(house: &House, runs: &[String]) -> bool {
    let sets = house.api::<batchv1::Job>().list(&ListParams::default()).await.unwrap().items;
    let made = |run: &String| {
        let set = sets.iter().find(|set| set.metadata.name.as_ref() == Some(run)).unwrap();
        set.metadata.creation_timestamp.clone().unwrap().0
    };
    runs.windows(2).all(|pair| made(&pair[0]) <= made(&pair[1]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_runs_one_after_the_other_in_the_order_of_the_events() {
    let (house, yard) = (House::start().await, Yard::new());
    let job = house.job("queue", &yard.takes_one_of(1), "{concurrency: {policy: Queue}}").await;
    let runs = send(&house, &job, 6).await;
    let ended = all_succeed(&house, &runs).await;
    let times = ended.iter().map(|run| run.status.clone().unwrap().completion_time.unwrap().0);
    assert!(times.is_sorted(), "{ended:#?}");
    assert!(made_in_order(&house, &runs).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_counted_by_their_keys_and_wait_for_their_own() {
    let (house, yard) = (House::start().await, Yard::new());
    let job = house.job("keys", &yard.waits(), "{concurrency: {policy: Queue, key: event.subject}}").await;
    let first = house.send_event(&job, &keyed("red", "1")).await.execution;
    let second = house.send_event(&job, &keyed("red", "2")).await.execution;
    let other = house.send_event(&job, &keyed("blue", "3")).await.execution;
    house.reaches(&first, Phase::Running).await;
    house.reaches(&other, Phase::Running).await;
    let queued = house.reaches(&second, Phase::Queued).await;
    assert_eq!(message(&queued), "waits for the one place of job keys with key \"red\"");
    assert_eq!(queued.spec.concurrency_key.as_deref(), Some("red"));
    eventually("the Job counts them", async || {
        let status = house.api::<Job>().get("keys").await.unwrap().status.unwrap_or_default();
        let counts = (status.running_count, status.queued_count);
        if counts == (2, 1) { Ok(()) } else { Err(counts) }
    })
    .await;
    assert!(house.api::<batchv1::Job>().get_opt(&second).await.unwrap().is_none());
    yard.open();
    all_succeed(&house, &[first, second, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_not_start_beside_another_ends_with_the_reason() {
    let (house, yard) = (House::start().await, Yard::new());
    let job = house.job("forbid", &yard.waits(), "{concurrency: {policy: Forbid}}").await;
    let first = house.send(&job, "1").await.execution;
    house.reaches(&first, Phase::Running).await;
    let second = house.ended(&house.send(&job, "2").await.execution).await;
    assert_completed(&second, "ConcurrencyForbidden", "job forbid has at most 1 run at a time");
    assert_eq!(counts(&second), [0, 0, 1, 0]);
    assert_eq!(house.send(&job, "2").await.outcome, ops::Outcome::Duplicate, "it is recorded");
    yard.open();
    all_succeed(&house, &[first]).await;
    let third = house.send(&job, "3").await.execution;
    all_succeed(&house, &[third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_run_starts_when_nothing_is_left_of_the_one_that_it_replaces() {
    let (house, yard) = (House::start().await, Yard::new());
    let (alive, first_gate) = (yard.path().join("alive"), yard.gate());
    // The first takes its time to die. Whoever starts while it is alive fails.
    let script = format!(
        "test ! -e {alive} || exit 9; case $CE_ID in 1) touch {alive}; trap 'sleep 0.3; rm {alive}; exit 1' TERM; \
         until test -e {gate}; do sleep 0.02; done;; esac",
        alive = alive.display(),
        gate = first_gate.display()
    );
    let job = house.job("replace", &script, "{concurrency: {policy: Replace}}").await;
    let first = house.send(&job, "1").await.execution;
    eventually("the first is alive", async || if alive.exists() { Ok(()) } else { Err("not yet") }).await;
    let second = house.send(&job, "2").await.execution;
    let first = house.ended(&first).await;
    assert_completed(&first, "Replaced", &format!("replaced by {second}"));
    assert_eq!((plan::phase(&first), counts(&first)), (Phase::Cancelled, [0, 0, 1, 0]));
    all_succeed(&house, &[second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_wait_to_replace_only_the_last_starts() {
    let (mut house, yard) = (House::start().await, Yard::new());
    let job = house.job("last", &yard.waits(), "{concurrency: {policy: Replace}}").await;
    let first = house.send(&job, "1").await.execution;
    house.reaches(&first, Phase::Running).await;
    house.stop_controllers().await;
    let mut runs = Vec::new();
    for id in ["2", "3", "4"] {
        runs.push(house.send(&job, id).await.execution);
    }
    house.start_controllers();
    let last = runs.pop().unwrap();
    for replaced in runs.iter().chain([&first]) {
        let ended = house.ended(replaced).await;
        assert_completed(&ended, "Replaced", &format!("replaced by {last}"));
    }
    yard.open();
    all_succeed(&house, &[last]).await;
    for replaced in runs {
        assert!(house.api::<batchv1::Job>().get_opt(&replaced).await.unwrap().is_none(), "{replaced}");
    }
}

/// Two hours from now.
fn later() -> Timestamp {
    Timestamp::now().saturating_add(SignedDuration::from_hours(2)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_too_long_ends_and_those_under_way_go_on() {
    let (mut house, yard) = (House::start().await, Yard::new());
    let limits = "{concurrency: {policy: Queue, queueTimeoutSeconds: 3600}}";
    let job = house.job("patience", &yard.waits(), limits).await;
    let runs = send(&house, &job, 2).await;
    house.reaches(&runs[0], Phase::Running).await;
    house.reaches(&runs[1], Phase::Queued).await;
    house.stop_controllers().await;
    house.start_controllers_by(later);
    assert_completed(&house.ended(&runs[1]).await, "QueueTimeout", "did not start within 3600 s");
    yard.open();
    all_succeed(&house, &runs[..1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_collects_runs_and_resumes_within_its_limit() {
    let (house, yard) = (House::start().await, Yard::new());
    let limits = "{suspend: true, concurrency: {policy: Queue, limit: 2}}";
    let job = house.job("resume", &yard.takes_one_of(2), limits).await;
    let runs = send(&house, &job, 7).await;
    for run in &runs {
        assert_eq!(message(&house.reaches(run, Phase::Queued).await), "job resume is suspended");
    }
    house.patch_job("resume", json!({"spec": {"suspend": false}})).await;
    all_succeed(&house, &runs).await;
    assert!(made_in_order(&house, &runs).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_die_lose_no_place_give_none_twice_and_keep_the_order() {
    let (mut house, yard) = (House::start().await, Yard::new());
    let job = house.job("crash", &yard.takes_one_of(2), "{concurrency: {policy: Queue, limit: 2}}").await;
    let runs = send(&house, &job, 12).await;
    for run in [1, 4, 7] {
        house.ended(&runs[run]).await;
        house.kill_controllers().await;
        house.start_controllers();
    }
    all_succeed(&house, &runs).await;
    assert!(made_in_order(&house, &runs).await);
    let made = house.wire.writes("POST /apis/batch/v1/").len();
    assert_eq!(made, runs.len(), "nothing was made twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_obeys_the_policy_of_now() {
    let (house, yard) = (House::start().await, Yard::new());
    let job = house.job("edit", &yard.waits(), "{concurrency: {policy: Queue}}").await;
    let runs = send(&house, &job, 4).await;
    house.reaches(&runs[0], Phase::Running).await;
    house.reaches(&runs[3], Phase::Queued).await;
    house.patch_job("edit", json!({"spec": {"concurrency": {"limit": 2}}})).await;
    house.reaches(&runs[1], Phase::Running).await;
    eventually("the third says what it waits for now", async || {
        let found = message(&house.execution(&runs[2]).await);
        if found == "waits for one of 2 places of job edit" { Ok(()) } else { Err(found) }
    })
    .await;
    // A run that is cancelled while it waits leaves the queue, and nobody waits for it.
    ops::cancel(&house.client, &house.namespace, &runs[2]).await.unwrap();
    assert_completed(&house.ended(&runs[2]).await, "Cancelled", "cancelled on request");
    house.patch_job("edit", json!({"spec": {"concurrency": null}})).await;
    house.reaches(&runs[3], Phase::Running).await;
    yard.open();
    all_succeed(&house, &[runs[0].clone(), runs[1].clone(), runs[3].clone()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_may_have_under_way_is_shared_by_all_jobs() {
    let (mut house, yard) = (House::without_controllers().await, Yard::new());
    house.guards = plan::Guards { live: Some(2), live_per_namespace: None };
    house.start_controllers();
    let script = yard.takes_one_of(2);
    let (one, two) = (house.job("one", &script, "{}").await, house.job("two", &script, "{}").await);
    let mut runs = send(&house, &one, 5).await;
    runs.extend(send(&house, &two, 5).await);
    all_succeed(&house, &runs).await;
    house.stop_controllers().await;
    house.guards = plan::Guards { live: None, live_per_namespace: Some(1) };
    house.start_controllers();
    let gated = house.job("gated", &yard.waits(), "{}").await;
    let runs = send(&house, &gated, 2).await;
    house.reaches(&runs[0], Phase::Running).await;
    let wanted = format!("waits for one of the 1 runs that namespace {} may have under way", house.namespace);
    assert_eq!(message(&house.reaches(&runs[1], Phase::Queued).await), wanted);
    yard.open();
    all_succeed(&house, &runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_while_any_watch_is_broken() {
    let mut house = House::without_controllers().await;
    let job = house.job("blind", "exit 0", "{}").await;
    for (group, plural) in [("/apis/batch/", "/jobs"), ("/apis/run.kakehi.dev/", "/triggers")] {
        // Of that kind the first list is served, the watch after it breaks, and no list after that is served.
        let (asked, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let counted = refused.clone();
        house.wire.faults.set(move |head| {
            let path = head.uri().path();
            if is_write(head) || !path.starts_with(group) || !path.ends_with(plural) {
                return None;
            }
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => None,
                1 => Some(Fault::Reset),
                _ => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Some(Fault::Answer(503))
                }
            }
        });
        house.start_controllers();
        let refusals = async |wanted: usize| {
            eventually("they try to list again", async || {
                let now = refused.load(Ordering::Relaxed);
                if now >= wanted { Ok(now) } else { Err(now) }
            })
            .await
        };
        let before = refusals(1).await;
        let run = house.send(&job, plural).await.execution;
        refusals(before + 2).await;
        assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none(), "{plural}");
        house.wire.faults.clear();
        all_succeed(&house, &[run]).await;
        house.stop_controllers().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_queue_such_as_kueue_holds_waits_and_is_not_stuck() {
    let mut house = House::without_controllers().await;
    let job = house.job("kueue", "exit 0", "{startDeadlineSeconds: 3600}").await;
    house
        .patch_job(
            "kueue",
            json!({"spec": {"template": {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "fast"}}}}}),
        )
        .await;
    let job = house.api::<Job>().get(job.metadata.name.as_deref().unwrap()).await.unwrap();
    // As Kueue's webhook does: the task set is born suspended.
    let run = house.send(&job, "1").await.execution;
    let execution = house.execution(&run).await;
    let mut task_set = plan::task_set(&execution);
    let labels = task_set.metadata.labels.clone().unwrap();
    assert_eq!(labels.get("kueue.x-k8s.io/queue-name").map(String::as_str), Some("fast"));
    task_set.spec.as_mut().unwrap().suspend = Some(true);
    for files in plan::files(&execution).unwrap() {
        house.api().create(&PostParams::default(), &files).await.unwrap();
    }
    house.api().create(&PostParams::default(), &task_set).await.unwrap();
    // Long after the deadline by which a task must have started.
    house.start_controllers_by(later);
    let held = house.reaches(&run, Phase::Starting).await;
    assert_eq!(message(&held), "the batch/v1 Job is suspended by a queue");
    house.stop_controllers().await;
    house.start_controllers();
    let admit = Patch::Merge(json!({"spec": {"suspend": false}}));
    house.api::<batchv1::Job>().patch(&run, &PatchParams::default(), &admit).await.unwrap();
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}
