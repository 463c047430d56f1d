//! `gcloud run jobs`, unmodified, where it is installed: every command that the API is for.
//!
//! `gcloud` puts the region before the host name, so no address of this machine can be told to it as such. Its proxy
//! settings need no name to be resolved: every request goes to the proxy, with the whole URL. Over TLS it asks a proxy for
//! a tunnel instead, which a proxy of the test gives it; the certificate is one for the name that `gcloud` asks for.

use std::collections::BTreeMap;
use std::io;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use crate::cloudrun::Api;
use crate::support::cluster;
use crate::support::process::{Dev, Ended, Home, end};

/// What stands for the address of the API, and what `gcloud` makes of it.
const HOST: &str = "anything.invalid";
const REGIONAL_HOST: &str = "us-central1-anything.invalid";

/// A `gcloud` with a configuration of its own, as a person at another machine has it.
struct Gcloud<'a> {
    home: &'a Home,
    configuration: TempDir,
    settings: BTreeMap<&'static str, String>,
    /// The file of its token.
    token: Option<String>,
}

fn port(dev: &Dev) -> u16 {
    dev.url("cloudRun").rsplit(':').next().unwrap().parse().unwrap()
}

impl<'a> Gcloud<'a> {
    /// One that gets to the API over that port.
    fn of(dev: &'a Dev, scheme: &str, port: u16) -> Self {
        Self::at(&dev.home, "default", scheme, port)
    }

    fn at(home: &'a Home, project: &str, scheme: &str, port: u16) -> Self {
        let mut settings = BTreeMap::from([
            ("CORE_PROJECT", project.to_owned()),
            ("RUN_REGION", "us-central1".to_owned()),
            ("PROXY_TYPE", "http".to_owned()),
            ("PROXY_ADDRESS", "127.0.0.1".to_owned()),
            ("PROXY_PORT", port.to_string()),
            ("CORE_DISABLE_PROMPTS", "true".to_owned()),
            ("CORE_DISABLE_USAGE_REPORTING", "true".to_owned()),
            ("CORE_CHECK_GCE_METADATA", "false".to_owned()),
            ("COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true".to_owned()),
        ]);
        for service in [
            "API_ENDPOINT_OVERRIDES_RUN",
            "API_ENDPOINT_OVERRIDES_LOGGING",
            "API_ENDPOINT_OVERRIDES_SERVICEUSAGE",
            "API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER",
        ] {
            settings.insert(service, format!("{scheme}://{HOST}/"));
        }
        Self { home, configuration: tempfile::tempdir().unwrap(), settings, token: None }
    }

    /// One that sends the token in that file.
    fn with_token(dev: &'a Dev, file: &str) -> Self {
        Self { token: Some(file.to_owned()), ..Self::of(dev, "http", port(dev)) }
    }

    /// Runs a command of `gcloud run jobs` to its end.
    fn jobs(&self, arguments: &[&str]) -> impl Future<Output = Ended> + use<> {
        self.run(&[&["run", "jobs"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> impl Future<Output = Ended> + use<> {
        let mut command: Command = self.home.program("gcloud");
        command.env("CLOUDSDK_CONFIG", self.configuration.path()).args(arguments);
        for (name, value) in &self.settings {
            command.env(format!("CLOUDSDK_{name}"), value);
        }
        match &self.token {
            Some(file) => command.arg(format!("--access-token-file={file}")),
            None => command.env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true"),
        };
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

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_works_with_jobs() {
    let version = Command::new("gcloud").arg("--version").output().await;
    if !version.is_ok_and(|output| output.status.success()) {
        return cluster::say("skipped: gcloud is not installed");
    }
    let home = Home::new();
    if cluster::is_real() {
        let api = Api::start().await;
        let gcloud = || Gcloud::at(&home, &api.house.namespace, "http", api.address.port());
        tokio::join!(life(gcloud()), stopped(gcloud()), written(gcloud()));
        return;
    }
    let token = home.file("token", "open-sesame");
    let dev = Dev::start_in(home, &["--memory", "--quiet", "--token-file", &token]).await;
    let (over_tls, authority) = with_certificate().await;
    let (tunnel, _open) = tunnel(port(&over_tls)).await;
    tokio::join!(
        life(Gcloud::with_token(&dev, &token)),
        stopped(Gcloud::with_token(&dev, &token)),
        written(Gcloud::with_token(&dev, &token)),
        strange(Gcloud::of(&dev, "http", port(&dev))),
        private(Gcloud::of(&over_tls, "https", tunnel), authority),
    );
    let (ended, private) = tokio::join!(dev.stop(Signal::SIGTERM), over_tls.stop(Signal::SIGTERM));
    assert_eq!((ended.0, private.0), (0, 0));
}

/// `kakehi dev` with a certificate, and the file of the authority that gave it.
async fn with_certificate() -> (Dev, String) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    // Whose name is its issuer's passes for signed by itself.
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = authority.self_signed(&key).unwrap();
    let own = KeyPair::generate().unwrap();
    let mut asked = CertificateParams::new([REGIONAL_HOST.to_owned()]).unwrap();
    asked.use_authority_key_identifier_extension = true;
    let certificate = asked.signed_by(&own, &Issuer::new(authority, key)).unwrap();
    let home = Home::new();
    let root = home.file("root.pem", &root.pem());
    let certificate = home.file("certificate.pem", &certificate.pem());
    let key = home.file("key.pem", &own.serialize_pem());
    let flags = ["--memory", "--quiet", "--tls-cert", &certificate, "--tls-key", &key];
    (Dev::start_in(home, &flags).await, root)
}

/// A proxy that leads every tunnel to that port.
async fn tunnel(port: u16) -> (u16, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(through(client, port));
        }
    };
    (address.port(), AbortOnDropHandle::new(tokio::spawn(accepting)))
}

async fn through(mut client: TcpStream, port: u16) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    if !head.starts_with(format!("CONNECT {REGIONAL_HOST}:443 ").as_bytes()) {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Without a token there is nothing for anybody.
async fn strange(gcloud: Gcloud<'_>) {
    let refused = gcloud.jobs(&["describe", "life"]).await.bad(1);
    assert!(refused.contains("no credentials were sent"), "{refused}");
}

/// Over TLS, with a certificate that only whoever knows its authority believes.
async fn private(mut gcloud: Gcloud<'_>, authority: String) {
    gcloud.settings.insert("CORE_CUSTOM_CA_CERTS_FILE", authority);
    gcloud.script("create", "private", "true", &[]).await.good();
    let run = gcloud.jobs(&["execute", "private", "--wait", "--format=json"]).await.json();
    assert_eq!(run["status"]["succeededCount"], 1, "{run}");
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
    let described = described.good();
    assert!(described.contains("1 task completed successfully"));
    let link = format!("/console/namespaces/{}/executions/{name}", gcloud.settings["CORE_PROJECT"]);
    assert!(
        described.lines().any(|line| line.trim().starts_with("Log URI: http://") && line.ends_with(&link)),
        "{described}"
    );
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
            "metadata": {"name": "yaml", "namespace": gcloud.settings["CORE_PROJECT"]},
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
