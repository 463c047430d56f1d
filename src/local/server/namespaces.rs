//! The life of namespaces: the ones that always exist, who may create in one, and how one ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;
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
use crate::local::store::Row;

/// Created with the first request.
const INITIAL: &[&str] = &["default", "kube-system"];

/// How often a namespace that is ending is looked at again: its objects may wait for their own finalizers.
const AGAIN: Duration = Duration::from_millis(250);

/// The longest pause before a namespace is tried again that could not be emptied: each failure doubles the pause.
const SELDOM: Duration = Duration::from_secs(30);

/// When what has failed is tried again.
#[derive(Debug, Clone, Copy)]
struct Backoff {
    pause: Duration,
    until: Instant,
}

impl Backoff {
    fn after(before: Option<&Self>, now: Instant) -> Self {
        let pause = before.map_or(AGAIN, |before| (before.pause * 2).min(SELDOM));
        Self { pause, until: now + pause }
    }
}

/// Namespaces that could not be emptied, by their keys.
type Failing = HashMap<Arc<str>, Backoff>;

impl Inner {
    fn namespaces(&self) -> &Arc<Kind> {
        self.kinds.find("", "v1", "namespaces").expect("namespaces are built in")
    }

    /// A call of the server's own.
    pub(super) fn own(self: &Arc<Self>, kind: &Arc<Kind>, namespace: Option<&str>) -> Call {
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
        let mut failing = Failing::new();
        let mut unread = None;
        loop {
            let since = self.store.revision();
            let next = match self.sweep(&mut failing).await {
                Ok(next) => {
                    unread = None;
                    next
                }
                Err(refusal) => {
                    tracing::warn!(
                        error = &refusal as &dyn std::error::Error,
                        "namespaces cannot be looked at now"
                    );
                    Some(unread.insert(Backoff::after(unread.as_ref(), Instant::now())).until)
                }
            };
            let changed = async {
                match self.store.watch(&prefix, since) {
                    Ok(mut watch) => drop(watch.next().await),
                    Err(store::Error::Gone { .. }) => {}
                    Err(_) => std::future::pending().await,
                }
            };
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = due => {}
                () = changed => {}
            }
        }
    }

    /// One round over all namespaces, but for those whose time has not come. Says when the next one is due: never, if
    /// none is ending. A namespace that cannot be emptied holds up no other.
    async fn sweep(self: &Arc<Self>, failing: &mut Failing) -> Result<Option<Instant>, Refusal> {
        let call = self.own(self.namespaces(), None);
        let mut next: Option<Instant> = None;
        let mut still = Failing::new();
        for row in self.store.range(&call.prefix(), None, usize::MAX, None).await?.rows {
            let before = failing.get(&row.key);
            let now = Instant::now();
            let due = if let Some(waiting) = before.filter(|backoff| backoff.until > now) {
                still.insert(Arc::clone(&row.key), *waiting);
                Some(waiting.until)
            } else {
                match self.end(&row).await {
                    Ok(ended) => (!ended).then(|| now + AGAIN),
                    Err(refusal) => {
                        tracing::warn!(
                            namespace = row.key.rsplit('/').next(),
                            error = &refusal as &dyn std::error::Error,
                            "a namespace cannot be emptied now"
                        );
                        let backoff = Backoff::after(before, now);
                        still.insert(Arc::clone(&row.key), backoff);
                        Some(backoff.until)
                    }
                }
            };
            next = next.into_iter().chain(due).min();
        }
        *failing = still;
        Ok(next)
    }

    /// Brings a namespace closer to its end if it has been deleted. Says whether there is nothing left to do.
    async fn end(self: &Arc<Self>, row: &Row) -> Result<bool, Refusal> {
        let namespace = codec::decode(row)?;
        if !metadata::deleting(&namespace) {
            return Ok(true);
        }
        let name = metadata::name(&namespace);
        let empty = self.empty(name).await?;
        if empty {
            self.finalize(name).await?;
        }
        Ok(empty)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::local::server::Options;
    use crate::local::server::Server;
    use crate::local::store::Expect;
    use crate::local::store::Store;

    #[tokio::test]
    async fn a_namespace_that_cannot_be_emptied_holds_up_no_other() {
        let store = Store::open(store::Options::memory()).unwrap();
        let server = Server::new(store.clone(), Vec::new(), Options::default()).unwrap().0;
        server.found().await.unwrap();
        for name in ["a-broken", "b-whole"] {
            let mut call = server.own(server.namespaces(), None);
            objects::create(&mut call, json!({"metadata": {"name": name}})).await.unwrap();
            objects::delete(&mut call, name, &Deletion::background()).await.unwrap();
        }
        let garbage = "core/configmaps/a-broken/x";
        let revision = store.put(garbage, Expect::Absent, Bytes::from_static(b"garbage")).await.unwrap();
        let mut failing = Failing::new();
        let next = server.sweep(&mut failing).await.unwrap();
        assert!(store.get("core/namespaces/a-broken").unwrap().is_some());
        assert!(store.get("core/namespaces/b-whole").unwrap().is_none(), "it is gone all the same");
        let backoff = failing["core/namespaces/a-broken"];
        assert_eq!((failing.len(), next), (1, Some(backoff.until)));
        // Not its turn yet, then its turn: a longer pause.
        failing
            .insert("core/namespaces/a-broken".into(), Backoff { until: backoff.until + SELDOM, ..backoff });
        server.sweep(&mut failing).await.unwrap();
        assert_eq!(failing["core/namespaces/a-broken"].pause, backoff.pause);
        failing.insert("core/namespaces/a-broken".into(), Backoff { until: Instant::now(), ..backoff });
        server.sweep(&mut failing).await.unwrap();
        assert_eq!(failing["core/namespaces/a-broken"].pause, backoff.pause * 2);
        // Mended, it ends.
        store.delete(garbage, revision).await.unwrap();
        failing.clear();
        assert_eq!(server.sweep(&mut failing).await.unwrap(), None);
        assert!(store.get("core/namespaces/a-broken").unwrap().is_none());
    }

    #[test]
    fn the_pause_after_failures_grows_to_a_limit() {
        let now = Instant::now();
        let mut backoff = Backoff::after(None, now);
        assert_eq!(backoff.pause, AGAIN);
        for _ in 0..20 {
            backoff = Backoff::after(Some(&backoff), now);
        }
        assert_eq!((backoff.pause, backoff.until), (SELDOM, now + SELDOM));
    }
}
