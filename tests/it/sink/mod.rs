//! The event receiver over a Kubernetes, with faults on demand between the two.

mod access;
mod answers;
mod batches;
mod decisions;
mod expressions;
mod faults;
mod limits;
mod loops;
mod malformed;
mod policies;
mod records;
mod triggers;
mod waits;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Namespace;
use kakehi::api::Execution;
use kakehi::api::Job;
use kakehi::api::Trigger;
use kakehi::sink::Options;
use kakehi::sink::Sink;
use kakehi::triggers::Triggers;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tower::ServiceExt;

use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;
use crate::support::faults::Faults;
use crate::support::local;

/// Namespace of the scenarios, as senders know it.
pub(crate) const NAMESPACE: &str = "apps";

/// Puts the namespace of the scenario in the place of [`NAMESPACE`]: on a real API server each scenario has another one.
fn translated(inner: Router, namespace: &str) -> Router {
    let [ours, theirs] = [NAMESPACE, namespace].map(|name| format!("/namespaces/{name}"));
    Router::new().fallback_service(tower::service_fn(move |mut request: Request| {
        let (inner, ours, theirs) = (inner.clone(), ours.clone(), theirs.clone());
        async move {
            *request.uri_mut() = request.uri().to_string().replacen(&ours, &theirs, 1).parse().unwrap();
            let mut response = inner.oneshot(request).await?;
            if let Some(location) = response.headers_mut().get_mut("location") {
                *location = location.to_str().unwrap().replacen(&theirs, &ours, 1).parse().unwrap();
            }
            Ok::<Response, Infallible>(response)
        }
    }))
}

/// A sink and the cluster that it works on.
pub(crate) struct World {
    /// Straight to the API server, past the faults.
    pub(crate) client: Client,
    pub(crate) faults: Faults,
    pub(crate) sink: Sink,
    pub(crate) router: Router,
    pub(crate) triggers: Triggers,
    /// Of the sink, not of the cluster.
    pub(crate) shutdown: CancellationToken,
    _feeds: DropGuard,
    place: Place,
}

/// Builds a [`World`].
pub(crate) struct Setup {
    options: Options,
    warm: bool,
    jobs: Vec<&'static str>,
    triggers: Vec<(&'static str, Value)>,
}

/// A cluster with the namespace and nothing in it.
pub(crate) fn setup() -> Setup {
    Setup { options: Options::default(), warm: true, jobs: Vec::new(), triggers: Vec::new() }
}

/// A place whose namespace senders know by its name.
async fn place() -> Place {
    if cluster::is_real() {
        return cluster::place().await;
    }
    let cluster = local::cluster();
    let client = cluster.client.clone();
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(NAMESPACE.to_owned());
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    Place::of(cluster, NAMESPACE)
}

impl Setup {
    pub(crate) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn job(mut self, name: &'static str) -> Self {
        self.jobs.push(name);
        self
    }

    pub(crate) fn trigger(mut self, name: &'static str, spec: Value) -> Self {
        self.triggers.push((name, spec));
        self
    }

    /// Leaves the watches unstarted.
    pub(crate) fn cold(mut self) -> Self {
        self.warm = false;
        self
    }

    pub(crate) async fn start(self) -> World {
        let place = place().await;
        let faults = Faults::default();
        let upstream = faults.over(&place.client);
        let triggers = Triggers::new(upstream.clone());
        let (shutdown, feeds) = (CancellationToken::new(), CancellationToken::new());
        let sink = Sink::new(upstream, triggers.clone(), self.options, shutdown.clone());
        let router =
            if cluster::is_real() { translated(sink.router(), &place.namespace) } else { sink.router() };
        let world = World {
            client: place.client.clone(),
            faults,
            router,
            sink,
            triggers: triggers.clone(),
            shutdown,
            _feeds: feeds.clone().drop_guard(),
            place,
        };
        for name in self.jobs {
            world.create_job(name).await;
        }
        for (name, spec) in self.triggers {
            world.create_trigger(name, spec).await;
        }
        if self.warm {
            let sink = world.sink.clone();
            tokio::spawn(async move { tokio::join!(triggers.run(feeds.clone()), sink.follow(feeds)) });
            eventually("the triggers are synced", async || {
                world.triggers.is_ready().then_some(()).ok_or("cold")
            })
            .await;
        }
        world
    }
}

impl World {
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        self.place.api()
    }

    /// The namespace as the API server knows it.
    pub(crate) fn namespace(&self) -> &str {
        &self.place.namespace
    }

    pub(crate) async fn create_job(&self, name: &str) -> Job {
        let job: Job = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": {"spec": {"template": {"spec": {
                "containers": [{"name": "main", "image": "local", "command": ["true"]}]
            }}}}},
        }))
        .unwrap();
        self.api().create(&PostParams::default(), &job).await.unwrap()
    }

    /// A Job with those fields in its spec besides the template.
    pub(crate) async fn create_job_with(&self, name: &str, spec: Value) -> Job {
        self.try_create_job_with(name, spec).await.unwrap()
    }

    /// The same, or what the API server says against it.
    pub(crate) async fn try_create_job_with(&self, name: &str, spec: Value) -> Result<Job, String> {
        let mut job = json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}, "spec": spec,
        });
        job["spec"]["template"] = json!({"spec": {"template": {"spec": {
            "containers": [{"name": "main", "image": "local", "command": ["true"]}]
        }}}});
        let job: Job = serde_json::from_value(job).unwrap();
        self.api().create(&PostParams::default(), &job).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn create_trigger(&self, name: &str, spec: Value) -> Trigger {
        let trigger: Trigger = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        self.api().create(&PostParams::default(), &trigger).await.unwrap()
    }

    pub(crate) async fn executions(&self) -> Vec<Execution> {
        self.api::<Execution>().list(&ListParams::default()).await.unwrap().items
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Sends the event to the Job `resize`.
    pub(crate) async fn post_event(&self, id: &str) -> Answer {
        self.send(event(&format!("/namespaces/{NAMESPACE}/jobs/resize"), id)).await
    }

    /// Sends the event to the namespace.
    pub(crate) async fn publish(&self, id: &str) -> Answer {
        self.send(event(&format!("/namespaces/{NAMESPACE}"), id)).await
    }
}

/// What the sink said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The reason of a refusal, after a look at its form.
    #[track_caller]
    pub(crate) fn detail(&self) -> String {
        assert!(self.status.is_client_error() || self.code() == 503, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], self.code());
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && !detail.contains("etcd"), "{detail}");
        let retry = self.header("retry-after").is_some();
        assert_eq!(retry, [429, 503].contains(&self.code()), "{self:?}");
        detail
    }
}

/// A valid event in binary mode: type `com.example.order` from `/orders`.
pub(crate) fn event(path: &str, id: &str) -> Request {
    Request::post(path)
        .header("ce-specversion", "1.0")
        .header("ce-id", id)
        .header("ce-source", "/orders")
        .header("ce-type", "com.example.order")
        .header("content-type", "application/json")
        .body(Body::from(r#"{"order":1}"#))
        .unwrap()
}

/// A pause in which something that must not happen would have happened; for bounds, not for waiting.
pub(crate) const SHORT: Duration = Duration::from_millis(50);
