//! How runs start: once, in order, and not while they may not.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::ConfigMap;
use kakehi::ops::Outcome;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_deliveries_of_one_event_are_one_run() {
    let house = House::start().await;
    let job = house.job("once", "exit 0", "{}").await;
    let planned = plan::Prepared::new(job.clone()).for_event(&event("1"), None).unwrap();
    let accepted = futures::future::join_all((0..100).map(|_| ops::accept(&house.client, &planned))).await;
    let accepted: Vec<Accepted> = accepted.into_iter().map(Result::unwrap).collect();
    let created = accepted.iter().filter(|one| one.outcome == Outcome::Created).count();
    assert_eq!(created, 1);
    assert!(accepted.iter().all(|one| one.execution == accepted[0].execution));
    assert_eq!(house.api::<Execution>().list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert_completed(&house.ended(&accepted[0].execution).await, "Succeeded", "1 task succeeded");
    assert_eq!(house.send(&job, "1").await.outcome, Outcome::Duplicate, "also once it has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_event_holds_is_left_to_it() {
    let house = House::without_controllers().await;
    let job = house.job("names", "exit 0", "{}").await;
    let planned = plan::Prepared::new(job.clone()).for_event(&event("1"), None).unwrap();
    let mut other = planned.named(&planned.names()[0]);
    other.metadata.annotations.as_mut().unwrap().insert("run.kakehi.dev/digest".into(), "another".into());
    house.api::<Execution>().create(&PostParams::default(), &other).await.unwrap();
    let first = ops::accept(&house.client, &planned).await.unwrap();
    assert_eq!((first.execution.as_str(), first.outcome), (planned.names()[1].as_str(), Outcome::Created));
    let again = ops::accept(&house.client, &planned).await.unwrap();
    assert_eq!((again.execution.as_str(), again.outcome), (planned.names()[1].as_str(), Outcome::Duplicate));
}

/// Writes of a run between its start and its end that are fair: a real Job controller takes some time between the end of a
/// task, counting it, and the end of the Job, and each of them is told.
fn between() -> usize {
    if cluster::is_real() { 2 } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_costs_few_writes() {
    let house = House::start().await;
    let job = house.job("writes", "exit 0", "{}").await;
    let name = house.run(&job).await.metadata.name.unwrap();
    eventually("the end is reported", async || {
        let reported = house.reported(&name).await;
        if reported.contains(&"Completed".to_owned()) { Ok(()) } else { Err(reported) }
    })
    .await;
    let writes = house.wire.writes("");
    let of = |part: &str| writes.iter().filter(|write| write.contains(part)).count();
    assert_eq!(of("/configmaps"), 1, "{writes:#?}");
    assert_eq!(of("POST /apis/batch/v1"), 1, "{writes:#?}");
    // Starting, perhaps Running, and the end; each of the last two with its Event.
    assert!(of(&format!("executions/{name}/status")) <= 3 + between(), "{writes:#?}");
    assert!(of("/events") <= 2, "{writes:#?}");
    assert_eq!(writes.len(), of("configmaps") + of("batch") + of("/status") + of("/events"), "{writes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_events_runs_to_its_end_and_every_run_costs_few_writes() {
    const RUNS: usize = 60;
    let house = House::start().await;
    let job = house.job("burst", "exit 0", "{}").await;
    let mut runs = Vec::new();
    for id in 0..RUNS {
        runs.push(house.send(&job, &id.to_string()).await.execution);
    }
    for run in &runs {
        assert_completed(&house.ended(run).await, "Succeeded", "1 task succeeded");
    }
    let (made, written) = (house.wire.writes("POST /apis/batch"), house.wire.writes("/executions/"));
    assert_eq!(made.len(), RUNS);
    // Starting, Running and the end; a run that waits for a place or ends slowly may say so once.
    assert!(written.len() <= (4 + between()) * RUNS, "{} status writes for {RUNS} runs", written.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_queues_its_runs_and_a_resumed_one_starts_them() {
    let house = House::start().await;
    let job = house.job("held", "exit 0", "{suspend: true}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Queued).await;
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none());
    assert!(house.api::<ConfigMap>().get_opt(&run).await.unwrap().is_none());
    eventually("the Job counts it", async || {
        let status = house.api::<Job>().get("held").await.unwrap().status;
        if status.as_ref().is_some_and(|status| status.queued_count == 1) { Ok(()) } else { Err(status) }
    })
    .await;
    house.patch_job("held", json!({"spec": {"suspend": false}})).await;
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_can_start_ends_at_its_start_deadline() {
    // Long enough for the Pods to say what they wait for.
    let deadline = if cluster::is_real() { 10 } else { 3 };
    let house = House::start().await;
    house.job("nowhere", "exit 0", &format!("{{startDeadlineSeconds: {deadline}}}")).await;
    let needs = json!([{"name": "main", "image": "none", "command": ["true"], "env": [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "key"}}},
    ]}]);
    let patch = json!({"spec": {"template": {"spec": {"template": {"spec": {"containers": needs}}}}}});
    house.patch_job("nowhere", patch).await;
    let ended = house.run(&house.api().get("nowhere").await.unwrap()).await;
    let (_, reason, message) = completed(&ended);
    assert_eq!(reason, "ContainerConfigFailed", "{message}");
    let start = format!("no task started within {deadline} s: CreateContainerConfigError");
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains("missing"), "{message}");
    assert_eq!(counts(&ended), [0, 0, 1, 0]);
    let name = ended.metadata.name.unwrap();
    let set = house.api::<batchv1::Job>().get(&name).await.unwrap();
    assert_eq!(set.spec.unwrap().suspend, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_object_of_its_name_refuses_the_run() {
    for kind in ["ConfigMap", "Job"] {
        let mut house = House::without_controllers().await;
        let job = house.job("foreign", "exit 0", "{}").await;
        let run = house.send(&job, "1").await.execution;
        if kind == "ConfigMap" {
            let mut foreign = ConfigMap::default();
            foreign.metadata.name = Some(run.clone());
            house.api().create(&PostParams::default(), &foreign).await.unwrap();
        } else {
            let foreign: batchv1::Job = serde_json::from_value(json!({
                "metadata": {"name": run},
                "spec": {"suspend": true, "template": {"spec": {
                    "restartPolicy": "Never", "containers": [{"name": "c", "image": "none", "command": ["true"]}],
                }}},
            }))
            .unwrap();
            house.api().create(&PostParams::default(), &foreign).await.unwrap();
        }
        house.start_controllers();
        let ended = house.ended(&run).await;
        assert_completed(&ended, "Refused", plan::NAME_TAKEN);
        assert_eq!(counts(&ended), [0, 0, 1, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_the_api_server_refuses_end_the_run_with_its_words() {
    let house = House::start().await;
    // No Pod may mount one volume twice at the same path.
    let task = "{volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]}";
    let job = house.job_of("refused", "exit 0", "{}", task).await;
    let ended = house.run(&job).await;
    let (_, reason, message) = completed(&ended);
    assert_eq!(reason, "Refused", "{message}");
    assert!(message.contains("volumes"), "{message}");
}
