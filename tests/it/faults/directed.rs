//! Each kind of fault at each request that matters.

use std::time::Duration;

use k8s_openapi::api::batch::v1 as batchv1;

use super::*;
use crate::support::faults::{Fault, Head, is_watch, is_write};

/// The writes of one run, as the end of their path and the method.
const WRITES: [(&str, Method); 3] =
    [("/configmaps", Method::POST), ("/jobs", Method::POST), ("/status", Method::PATCH)];

/// What the controllers watch: group and plural.
const WATCHED: [(&str, &str); 5] = [
    ("/apis/run.kakehi.dev/", "/executions"),
    ("/apis/run.kakehi.dev/", "/jobs"),
    ("/apis/run.kakehi.dev/", "/triggers"),
    ("/apis/batch/", "/jobs"),
    ("/api/v1/", "/pods"),
];

/// How long an answer may be silent where that is what a scenario is about. Longer than any real answer takes.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_write_of_a_run_is_mended() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.start_controllers();
    let faults = [409, 429, 500, 503, 504].map(Fault::Answer);
    let faults = faults.into_iter().chain([Fault::Lose, Fault::LoseAll, Fault::Reset, Fault::Cut(0)]);
    let mut runs = 0;
    for fault in faults {
        for (path, method) in WRITES {
            let is_wanted = move |head: &Head| {
                let is_status = path == "/status" && head.uri().path().contains("/executions/");
                *head.method() == method
                    && head.uri().path().ends_with(path)
                    && (is_status || path != "/status")
            };
            let hit = machine.house.wire.faults.once(fault, is_wanted);
            let run = machine.send("work", &runs.to_string()).await;
            machine.succeeds(&run).await;
            assert!(hit.came(), "{fault:?} at {path}");
            runs += 1;
            let made = machine.task_sets_made();
            assert_eq!(made, runs, "{fault:?} at {path}");
        }
    }
    assert_eq!(machine.count::<batchv1::Job>().await, runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_look_of_a_run_is_mended() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.start_controllers();
    machine.succeeds(&machine.send("work", "first").await).await;
    for (number, fault) in
        [Fault::Answer(429), Fault::Answer(500), Fault::Reset, Fault::Cut(0)].into_iter().enumerate()
    {
        let is_look = |head: &Head| !is_write(head) && head.uri().path().contains("/executions/work-");
        let hit = machine.house.wire.faults.once(fault, is_look);
        let run = machine.send("work", &number.to_string()).await;
        machine.succeeds(&run).await;
        assert!(hit.came(), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ends_in_any_way_is_mended() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    let faults = [
        Fault::Answer(410),
        Fault::Answer(503),
        Fault::Reset,
        Fault::Cut(0),
        Fault::Cut(1),
        Fault::Expire(0),
        Fault::Expire(1),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        // The first watch of every kind.
        let left = Mutex::new(WATCHED.to_vec());
        let hits = Arc::new(Mutex::new(0));
        let counted = hits.clone();
        machine.house.wire.faults.set(move |head| {
            let mut left = left.lock().unwrap();
            let path = head.uri().path();
            let is_asked = |(group, plural): &(&str, &str)| path.starts_with(group) && path.ends_with(plural);
            let at = left.iter().position(is_asked).filter(|_| is_watch(head))?;
            left.remove(at);
            *counted.lock().unwrap() += 1;
            Some(fault)
        });
        machine.house.start_controllers();
        let run = machine.send("work", &number.to_string()).await;
        machine.succeeds(&run).await;
        eventually("every watch was hit", async || {
            let hits = *hits.lock().unwrap();
            if hits == WATCHED.len() { Ok(()) } else { Err(hits) }
        })
        .await;
        // And afterwards they are whole: the next run needs them all.
        let run = machine.send("work", &format!("{number}-again")).await;
        machine.succeeds(&run).await;
        machine.house.stop_controllers().await;
    }
    let runs = machine.count::<Execution>().await;
    assert_eq!(machine.task_sets_made(), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_or_watch_that_does_not_begin_is_asked_for_again() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.manners.silence = PATIENCE;
    // The first list and the first watch of every kind are never answered.
    let left: Vec<_> = WATCHED.iter().flat_map(|kind| [(*kind, false), (*kind, true)]).collect();
    let left = Arc::new(Mutex::new(left));
    let waiting = left.clone();
    machine.house.wire.faults.set(move |head| {
        let mut left = left.lock().unwrap();
        let path = head.uri().path();
        let is_asked = |((group, plural), watched): &((&str, &str), bool)| {
            path.starts_with(group) && path.ends_with(plural) && *watched == is_watch(head) && !is_write(head)
        };
        let asked = left.iter().position(is_asked)?;
        left.remove(asked);
        Some(Fault::Hang)
    });
    machine.house.start_controllers();
    let run = machine.send("work", "1").await;
    machine.succeeds(&run).await;
    assert_eq!(*waiting.lock().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_run_that_is_never_answered_is_made_again() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.manners.silence = PATIENCE;
    machine.house.start_controllers();
    let looks = [("/executions/work-", Method::GET)];
    for (number, (path, method)) in WRITES.into_iter().chain(looks).enumerate() {
        let is_wanted = move |head: &Head| {
            *head.method() == method
                && head.uri().path().contains(path)
                && !head.uri().path().contains("/jobs/work")
        };
        let hit = machine.house.wire.faults.once(Fault::Hang, is_wanted);
        let run = machine.send("work", &number.to_string()).await;
        machine.succeeds(&run).await;
        assert!(hit.came(), "{path}");
    }
}
