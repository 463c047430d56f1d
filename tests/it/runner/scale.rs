//! Many Pods: none is forgotten, none runs twice, and never more than the node takes.

use std::collections::BTreeSet;

use kube::api::ListParams;
use serde_json::json;

use crate::runner::{Machine, one, phase};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods_run_ten_at_a_time() {
    let machine = Machine::with(|options| options.max_pods = 10).await;
    // Every process notes how many run beside it; mkdir and rmdir are atomic.
    let gate = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {} && mkdir run-$NAME && ls -d run-* | wc -l >> counts && rmdir run-$NAME && echo $NAME >> names",
        gate.path().display()
    );
    for number in 0..100 {
        let name = [json!({ "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })];
        let container = json!({ "command": ["sh", "-c", script], "env": name });
        machine.create(&format!("p-{number}"), one(container)).await;
    }
    let pods = machine.pods();
    eventually("all pods end", async || {
        let list = pods.list(&ListParams::default()).await.unwrap();
        let open = list.items.iter().filter(|pod| phase(pod) != "Succeeded").count();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    let names = std::fs::read_to_string(gate.path().join("names")).unwrap();
    assert_eq!(names.lines().count(), 100, "each ran once");
    assert_eq!(names.lines().collect::<BTreeSet<_>>().len(), 100);
    let counts = std::fs::read_to_string(gate.path().join("counts")).unwrap();
    assert!(counts.lines().all(|count| count.trim().parse::<u32>().unwrap() <= 10), "{counts}");
}

#[tokio::test]
async fn pods_are_served_in_the_order_of_their_creation() {
    let machine = Machine::with(|options| options.max_pods = 1).await;
    let gate = tempfile::tempdir().unwrap();
    let order = gate.path().join("order");
    // The first holds the only place until all are there.
    let go = gate.path().join("go");
    machine.script("first", &format!("echo up; until [ -e {} ]; do sleep 0.02; done", go.display())).await;
    machine.says("first", "up").await;
    for name in ["d", "a", "c", "b"] {
        machine.script(name, &format!("echo {name} >> {}", order.display())).await;
    }
    std::fs::write(go, "").unwrap();
    for name in ["d", "a", "c", "b"] {
        machine.end(name).await;
    }
    assert_eq!(std::fs::read_to_string(order).unwrap(), "d\na\nc\nb\n");
}
