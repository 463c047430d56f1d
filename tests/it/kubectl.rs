//! The real kubectl against local mode on a loopback port, where it is installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use crate::support::DEADLINE;
use crate::support::local;

struct Kubectl {
    home: TempDir,
    _cluster: local::Cluster,
    _serving: DropGuard,
}

const MANIFEST: &str = r#"
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata:
  name: resize
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          containers: [{name: main, image: busybox, command: ["true"]}]
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: conf
data: {keep: "1", drop: "1"}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: plain
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox, command: ["true"]}]
"#;

impl Kubectl {
    /// `None` where there is no kubectl.
    async fn start() -> Option<Self> {
        let version = Command::new("kubectl").args(["version", "--client"]).output().await;
        if !version.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let cluster = local::cluster();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (router, token) = (cluster.server.router(), shutdown.clone());
        tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await.unwrap();
        });
        let home = TempDir::new().unwrap();
        let config = format!(
            "{{apiVersion: v1, kind: Config, clusters: [{{name: l, cluster: {{server: 'http://{address}'}}}}], \
             users: [{{name: u, user: {{}}}}], contexts: [{{name: c, context: {{cluster: l, user: u}}}}], current-context: c}}"
        );
        std::fs::write(home.path().join("config"), config).unwrap();
        std::fs::write(home.path().join("manifest.yaml"), MANIFEST).unwrap();
        Some(Self { home, _cluster: cluster, _serving: shutdown.drop_guard() })
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments.split_whitespace()).current_dir(self.home.path());
        // Its caches stay in the test's directory as well.
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("config"));
        command.kill_on_drop(true);
        command
    }

    /// What it prints; panics if it fails.
    async fn run(&self, arguments: &str) -> String {
        let (output, complaint, success) = self.try_run(arguments).await;
        assert!(success, "kubectl {arguments}: {complaint}");
        output
    }

    async fn try_run(&self, arguments: &str) -> (String, String, bool) {
        let output = tokio::time::timeout(DEADLINE, self.command(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {arguments} hangs")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.success())
    }

    fn home(&self) -> &Path {
        self.home.path()
    }
}

#[tokio::test]
async fn kubectl_applies_reads_explains_and_deletes() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let applied = kubectl.run("apply -f manifest.yaml").await;
    assert!(applied.contains("job.run.kakehi.dev/resize created"), "{applied}");
    let again = kubectl.run("apply -f manifest.yaml").await;
    assert_eq!(again.matches(" unchanged").count(), 3, "{again}");
    std::fs::write(kubectl.home().join("manifest.yaml"), MANIFEST.replace(", drop: \"1\"", "")).unwrap();
    let changed = kubectl.run("apply -f manifest.yaml").await;
    assert!(changed.contains("configmap/conf configured"), "{changed}");
    let data = kubectl.run("get configmap conf -o jsonpath={.data}").await;
    assert_eq!(data, r#"{"keep":"1"}"#, "a field that is no longer applied goes");

    let table = kubectl.run("get rj").await;
    assert!(table.lines().next().unwrap().starts_with("NAME") && table.contains("resize"), "{table}");
    let jobs = kubectl.run("get jobs.batch -A").await;
    assert!(jobs.contains("COMPLETIONS") && jobs.contains("plain"), "{jobs}");
    let yaml = kubectl.run("get rj resize -o yaml").await;
    assert!(yaml.contains("taskCount: 2"), "{yaml}");
    let described = kubectl.run("describe job.batch plain").await;
    assert!(described.contains("Suspend:") && described.contains("busybox"), "{described}");
    let explained = kubectl.run("explain jobs.run.kakehi.dev.spec.template.spec.taskCount").await;
    assert!(explained.contains("taskCount"), "{explained}");
    let explained = kubectl.run("explain pod.spec.containers.command").await;
    assert!(explained.contains("<[]string>"), "{explained}");
    let resources = kubectl.run("api-resources --api-group=run.kakehi.dev -o name").await;
    assert_eq!(resources.lines().count(), 3, "{resources}");

    let labelled = kubectl.run("label configmap conf a=b").await;
    assert!(labelled.contains("labeled"), "{labelled}");
    assert_eq!(kubectl.run("get configmap -l a=b -o name").await.trim(), "configmap/conf");
    assert_eq!(
        kubectl.run("get configmap --field-selector metadata.name=conf -o name").await.trim(),
        "configmap/conf"
    );
    kubectl.run("patch rj resize --type merge -p {\"spec\":{\"suspend\":true}}").await;
    kubectl.run("wait --for=jsonpath={.spec.suspend}=true rj/resize --timeout=20s").await;
    let deleted = kubectl.run("delete -f manifest.yaml --wait=true").await;
    assert_eq!(deleted.matches(" deleted").count(), 3, "{deleted}");
    let (_, complaint, success) = kubectl.try_run("get rj resize").await;
    assert!(!success && complaint.contains("NotFound"), "{complaint}");
}

#[tokio::test]
async fn kubectl_applies_on_the_server_side() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run("apply --server-side -f manifest.yaml").await;
    std::fs::write(kubectl.home().join("manifest.yaml"), MANIFEST.replace(", drop: \"1\"", "")).unwrap();
    kubectl.run("apply --server-side -f manifest.yaml").await;
    let data = kubectl.run("get configmap conf -o jsonpath={.data}").await;
    assert_eq!(data, r#"{"keep":"1"}"#);
    kubectl
        .run("patch configmap conf --type merge --field-manager=other -p {\"data\":{\"keep\":\"2\"}}")
        .await;
    let (_, complaint, success) = kubectl.try_run("apply --server-side -f manifest.yaml").await;
    assert!(!success && complaint.contains("conflict with \"other\""), "{complaint}");
    kubectl.run("apply --server-side --force-conflicts -f manifest.yaml").await;
    assert_eq!(kubectl.run("get configmap conf -o jsonpath={.data.keep}").await, "1");
}

#[tokio::test]
async fn kubectl_is_told_what_is_wrong() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let broken = MANIFEST.replace("taskCount: 2", "taskCount: 0");
    std::fs::write(kubectl.home().join("broken.yaml"), broken).unwrap();
    let (_, complaint, success) = kubectl.try_run("apply -f broken.yaml").await;
    assert!(!success && complaint.contains("spec.template.spec.taskCount"), "{complaint}");
    let unknown = MANIFEST.replace("taskCount: 2", "taskCuont: 2");
    std::fs::write(kubectl.home().join("unknown.yaml"), unknown).unwrap();
    let (_, complaint, success) = kubectl.try_run("apply -f unknown.yaml").await;
    assert!(!success && complaint.contains("unknown field \"spec.template.spec.taskCuont\""), "{complaint}");
    let (_, complaint, success) = kubectl.try_run("apply --server-side -f unknown.yaml").await;
    assert!(!success && complaint.contains("taskCuont: field not declared in schema"), "{complaint}");
    let (_, complaint, success) = kubectl.try_run("create configmap made --from-literal=a=b").await;
    assert!(!success && complaint.contains("`kubectl create -f`"), "{complaint}");
    let made =
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": {"a": "b"}}"#;
    std::fs::write(kubectl.home().join("made.json"), made).unwrap();
    kubectl.run("create -f made.json").await;
}

#[tokio::test]
async fn kubectl_watches() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let mut watching = kubectl.command("get configmap -w");
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    kubectl.run("apply -f manifest.yaml").await;
    let seen = tokio::time::timeout(DEADLINE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            if line.starts_with("conf") {
                return line;
            }
        }
    });
    seen.await.expect("the new object is shown");
    watching.kill().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), watching.wait()).await.unwrap().unwrap();
}
