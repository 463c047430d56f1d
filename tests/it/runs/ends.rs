//! How runs end.

use futures::StreamExt;
use kakehi::ops;
use kakehi::ops::LogLine;
use kakehi::ops::LogOptions;
use kakehi::plan::Phase;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_becomes_a_finished_task_with_a_result() {
    let house = House::start().await;
    let script = "cat \"$K_EVENT_PATH/data\" > \"$TERMINATION_LOG_PATH\"";
    let job = house.job("one", script, "{}").await;
    let ended = house.run(&job).await;
    assert_completed(&ended, "Succeeded", "1 task succeeded");
    assert_eq!(counts(&ended), [1, 0, 0, 0]);
    let status = ended.status.as_ref().unwrap();
    assert_eq!(status.result.as_deref(), Some("{\"n\": 7}"));
    assert!(status.start_time.as_ref().unwrap().0 <= status.completion_time.as_ref().unwrap().0);
    let name = ended.metadata.name.as_deref().unwrap();
    eventually("the end is reported", async || {
        let reported = house.reported(name).await;
        if reported.last().is_some_and(|reason| reason == "Completed") { Ok(()) } else { Err(reported) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_reaches_its_container_whole() {
    let house = House::start().await;
    // As JSON it is longer by a third, so that both files together are larger than an object may be.
    let data = vec![0xfe; 480 * 1024];
    let large = Event::builder()
        .required("large", "/s", "order")
        .set("datacontenttype", "application/octet-stream")
        .data(data.clone())
        .build()
        .unwrap();
    let script = "wc -c < \"$K_EVENT_PATH/data\" > \"$TERMINATION_LOG_PATH\"; \
        test $(wc -c < \"$K_EVENT_PATH/event\") -gt 600000 || exit 3";
    let job = house.job("large", &script.replace("$(", "$$("), "{}").await;
    let run = house.send_event(&job, &large).await.execution;
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Succeeded", "1 task succeeded");
    let told = ended.status.unwrap().result.unwrap();
    assert_eq!(told.trim(), data.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_sees_the_event_as_it_was_sent() {
    let house = House::start().await;
    let script = "printf '%s|%s|%s|%s|%s|' \"$CE_SUBJECT\" \"$CE_TYPE\" \"$K_EXECUTION_MODE\" \"$CLOUD_RUN_JOB\" \"$CLOUD_RUN_TASK_ATTEMPT\" \
        > \"$TERMINATION_LOG_PATH\"; grep -c '\"subject\":\"a $(HOME) $$(X) b\"' \"$K_EVENT_PATH/event\" >> \"$TERMINATION_LOG_PATH\"";
    // The script itself goes through Kubernetes' expansion: what it means literally is doubled.
    let job = house.job("sees", &script.replace("$(", "$$(").replace("$$$(", "$$$$("), "{}").await;
    let ended = house.run(&job).await;
    assert_eq!(ended.status.unwrap().result.as_deref(), Some("a $(HOME) $$(X) b|order|batch|sees|0|1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tasks_two_at_a_time_each_with_its_index() {
    let house = House::start().await;
    let script = "echo \"task $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT\"; test \"$CLOUD_RUN_TASK_INDEX\" = \"$JOB_COMPLETION_INDEX\"";
    let job = house.job("three", script, "{taskCount: 3, parallelism: 2}").await;
    let ended = house.run(&job).await;
    assert_completed(&ended, "Succeeded", "3 tasks succeeded");
    assert_eq!(counts(&ended), [3, 0, 0, 0]);
    let name = ended.metadata.name.unwrap();
    let lines = ops::logs(&house.client, &house.namespace, &name, LogOptions::default()).await.unwrap();
    let lines: Vec<LogLine> = lines.map(Result::unwrap).collect().await;
    let wanted: Vec<_> =
        (0..3).map(|task| LogLine { task, attempt: 0, text: format!("task {task} of 3") }).collect();
    assert_eq!(lines, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_told_with_its_exit_code_and_last_words() {
    let house = House::start().await;
    let script = "echo starting; echo 'cannot read the order'; exit 3";
    let job = house.job_of("fails", script, "{}", "{maxRetries: 0}").await;
    let ended = house.run(&job).await;
    assert_completed(
        &ended,
        "NonZeroExitCode",
        "task 0 failed after 1 attempt: exit code 3: cannot read the order",
    );
    assert_eq!(counts(&ended), [0, 1, 0, 0]);
    let task = &ended.status.as_ref().unwrap().failed_tasks[0];
    assert_eq!((task.index, task.attempts, task.exit_code), (0, 1, Some(3)));
    assert!(task.started_at.is_some() && task.finished_at.is_some());
    let name = ended.metadata.name.as_deref().unwrap();
    eventually("the failure is reported", async || {
        let reported = house.reported(name).await;
        if reported.last().is_some_and(|reason| reason == "Failed") { Ok(()) } else { Err(reported) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_task_does_not_stop_the_others() {
    let house = House::start().await;
    let script = "test \"$CLOUD_RUN_TASK_INDEX\" != 1";
    let job = house.job_of("some", script, "{taskCount: 3, parallelism: 1}", "{maxRetries: 0}").await;
    let ended = house.run(&job).await;
    assert_completed(&ended, "NonZeroExitCode", "task 1 failed after 1 attempt: exit code 1");
    assert_eq!(counts(&ended), [2, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_task_may_succeed() {
    let house = House::start().await;
    let script = "echo \"attempt $CLOUD_RUN_TASK_ATTEMPT\"; test \"$CLOUD_RUN_TASK_ATTEMPT\" -ge 1";
    let job = house.job_of("again", script, "{}", "{maxRetries: 2}").await;
    let run = house.send(&job, "1").await.execution;
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let lines = ops::logs(&house.client, &house.namespace, &run, options).await.unwrap();
    let lines: Vec<LogLine> =
        tokio::time::timeout(DEADLINE, lines.map(Result::unwrap).collect()).await.unwrap();
    let wanted = [0, 1].map(|attempt| LogLine { task: 0, attempt, text: format!("attempt {attempt}") });
    assert_eq!(lines, wanted, "the stream follows retries and ends with the run");
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Succeeded", "1 task succeeded");
    assert_eq!(counts(&ended), [1, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_a_timeout() {
    let house = House::start().await;
    let job = house.job_of("slow", "exec sleep 600", "{}", "{maxRetries: 0, timeoutSeconds: 1}").await;
    let ended = house.run(&job).await;
    assert_completed(&ended, "TaskTimeout", "task 0 failed after 1 attempt: ran into its timeout of 1 s");
    assert_eq!(counts(&ended), [0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_has_no_event() {
    let house = House::start().await;
    let script = "test -z \"${K_EVENT_PATH+set}\" && echo by hand > \"$TERMINATION_LOG_PATH\"";
    house.job("manual", script, "{}").await;
    let first = ops::run(&house.client, &house.namespace, "manual", Some("request-7")).await.unwrap();
    let again = ops::run(&house.client, &house.namespace, "manual", Some("request-7")).await.unwrap();
    assert_eq!((first.outcome, again.outcome), (ops::Outcome::Created, ops::Outcome::Duplicate));
    assert_eq!(first.execution, again.execution);
    let ended = house.ended(&first.execution).await;
    assert_eq!(ended.status.as_ref().unwrap().result.as_deref(), Some("by hand\n"));
    let other = ops::run(&house.client, &house.namespace, "manual", None).await.unwrap();
    assert_ne!(other.execution, first.execution);
    let missing = ops::run(&house.client, &house.namespace, "nobody", None).await.unwrap_err();
    assert_eq!(missing.to_string(), "job nobody not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_run_is_gathered() {
    let house = House::start().await;
    let job = house.job("known", "exit 0", "{taskCount: 2}").await;
    let name = house.run(&job).await.metadata.name.unwrap();
    let description = eventually("everything is there", async || {
        let found = ops::describe(&house.client, &house.namespace, &name).await.unwrap();
        if found.events.iter().any(|event| event.reason.as_deref() == Some("Completed")) {
            Ok(found)
        } else {
            Err(found.events)
        }
    })
    .await;
    assert!(description.task_set.is_some());
    let indexes: Vec<_> = description.pods.iter().map(|pod| kakehi::plan::Attempt::of(pod).index()).collect();
    assert_eq!(indexes, [Some(0), Some(1)]);
    assert_eq!(kakehi::plan::phase(&description.execution), Phase::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_the_author_are_on_the_tasks_and_their_pods() {
    let house = House::start().await;
    house.job("labelled", "exit 0", "{}").await;
    let labels = serde_json::json!({"team": "red", "run.kakehi.dev/job": "forged"});
    house
        .patch_job("labelled", serde_json::json!({"spec": {"template": {"metadata": {"labels": labels}}}}))
        .await;
    let job: Job = house.api().get("labelled").await.unwrap();
    let run = house.run(&job).await.metadata.name.unwrap();
    let description = ops::describe(&house.client, &house.namespace, &run).await.unwrap();
    let task_set = description.task_set.unwrap().metadata.labels.unwrap();
    let pod = description.pods[0].metadata.labels.clone().unwrap();
    for labels in [task_set, pod] {
        assert_eq!((labels["team"].as_str(), labels["run.kakehi.dev/job"].as_str()), ("red", "labelled"));
        assert_eq!(labels["run.kakehi.dev/execution"], run);
    }
}
