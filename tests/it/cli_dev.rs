//! `kakehi dev` and the client verbs against it, as the binary does them.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::support::process::{Dev, Home, end};
use crate::support::{DEADLINE, eventually};

const MANIFESTS: &str = "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: work}
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          maxRetries: 0
          containers: [{image: busybox, command: [/bin/sh, -c, 'echo order $CE_ID; printf done > $OUT'], env: [{name: OUT, value: /dev/termination-log}]}]
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: says}
spec:
  template:
    spec:
      template: {spec: {maxRetries: 0, containers: [{image: busybox, command: [/bin/sh, -c], args: ['echo nothing']}]}}
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: wait}
spec:
  template:
    spec:
      template: {spec: {maxRetries: 0, containers: [{image: busybox, command: [/bin/sh, -c, 'echo waiting; exec sleep 60']}]}}
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Trigger
metadata: {name: orders}
spec:
  filters: [{exact: {type: com.example.order}}]
  job: {name: work}
";

/// Sends until the Trigger is seen, and returns the name of the run.
async fn send(dev: &Dev, id: &str) -> String {
    eventually("the trigger matches", async || {
        let sent = dev.kakehi(&["send", "-t", "com.example.order", "--id", id, "--retry"]).await;
        match sent.good().trim() {
            "" => Err("nothing matched"),
            name => Ok(name.to_owned()),
        }
    })
    .await
}

async fn with_manifests() -> Dev {
    let home = Home::new();
    let path = home.file("m.yaml", MANIFESTS);
    Dev::start_in(home, &["--memory", "-f", &path]).await
}

#[tokio::test]
async fn an_event_can_be_followed_through_every_verb() {
    let mut dev = with_manifests().await;
    let name = send(&dev, "7").await;
    assert!(name.starts_with("work-"), "{name}");
    let ended = dev.ended(&name).await;
    assert_eq!((&ended["phase"], &ended["result"]), (&Value::from("Succeeded"), &Value::from("done")));

    let table = dev.kakehi(&["list"]).await.good();
    let row = table.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("{table}"));
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1..5], ["work", "Succeeded", "2/2", "trigger/orders"], "{table}");
    assert_eq!(
        dev.kakehi(&["list", "-o", "name"]).await.good().trim(),
        format!("execution.run.kakehi.dev/{name}")
    );
    let listed = dev.kakehi(&["list", "executions", "--job", "work", "-o", "json"]).await.json();
    assert_eq!(listed["items"][0]["metadata"]["name"], name.as_str());
    assert_eq!(listed["items"][0]["metadata"].get("managedFields"), None);
    let other = dev.kakehi(&["list", "--job", "wait"]).await;
    assert!(other.err.contains("no executions found in default"), "{other:?}");

    let logs = dev.kakehi(&["logs", &name]).await.good();
    assert_eq!(logs, "[task 0] order 7\n[task 1] order 7\n");
    let one = dev.kakehi(&["logs", &name, "--task", "1"]).await.good();
    assert_eq!(one, "order 7\n");
    assert!(dev.kakehi(&["logs", &name, "--task", "2"]).await.bad(2).contains("no task 2"));

    let told = dev.kakehi(&["describe", &name]).await.good();
    for words in
        ["Cause:          trigger/orders", "  type:         com.example.order", "Result:         done"]
    {
        assert!(told.contains(words), "{words:?}: {told}");
    }
    let yaml = dev.kakehi(&["describe", &format!("execution/{name}"), "-o", "yaml"]).await.good();
    assert!(yaml.contains("kind: Execution\n"), "{yaml}");
    assert!(dev.kakehi(&["describe", "job/work"]).await.good().contains(&name));

    let deleted = dev.kakehi(&["delete", "execution", &name]).await.good();
    assert_eq!(deleted, format!("execution.run.kakehi.dev/{name} deleted\n"));
    let gone = dev.kakehi(&["describe", &name]).await.bad(1);
    assert!(gone.contains("not found"), "{gone}");
    dev.kakehi(&["delete", "execution", &name, "--ignore-not-found"]).await.good();
    assert_eq!(dev.stop(Signal::SIGINT).await.0, 0);
}

#[tokio::test]
async fn knatives_own_yaml_runs_as_it_stands() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/knative/ping-source.yaml");
    let mut dev = Dev::start(&["-f", manifest]).await;
    assert_eq!(
        dev.ready["applied"],
        serde_json::json!([
            "job.run.kakehi.dev/tick created",
            "pingsource.sources.knative.dev/tick-json created",
            "pingsource.sources.knative.dev/tick-bytes created"
        ])
    );
    // One of them is due every ten seconds.
    let ended = dev.line("execution", |line| line["job"] == "tick" && line["phase"] == "Succeeded").await;
    let name = ended["name"].as_str().unwrap().to_owned();
    let run = dev.kakehi(&["describe", &format!("execution/{name}"), "-o", "json"]).await.json();
    let event = &run["spec"]["events"][0];
    let source = event["source"].as_str().unwrap();
    assert_eq!(event["type"], "dev.knative.sources.ping");
    assert!(source.starts_with("/apis/v1/namespaces/default/pingsources/tick-"), "{event}");
    let logs = dev.kakehi(&["logs", &name]).await.good();
    assert!(logs.contains(&format!("{source} at {}", event["time"].as_str().unwrap())), "{logs}");
    let wrong = std::fs::read_to_string(manifest).unwrap().replace("Asia/Tokyo", "Asia/Edo");
    let wrong = dev.home.file("wrong.yaml", &wrong);
    let refused = dev.kakehi(&["apply", "-f", &wrong, "--force-conflicts"]).await.bad(1);
    assert!(refused.contains("PingSource/tick-json cannot be applied"), "{refused}");
    assert!(refused.contains("spec.timezone") && refused.contains("Asia/Edo is no time zone"), "{refused}");
    assert_eq!(dev.stop(Signal::SIGINT).await.0, 0);
}

#[tokio::test]
async fn the_same_event_is_the_same_run() {
    let dev = with_manifests().await;
    let first = send(&dev, "7").await;
    let again = dev.kakehi(&["send", "-t", "com.example.order", "--id", "7", "--mode", "structured"]).await;
    assert!(again.err.contains("received before"), "{again:?}");
    assert_eq!(again.good().trim(), first);
    assert_ne!(send(&dev, "8").await, first);
    let answer = dev.kakehi(&["send", "-t", "com.example.order", "--id", "7", "-o", "json"]).await.json();
    assert_eq!(answer[0]["outcome"], "duplicate");
    assert_eq!(answer[0]["trigger"], "orders");
}

#[tokio::test]
async fn an_event_that_nothing_matches_is_accepted() {
    let dev = with_manifests().await;
    let sent = dev.kakehi(&["send", "-t", "com.example.other"]).await;
    assert!(sent.err.contains("no trigger of namespace default matched"), "{sent:?}");
    assert_eq!(sent.good(), "");
    let many = dev.kakehi(&["send", "-t", "com.example.other", "--repeat", "20"]).await;
    assert_eq!(many.good(), "");
    let refused = dev.kakehi(&["send", "-t", "t", "--job", "nobody"]).await.bad(1);
    assert!(refused.contains("(404)"), "{refused}");
}

#[tokio::test]
async fn a_run_by_hand_ends_with_the_runs_exit_code() {
    let dev = with_manifests().await;
    let ran = dev.kakehi(&["run", "work", "--logs"]).await;
    let out = ran.good();
    assert!(out.starts_with("work-"), "{out}");
    assert!(out.contains("[task 1] order"), "{out}");
    let changed =
        ["run", "work", "--wait", "--tasks", "1", "--task-timeout", "1m", "--env", "NOTE=a, b", "-o", "json"];
    let changed = dev.kakehi(&changed).await.json();
    assert_eq!(
        (&changed["status"]["succeededCount"], &changed["spec"]["overrides"]["taskCount"]),
        (&1.into(), &1.into())
    );
    let told = dev.kakehi(&["describe", changed["metadata"]["name"].as_str().unwrap()]).await.good();
    assert!(
        told.contains(
            "Overrides:\n  variable:     NOTE=a, b\n  tasks:        1\n  timeout:      60 s per attempt\n"
        ),
        "{told}"
    );
    let failed = dev.kakehi(&["run", "says", "--wait", "--", "echo no luck; exit 7"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("exit code 7: no luck"), "{failed:?}");
    let missing = dev.kakehi(&["run", "nobody"]).await.bad(1);
    assert!(missing.contains("not found"), "{missing}");
    let slow = dev.kakehi(&["run", "wait", "--wait", "--timeout", "100ms"]).await.bad(4);
    assert!(slow.contains("waiting for execution wait-"), "{slow}");
    assert_eq!(dev.stop(Signal::SIGINT).await.0, 0);
}

#[tokio::test]
async fn a_run_can_be_stopped_while_its_logs_are_followed() {
    let dev = with_manifests().await;
    let name = dev.kakehi(&["run", "wait"]).await.good().trim().to_owned();
    let mut following = dev.program(env!("CARGO_BIN_EXE_kakehi"));
    let mut following = following.args(["logs", "-f", &name]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let first = timeout(DEADLINE, lines.next_line()).await.expect("a line in time").unwrap();
    assert_eq!(first.as_deref(), Some("waiting"));
    let cancelled = dev.kakehi(&["cancel", &name, "--wait"]).await;
    assert!(cancelled.err.contains("Cancelled"), "{cancelled:?}");
    assert!(cancelled.good().contains("is asked to stop"));
    let ended = timeout(DEADLINE, following.wait()).await.expect("ends in time").unwrap();
    assert_eq!(ended.code(), Some(0));
    let again = dev.kakehi(&["cancel", &name]).await.good();
    assert!(again.contains("has ended already"), "{again}");
}

#[tokio::test]
async fn applying_again_changes_nothing_and_a_refusal_names_the_document() {
    let dev = Dev::start(&[]).await;
    let path = dev.home.file("m.yaml", MANIFESTS);
    let first = dev.kakehi(&["apply", "-f", &path]).await.good();
    assert_eq!(first.matches(" created\n").count(), 4, "{first}");
    let second = dev.kakehi(&["apply", "-f", &path]).await.good();
    assert_eq!(second.matches(" unchanged\n").count(), 4, "{second}");
    let wrong = MANIFESTS.replacen("taskCount: 2", "taskCount: 0", 1);
    let wrong = dev.home.file("wrong.yaml", &wrong);
    let refused = dev.kakehi(&["apply", "-f", &wrong]).await.bad(1);
    assert!(refused.contains("wrong.yaml, document 1 (line 2): Job/work cannot be applied"), "{refused}");
    assert!(refused.contains("taskCount"), "{refused}");
    let unknown = dev.home.file("unknown.yaml", &MANIFESTS.replacen("taskCount: 2", "taskCont: 2", 1));
    let refused = dev.kakehi(&["apply", "-f", &unknown]).await.bad(1);
    assert!(refused.contains(".spec.template.spec.taskCont: field not declared in schema"), "{refused}");
    let unknown = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n";
    let unknown = dev.home.file("unknown.yaml", unknown);
    let refused = dev.kakehi(&["apply", "-f", &unknown]).await.bad(1);
    assert!(refused.contains("the server has no kind Thing in example.com/v1"), "{refused}");
}

#[tokio::test]
async fn state_survives_the_process() {
    let home = Home::new();
    let path = home.file("m.yaml", MANIFESTS);
    let mut dev = Dev::start_in(home, &["-f", &path]).await;
    let name = send(&dev, "7").await;
    dev.ended(&name).await;
    let (code, home) = dev.stop(Signal::SIGTERM).await;
    assert_eq!(code, 0);
    let dev = Dev::start_in(home, &[]).await;
    assert_eq!(send(&dev, "7").await, name);
    let logs = dev.kakehi(&["logs", &name, "--no-prefix"]).await.good();
    assert_eq!(logs, "order 7\norder 7\n");
}

#[tokio::test]
async fn a_list_can_be_watched() {
    let dev = with_manifests().await;
    let mut watching = dev.program(env!("CARGO_BIN_EXE_kakehi"));
    let mut watching = watching.args(["list", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let name = dev.kakehi(&["run", "work"]).await.good().trim().to_owned();
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.contains("Succeeded")) {
        let line = timeout(DEADLINE, lines.next_line()).await.expect("a line in time").unwrap();
        seen.push(line.expect("the watch goes on"));
    }
    assert!(seen[0].starts_with("NAME "), "{seen:?}");
    assert!(seen[1..].iter().all(|line| line.starts_with(&name)), "{seen:?}");
    let id = watching.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
    let ended = timeout(DEADLINE, watching.wait()).await.expect("ends in time").unwrap();
    assert_eq!(ended.code(), Some(130));
}

#[tokio::test]
async fn a_second_dev_on_the_same_state_says_so() {
    let dev = Dev::start_in(Home::new(), &[]).await;
    let state = dev.ready["directory"].as_str().unwrap().to_owned();
    assert_eq!(state, dev.home.path().join(".local/share/kakehi/dev").to_str().unwrap());
    let second = dev
        .home
        .run(&["dev", "--data-dir", &state, "--api", "0", "--sink", "0", "--cloud-run", "0"])
        .await
        .bad(1);
    let words = format!(
        "error: another kakehi uses the directory {state}; choose another with --data-dir, or --memory\n"
    );
    assert_eq!(second, words);
}

#[tokio::test]
async fn a_second_dev_on_the_same_ports_says_so() {
    let dev = Dev::start(&[]).await;
    let api = dev.ready["api"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let second = dev.home.run(&["dev", "--memory", "--api", &api, "--sink", "0"]).await.bad(1);
    assert!(second.contains("cannot listen on"), "{second}");
}

#[tokio::test]
async fn namespaces_are_kept_apart() {
    let home = Home::new();
    let path = home.file("m.yaml", MANIFESTS);
    let dev = Dev::start_in(home, &["--memory", "-n", "shop", "-f", &path]).await;
    assert!(dev.kakehi(&["list", "jobs"]).await.err.contains("no jobs found in default"));
    let jobs = dev.kakehi(&["list", "jobs", "-n", "shop", "-o", "name"]).await.good();
    assert_eq!(jobs.lines().count(), 3, "{jobs}");
    let all = dev.kakehi(&["list", "jobs", "-A"]).await.good();
    assert!(all.starts_with("NAMESPACE   NAME"), "{all}");
    assert!(all.contains("\nshop "), "{all}");
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
/// `kubectl` with the kubeconfig that dev wrote, or `None` with a reason on a machine without it.
async fn kubectl(dev: &Dev) -> Option<impl Fn(&[&str]) -> Command + '_> {
    let version = dev.program("kubectl").args(["version", "--client"]).output().await;
    if !version.is_ok_and(|output| output.status.success()) {
        println!("skipped: kubectl is not installed");
        return None;
    }
    Some(move |arguments: &[&str]| {
        let mut command = dev.program("kubectl");
        command.args(arguments);
        command
    })
}

#[tokio::test]
async fn kubectl_works_with_the_kubeconfig_that_dev_writes() {
    let mut dev = with_manifests().await;
    let name = send(&dev, "7").await;
    dev.ended(&name).await;
    let Some(kubectl) = kubectl(&dev).await else { return };
    let table = end(kubectl(&["get", "rx"])).await.good();
    assert!(table.starts_with("NAME") && table.contains(&name), "{table}");
    let job =
        end(kubectl(&["get", "jobs.batch", &name, "-o", "jsonpath={.spec.completionMode}"])).await.good();
    assert_eq!(job, "Indexed");
    let logs = end(kubectl(&["logs", &format!("job/{name}")])).await.good();
    assert!(logs.contains("order 7"), "{logs}");
    let path = dev.home.file("again.yaml", MANIFESTS);
    for side in ["--server-side=true", "--server-side=false"] {
        let mut apply = vec!["apply", "-f", path.as_str(), side];
        if side.ends_with("true") {
            // dev applied the same fields under its own name.
            apply.push("--force-conflicts");
        }
        end(kubectl(&apply)).await.good();
    }
    let wait = ["wait", "--for=condition=Completed", &format!("rx/{name}"), "--timeout=10s"];
    end(kubectl(&wait)).await.good();
    let described = end(kubectl(&["describe", "rx", &name])).await.good();
    assert!(described.contains("com.example.order"), "{described}");
    let deleted = end(kubectl(&["delete", "rx", &name])).await.good();
    assert!(deleted.contains("deleted"), "{deleted}");
}

#[tokio::test]
async fn a_closed_terminal_ends_dev_as_sigterm_does() {
    // Tests may run under `nohup`, and a child inherits what is ignored; what is caught it finds as it is by default.
    let _caught = signal(SignalKind::hangup()).unwrap();
    let dev = with_manifests().await;
    let directory = std::path::PathBuf::from(dev.ready["directory"].as_str().unwrap());
    let mark = dev.home.path().join("alive");
    let script =
        format!("trap 'rm -f {0}; exit 1' TERM; touch {0}; while :; do sleep 0.1; done", mark.display());
    let path = dev
        .home
        .file("mark.yaml", &MANIFESTS.replace("echo waiting; exec sleep 60", &script.replace('\'', "''")));
    dev.kakehi(&["apply", "-f", &path, "--force-conflicts"]).await.good();
    dev.kakehi(&["run", "wait"]).await.good();
    eventually("the task runs", async || mark.exists().then_some(()).ok_or("not yet")).await;
    let (code, _home) = dev.stop(Signal::SIGHUP).await;
    assert_eq!(code, 0);
    assert!(!mark.exists(), "a task was left behind");
    assert!(!directory.exists(), "the state of --memory goes");
}

#[tokio::test]
async fn a_task_that_cannot_start_has_an_empty_log() {
    let home = Home::new();
    let path = home
        .file("m.yaml", &MANIFESTS.replace("/bin/sh, -c, 'echo waiting; exec sleep 60'", "no-such-command"));
    let dev = Dev::start_in(home, &["--memory", "-f", &path]).await;
    let ended = dev.kakehi(&["run", "wait", "--logs"]).await;
    assert!(!ended.err.contains("a log cannot be read"), "{ended:?}");
    assert!(ended.bad(1).contains("no-such-command"));
}

const CALLED: &str = "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: flaky}
spec:
  completion:
    sink: {ref: {apiVersion: run.kakehi.dev/v1alpha1, kind: Job, name: after}}
    delivery: {backoffDelay: PT0.05S}
  template:
    spec:
      taskCount: 3
      template:
        spec:
          maxRetries: 0
          containers:
            - image: busybox
              command: [/bin/sh, -c]
              args: ['echo I am $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT; test $CLOUD_RUN_TASK_INDEX = 0 || test -e GATE || exit 1; printf 42 > $OUT']
              env: [{name: OUT, value: /dev/termination-log}]
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: after}
spec:
  completion:
    sink: {ref: {apiVersion: run.kakehi.dev/v1alpha1, kind: Job, name: flaky}}
    delivery: {backoffDelay: PT0.05S}
  template:
    spec:
      template: {spec: {containers: [{image: busybox, command: [/bin/sh, -c, 'echo $CE_TYPE of $CE_SUBJECT']}]}}
";

/// A call that waits, the failed tasks again, and a Job that runs when another has ended.
#[tokio::test]
async fn a_run_is_waited_for_repeated_and_followed_by_another() {
    let home = Home::new();
    let gate = home.path().join("gate");
    let path = home.file("m.yaml", &CALLED.replace("GATE", &gate.display().to_string()));
    let dev = Dev::start_in(home, &["--memory", "-f", &path]).await;
    let call = async || {
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let request = http::Request::post(format!("{}/namespaces/default/jobs/flaky", dev.url("sink")))
            .header("prefer", "wait=60")
            .header("ce-specversion", "1.0")
            .header("ce-id", "1")
            .header("ce-source", "/x")
            .header("ce-type", "t");
        let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (head, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (head, data) = timeout(DEADLINE, call()).await.unwrap();
    assert_eq!(
        (head.status.as_u16(), &head.headers["ce-type"]),
        (200, &"dev.kakehi.execution.failed".parse().unwrap())
    );
    assert_eq!((&data["failedCount"], &data["result"]), (&Value::from(2), &Value::from(42)));
    let name = data["name"].as_str().unwrap().to_owned();

    let shown = dev.kakehi(&["describe", &name, "-o", "json"]).await.json();
    assert_eq!(shown["status"]["result"], 42, "as data");
    let failed = dev.kakehi(&["rerun", &name, "--failed-tasks", "--wait"]).await;
    assert!(failed.out.lines().count() == 2, "{failed:?}");
    assert!(failed.bad(1).contains("failed after 1 attempt"));
    std::fs::write(&gate, "").unwrap();
    let mended = dev.kakehi(&["rerun", &name, "--failed-tasks", "--logs"]).await.good();
    for line in ["I am 1 of 3", "I am 2 of 3"] {
        assert!(mended.contains(line), "{mended}");
    }
    let again = dev.kakehi(&["rerun", &name, "--wait", "-o", "json"]).await.json();
    assert_eq!(again["spec"]["cause"]["rerunOf"]["name"], name.as_str());
    assert_eq!(again["status"]["succeededCount"], 3);
    let listed = dev.kakehi(&["list"]).await.good();
    assert!(listed.contains(&format!("rerun/{name} task 2")), "{listed}");

    // Each of the six ends has run the other Job.
    eventually("the other job has run", async || {
        let runs = dev.kakehi(&["list", "executions", "--job", "after", "-o", "json"]).await.json();
        let told = |run: &&Value| run["status"]["completion"]["outcome"] == "Delivered";
        if runs["items"].as_array().unwrap().iter().filter(told).count() == 6 { Ok(()) } else { Err(runs) }
    })
    .await;
    // And their ends have run nothing: a circle ends after one turn.
    let runs = dev.kakehi(&["list", "executions", "--job", "flaky", "-o", "json"]).await.json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 6);
    let described = dev.kakehi(&["describe", &name]).await.good();
    assert!(described.contains("Completion:     delivered after"), "{described}");
}

/// What a page in a browser on this machine sends to the open ports of `dev`.
#[tokio::test]
async fn a_web_page_gets_nowhere() {
    let dev = Dev::start(&[]).await;
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let send = async |part: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = http::Request::post(format!("{}{path}", dev.url(part)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let map = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}}"#;
        let request = request.body(http_body_util::Full::new(bytes::Bytes::from(map))).unwrap();
        timeout(DEADLINE, client.request(request)).await.expect("an answer in time").unwrap().status()
    };
    let (json, maps) = (("content-type", "application/json"), "/api/v1/namespaces/default/configmaps");
    for headers in [
        &[json, ("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[json, ("sec-fetch-site", "cross-site")],
        &[json, ("host", "evil.example:8421")],
    ] {
        assert_eq!(send("api", maps, headers).await, 403, "{headers:?}");
    }
    let event = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/x"), ("ce-type", "t"), json];
    let of_page = [&event[..], &[("origin", "http://evil.example")]].concat();
    assert_eq!(send("sink", "/", &of_page).await, 403);
    // Structured mode is no simple request, and what is one is no event.
    assert_eq!(send("sink", "/", &[("content-type", "text/plain")]).await.as_u16() / 100, 4);
    let run = "/v2/projects/default/locations/local/jobs/x:run";
    assert_eq!(send("cloudRun", run, &[("content-type", "text/plain")]).await, 403);
    // Programs are let in, through a tunnel and a proxy as well where that is how they come.
    assert_eq!(send("api", maps, &[json]).await, 201);
    assert_eq!(
        send("sink", "/", &[&event[..], &[("host", "tunnel.example")]].concat()).await.as_u16() / 100,
        2
    );
    let proxied = send("cloudRun", run, &[json, ("host", "us-central1-run.example")]).await;
    assert_eq!(proxied, 400, "this body is no request, but it was read");
}
