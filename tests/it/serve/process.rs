//! A cluster without any part of ours in it, and `kakehi serve` processes beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::{self, Next};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kakehi::api::{CONDITION_COMPLETED, Execution, condition};
use kakehi::listen::Listener;
use kakehi::local::{Local, Options};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::cluster::{self, Place};
use crate::support::process::{Home, end};
use crate::support::{DEADLINE, eventually};

/// An API server on which nothing turns Executions into Jobs: that of local mode with a Job controller and a runner, on a
/// loopback port, or a real one without a runner.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// Where the scenario takes place.
    pub(crate) namespace: String,
    pub(crate) home: Home,
    /// A kubeconfig for it, with every right.
    pub(crate) kubeconfig: String,
    /// What the port of local mode was asked for, as `METHOD path?query`.
    requests: Arc<Mutex<Vec<String>>>,
    _running: Option<DropGuard>,
    _place: Option<Place>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_at(Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap())
    }

    /// One that does not know our kinds.
    pub(crate) async fn start_bare() -> Self {
        Self::start_with(Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap(), Vec::new())
    }

    pub(crate) fn start_at(listener: Listener) -> Self {
        Self::start_with(listener, kakehi::api::crds())
    }

    fn start_with(listener: Listener, definitions: Vec<CustomResourceDefinition>) -> Self {
        let home = Home::new();
        let inherited = ["PATH"].map(|name| (name.to_owned(), std::env::var_os(name).unwrap_or_default()));
        let local = Local::open(Options {
            directory: home.path().join("cluster"),
            durable: false,
            definitions,
            admissions: Vec::new(),
            max_pods: 8,
            inherited: BTreeMap::from(inherited),
        })
        .unwrap();
        let (client, requests, shutdown) = (local.client(), Arc::default(), CancellationToken::new());
        let kubeconfig = home.file("kubeconfig", &kubeconfig(listener.address()));
        let router = local.router().layer(middleware::from_fn_with_state(Arc::clone(&requests), record));
        tokio::spawn(listener.serve(router, shutdown.clone(), Duration::ZERO));
        tokio::spawn(local.run(shutdown.clone()));
        let (namespace, running) = ("default".to_owned(), Some(shutdown.drop_guard()));
        Self { client, namespace, home, kubeconfig, requests, _running: running, _place: None }
    }

    /// The real API server, if there is one, with a namespace for the scenario.
    pub(crate) async fn real() -> Option<Self> {
        if cluster::real().await.is_none() {
            cluster::say("skipped: a scenario of serve that needs a real API server");
            return None;
        }
        let place = cluster::place().await;
        Some(Self {
            client: place.client.clone(),
            namespace: place.namespace.clone(),
            home: Home::new(),
            kubeconfig: std::env::var("KAKEHI_TEST_KUBECONFIG").unwrap(),
            requests: Arc::default(),
            _running: None,
            _place: Some(place),
        })
    }

    /// A kubeconfig for the account of that name in the namespace of the scenario, which is made if it is missing.
    pub(crate) async fn kubeconfig_of(&self, account: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut made = ServiceAccount::default();
        made.metadata.name = Some(account.to_owned());
        let apply = PatchParams::apply("test");
        accounts.patch(account, &apply, &Patch::Apply(&made)).await.unwrap();
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await.unwrap();
        self.home.file(account, &with_token(&self.kubeconfig, &made.status.unwrap().token.unwrap()))
    }

    /// What the port of local mode was asked for since the last time.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock())
    }

    /// Applies manifests with the binary.
    pub(crate) async fn apply(&self, manifests: &str) {
        let path = self.home.file("manifests.yaml", manifests);
        let command = self.home.kakehi(&[
            "apply",
            "-f",
            &path,
            "-n",
            &self.namespace,
            "--kubeconfig",
            &self.kubeconfig,
        ]);
        end(command).await.good();
    }

    /// Starts `serve` against it on free ports.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> Serve {
        self.serve_as(&self.kubeconfig, arguments).await
    }

    /// Starts `serve` as whoever that kubeconfig is for.
    pub(crate) async fn serve_as(&self, kubeconfig: &str, arguments: &[&str]) -> Serve {
        let serve = Serve::start(&self.home, &[&["--kubeconfig", kubeconfig], arguments].concat()).await;
        Serve { namespace: self.namespace.clone(), ..serve }
    }

    pub(crate) async fn executions(&self) -> Vec<Execution> {
        Api::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    /// Waits until so many runs have succeeded.
    pub(crate) async fn succeeded(&self, count: usize) {
        eventually("runs to succeed", async || {
            let ends: Vec<_> = self.executions().await.iter().map(outcome).collect();
            if ends.iter().filter(|end| *end == "True").count() >= count { Ok(()) } else { Err(ends) }
        })
        .await;
    }
}

fn outcome(execution: &Execution) -> String {
    let conditions = execution.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition(conditions, CONDITION_COMPLETED).map_or_else(|| "none".to_owned(), |found| found.status.clone())
}

async fn record(
    State(requests): State<Arc<Mutex<Vec<String>>>>,
    request: Request<axum::body::Body>,
    next: Next,
) -> axum::response::Response {
    requests.lock().push(format!("{} {}", request.method(), request.uri()));
    next.run(request).await
}

/// The kubeconfig in that file, for whoever has that token.
pub(crate) fn with_token(path: &str, token: &str) -> String {
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"] = json!({"token": token});
    }
    config.to_string()
}

pub(crate) fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: here, namespace: default}}}}]\n\
         users: [{{name: here, user: {{}}}}]\n"
    )
}

/// A running `kakehi serve`.
pub(crate) struct Serve {
    pub(crate) sink: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// Where its events go.
    pub(crate) namespace: String,
    child: Child,
    lines: watch::Receiver<Vec<Value>>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Serve {
    pub(crate) async fn start(home: &Home, arguments: &[&str]) -> Self {
        let ports = ["serve", "--sink-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"];
        let mut command = home.kakehi(&[&ports, arguments].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, lines) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = reader.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sender.send_modify(|lines| lines.push(line));
            }
        });
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        let (admin, namespace) = ("127.0.0.1:0".parse().unwrap(), "default".to_owned());
        let mut serve = Self { sink: None, admin, namespace, child, lines, http };
        let started = serve.said("started").await;
        serve.sink = started["sink"].as_str().map(|address| address.parse().unwrap());
        serve.admin = started["admin"].as_str().unwrap().parse().unwrap();
        serve
    }

    /// Waits for a log line with that message.
    pub(crate) async fn said(&self, message: &str) -> Value {
        let mut lines = self.lines.clone();
        let said = lines.wait_for(|lines| lines.iter().any(|line| line["message"] == message));
        let lines = timeout(DEADLINE, said).await.ok().and_then(Result::ok).map(|lines| lines.clone());
        let lines =
            lines.unwrap_or_else(|| panic!("no line {message:?}: {:#?}", self.lines.borrow().as_slice()));
        lines.into_iter().find(|line| line["message"] == message).unwrap()
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.lines.borrow().clone()
    }

    /// Asks the admin port.
    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(format!("http://{}{path}", self.admin)).body(Full::default()).unwrap();
        let answer = self.http.request(request).await.unwrap();
        let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.http.request(request).await.unwrap()
    }

    pub(crate) async fn is_ready(&self) {
        eventually("readiness", async || match self.admin("/readyz").await {
            (StatusCode::OK, _) => Ok(()),
            (_, reasons) => Err(reasons),
        })
        .await;
    }

    /// Sends an event to a Job until it is taken.
    pub(crate) async fn send(&self, job: &str, id: &str) {
        eventually("the event to be accepted", async || {
            let request = self.event(job, id);
            match self.http.request(request).await.unwrap().status() {
                StatusCode::ACCEPTED => Ok(()),
                refused => Err(refused),
            }
        })
        .await;
    }

    /// A small event for a Job.
    pub(crate) fn event(&self, job: &str, id: &str) -> Request<Full<Bytes>> {
        event_in(&self.namespace, self.sink.unwrap(), job, id)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill(Pid::from_raw(id), signal).unwrap();
    }

    /// Waits for its end, which is to come, and returns the exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let status = timeout(DEADLINE, self.child.wait()).await.expect("ends in time").unwrap();
        status.code().unwrap_or(-1)
    }
}

/// A small event for a Job of the namespace `default`.
pub(crate) fn event(sink: SocketAddr, job: &str, id: &str) -> Request<Full<Bytes>> {
    event_in("default", sink, job, id)
}

/// A small event for a Job.
pub(crate) fn event_in(namespace: &str, sink: SocketAddr, job: &str, id: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://{sink}/namespaces/{namespace}/jobs/{job}"))
        .header("ce-specversion", "1.0")
        .header("ce-id", id)
        .header("ce-source", "/serve")
        .header("ce-type", "com.example.serve")
        .body(Full::default())
        .unwrap()
}

/// A Job whose tasks end at once.
pub(crate) const JOB: &str = "
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: work}
spec:
  template:
    spec:
      template: {spec: {maxRetries: 0, containers: [{image: busybox, command: [/bin/true]}]}}
";
