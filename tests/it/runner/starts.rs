//! How a Pod comes to run: the node, binding, environment, volumes, and what cannot be started.

use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::runner::{Machine, condition, one, phase, terminated, waits};
use crate::support::eventually;

#[tokio::test]
async fn the_node_says_where_it_is_and_what_it_takes() {
    let machine = Machine::with(|options| options.max_pods = 7).await;
    let nodes: Api<Node> = Api::all(machine.place.client.clone());
    let node = eventually("the node is ready", async || {
        let node = nodes.get_opt(&machine.node()).await.unwrap().ok_or("no node")?;
        let ready = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = ready.clone().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        ready.then_some(node).ok_or("not ready")
    })
    .await;
    let status = node.status.unwrap();
    assert_eq!(status.capacity.unwrap()["pods"].0, "7");
    let port = status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port;
    let address =
        status.addresses.unwrap().into_iter().find(|address| address.type_ == "InternalIP").unwrap();
    let answer = tokio::net::TcpStream::connect((address.address, u16::try_from(port).unwrap())).await;
    answer.expect("the endpoint listens");
}

#[tokio::test]
async fn a_command_runs_and_its_end_is_told() {
    let machine = Machine::start().await;
    machine.script("p", "echo hello; echo done > $TERMINATION_LOG_PATH").await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Succeeded");
    assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some(machine.node().as_str()));
    let end = terminated(&pod);
    assert_eq!((end.exit_code, end.reason.as_deref()), (0, Some("Completed")));
    assert_eq!(end.message.as_deref(), Some("done\n"));
    assert!(end.started_at.unwrap() <= end.finished_at.unwrap());
    assert_eq!(machine.log("p").await, "hello\n");
    assert_eq!(condition(&pod, "Ready"), Some(("False".to_owned(), "PodCompleted".to_owned())));
    let status = pod.status.unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("127.0.0.1"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert!(status.start_time.is_some());
}

#[tokio::test]
async fn a_running_pod_is_ready() {
    let machine = Machine::start().await;
    machine.script("p", "echo up; exec sleep 1000").await;
    let pod = machine.until("p", "runs", |pod| phase(pod) == "Running").await;
    for type_ in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        assert_eq!(condition(&pod, type_).unwrap().0, "True", "{type_}");
    }
    let container = &pod.status.unwrap().container_statuses.unwrap()[0];
    assert!(container.ready && container.started == Some(true));
    machine.delete("p", Some(1)).await;
    machine.gone("p").await;
}

#[tokio::test]
async fn the_environment_is_kubernetes_and_nothing_of_this_process() {
    let machine = Machine::start().await;
    machine.config_map("cm", json!({ "data": { "FROM_CM": "cm", "BOTH": "cm" } })).await;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": "sec" }, "stringData": {}, "data": { "PASS": "aHVudGVyMg==" },
    }))
    .unwrap();
    let secrets: Api<Secret> = machine.place.api();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let container = json!({
        "command": ["env"],
        "envFrom": [
            { "configMapRef": { "name": "cm" } },
            { "secretRef": { "name": "sec" }, "prefix": "S_" },
            { "secretRef": { "name": "gone", "optional": true } },
        ],
        "env": [
            { "name": "BOTH", "value": "env" },
            { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "INDEX", "valueFrom": { "fieldRef": { "fieldPath": "metadata.annotations['index']" } } },
            { "name": "JOINED", "value": "$(NAME)-$(FROM_CM)-$$(NAME)-$(LATE)" },
        ],
    });
    let metadata = json!({ "name": "p", "annotations": { "index": "4" } });
    let pod = machine.create_with(metadata, one(container)).await;
    machine.end("p").await;
    let log = machine.log("p").await;
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    let root = machine.root.path().join("pods").join(pod.metadata.uid.unwrap()).join("containers/main");
    let own = [("KAKEHI_MOUNTS", "mounts"), ("TERMINATION_LOG_PATH", "termination-log")];
    let own = own.map(|(name, file)| format!("{name}={}", root.join(file).display()));
    let mut want = vec![
        "BOTH=env",
        "FROM_CM=cm",
        "HOSTNAME=p",
        "INDEX=4",
        "JOINED=p-cm-$(NAME)-$(LATE)",
        "NAME=p",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "S_PASS=hunter2",
    ];
    want.extend(own.iter().map(String::as_str));
    want.sort_unstable();
    assert_eq!(lines, want);
}

#[tokio::test]
async fn the_event_is_where_k_event_path_says() {
    let machine = Machine::start().await;
    machine.config_map("event", json!({ "data": { "event": "{}" }, "binaryData": { "data": "/wA=" } })).await;
    let container = json!({
        "command": ["sh", "-c", "cat $K_EVENT_PATH/event; wc -c < $K_EVENT_PATH/data; cat ${KAKEHI_MOUNTS}/etc/kakehi-event/event"],
        "env": [{ "name": "K_EVENT_PATH", "value": "/etc/kakehi-event" }],
        "volumeMounts": [{ "name": "event", "mountPath": "/etc/kakehi-event", "readOnly": true }],
    });
    let mut spec = one(container);
    spec["volumes"] = json!([{ "name": "event", "configMap": { "name": "event" } }]);
    machine.create("p", spec).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Succeeded");
    assert_eq!(machine.log("p").await, "{}2\n{}");
}

#[tokio::test]
async fn containers_of_a_pod_share_an_empty_directory_and_init_containers_go_first() {
    let machine = Machine::start().await;
    let mounts = json!([{ "name": "scratch", "mountPath": "/scratch" }]);
    let init = |name: &str, script: &str| json!({ "name": name, "image": "none", "command": ["sh", "-c", script], "volumeMounts": mounts });
    let spec = json!({
        "initContainers": [init("a", "echo a >> $KAKEHI_MOUNTS/scratch/f"), init("b", "echo b >> $KAKEHI_MOUNTS/scratch/f")],
        "containers": [init("main", "cat $KAKEHI_MOUNTS/scratch/f")],
        "volumes": [{ "name": "scratch", "emptyDir": {} }],
    });
    machine.create("p", spec).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Succeeded");
    let log = kube::api::LogParams { container: Some("main".to_owned()), ..Default::default() };
    assert_eq!(machine.pods().logs("p", &log).await.unwrap(), "a\nb\n");
    let inits = pod.status.unwrap().init_container_statuses.unwrap();
    assert!(inits.iter().all(|status| status.ready));
}

#[tokio::test]
async fn a_failed_init_container_fails_the_pod() {
    let machine = Machine::start().await;
    let spec = json!({
        "initContainers": [{ "name": "i", "image": "none", "command": ["false"] }],
        "containers": [{ "name": "main", "image": "none", "command": ["true"] }],
    });
    machine.create("p", spec).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Failed");
    assert_eq!(condition(&pod, "Initialized").unwrap().1, "ContainersNotInitialized");
    assert_eq!(waits(&pod).unwrap().0, "PodInitializing");
}

#[tokio::test]
async fn an_image_without_a_command_is_refused_with_advice() {
    let machine = Machine::start().await;
    machine.create("p", json!({ "containers": [{ "name": "main", "image": "busybox" }] })).await;
    let pod = machine.end("p").await;
    let status = pod.status.unwrap();
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("CommandRequired"))
    );
    let message = status.message.unwrap();
    assert!(message.contains("local mode runs commands of this machine, not images"), "{message}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_fails_with_the_systems_reason() {
    let machine = Machine::start().await;
    machine.create("p", one(json!({ "command": ["no-such-command-anywhere"] }))).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Failed");
    let end = terminated(&pod);
    assert_eq!((end.exit_code, end.reason.as_deref()), (127, Some("StartError")));
    assert!(end.message.unwrap().contains("no-such-command-anywhere"));
    assert_eq!(machine.log("p").await, "", "it has ended, and said nothing");
}

/// A runner that comes back knows by it that the Pod has run.
#[tokio::test]
async fn a_pod_whose_identity_cannot_be_kept_is_not_started() {
    let machine = Machine::start().await;
    let ran = machine.root.path().join("ran");
    let container = json!({
        "command": ["sh", "-c", format!("echo x >> {}", ran.display())],
        "envFrom": [{ "configMapRef": { "name": "late" } }],
    });
    let created = machine.create("p", one(container)).await;
    machine.until("p", "waits", |pod| waits(pod).is_some()).await;
    // Nothing can be put where there is a directory.
    let identity = machine.root.path().join("pods").join(created.metadata.uid.unwrap()).join("pod.json");
    std::fs::create_dir_all(&identity).unwrap();
    machine.config_map("late", json!({})).await;
    let files = |pod: &Pod| waits(pod).is_some_and(|(reason, _)| reason == "CreateContainerError");
    machine.until("p", "waits for its files", files).await;
    assert!(!ran.exists(), "it was started");
    std::fs::remove_dir(&identity).unwrap();
    assert_eq!(phase(&machine.end("p").await), "Succeeded");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n");
}

#[tokio::test]
async fn a_missing_config_map_is_waited_for() {
    let machine = Machine::start().await;
    let container = json!({
        "command": ["sh", "-c", "echo $A"],
        "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "late", "key": "a" } } }],
    });
    machine.create("p", one(container)).await;
    let pod = machine.until("p", "waits", |pod| waits(pod).is_some()).await;
    let want = ("CreateContainerConfigError".to_owned(), "configmap \"late\" not found".to_owned());
    assert_eq!((phase(&pod), waits(&pod)), ("Pending", Some(want)));
    machine.config_map("late", json!({ "data": { "a": "here" } })).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Succeeded");
    let conditions = pod.status.unwrap().conditions.unwrap();
    let stale: Vec<_> = conditions.iter().filter(|condition| condition.message.is_some()).collect();
    assert!(stale.is_empty(), "nothing waits any more: {stale:?}");
    assert_eq!(machine.log("p").await, "here\n");
}

#[tokio::test]
async fn a_pod_that_waits_for_something_missing_can_be_deleted() {
    let machine = Machine::start().await;
    machine
        .create("p", one(json!({ "command": ["true"], "envFrom": [{ "secretRef": { "name": "gone" } }] })))
        .await;
    machine.until("p", "waits", |pod| waits(pod).is_some()).await;
    machine.delete("p", None).await;
    machine.gone("p").await;
}

#[tokio::test]
async fn a_pod_of_another_scheduler_is_left_alone() {
    let machine = Machine::start().await;
    let mut spec = one(json!({ "command": ["true"] }));
    spec["schedulerName"] = json!("other");
    machine.create("theirs", spec).await;
    machine.script("ours", "true").await;
    machine.end("ours").await;
    let theirs = machine.pods().get("theirs").await.unwrap();
    assert_eq!((phase(&theirs), &theirs.spec.as_ref().unwrap().node_name), ("Pending", &None));
}
