//! All `PingSource`s: one [`Source`] at work for each, begun anew when what is desired has changed.

use std::collections::HashMap;
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::delivery::Tick;
use super::object::PingSource;
use super::source::Source;
use crate::feed::{Change, Follower};
use crate::sources::Clock;

/// What sources work with.
pub(in crate::sources) struct Context {
    pub(in crate::sources) client: Client,
    pub(in crate::sources) clock: Clock,
    /// Takes what is due.
    pub(in crate::sources) ticks: mpsc::Sender<Tick>,
}

/// Namespace and name.
type Key = (String, String);
/// An object and the state of it that is desired.
type Edition = (Option<String>, Option<i64>);

/// All sources. Dropping a guard ends the work of one.
pub(in crate::sources) struct Pings {
    context: Arc<Context>,
    running: Mutex<HashMap<Key, (Edition, DropGuard)>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Pings {
    pub(in crate::sources) fn new(context: Context, shutdown: CancellationToken) -> Self {
        Self { context: Arc::new(context), running: Mutex::default(), tasks: TaskTracker::new(), shutdown }
    }

    /// Waits until no source works any more, and with it nobody who could have something sent.
    pub(in crate::sources) async fn finish(self) {
        self.running.lock().clear();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Sees to it that this state of it is at work.
    fn begin(&self, object: PingSource) {
        let key = key(&object);
        let edition = (object.metadata.uid.clone(), object.metadata.generation);
        let mut running = self.running.lock();
        if object.metadata.deletion_timestamp.is_some() {
            running.remove(&key);
            return;
        }
        if running.get(&key).is_some_and(|(before, _)| *before == edition) {
            return;
        }
        let token = self.shutdown.child_token();
        let (source, until) = (Source::new(object, self.context.clone()), token.clone());
        self.tasks.spawn(async move { until.run_until_cancelled(source.run()).await });
        running.insert(key, (edition, token.drop_guard()));
    }
}

fn key(object: &PingSource) -> Key {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    (of(&object.metadata.namespace), of(&object.metadata.name))
}

impl Follower<PingSource> for Pings {
    fn change(&self, change: Change<PingSource>) {
        match change {
            Change::Replace(all) => {
                let keys: Vec<Key> = all.iter().map(key).collect();
                self.running.lock().retain(|key, _| keys.contains(key));
                for object in all {
                    self.begin(object);
                }
            }
            Change::Apply(object) => self.begin(object),
            Change::Delete(object) => drop(self.running.lock().remove(&key(&object))),
            // Clocks go on while the API server is away.
            Change::Broken => {}
        }
    }
}
