//! `kakehi explain`, as the binary does it: without a sink, and asking one.

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::eventually;
use crate::support::process::{Dev, Ended, Home};

const JOBS: &str = "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: archive}
spec:
  parameters: [{name: ORDER, value: event.data.id}]
  template: {spec: {template: {spec: {containers: [{image: busybox, command: ['true']}]}}}}
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: ship}
spec:
  template: {spec: {template: {spec: {containers: [{image: busybox, command: ['true']}]}}}}
";

const TRIGGERS: &str = "
apiVersion: run.kakehi.dev/v1alpha1
kind: Trigger
metadata: {name: all-orders}
spec:
  filters: [{prefix: {type: com.example.}}]
  job: {name: archive}
---
apiVersion: run.kakehi.dev/v1alpha1
kind: Trigger
metadata: {name: big-orders}
spec:
  filters: [{exact: {type: com.example.order}}, {cel: event.data.total > 100}]
  job: {name: ship}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: not-ours}
";

const ORDER: &str = r#"{"specversion": "1.0", "id": "7", "source": "/shop", "type": "com.example.order",
 "datacontenttype": "application/json", "data": {"id": "A-7", "total": 12}}"#;

struct Files {
    home: Home,
    jobs: String,
    triggers: String,
    order: String,
}

fn files() -> Files {
    let home = Home::new();
    let jobs = home.file("jobs.yaml", JOBS);
    let triggers = home.file("triggers.yaml", TRIGGERS);
    let order = home.file("order.json", ORDER);
    Files { home, jobs, triggers, order }
}

impl Files {
    async fn explain(&self, more: &[&str]) -> Ended {
        let line = ["explain", "--event", &self.order, "-f", &self.triggers, "-f", &self.jobs];
        self.home.run(&[&line[..], more].concat()).await
    }
}

#[tokio::test]
async fn without_a_sink_files_are_enough() {
    let files = files();
    let told = files.explain(&[]).await;
    assert!(told.err.contains("jobs in files have no uid"), "{told:?}");
    let expected = "\
event 7 (com.example.order) from /shop, 26 bytes of application/json
├─ trigger all-orders → job archive: yes → archive-vigm5ld57z, would be created
│  ├─ prefix type = com.example.: yes (type is com.example.order)
│  └─ parameter ORDER = \"A-7\"
└─ trigger big-orders → job ship: no
   ├─ exact type = com.example.order: yes
   └─ cel event.data.total > 100: no (event.data.total is 12)
1 job would run
";
    assert_eq!(told.good(), expected);
    assert_eq!(files.explain(&["-o", "name"]).await.good(), "execution.run.kakehi.dev/archive-vigm5ld57z\n");

    let json = files.explain(&["-o", "json", "--objects"]).await.json();
    assert_eq!(json["triggers"][1]["terms"][1]["values"][0]["value"], "12");
    assert_eq!(
        (&json["runs"][0]["outcome"], &json["answer"]["status"]),
        (&Value::from("planned"), &Value::from(202))
    );
    let kinds: Vec<&str> =
        json["objects"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Execution", "ConfigMap", "Job"]);
    let objects = &json["objects"];
    assert_eq!(objects[0]["spec"]["parameters"][0]["value"], "A-7");
    assert_eq!(objects[0]["metadata"]["ownerReferences"][0]["uid"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(objects[1]["data"]["data"], r#"{"id": "A-7", "total": 12}"#);
    assert_eq!(objects[2]["apiVersion"], "batch/v1");
    assert_eq!(objects[2]["spec"]["completionMode"], "Indexed");
    let text = files.explain(&["--objects"]).await.good();
    assert_eq!(text.matches("\n---\n").count(), 3, "{text}");
}

#[tokio::test]
async fn the_exit_code_says_whether_anything_would_run() {
    let files = files();
    let line = |kind: &'static str| ["explain", "--type", kind, "--id", "1", "--data", "{}"];
    let with = async |kind, more: &[&str]| {
        let files_of = ["-f", &files.triggers, "-f", &files.jobs];
        files.home.run(&[&line(kind)[..], &files_of, more].concat()).await
    };
    // Nothing matches.
    let none = with("other", &[]).await;
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.out.ends_with("nothing would run: none of 2 triggers lets it pass\n"), "{}", none.out);
    // What matches is refused, and why.
    let refused = with("com.example.order", &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let words = "parameter ORDER has no value for this event: `event.data.id` is missing";
    assert!(refused.out.ends_with(&format!("the sender would be told 422: {words}\n")), "{}", refused.out);
    // A Job by its address, whatever the Triggers say.
    let addressed = with("other", &["--job", "ship"]).await.good();
    assert!(addressed.contains("└─ job ship, at its own address → ship-"), "{addressed}");
    let unknown = with("other", &["--job", "gone"]).await;
    assert!(unknown.code == 1 && unknown.out.contains("told 404: there is no job gone"), "{unknown:?}");
    let one = with("other", &["--trigger", "big-orders"]).await;
    assert!(one.out.contains("big-orders") && !one.out.contains("all-orders"), "{one:?}");

    // Files that a server would refuse.
    let typo = files.home.file("typo.yaml", &TRIGGERS.replace("exact:", "exakt:"));
    let refused = files.home.run(&["explain", "--event", &files.order, "-f", &typo]).await.bad(2);
    assert!(refused.contains("typo.yaml, document 2") && refused.contains("exakt"), "{refused}");
    let missing = files.home.run(&["explain", "--event", "/nowhere", "-f", &files.jobs]).await.bad(2);
    assert!(missing.contains("/nowhere"), "{missing}");
    let neither = files.home.run(&["explain", "-f", &files.jobs]).await.bad(2);
    assert!(neither.contains("--event FILE"), "{neither}");
    files.home.run(&["explain", "7", "-f", &files.jobs]).await.bad(2);
}

#[tokio::test]
async fn a_filter_that_does_not_compile_says_where() {
    let files = files();
    let broken = files.home.file("broken.yaml", &TRIGGERS.replace("event.data.total > 100", "event.data."));
    let told =
        files.home.run(&["explain", "--event", &files.order, "-f", &broken, "-f", &files.jobs]).await.good();
    let words = "   └─ it does not compile: filters[1].cel: line 1, column 12: ";
    assert!(told.contains(words), "{told}");
}

/// Masks what differs from one process to the next.
fn masked(text: &str, names: &[(&str, &str)]) -> String {
    let mut masked = text.to_owned();
    for (name, mask) in names {
        masked = masked.replace(name, mask);
    }
    let line = |line: &str| match line.strip_prefix("received ") {
        Some(rest) => format!("received TIME,{}", rest.split_once(',').map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    };
    masked.lines().map(|text| line(text) + "\n").collect()
}

#[tokio::test]
async fn a_running_sink_tells_what_it_did() {
    let files = files();
    let paths = [files.triggers.clone(), files.jobs.clone(), files.order.clone()];
    let mut dev = Dev::start_in(files.home, &["--memory", "-f", &paths[1], "-f", &paths[0]]).await;
    let run = eventually("the trigger matches", async || {
        match dev.kakehi(&["send", "--event", &paths[2], "--retry"]).await.good().trim() {
            "" => Err("nothing matched"),
            name => Ok(name.to_owned()),
        }
    })
    .await;
    dev.ended(&run).await;
    let told = dev.kakehi(&["explain", "7", "--source", "/shop"]).await.good();
    let expected = "\
event 7 (com.example.order) from /shop, 26 bytes of application/json
received TIME, answered 202
├─ trigger all-orders → job archive: yes → RUN, created
│  ├─ prefix type = com.example.: yes (type is com.example.order)
│  ├─ parameter ORDER = \"A-7\"
│  └─ now Succeeded: 1 task succeeded
└─ trigger big-orders → job ship: no
   ├─ exact type = com.example.order: yes
   └─ cel event.data.total > 100: no (event.data.total is 12)
1 job ran
";
    let newest = told.split("\n\n").next().unwrap();
    let told_of = masked(newest, &[(&run, "RUN")]);
    // An event that came before its Trigger was known matched nothing and was sent again.
    assert_eq!(told_of, expected, "{told}");

    // Without the id: what would happen now, by what the server has, under the name that the run has.
    let now = dev.kakehi(&["explain", "--event", &paths[2]]).await.good();
    assert!(now.contains(&format!("yes → {run}, would be created")), "{now}");

    let json = dev.kakehi(&["explain", "7", "-o", "json"]).await.json();
    assert_eq!(json["decisions"][0]["runs"][0]["execution"], run.as_str());
    assert_eq!(
        dev.kakehi(&["explain", "7", "-o", "name"]).await.good().lines().next(),
        Some(&*format!("execution.run.kakehi.dev/{run}"))
    );
    let again = dev.kakehi(&["send", "--event", &paths[2]]).await;
    assert!(again.err.contains("received before"), "{again:?}");
    let told = dev.kakehi(&["explain", "7"]).await.good();
    assert!(told.contains(&format!("yes → {run}, received before")), "{told}");

    // Nothing matched, refused, and never seen.
    dev.kakehi(&["send", "--type", "other", "--id", "8"]).await.good();
    let nothing = dev.kakehi(&["explain", "8"]).await;
    assert!(nothing.code == 1 && nothing.out.contains("nothing ran: none of 2 triggers"), "{nothing:?}");
    dev.kakehi(&["send", "--type", "com.example.order", "--id", "9", "--data", "{}"]).await.bad(1);
    let refused = dev.kakehi(&["explain", "9"]).await;
    assert!(refused.code == 1 && refused.out.contains("refused with 422"), "{refused:?}");
    let unknown = dev.kakehi(&["explain", "10"]).await.bad(1);
    assert!(
        unknown.contains("nothing is known of an event 10") && unknown.contains("no execution"),
        "{unknown}"
    );
    let latest = dev.kakehi(&["explain"]).await.good();
    let rows: Vec<Vec<&str>> = latest.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["AGE", "TYPE", "ID", "SOURCE", "ANSWER", "RUNS"]);
    assert_eq!((rows[1][2], rows[1][4], rows[2][2]), ("9", "422", "8"), "{latest}");

    let described = dev.kakehi(&["describe", &run]).await.good();
    let why = "Why:\n  └─ trigger all-orders: yes\n     └─ prefix type = com.example.: yes (type is com.example.order)\n";
    assert!(described.contains(why), "{described}");
    assert_eq!(dev.stop(Signal::SIGINT).await.0, 0);
}

#[tokio::test]
async fn an_execution_tells_what_a_new_sink_has_never_seen() {
    let files = files();
    let paths = [files.triggers.clone(), files.jobs.clone(), files.order.clone()];
    let dev = Dev::start_in(files.home, &["-f", &paths[1], "-f", &paths[0]]).await;
    let run = eventually("the trigger matches", async || {
        match dev.kakehi(&["send", "--event", &paths[2], "--retry"]).await.good().trim() {
            "" => Err("nothing matched"),
            name => Ok(name.to_owned()),
        }
    })
    .await;
    let (_, home) = dev.stop(Signal::SIGTERM).await;
    let dev = Dev::start_in(home, &[]).await;
    let told = dev.kakehi(&["explain", "7"]).await;
    assert!(told.err.contains("has received nothing since it started"), "{told:?}");
    let text = told.good();
    assert!(text.contains(&format!("trigger all-orders → job archive: yes → {run}, created")), "{text}");
    assert!(text.contains("prefix type = com.example.: yes"), "{text}");
}

/// A page whose name leads to this machine gets nothing.
#[tokio::test]
async fn a_web_page_cannot_read_what_became_of_events() {
    let dev = Dev::start(&[]).await;
    let url = dev.ready["sink"].as_str().unwrap().trim_start_matches("http://").to_owned();
    for (host, expected) in [("rebound.example:8420", "403"), (url.as_str(), "200")] {
        let request = format!(
            "GET /namespaces/default/decisions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(&url).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
    }
}
