//! The end of Events: they tell what happened lately, and nobody deletes them.
//!
//! The API server has etcd forget an Event some time after its last write. Here the server looks now and then.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::local::server::Inner;
use crate::local::server::codec;
use crate::local::server::metadata;
use crate::local::server::objects;
use crate::local::server::refusal::Refusal;
use crate::local::store;
use crate::local::store::Row;

/// How often old Events are looked for: they outlive their age by this much at most.
const ROUND: Duration = Duration::from_secs(5 * 60);

/// How many Events are read, and then removed together, before the next ones are read.
const PAGE: usize = 200;

impl Inner {
    /// Removes Events that are older than the options say, until `shutdown`.
    pub(super) async fn expire_events(self: &Arc<Self>, shutdown: CancellationToken) {
        let rounds = async {
            loop {
                // An age beyond the calendar keeps everything.
                if let Ok(before) = Timestamp::now().checked_sub(self.options.events)
                    && let Err(refusal) = self.remove_events(before).await
                {
                    tracing::warn!(
                        error = &refusal as &dyn std::error::Error,
                        "old events cannot be removed now"
                    );
                }
                tokio::time::sleep(ROUND).await;
            }
        };
        shutdown.run_until_cancelled(rounds).await;
    }

    /// One round: removes the Events whose last write was before that time.
    async fn remove_events(&self, before: Timestamp) -> Result<(), Refusal> {
        let kind = self.kinds.find("", "v1", "events").expect("events are built in");
        let prefix = objects::prefix(kind, None);
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(&prefix, after.as_deref(), PAGE, None).await?;
            after = page.rows.last().filter(|_| page.more).map(|row| row.key.to_string());
            let old = page.rows.into_iter().filter(|row| expired(row, before));
            let removals = old.map(|row| async move {
                match self.store.delete(&row.key, row.revision).await {
                    // Written or deleted just now: it is not old, or not there.
                    Ok(_) | Err(store::Error::Conflict { .. } | store::Error::Missing) => Ok(()),
                    Err(error) => Err(error),
                }
            });
            future::try_join_all(removals).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Whether the Event was last written before that time. What cannot be read, or has no time, stays for people to see.
fn expired(row: &Row, before: Timestamp) -> bool {
    let Ok(event) = codec::decode(row) else { return false };
    written(&event).is_some_and(|at| at < before)
}

/// When the server last wrote the object. The Event's own times are its reporter's, whose clock may be anywhere.
fn written(object: &Value) -> Option<Timestamp> {
    let managers = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let changes = managers.into_iter().flatten().filter_map(|entry| entry.get("time")?.as_str());
    changes
        .chain(metadata::text(object, "creationTimestamp"))
        .filter_map(|time| time.parse::<Timestamp>().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::local::server::Options;
    use crate::local::server::Server;
    use crate::local::store::Store;

    /// How long a test waits for what must happen.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn server(events: Duration) -> Server {
        let store = Store::open(store::Options::memory()).unwrap();
        Server::new(store, Vec::new(), Options { events, ..Options::default() }).unwrap()
    }

    async fn record(server: &Server, names: impl Iterator<Item = String>) {
        server.0.found().await.unwrap();
        let kind = server.0.kinds.find("", "v1", "events").unwrap();
        for name in names {
            let mut call = server.0.own(kind, Some("default"));
            let event = json!({
                "metadata": {"name": name, "namespace": "default"}, "reason": "Tested",
                "involvedObject": {"kind": "Job", "name": "j", "namespace": "default"},
                // A reporter from the past.
                "lastTimestamp": "2020-01-01T00:00:00Z",
            });
            objects::create(&mut call, event).await.unwrap();
        }
    }

    #[tokio::test]
    async fn events_go_once_their_last_write_is_old_enough() {
        let server = server(Duration::from_secs(60 * 60));
        record(&server, (0..PAGE + 7).map(|number| format!("e{number:04}"))).await;
        let others = server.0.store.count("core/namespaces/", None).await.unwrap();
        let hour = jiff::SignedDuration::from_secs(60 * 60);
        server.0.remove_events(Timestamp::now() - hour).await.unwrap();
        assert_eq!(server.0.store.count("core/events/", None).await.unwrap(), PAGE + 7);
        server.0.remove_events(Timestamp::now() + hour).await.unwrap();
        assert_eq!(server.0.store.count("core/events/", None).await.unwrap(), 0);
        assert_eq!(server.0.store.count("core/namespaces/", None).await.unwrap(), others);
    }

    #[tokio::test]
    async fn the_running_server_removes_old_events() {
        let server = server(Duration::ZERO);
        record(&server, std::iter::once("e".to_owned())).await;
        let mut watch = server.0.store.watch("core/events/", server.0.store.revision()).unwrap();
        // Written within this second, which its time does not tell: whole seconds lie in the past.
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (server, shutdown) = (server.clone(), shutdown.clone());
            async move { server.run(shutdown).await }
        });
        let changes = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
        assert!(changes[0].after.is_none(), "the event is gone");
        shutdown.cancel();
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    }

    #[test]
    fn a_repeated_event_is_as_young_as_its_last_change() {
        let event = json!({"metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"time": "2026-01-01T00:00:00Z"}, {"time": "2026-01-01T02:00:00Z"}],
        }});
        assert_eq!(written(&event), Some("2026-01-01T02:00:00Z".parse().unwrap()));
        assert_eq!(written(&json!({"metadata": {}})), None);
    }
}
