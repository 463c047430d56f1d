//! The life of batch/v1 Jobs.

use super::*;

const INDEXED: &str = "completionMode: Indexed, completions: 3, parallelism: 2, backoffLimitPerIndex: 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indexed_job_runs_to_completion() {
    let field = Field::new().await;
    let job = field.job("j", INDEXED).await;
    let first = field.until_active("j", &[0, 1]).await;
    let pod = &first[1];
    let (prefix, random) =
        pod.metadata.name.as_deref().and_then(|name| name.rsplit_once('-')).expect("a name");
    assert_eq!((prefix, random.len()), ("j-1", 5));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("j-1-"));
    assert_eq!(pod.labels().get("batch.kubernetes.io/controller-uid"), job.metadata.uid.as_ref());
    assert_eq!(pod.labels().get("job-name").map(String::as_str), Some("j"));
    assert_eq!(annotation(pod, "job-index-failure-count"), "0");
    assert!(tracked(pod));
    let spec = pod.spec.as_ref().expect("a spec");
    assert_eq!(spec.hostname.as_deref(), Some("j-1"));
    let variable = spec.containers[0].env.iter().flatten().last().expect("a variable");
    assert_eq!(variable.name, "JOB_COMPLETION_INDEX");

    field.run(&first[0]).await;
    let running = field.until("j", "one ready", |status| status.ready == Some(1)).await;
    assert_eq!((running.active, running.succeeded), (Some(2), None));
    field.succeed(&first[0]).await;
    let second = field.until_active("j", &[1, 2]).await;
    assert_eq!(
        field.until("j", "one done", |status| status.succeeded == Some(1)).await.completed_indexes.as_deref(),
        Some("0")
    );
    field.succeed(&second[0]).await;
    field.succeed(&second[1]).await;

    let (reason, status) = field.until_condition("j", "Complete").await;
    assert_eq!(reason, "CompletionsReached");
    assert_eq!(status.completed_indexes.as_deref(), Some("0-2"));
    assert_eq!((status.succeeded, status.failed, status.active), (Some(3), None, None));
    assert!(status.start_time <= status.completion_time && status.completion_time.is_some());
    let released = async || {
        let pods = field.all("j").await;
        if pods.iter().any(tracked) { Err(pods.len()) } else { Ok(pods) }
    };
    assert_eq!(eventually("no finalizer is left", released).await.len(), 3, "one pod per index");
    field.until_events("j", "SuccessfulCreate", 3).await;
    field.until_events("j", "Completed", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_retried_and_then_given_up() {
    let field = Field::new().await;
    field.job("j", INDEXED).await;
    let pods = field.until_active("j", &[0, 1]).await;
    field.fail(&pods[0], 1).await;
    let again = async || {
        let pods = field.active("j").await;
        pods.into_iter()
            .find(|pod| index(pod) == Some(0))
            .filter(|pod| annotation(pod, "job-index-failure-count") == "1")
            .ok_or("no retry")
    };
    let retry = eventually("index 0 is retried", again).await;
    field.until("j", "the failure counts", |status| status.failed == Some(1)).await;
    field.fail(&retry, 1).await;
    let failed =
        field.until("j", "index 0 fails", |status| status.failed_indexes.as_deref() == Some("0")).await;
    assert_eq!(reason(&failed, "FailureTarget"), None, "the other indexes are still tried");
    for index in [1, 2] {
        let pods = eventually("the other indexes run", async || {
            let pods = field.active("j").await;
            pods.into_iter().find(|pod| super::index(pod) == Some(index)).ok_or(index)
        });
        field.succeed(&pods.await).await;
    }
    let (reason, status) = field.until_condition("j", "Failed").await;
    assert_eq!(reason, "FailedIndexes");
    assert_eq!(
        (status.failed, status.succeeded, status.completed_indexes.as_deref()),
        (Some(2), Some(2), Some("1,2"))
    );
    field.until_events("j", "FailedIndexes", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_for_its_backoff() {
    if cluster::differs("workload::jobs::a_retry_waits_for_its_backoff") {
        return;
    }
    let long = Duration::from_secs(3600);
    let field = Field::with(workload::Options { backoff_base: long, backoff_cap: long, ..options() }).await;
    field.job("j", "completionMode: Indexed, completions: 2, parallelism: 1, backoffLimitPerIndex: 1").await;
    let pods = field.until_active("j", &[0]).await;
    field.fail(&pods[0], 1).await;
    // The next index does not wait with it.
    let pods = field.until_active("j", &[1]).await;
    field.succeed(&pods[0]).await;
    field
        .until("j", "nothing else to do", |status| status.succeeded == Some(1) && status.active.is_none())
        .await;
    let left = field.all("j").await;
    assert!(
        left.iter().any(|pod| phase(pod) == "Failed" && tracked(pod)),
        "its counts are needed for the retry"
    );
    assert_eq!(left.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disruption_costs_no_retry_and_a_fatal_exit_code_ends_the_job() {
    let field = Field::new().await;
    let rules = "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}, {action: FailJob, onExitCodes: {operator: In, values: [42]}}]}";
    field.job("j", &format!("completionMode: Indexed, completions: 2, parallelism: 2, backoffLimitPerIndex: 0, podReplacementPolicy: Failed, {rules}")).await;
    let pods = field.until_active("j", &[0, 1]).await;
    let mut disrupted = ended(137);
    disrupted["conditions"] = json!([{"type": "DisruptionTarget", "status": "True"}]);
    set_status(&field.pods(), &pods[0], disrupted).await;
    let again = async || {
        let pods = field.active("j").await;
        pods.into_iter()
            .find(|pod| annotation(pod, "job-index-ignored-failure-count") == "1")
            .ok_or("no replacement")
    };
    let replacement = eventually("index 0 runs again", again).await;
    assert_eq!((index(&replacement), annotation(&replacement, "job-index-failure-count")), (Some(0), "0"));

    field.bind(&pods[1]).await;
    field.run(&pods[1]).await;
    field.fail(&replacement, 42).await;
    let (reason, status) = field.until_condition("j", "FailureTarget").await;
    assert_eq!(reason, "PodFailurePolicy");
    let message = status
        .conditions
        .iter()
        .flatten()
        .find_map(|condition| condition.message.clone())
        .expect("a message");
    assert!(message.contains("exit code 42"), "{message}");
    let stopping =
        field.until("j", "the other pod is stopping", |status| status.terminating == Some(1)).await;
    assert_eq!(super::reason(&stopping, "Failed"), None, "a job is over only when its pods are");
    field.confirm_deleted(&pods[1]).await;
    let (_, status) = field.until_condition("j", "Failed").await;
    assert_eq!((status.failed, status.active, status.terminating), (Some(2), None, Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspension_stops_pods_gracefully_and_resuming_starts_them_anew() {
    let field = Field::new().await;
    field.job("j", "completionMode: Indexed, completions: 2, parallelism: 2, backoffLimitPerIndex: 0, podReplacementPolicy: Failed").await;
    let pods = field.until_active("j", &[0, 1]).await;
    field.succeed(&pods[0]).await;
    field.until("j", "index 0 is done", |status| status.succeeded == Some(1)).await;
    field.bind(&pods[1]).await;
    field.run(&pods[1]).await;
    field.change("j", json!({"suspend": true})).await;
    let (reason, status) = field.until_condition("j", "Suspended").await;
    assert_eq!(reason, "JobSuspended");
    assert_eq!(
        (status.active, status.terminating, status.completed_indexes.as_deref()),
        (None, Some(1), Some("0"))
    );
    // It ends badly; nobody counts that.
    field.fail(&pods[1], 143).await;
    field.confirm_deleted(&pods[1]).await;
    field.until("j", "nothing runs", |status| status.terminating == Some(0)).await;
    field.until_events("j", "Suspended", 1).await;
    field.until_events("j", "SuccessfulDelete", 1).await;

    field.change("j", json!({"suspend": false})).await;
    let pods = field.until_active("j", &[1]).await;
    field.succeed(&pods[0]).await;
    let (_, status) = field.until_condition("j", "Complete").await;
    assert_eq!((status.failed, status.completed_indexes.as_deref()), (None, Some("0,1")));
    field.until_events("j", "Resumed", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallelism_changes_while_the_job_runs() {
    let field = Field::new().await;
    field.job("j", "completionMode: Indexed, completions: 4, parallelism: 0").await;
    let paused = field.until("j", "it started", |status| status.start_time.is_some()).await;
    assert_eq!((paused.active, field.all("j").await.len()), (None, 0));
    field.change("j", json!({"parallelism": 3})).await;
    let pods = field.until_active("j", &[0, 1, 2]).await;
    field.run(&pods[2]).await;
    field.change("j", json!({"parallelism": 1})).await;
    field.until_active("j", &[2]).await;
    let lowered = field.until("j", "one is active", |status| status.active == Some(1)).await;
    assert_eq!(lowered.failed, None, "pods that are stopped count as nothing");
    field.change("j", json!({"parallelism": 4})).await;
    for pod in field.until_active("j", &[0, 1, 2, 3]).await {
        field.succeed(&pod).await;
    }
    field.until_condition("j", "Complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_job_counts_successes_and_failures() {
    let field = Field::new().await;
    field.job("j", "completions: 2, parallelism: 1, backoffLimit: 1").await;
    for (round, code) in [1, 0, 0].into_iter().enumerate() {
        let look = async || field.active("j").await.pop().ok_or(round);
        let pod = eventually("a pod runs", look).await;
        assert_eq!(index(&pod), None);
        if code == 0 { field.succeed(&pod).await } else { field.fail(&pod, code).await }
    }
    let (_, status) = field.until_condition("j", "Complete").await;
    assert_eq!((status.succeeded, status.failed), (Some(2), Some(1)));

    field.job("k", "completions: 2, parallelism: 1, backoffLimit: 0").await;
    let look = async || field.active("k").await.pop().ok_or("none");
    field.fail(&eventually("a pod runs", look).await, 1).await;
    let (reason, status) = field.until_condition("k", "Failed").await;
    assert_eq!((reason.as_str(), status.failed), ("BackoffLimitExceeded", Some(1)));
    assert_eq!(field.active("k").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_job_without_any_other_change() {
    let field = Field::new().await;
    field.job("j", "activeDeadlineSeconds: 1").await;
    let (reason, status) = field.until_condition("j", "Failed").await;
    assert_eq!((reason.as_str(), status.failed), ("DeadlineExceeded", Some(1)));
    let look = async || Some(field.all("j").await).filter(Vec::is_empty).ok_or("a pod is left");
    eventually("its pod, which no kubelet knew, is gone", look).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_controller_is_left_alone() {
    let field = Field::new().await;
    field.job("theirs", "managedBy: example.com/controller").await;
    field.job("ours", "completions: 1").await;
    field.until("ours", "ours starts", |status| status.active == Some(1)).await;
    assert_eq!(field.all("theirs").await.len(), 0);
    assert_eq!(field.status("theirs").await, JobStatus::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_job_that_is_gone_lose_their_finalizer() {
    let field = Field::new().await;
    field.job("j", "completions: 1").await;
    let look = async || field.active("j").await.pop().ok_or("none");
    let pod = eventually("a pod runs", look).await;
    field.bind(&pod).await;
    field.jobs().delete("j", &DeleteParams::background()).await.expect("it exists");
    let released = async || {
        let pod = field.pods().get_opt(&pod.name_any()).await.expect("the API answers");
        if pod.as_ref().is_some_and(tracked) { Err("still tracked") } else { Ok(()) }
    };
    eventually("the finalizer is gone", released).await;
}
