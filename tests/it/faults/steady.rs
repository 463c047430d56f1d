//! Where nothing changes, nothing is written.

use k8s_openapi::api::batch::v1 as batchv1;
use kube::api::{Patch, PatchParams};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_nothing_changes() {
    let mut machine = Machine::start().await;
    machine.house.job("work", "exit 0", "{}").await;
    machine.house.job("idle", "exit 0", "{suspend: true}").await;
    machine.house.job("long", "exec sleep 120", "{}").await;
    machine.house.start_controllers();
    let finished = machine.send("work", "1").await;
    machine.succeeds(&finished).await;
    let (queued, running) = (machine.send("idle", "1").await, machine.send("long", "1").await);
    for (run, wanted) in [(&queued, Phase::Queued), (&running, Phase::Running)] {
        eventually("the runs are where they stay", async || {
            let found = plan::phase(&machine.house.api::<Execution>().get(run).await.unwrap());
            if found == wanted { Ok(()) } else { Err(found) }
        })
        .await;
    }
    eventually("everything is summed up", async || {
        let jobs = machine.house.api::<Job>().list(&ListParams::default()).await.unwrap().items;
        let statuses =
            jobs.into_iter().map(|job| (job.metadata.name.unwrap(), job.status.unwrap_or_default()));
        let counts: BTreeMap<_, _> =
            statuses.map(|(name, status)| (name, (status.queued_count, status.running_count))).collect();
        let wanted = [("idle", (1, 0)), ("long", (0, 1)), ("work", (0, 0))];
        if counts == wanted.map(|(name, counts)| (name.to_owned(), counts)).into() {
            Ok(())
        } else {
            Err(counts)
        }
    })
    .await;
    // New controllers look at everything once; then everything is touched, so that it is looked at again.
    machine.house.stop_controllers().await;
    let before = machine.house.wire.writes("").len();
    machine.house.start_controllers();
    let touch = Patch::Merge(json!({"metadata": {"annotations": {"somebody": "was here"}}}));
    let parameters = PatchParams::default();
    for run in [&finished, &queued, &running] {
        machine.house.api::<Execution>().patch(run, &parameters, &touch).await.unwrap();
    }
    machine.house.api::<batchv1::Job>().patch(&running, &parameters, &touch).await.unwrap();
    machine.house.api::<Job>().patch("idle", &parameters, &touch).await.unwrap();
    // What was touched is looked at before a run that comes later has ended.
    machine.succeeds(&machine.send("work", "2").await).await;
    let mut writes = machine.house.wire.writes("").split_off(before);
    writes.retain(|write| {
        [&finished, &queued, &running, "jobs/idle/", "jobs/long/"].iter().any(|part| write.contains(*part))
    });
    assert!(writes.is_empty(), "{writes:#?}");
    ops::cancel(&machine.house.client, &machine.house.namespace, &running).await.unwrap();
    let ended =
        tokio::time::timeout(DEADLINE, ops::wait(&machine.house.client, &machine.house.namespace, &running))
            .await;
    assert_eq!(plan::phase(&ended.expect("it ends").unwrap()), Phase::Cancelled);
}
