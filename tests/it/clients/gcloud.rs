//! `gcloud run jobs`, unmodified, where it is installed: every command that the API is for.
//!
//! `gcloud` puts the region before the host name, so no address of this machine can be told to it as such. Its proxy
//! settings need no name to be resolved: every request goes to the proxy, with the whole URL.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::cluster;
use crate::support::process::{Dev, Ended, Home, end};

/// A `gcloud` with a configuration of its own, as a person at another machine has it.
struct Gcloud<'a> {
    home: &'a Home,
    configuration: TempDir,
    port: String,
}

impl<'a> Gcloud<'a> {
    fn of(dev: &'a Dev) -> Self {
        let url = dev.url("cloudRun");
        let port = url.rsplit(':').next().unwrap().to_owned();
        Self { home: &dev.home, configuration: tempfile::tempdir().unwrap(), port }
    }

    /// Runs a command of `gcloud run jobs` to its end.
    fn jobs(&self, arguments: &[&str]) -> impl Future<Output = Ended> + use<> {
        self.run(&[&["run", "jobs"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> impl Future<Output = Ended> + use<> {
        let mut command: Command = self.home.program("gcloud");
        command.env("CLOUDSDK_CONFIG", self.configuration.path()).args(arguments);
        for (name, value) in [
            ("CORE_PROJECT", "default"),
            ("RUN_REGION", "us-central1"),
            ("AUTH_DISABLE_CREDENTIALS", "true"),
            ("PROXY_TYPE", "http"),
            ("PROXY_ADDRESS", "127.0.0.1"),
            ("PROXY_PORT", self.port.as_str()),
            ("API_ENDPOINT_OVERRIDES_RUN", "http://anything.invalid/"),
            ("API_ENDPOINT_OVERRIDES_LOGGING", "http://anything.invalid/"),
            ("API_ENDPOINT_OVERRIDES_SERVICEUSAGE", "http://anything.invalid/"),
            ("API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", "http://anything.invalid/"),
            ("CORE_DISABLE_PROMPTS", "true"),
            ("CORE_DISABLE_USAGE_REPORTING", "true"),
            ("CORE_CHECK_GCE_METADATA", "false"),
            ("COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true"),
        ] {
            command.env(format!("CLOUDSDK_{name}"), value);
        }
        end(command)
    }

    /// Creates or changes a Job that runs a script, by that command.
    fn script(
        &self,
        command: &str,
        job: &str,
        script: &str,
        more: &[&str],
    ) -> impl Future<Output = Ended> + use<> {
        // `gcloud` splits at the first character if it is between two carets.
        let arguments = format!("--args=^@^-c@{script}@sh");
        let base = [command, job, "--image=none", "--command=/bin/sh", &arguments, "--max-retries=0"];
        self.jobs(&[&base, more].concat())
    }
}

#[tokio::test]
async fn gcloud_works_with_jobs() {
    let version = Command::new("gcloud").arg("--version").output().await;
    if !version.is_ok_and(|output| output.status.success()) {
        return cluster::say("skipped: gcloud is not installed");
    }
    let dev = Dev::start(&["--quiet"]).await;
    tokio::join!(life(Gcloud::of(&dev)), stopped(Gcloud::of(&dev)), written(Gcloud::of(&dev)));
    let (code, _) = dev.stop(Signal::SIGTERM).await;
    assert_eq!(code, 0);
}

/// Created, run, looked at in every way, changed, deleted.
async fn life(gcloud: Gcloud<'_>) {
    let script = "echo from $WHO, task $CLOUD_RUN_TASK_INDEX";
    gcloud.script("create", "life", script, &["--set-env-vars=WHO=job", "--labels=team=a"]).await.good();
    let shown = gcloud.jobs(&["describe", "life", "--format=json"]).await.json();
    assert_eq!(shown["metadata"]["labels"]["cloud.googleapis.com/location"], "us-central1");
    assert_eq!(shown["metadata"]["labels"]["team"], "a");
    let task = &shown["spec"]["template"]["spec"]["template"]["spec"];
    assert_eq!((&task["maxRetries"], &task["containers"][0]["args"][1]), (&json!(0), &json!(script)));

    let run = gcloud.jobs(&["execute", "life", "--wait", "--format=json"]).await.json();
    assert_eq!(run["status"]["succeededCount"], 1, "{run}");
    let name = run["metadata"]["name"].as_str().unwrap().to_owned();
    let (described, tasks, lines) = tokio::join!(
        gcloud.jobs(&["executions", "describe", &name]),
        gcloud.jobs(&["executions", "tasks", "list", "--execution", &name, "--format=json"]),
        gcloud.jobs(&["logs", "read", "life"]),
    );
    assert!(described.good().contains("1 task completed successfully"));
    let tasks = tasks.json();
    assert_eq!(tasks[0]["metadata"]["labels"]["run.googleapis.com/runningState"], "Succeeded");
    assert!(lines.good().contains("from job, task 0"));

    let task = format!("{name}-task0");
    let overrides =
        ["--tasks=2", "--update-env-vars=WHO=override", "--task-timeout=90s", "--wait", "--format=json"];
    let (task, run) = tokio::join!(
        gcloud.jobs(&["executions", "tasks", "describe", &task, "--format=json"]),
        gcloud.jobs(&[&["execute", "life"][..], &overrides].concat()),
    );
    assert_eq!(task.json()["status"]["lastAttemptResult"]["exitCode"], 0);
    let run = run.json();
    assert_eq!((&run["spec"]["taskCount"], &run["status"]["succeededCount"]), (&json!(2), &json!(2)));
    let name = run["metadata"]["name"].as_str().unwrap();
    let lines = gcloud.run(&["beta", "run", "jobs", "executions", "logs", "read", name]).await.good();
    assert!(lines.contains("from override, task 0") && lines.contains("from override, task 1"), "{lines}");

    gcloud.jobs(&["update", "life", "--task-timeout=77s", "--update-labels=team=b"]).await.good();
    let shown = gcloud.jobs(&["describe", "life", "--format=json"]).await.json();
    assert_eq!(shown["spec"]["template"]["spec"]["template"]["spec"]["timeoutSeconds"], "77");
    assert_eq!(shown["metadata"]["labels"]["team"], "b");
    gcloud.jobs(&["delete", "life"]).await.good();
    let missing = gcloud.jobs(&["describe", "life"]).await.bad(1);
    assert!(missing.contains("Cannot find job [life]"), "{missing}");
}

/// Deployed twice, begun, cancelled, and gone.
async fn stopped(gcloud: Gcloud<'_>) {
    gcloud.script("deploy", "long", "sleep 300", &["--tasks=3"]).await.good();
    gcloud.script("deploy", "long", "exec sleep 300", &["--tasks=2", "--parallelism=0"]).await.good();
    let begun = gcloud.jobs(&["execute", "long", "--async", "--format=json"]).await.json();
    let name = begun["metadata"]["name"].as_str().unwrap().to_owned();
    let listed = gcloud.jobs(&["executions", "list", "--job=long", "--format=json"]).await.json();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, [&json!(name)]);
    gcloud.jobs(&["executions", "cancel", &name]).await.good();
    let ended = gcloud.jobs(&["executions", "describe", &name, "--format=json"]).await.json();
    assert_eq!(ended["status"]["cancelledCount"], 2, "{ended}");
    let tasks = ["executions", "tasks", "list", "--execution", &name, "--cancelled", "--format=json"];
    let (tasks, deleted) = (gcloud.jobs(&tasks).await, gcloud.jobs(&["executions", "delete", &name]).await);
    assert_eq!(tasks.json().as_array().unwrap().len(), 2);
    deleted.good();
    gcloud.jobs(&["executions", "describe", &name]).await.bad(1);
    gcloud.jobs(&["delete", "long", "--async"]).await.good();
}

/// Written as YAML; what fails, fails with the reason.
async fn written(gcloud: Gcloud<'_>) {
    let manifest = |count: i32| {
        let container = json!({"image": "none", "command": ["/bin/sh", "-c", "echo no luck; exit 3", "sh"]});
        let task = json!({"containers": [container], "maxRetries": 0, "timeoutSeconds": "60"});
        let object = json!({
            "apiVersion": "run.googleapis.com/v1", "kind": "Job",
            "metadata": {"name": "yaml", "namespace": "default"},
            "spec": {"template": {"spec": {"taskCount": count, "template": {"spec": task}}}},
        });
        gcloud.home.file(&format!("{count}.yaml"), &object.to_string())
    };
    gcloud.jobs(&["replace", &manifest(2)]).await.good();
    gcloud.jobs(&["replace", &manifest(1)]).await.good();
    let listed = gcloud.jobs(&["list", "--format=json"]).await.json();
    let found = listed.as_array().unwrap().iter().find(|one| one["metadata"]["name"] == "yaml").unwrap();
    assert_eq!(
        (&found["spec"]["template"]["spec"]["taskCount"], &found["metadata"]["generation"]),
        (&json!(1), &json!(2))
    );
    let failed = gcloud.jobs(&["execute", "yaml", "--wait"]).await.bad(1);
    assert!(failed.contains("The execution failed"), "{failed}");
    let (odd, policy) = tokio::join!(
        gcloud.script("create", "odd", "true", &["--vpc-connector=c"]),
        gcloud.jobs(&["get-iam-policy", "yaml"]),
    );
    let odd = odd.bad(1);
    assert!(odd.contains("INVALID_ARGUMENT") && odd.contains("there are no VPC networks here"), "{odd}");
    assert!(policy.bad(1).contains("Kubernetes RBAC"));
}
