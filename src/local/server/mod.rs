//! Objects, watches and patches over HTTP, as the Kubernetes API server does them.
//!
//! A [`Server`] is a router over a [`Store`]. In process it is the transport of a `kube::Client`; on a loopback port it
//! is what kubectl talks to. Neither can tell it from an API server as far as it goes, and the contract suite
//! (`tests/it/kubeapi`) holds it to that.
//!
//! What a kind is ([`kinds`]), what its objects may look like ([`schema`]), and how patches, selectors, tables and
//! discovery documents are computed are pure functions in folders of their own. This part moves requests and bytes:
//! [`route`] and [`query`] read what is asked, [`objects`] and [`watch`] do it, [`respond`] and [`refusal`] answer.
//! There is no authentication: whoever reaches a local server owns it, which is why it is only bound to loopback.

mod admission;
mod apply;
mod body;
mod codec;
mod definitions;
mod discovery;
mod expiry;
mod kinds;
mod kubelet;
mod metadata;
mod namespaces;
mod negotiate;
mod objects;
mod openapi;
mod patch;
mod query;
mod refusal;
mod respond;
mod root;
mod route;
mod schema;
mod selector;
mod strategy;
mod table;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::Method;
use http::Request;
use http::StatusCode;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

pub use self::admission::{Admission, Objection};
use self::body::PatchKind;
use self::definitions::Definitions;
use self::kinds::Kinds;
use self::kubelet::Kubelets;
use self::negotiate::Accept;
use self::objects::Call;
use self::objects::Deletion;
use self::objects::Selection;
use self::query::Query;
use self::refusal::Refusal;
use self::route::Target;
use crate::local::store::Store;

#[doc(hidden)]
pub use self::selector::Selectors;

/// How the server behaves where Kubernetes leaves a choice.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often a quiet watch tells its client how far it is. The API server takes a minute; more often costs little
    /// here and saves clients a new list after a reconnect.
    pub bookmarks: Duration,
    /// How long an Event stays after its last write: the API server's `--event-ttl`.
    pub events: Duration,
    /// Who is asked about objects of a kind before they are stored.
    pub admissions: Vec<Admission>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bookmarks: Duration::from_secs(10),
            events: Duration::from_secs(60 * 60),
            admissions: Vec::new(),
        }
    }
}

/// Why a server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A definition that was handed in cannot be served.
    #[error("a custom resource definition cannot be served")]
    Definition(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A Kubernetes API over a store. Clones share it.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    kinds: Arc<Kinds>,
    definitions: Arc<Definitions>,
    options: Options,
    kubelets: Kubelets,
    /// Ends all watches, so that a graceful shutdown does not wait for them.
    closing: CancellationToken,
    /// Set once the initial namespaces exist.
    founded: OnceCell<()>,
}

impl Server {
    /// A server of the built-in kinds and of what `definitions` define.
    pub fn new(
        store: Store,
        definitions: Vec<CustomResourceDefinition>,
        options: Options,
    ) -> Result<Self, Error> {
        let kinds = Kinds::reviewed(&definitions, &options.admissions)
            .map_err(|error| Error::Definition(Box::new(error)))?;
        let definitions =
            Definitions::new(definitions).map_err(|error| Error::Definition(Box::new(error)))?;
        Ok(Self::of(store, Arc::new(kinds), Arc::new(definitions), options))
    }

    /// A server of the same kinds over another store. Definitions are read and their rules compiled only once.
    #[must_use]
    pub fn over(&self, store: Store) -> Self {
        Self::of(store, Arc::clone(&self.0.kinds), Arc::clone(&self.0.definitions), self.0.options.clone())
    }

    fn of(store: Store, kinds: Arc<Kinds>, definitions: Arc<Definitions>, options: Options) -> Self {
        Self(Arc::new(Inner {
            store,
            kinds,
            definitions,
            options,
            kubelets: Kubelets::new(),
            closing: CancellationToken::new(),
            founded: OnceCell::new(),
        }))
    }

    /// Everything it serves. `kube::Client::new(server.router(), "default")` talks to it without a socket.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Background work until `shutdown`: namespaces that are deleted are emptied, old Events go. When it returns, all
    /// watches end.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::join!(self.0.end_namespaces(shutdown.clone()), self.0.expire_events(shutdown));
        self.0.closing.cancel();
    }
}

async fn answer(State(Server(server)): State<Server>, request: Request<Body>) -> Response {
    match serve(server, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn serve(server: Arc<Inner>, request: Request<Body>) -> Result<Response, Refusal> {
    server.founded.get_or_try_init(|| server.found()).await?;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let target = Target::parse(path);
    let kind = target.as_ref().and_then(|to| server.kinds.find(&to.group, &to.version, &to.plural)).cloned();
    let (Some(target), Some(kind)) = (target, kind) else {
        if parts.method == Method::GET
            && let Some(response) = root::get(&server, path, &parts.headers)
        {
            return Ok(response);
        }
        let bytes = body::read(&parts.headers, body).await?;
        return root::review(&parts.method, path, &parts.headers, &bytes)?.ok_or(Refusal::NoSuchResource);
    };
    if kind.namespaced && target.namespace.is_none() && target.name.is_some()
        || !kind.namespaced && target.namespace.is_some()
    {
        return Err(Refusal::NoSuchResource);
    }
    let call = Call {
        server,
        kind,
        namespace: target.namespace,
        subresource: target.subresource,
        query: Query::parse(&parts.uri)?,
        accept: Accept::of(&parts.headers)?,
        agent: objects::agent(&parts.headers),
        warnings: Vec::new(),
    };
    match target.name {
        None => collection(call, &parts, body).await,
        Some(name) if call.subresource.is_none() => object(call, &name, &parts, body).await,
        Some(name) => subresource(call, &name, &parts, body).await,
    }
}

async fn collection(mut call: Call, parts: &http::request::Parts, body: Body) -> Result<Response, Refusal> {
    match parts.method {
        Method::GET => {
            let selection = Selection::of(&call.query, &call.kind)?;
            if call.query.watch() {
                return watch::watch(call, selection).await;
            }
            let listed = objects::list(&call, &selection).await?;
            respond::list(&call, listed)
        }
        Method::POST if call.kind.read_only => Err(Refusal::MethodNotAllowed),
        Method::POST if call.kind.namespaced && call.namespace.is_none() => Err(Refusal::MethodNotAllowed),
        Method::POST => {
            let bytes = body::read(&parts.headers, body).await?;
            let object = body::object(&parts.headers, &bytes)?;
            let written = objects::create(&mut call, object).await?;
            respond::written(&call, written, StatusCode::CREATED)
        }
        Method::DELETE if !call.kind.read_only => {
            let bytes = body::read(&parts.headers, body).await?;
            let selection = Selection::of(&call.query, &call.kind)?;
            let deletion = Deletion::read(&call.query, &bytes)?;
            let deleted = objects::delete_collection(&call, &selection, &deletion).await?;
            let list = json!({
                "kind": call.kind.list_kind,
                "apiVersion": call.kind.api_version(),
                "metadata": {"resourceVersion": call.server.store.revision().to_string()},
                "items": deleted,
            });
            respond::encoded(&call, &list, StatusCode::OK)
        }
        _ => Err(Refusal::MethodNotAllowed),
    }
}

async fn object(
    mut call: Call,
    name: &str,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Response, Refusal> {
    if parts.method == Method::GET {
        let row = objects::get(&call, name)?;
        return respond::row(&call, &row, StatusCode::OK);
    }
    if call.kind.read_only {
        return Err(Refusal::MethodNotAllowed);
    }
    if parts.method == Method::DELETE {
        let bytes = body::read(&parts.headers, body).await?;
        let deletion = Deletion::read(&call.query, &bytes)?;
        let answer = objects::delete(&mut call, name, &deletion).await?;
        return respond::value(&call, answer, StatusCode::OK);
    }
    write(call, name, parts, body).await
}

/// `PUT` and `PATCH`, of an object or of a part of it.
async fn write(
    mut call: Call,
    name: &str,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Response, Refusal> {
    match parts.method {
        Method::PUT => {
            let bytes = body::read(&parts.headers, body).await?;
            let object = body::object(&parts.headers, &bytes)?;
            let written = objects::replace(&mut call, name, object).await?;
            respond::written(&call, written, StatusCode::OK)
        }
        Method::PATCH => {
            let kind = PatchKind::of(&parts.headers)?;
            let bytes = body::read(&parts.headers, body).await?;
            let (written, created) = objects::patch(&mut call, name, kind, &bytes).await?;
            respond::written(&call, written, if created { StatusCode::CREATED } else { StatusCode::OK })
        }
        _ => Err(Refusal::MethodNotAllowed),
    }
}

async fn subresource(
    mut call: Call,
    name: &str,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let core = |plural: &str| call.kind.group.is_empty() && call.kind.plural == plural;
    match (call.subresource.as_deref().unwrap_or_default(), &parts.method) {
        ("status", &Method::GET) if call.kind.has_status => {
            let row = objects::get(&call, name)?;
            respond::row(&call, &row, StatusCode::OK)
        }
        ("status", _) if call.kind.has_status && !call.kind.read_only => write(call, name, parts, body).await,
        ("finalize", &Method::PUT) if core("namespaces") => write(call, name, parts, body).await,
        ("log", &Method::GET) if core("pods") => kubelet::log(&call, name).await,
        ("binding", &Method::POST) if core("pods") => {
            let bytes = body::read(&parts.headers, body).await?;
            let binding = body::object(&parts.headers, &bytes)?;
            call.subresource = None;
            objects::bind(&mut call, name, &binding).await?;
            Ok(created())
        }
        ("eviction", &Method::POST) if core("pods") => {
            // No disruption budgets here: an eviction is a delete.
            let bytes = body::read(&parts.headers, body).await?;
            let eviction = body::object(&parts.headers, &bytes)?;
            let options = eviction.get("deleteOptions").map(ToString::to_string).unwrap_or_default();
            let deletion = Deletion::read(&call.query, &options.into())?;
            call.subresource = None;
            objects::delete(&mut call, name, &deletion).await?;
            Ok(created())
        }
        ("status", _) if call.kind.has_status => Err(Refusal::MethodNotAllowed),
        ("finalize", _) if core("namespaces") => Err(Refusal::MethodNotAllowed),
        ("log" | "binding" | "eviction", _) if core("pods") => Err(Refusal::MethodNotAllowed),
        _ => Err(Refusal::NoSuchResource),
    }
}

/// What a subresource answers that is no object.
fn created() -> Response {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    let mut response = respond::document(&status);
    *response.status_mut() = StatusCode::CREATED;
    response
}
