//! The life of namespaces: the ones that always exist, who may create in one, and how one ends.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::local::server::Inner;
use crate::local::server::codec;
use crate::local::server::kinds::Kind;
use crate::local::server::metadata;
use crate::local::server::negotiate::Accept;
use crate::local::server::negotiate::Form;
use crate::local::server::objects;
use crate::local::server::objects::Call;
use crate::local::server::objects::Deletion;
use crate::local::server::objects::Selection;
use crate::local::server::query::Query;
use crate::local::server::refusal::Refusal;
use crate::local::server::refusal::Subject;
use crate::local::store;

/// Created with the first request.
const INITIAL: &[&str] = &["default", "kube-system"];

/// How often a namespace that is ending is looked at again: its objects may wait for their own finalizers.
const AGAIN: Duration = Duration::from_millis(250);

impl Inner {
    fn namespaces(&self) -> &Arc<Kind> {
        self.kinds.find("", "v1", "namespaces").expect("namespaces are built in")
    }

    /// A call of the server's own.
    fn own(self: &Arc<Self>, kind: &Arc<Kind>, namespace: Option<&str>) -> Call {
        Call {
            server: Arc::clone(self),
            kind: Arc::clone(kind),
            namespace: namespace.map(str::to_owned),
            subresource: None,
            query: Query::default(),
            accept: Accept { form: Form::Whole, yaml: false },
            agent: "kakehi".to_owned(),
            warnings: Vec::new(),
        }
    }

    /// Creates what is always there.
    pub(super) async fn found(self: &Arc<Self>) -> Result<(), Refusal> {
        for name in INITIAL {
            let mut call = self.own(self.namespaces(), None);
            match objects::create(&mut call, json!({"metadata": {"name": name}})).await {
                Ok(_) | Err(Refusal::AlreadyExists(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.definitions.store(&self.store).await
    }

    /// Empties namespaces that are being deleted and lets them go, until `shutdown`.
    pub(super) async fn end_namespaces(self: &Arc<Self>, shutdown: CancellationToken) {
        let prefix = objects::prefix(self.namespaces(), None);
        loop {
            let since = self.store.revision();
            let waiting = match self.sweep().await {
                Ok(waiting) => waiting,
                Err(refusal) => {
                    tracing::warn!(
                        error = &refusal as &dyn std::error::Error,
                        "namespaces cannot be emptied now"
                    );
                    true
                }
            };
            let changed = async {
                match self.store.watch(&prefix, since) {
                    Ok(mut watch) => drop(watch.next().await),
                    Err(store::Error::Gone { .. }) => {}
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(AGAIN), if waiting => {}
                () = changed => {}
            }
        }
    }

    /// One round over all namespaces. Says whether one is still ending.
    async fn sweep(self: &Arc<Self>) -> Result<bool, Refusal> {
        let call = self.own(self.namespaces(), None);
        let mut waiting = false;
        for row in self.store.range(&call.prefix(), None, usize::MAX, None).await?.rows {
            let namespace = codec::decode(&row)?;
            if !metadata::deleting(&namespace) {
                continue;
            }
            let name = metadata::name(&namespace);
            if self.empty(name).await? {
                self.finalize(name).await?;
            } else {
                waiting = true;
            }
        }
        Ok(waiting)
    }

    /// Deletes what is in the namespace. Says whether nothing is left.
    async fn empty(self: &Arc<Self>, namespace: &str) -> Result<bool, Refusal> {
        let mut empty = true;
        for kind in self.kinds.iter().filter(|kind| kind.namespaced && kind.stored_as_served()) {
            let call = self.own(kind, Some(namespace));
            objects::delete_collection(&call, &Selection::everything(), &Deletion::background()).await?;
            empty &= self.store.count(&call.prefix(), None).await? == 0;
        }
        Ok(empty)
    }

    async fn finalize(self: &Arc<Self>, name: &str) -> Result<(), Refusal> {
        let mut call = self.own(self.namespaces(), None);
        call.subresource = Some("finalize".to_owned());
        let (_, mut object) = match call.find(name) {
            Err(Refusal::NotFound(_)) => return Ok(()),
            other => other?,
        };
        object["spec"]["finalizers"] = json!([]);
        match objects::replace(&mut call, name, object).await {
            // Somebody else changed or removed it: the next round sees.
            Ok(_) | Err(Refusal::NotFound(_) | Refusal::Conflict { .. }) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}

/// Whether an object may be created in the namespace.
pub(super) fn admit(call: &Call, namespace: &str, name: &str) -> Result<(), Refusal> {
    let spaces = call.server.namespaces();
    let Some(row) = call.server.store.get(&objects::key(spaces, None, namespace))? else {
        return Err(Refusal::NotFound(Subject::new(spaces, namespace)));
    };
    if metadata::deleting(&codec::decode(&row)?) {
        return Err(Refusal::Forbidden {
            subject: call.subject(name),
            why: format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ),
            cause: Some(json!({
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            })),
        });
    }
    Ok(())
}

/// Whether the object is a namespace that its content still holds.
pub(super) fn held(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Namespace")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1")
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|held| !held.is_empty())
}
