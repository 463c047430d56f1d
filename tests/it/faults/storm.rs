//! Fifty runs under faults of every kind at random.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use super::*;
use crate::support::faults::{Fault, Head, storm};

const RUNS: usize = 50;
/// Requests of a thousand that fail. A step makes about four, so that a third of all steps fail.
const PER_MILLE: u64 = 100;

/// Which faults came, and how often.
#[derive(Debug, Clone, Default)]
struct Hits(Arc<Mutex<BTreeMap<String, usize>>>);

impl Hits {
    fn counting(
        &self,
        storm: impl Fn(&Head) -> Option<Fault> + Send + Sync + 'static,
    ) -> impl Fn(&Head) -> Option<Fault> + Send + Sync + 'static {
        let hits = self.clone();
        move |head| {
            let fault = storm(head)?;
            let kind = if let Fault::Slow(_) = fault { "Slow".to_owned() } else { format!("{fault:?}") };
            *hits.0.lock().unwrap().entry(kind).or_default() += 1;
            Some(fault)
        }
    }
}

/// The `ConfigMap`s of runs; a cluster puts one of its own into every namespace.
async fn count_of_files(machine: &Machine) -> usize {
    let selected = ListParams::default().labels("run.kakehi.dev/execution");
    machine.house.api::<ConfigMap>().list(&selected).await.unwrap().items.len()
}

/// One storm: every event is taken, every run ends, and nothing is there twice.
async fn weather(seed: u64) {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    let hits = Hits::default();
    machine.wire.faults.set(hits.counting(storm(seed, PER_MILLE)));
    machine.house.wire.faults.set(hits.counting(storm(!seed, PER_MILLE)));
    machine.house.start_controllers();

    let ids: Vec<String> = (0..RUNS).map(|number| format!("{seed}-{number}")).collect();
    let runs = join_all(ids.iter().map(|id| machine.send("work", id))).await;
    let again = join_all(ids.iter().map(|id| machine.send("work", id))).await;
    assert_eq!(runs, again, "a repeated event is the same run");
    assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), RUNS);
    let ended = join_all(runs.iter().map(|run| machine.succeeds(run))).await;

    assert_eq!(machine.count::<Execution>().await, RUNS);
    for (there, made) in [
        (machine.count::<batchv1::Job>().await, machine.task_sets_made()),
        (count_of_files(&machine).await, machine.house.wire.writes("/configmaps").len()),
    ] {
        assert_eq!((there, made), (RUNS, RUNS), "nothing was made twice");
    }
    assert_eq!(machine.count::<Pod>().await, RUNS, "every task ran once");
    for run in ended {
        let name = run.metadata.name.unwrap();
        let owners =
            machine.house.api::<batchv1::Job>().get(&name).await.unwrap().metadata.owner_references.unwrap();
        assert_eq!(Some(owners[0].uid.clone()), run.metadata.uid, "{name}");
    }
    let hits = hits.0.lock().unwrap().clone();
    // How many requests there are depends on what waits for what; about 45 faults are usual.
    assert!(hits.len() >= 6 && hits.values().sum::<usize>() >= RUNS / 2, "it was no storm: {hits:?}");
    // The watches of the controllers mend themselves, so the sum is right in the end.
    eventually("the Job counts its runs", async || {
        let status = machine.house.api::<Job>().get("work").await.unwrap().status.unwrap_or_default();
        let counts = (status.execution_count, status.running_count, status.queued_count);
        if counts == (i64::try_from(RUNS).unwrap(), 0, 0) { Ok(()) } else { Err(counts) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_runs_end_once_each_in_a_storm() {
    weather(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_runs_end_once_each_in_another_storm() {
    weather(0x5eed).await;
}
