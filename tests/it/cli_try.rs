//! `kakehi try`, as the binary does it: from an event to a result, and what it says when that fails.

use crate::support::process::Home;

/// A Job of two tasks that runs that shell command, and a Trigger for orders.
fn manifests(command: &str) -> String {
    format!(
        "apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {{name: work}}
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          maxRetries: 0
          containers: [{{image: busybox, command: [/bin/sh, -c, {command:?}]}}]
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Trigger
metadata: {{name: orders}}
spec:
  filters: [{{exact: {{type: com.example.order}}}}]
  job: {{name: work}}
"
    )
}

fn event(kind: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"42","source":"/shop","type":"{kind}","data":{{"total":7}}}}"#)
}

#[tokio::test]
async fn the_sample_shows_the_whole_way_of_an_event() {
    let out = Home::new().run(&["try"]).await.good();
    let in_order = [
        "Applied    job.run.kakehi.dev/pack-order, trigger.run.kakehi.dev/paid-orders",
        "Event      com.example.order.paid 1001 from /shop/tokyo",
        "Trigger    paid-orders matches: type=com.example.order.paid and source^=/shop",
        "Execution  pack-order-",
        "batch/v1 Job pack-order-",
        "Indexed, completions 3, parallelism 2",
        "TASK   ATTEMPTS   STATUS",
        "Result     Succeeded after ",
        r#"{"order": "1001", "parts": 3}"#,
    ];
    let mut rest = out.as_str();
    for words in in_order {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} is missing or too early:\n{out}"));
        rest = rest.split_at(at).1;
    }
    for task in 0..3 {
        assert!(out.contains(&format!("[task {task}] order 1001 of type com.example.order.paid")), "{out}");
        assert!(out.contains(&format!("[task {task}] packing part {} of 3", task + 1)), "{out}");
        assert!(out.contains(&format!("[task {task}] data: {{\"items\"")), "{out}");
    }
}

#[tokio::test]
async fn the_exit_code_is_the_runs() {
    let home = Home::new();
    let order = home.file("order.json", &event("com.example.order"));
    let good = home.file("good.yaml", &manifests("echo $CE_ID"));
    let out = home.run(&["try", "-f", &good, "--event", &order]).await.good();
    assert!(out.contains("[task 1] 42"), "{out}");
    let bad = home.file("bad.yaml", &manifests("echo no >&2; exit $((CLOUD_RUN_TASK_INDEX * 3))"));
    let ended = home.run(&["try", "-f", &bad, "--event", &order]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("NonZeroExitCode"), "{ended:?}");
    assert!(ended.out.contains("[task 1] no"), "{ended:?}");
}

#[tokio::test]
async fn an_event_that_nothing_matches_fails_and_says_why() {
    let home = Home::new();
    let order = home.file("order.json", &event("com.example.other"));
    let path = home.file("m.yaml", &manifests("true"));
    let ended = home.run(&["try", "-f", &path, "--event", &order]).await;
    assert!(ended.out.contains("orders does not match: type=com.example.order"), "{ended:?}");
    assert!(ended.bad(1).contains("no Trigger matches the event"));
}

#[tokio::test]
async fn a_job_can_be_tried_by_hand_or_by_its_address() {
    let home = Home::new();
    let path = home.file("m.yaml", &manifests("echo ${CE_ID:-nobody} called"));
    let out = home.run(&["try", "-f", &path]).await.good();
    assert!(out.contains("[task 0] nobody called"), "{out}");
    let other = home.file("order.json", &event("com.example.other"));
    let out = home.run(&["try", "-f", &path, "--event", &other, "--job", "work"]).await.good();
    assert!(out.contains("[task 0] 42 called"), "{out}");
}

#[tokio::test]
async fn a_trial_that_takes_too_long_is_four_and_leaves_no_process() {
    let home = Home::new();
    let mark = home.path().join("alive");
    let command =
        format!("trap 'rm -f {0}; exit 1' TERM; touch {0}; while :; do sleep 0.1; done", mark.display());
    let path = home.file("m.yaml", &manifests(&command));
    let message = home.run(&["try", "-f", &path, "--timeout", "4s"]).await.bad(4);
    assert!(message.contains("gave up after 4.0s"), "{message}");
    assert!(!mark.exists(), "a task was left behind, or never ran");
}
