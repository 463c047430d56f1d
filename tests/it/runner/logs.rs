//! Logs as `kubectl logs` reads them, through the API server.

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::api::LogParams;
use serde_json::json;

use crate::runner::{Machine, one};

#[tokio::test]
async fn a_log_is_followed_from_its_first_to_its_last_line() {
    let machine = Machine::start().await;
    // Each line is written only when the one before was read.
    let script = "for n in 1 2 3; do echo line $n; until [ -e seen-$n ]; do sleep 0.02; done; done; echo end";
    let pod = machine.script("p", script).await;
    machine.says("p", "line 1").await;
    let work = machine.root.path().join("pods").join(pod.metadata.uid.unwrap()).join("work");
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = machine.pods().log_stream("p", &follow).await.unwrap().lines();
    for number in 1..=3 {
        assert_eq!(lines.try_next().await.unwrap().unwrap(), format!("line {number}"));
        std::fs::write(work.join(format!("seen-{number}")), "").unwrap();
    }
    assert_eq!(lines.try_next().await.unwrap().as_deref(), Some("end"));
    assert_eq!(lines.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn parts_of_a_log_are_read() {
    let machine = Machine::start().await;
    machine.script("p", "for n in 1 2 3 4 5; do echo $n; done").await;
    machine.end("p").await;
    let read = async |params: LogParams| machine.pods().logs("p", &params).await.unwrap();
    assert_eq!(read(LogParams { tail_lines: Some(2), ..LogParams::default() }).await, "4\n5\n");
    assert_eq!(read(LogParams { limit_bytes: Some(3), ..LogParams::default() }).await, "1\n2");
    assert_eq!(
        read(LogParams { since_seconds: Some(3600), ..LogParams::default() }).await,
        "1\n2\n3\n4\n5\n"
    );
    let timed = read(LogParams { tail_lines: Some(1), timestamps: true, ..LogParams::default() }).await;
    let (time, text) = timed.split_once(' ').unwrap();
    assert_eq!(text, "5\n");
    time.parse::<k8s_openapi::jiff::Timestamp>().unwrap();
}

#[tokio::test]
async fn the_log_of_the_attempt_before_is_kept() {
    let machine = Machine::start().await;
    let mut spec = one(
        json!({ "command": ["sh", "-c", "echo x >> runs; n=$(wc -l < runs); echo run $n; [ $n -ge 4 ]"] }),
    );
    spec["restartPolicy"] = json!("OnFailure");
    machine.create("p", spec).await;
    machine.end("p").await;
    assert_eq!(machine.log("p").await, "run 4\n");
    let previous = LogParams { previous: true, ..LogParams::default() };
    assert_eq!(machine.pods().logs("p", &previous).await.unwrap(), "run 3\n");
}

#[tokio::test]
async fn a_container_that_was_not_started_has_no_log() {
    let machine = Machine::start().await;
    machine.create("p", json!({ "containers": [{ "name": "main", "image": "busybox" }] })).await;
    machine.end("p").await;
    let error = machine.pods().logs("p", &LogParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!(status.code, 400);
}
