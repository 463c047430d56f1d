//! What a run costs the API server, in requests of the controllers.

use std::time::Duration;

use futures::future::join_all;

use super::*;
use crate::support::faults::{Fault, Head, is_watch};

/// Enough at once that their steps and watches meet in every order.
const RUNS: usize = 30;

fn watches_executions(head: &Head) -> bool {
    is_watch(head) && head.uri().path().ends_with("/executions")
}

/// The requests about runs that are not watches, lists or the Job's own status, by method, kind and code.
fn bill(machine: &Machine) -> BTreeMap<String, usize> {
    let mut bill = BTreeMap::new();
    for line in machine.house.wire.asked("/namespaces/") {
        let (method, rest) = line.split_once(' ').unwrap();
        let (path, code) = rest.split_once(' ').unwrap();
        let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").skip(2).collect();
        let what = match parts[..] {
            ["jobs", "work", ..] => continue,
            [_] if method == "GET" && !path.ends_with("/pods") => continue,
            [plural] | [plural, _] => plural.to_owned(),
            [plural, _, subresource] => format!("{plural}/{subresource}"),
            _ => panic!("{line}"),
        };
        *bill.entry(format!("{method} {what} {code}")).or_default() += 1;
    }
    bill
}

/// Brings runs to their end and checks that nothing was written twice or refused.
async fn nothing_is_written_twice(machine: &Machine) {
    let ids: Vec<String> = (0..RUNS).map(|number| number.to_string()).collect();
    let runs = join_all(ids.iter().map(|id| machine.send("work", id))).await;
    join_all(runs.iter().map(|run| machine.succeeds(run))).await;
    let bill = bill(machine);
    let most = [
        // The event and the template, which no cache keeps. On a machine so slow that watches come seconds late, each
        // step that waited for one looks for itself.
        ("GET executions 200", 3),
        ("GET jobs 200", 2),
        // Where the task set was seen to have ended before its Pod.
        ("GET pods 200", 1),
        ("POST configmaps 201", 1),
        ("POST jobs 201", 1),
        // That it is starting, that it runs, how it ended, and what was counted if that took long.
        ("PATCH executions/status 200", 4),
        // That it runs and how it ended.
        ("POST events 201", 2),
    ];
    for (what, count) in &bill {
        let most = most.iter().find(|(known, _)| known == what).map_or(0, |(_, most)| *most);
        assert!(*count <= most * RUNS, "{what}: {count}; {bill:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_one_task_costs_eight_writes_at_most_and_no_conflict() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.start_controllers();
    nothing_is_written_twice(&machine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_behind_our_own_writes_costs_nothing() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    // The task set and the Pods are seen long before the status that was written.
    machine
        .house
        .wire
        .faults
        .set(|head| watches_executions(head).then_some(Fault::Lag(Duration::from_millis(300))));
    machine.house.start_controllers();
    nothing_is_written_twice(&machine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_loses_what_was_written_holds_nothing_up() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    // It brings the run, and nothing that becomes of it.
    machine.house.wire.faults.set(|head| watches_executions(head).then_some(Fault::Stall(1)));
    machine.house.start_controllers();
    let run = machine.send("work", "1").await;
    machine.succeeds(&run).await;
    let refused: Vec<String> =
        machine.house.wire.asked(" 409").into_iter().filter(|line| line.contains("/executions/")).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
