//! Watches: a stream of events that starts at a state and follows the log.
//!
//! A client that asks for a revision that is no longer in the log gets status 200 and an ERROR event with code 410.
//! An HTTP 410 would be read as a broken connection by some clients, which then come back with the same revision for
//! ever; the event makes all of them list again.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http::header;
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;
use tokio::time::Interval;
use tokio::time::MissedTickBehavior;

use crate::local::server::codec;
use crate::local::server::objects::Call;
use crate::local::server::objects::Selection;
use crate::local::server::query::Since;
use crate::local::server::refusal::Refusal;
use crate::local::server::respond;
use crate::local::store;
use crate::local::store::Change;
use crate::local::store::Row;
use crate::local::store::Watch;

/// How long a watch lasts if the client names no end. The API server takes 30 to 60 minutes.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// How many rows of the initial state are sent together.
const PAGE: usize = 500;

/// Marks the bookmark after the initial state (KEP-3157).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(super) async fn watch(call: Call, selection: Selection) -> Result<Response, Refusal> {
    let bookmarks = call.query.flag("allowWatchBookmarks").unwrap_or(false);
    let initial = call.query.flag("sendInitialEvents");
    let matching = call.query.get("resourceVersionMatch");
    match (initial, matching) {
        (Some(_), Some("NotOlderThan")) | (None, None) => {}
        (Some(_), _) => {
            return Err(Refusal::BadRequest(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
                 setting resourceVersionMatch to NotOlderThan"
                    .to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(Refusal::BadRequest(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
                 forbidden for watch unless sendInitialEvents is provided"
                    .to_owned(),
            ));
        }
    }
    let since = call.query.since()?;
    let deadline = Instant::now() + call.query.timeout()?.unwrap_or(LONGEST).min(LONGEST);
    let from = match (initial, since) {
        (Some(true), _) | (None, Since::Newest | Since::Any) => None,
        (_, Since::Revision(revision)) => Some(revision),
        (Some(false), _) => Some(call.server.store.revision()),
    };
    let mut ticks = tokio::time::interval(call.server.options.bookmarks);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut feed = Feed {
        call,
        selection,
        phase: Phase::Ended,
        bookmarks,
        announce_end: initial == Some(true) && bookmarks,
        told: 0,
        deadline,
        ticks,
    };
    feed.start(from).await?;
    let events = stream::unfold(feed, |mut feed| async move {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // kubectl reads a watch through proxies that would otherwise wait for more.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

#[derive(Debug)]
enum Phase {
    /// Sends the state at the watch's start, page by page.
    Initial {
        after: Option<String>,
        watch: Watch,
    },
    Following(Watch),
    /// Sends one last thing.
    Failing(Bytes),
    Ended,
}

/// One watch in progress.
#[derive(Debug)]
struct Feed {
    call: Call,
    selection: Selection,
    phase: Phase,
    bookmarks: bool,
    announce_end: bool,
    /// The newest revision that the client knows it has reached.
    told: u64,
    deadline: Instant,
    ticks: Interval,
}

impl Feed {
    async fn start(&mut self, from: Option<u64>) -> Result<(), Refusal> {
        let store = &self.call.server.store;
        let prefix = self.call.scope(&self.selection);
        let (since, initial) = match from {
            Some(revision) => (revision, false),
            // The revision of a snapshot; the rows come later, as they were at that revision.
            None => (store.range(&prefix, None, 0, None).await?.revision, true),
        };
        self.told = since;
        self.phase = match store.watch(&prefix, since) {
            Ok(watch) if initial => Phase::Initial { after: None, watch },
            Ok(watch) => Phase::Following(watch),
            Err(error) => Phase::Failing(failure(error)),
        };
        Ok(())
    }

    /// The next piece of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Ended => return None,
                Phase::Failing(last) => return Some(last),
                Phase::Initial { after, watch } => match self.initial(after, watch).await {
                    Ok(chunk) if chunk.is_empty() => {}
                    Ok(chunk) => return Some(chunk),
                    Err(refusal) => return Some(event("ERROR", &refusal.status()).into()),
                },
                Phase::Following(mut watch) => {
                    let chunk = self.follow(&mut watch).await?;
                    if matches!(self.phase, Phase::Ended) && Instant::now() < self.deadline {
                        self.phase = Phase::Following(watch);
                    }
                    if !chunk.is_empty() {
                        return Some(chunk);
                    }
                }
            }
        }
    }

    /// One page of the initial state.
    async fn initial(&mut self, after: Option<String>, watch: Watch) -> Result<Bytes, Refusal> {
        let revision = watch.revision();
        let prefix = self.call.scope(&self.selection);
        let page = self.call.server.store.range(&prefix, after.as_deref(), PAGE, Some(revision)).await;
        let page = page.map_err(too_old)?;
        let mut chunk = Vec::new();
        for row in &page.rows {
            if self.selection.matches(&self.call.kind, row)? {
                self.object_event("ADDED", row, row.revision, &mut chunk)?;
            }
        }
        if let Some(last) = page.rows.last().filter(|_| page.more) {
            self.phase = Phase::Initial { after: Some(last.key.to_string()), watch };
        } else {
            if self.announce_end {
                chunk.extend(self.bookmark(revision, true));
            }
            self.phase = Phase::Following(watch);
        }
        Ok(Bytes::from(chunk))
    }

    /// What happens next: changes, a bookmark, or the end. Leaves the phase as `Ended` unless there is a last word.
    async fn follow(&mut self, watch: &mut Watch) -> Option<Bytes> {
        let closing = self.call.server.closing.clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => None,
            () = tokio::time::sleep_until(self.deadline) => {
                let last = self.bookmarks && watch.revision() > self.told;
                last.then(|| Bytes::from(self.bookmark(watch.revision(), false)))
            }
            _ = self.ticks.tick() => {
                if self.bookmarks && watch.revision() > self.told {
                    self.told = watch.revision();
                    return Some(Bytes::from(self.bookmark(watch.revision(), false)));
                }
                Some(Bytes::new())
            }
            changes = watch.next() => match changes {
                Ok(changes) => match self.changes(&changes) {
                    Ok(chunk) => Some(chunk),
                    Err(refusal) => {
                        self.phase = Phase::Failing(event("ERROR", &refusal.status()).into());
                        Some(Bytes::new())
                    }
                },
                Err(error) => {
                    self.phase = Phase::Failing(failure(error));
                    Some(Bytes::new())
                }
            }
        }
    }

    fn changes(&mut self, changes: &[std::sync::Arc<Change>]) -> Result<Bytes, Refusal> {
        let mut chunk = Vec::new();
        for change in changes {
            let seen = |row: &Option<Row>| match row {
                Some(row) => self.selection.matches(&self.call.kind, row),
                None => Ok(false),
            };
            match (seen(&change.before)?, seen(&change.after)?, &change.before, &change.after) {
                (false, true, _, Some(row)) => self.object_event("ADDED", row, row.revision, &mut chunk)?,
                (true, true, _, Some(row)) => self.object_event("MODIFIED", row, row.revision, &mut chunk)?,
                // Removed, or no longer selected: either way the last state that the watch knew, at the new revision.
                (true, false, Some(row), _) => {
                    self.object_event("DELETED", row, change.revision, &mut chunk)?;
                }
                _ => continue,
            }
            self.told = change.revision;
        }
        Ok(Bytes::from(chunk))
    }

    fn object_event(&self, kind: &str, row: &Row, revision: u64, into: &mut Vec<u8>) -> Result<(), Refusal> {
        if respond::as_stored(&self.call) {
            into.extend_from_slice(b"{\"type\":\"");
            into.extend_from_slice(kind.as_bytes());
            into.extend_from_slice(b"\",\"object\":");
            codec::splice_at(row, revision, into);
            into.extend_from_slice(b"}\n");
            return Ok(());
        }
        let mut object = codec::decode_at(row, revision)?;
        self.call.kind.to_served(&mut object);
        into.extend(event(kind, &respond::formed(&self.call, object)?));
        Ok(())
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Vec<u8> {
        let mut object = json!({
            "kind": self.call.kind.kind,
            "apiVersion": self.call.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({INITIAL_END: "true"});
        }
        respond::bookmark(&self.call, &mut object);
        event("BOOKMARK", &object)
    }
}

fn event(kind: &str, object: &Value) -> Vec<u8> {
    let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn too_old(error: store::Error) -> Refusal {
    match error {
        store::Error::Gone { asked, oldest } => {
            Refusal::Expired(format!("too old resource version: {asked} ({oldest})"))
        }
        other => other.into(),
    }
}

fn failure(error: store::Error) -> Bytes {
    Bytes::from(event("ERROR", &too_old(error).status()))
}
