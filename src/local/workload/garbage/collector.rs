//! The loop: metadata watches of all kinds feed the graph, its tasks become operations that run side by side.

use crate::local::workload::garbage::graph::Graph;
use crate::local::workload::garbage::graph::KindId;
use crate::local::workload::garbage::graph::Leaving;
use crate::local::workload::garbage::graph::Node;
use crate::local::workload::garbage::graph::Task;
use crate::local::workload::garbage::judge::Dependents;
use crate::local::workload::garbage::kinds::Kinds;
use crate::local::workload::garbage::operate::Absent;
use crate::local::workload::garbage::operate::Error;
use crate::local::workload::garbage::operate::Operation;
use crate::local::workload::garbage::operate::Operator;
use crate::local::workload::garbage::uid::Uid;
use futures::StreamExt;
use futures::stream::BoxStream;
use futures::stream::SelectAll;
use kube::Api;
use kube::Client;
use kube::api::DynamicObject;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::info;
use tracing::warn;

/// Operations under way at a time; as many workers as the garbage collector of Kubernetes has.
const OPERATIONS: usize = 20;
/// How long a dependent may be seen before its owner, and an orphaned dependent after its owner: the watches of different kinds do not
/// keep step. What is later than this costs a look, never an object.
const SETTLE: Duration = Duration::from_millis(500);
/// After an error an object is looked at again after 100 ms, doubled up to 30 s.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Owners known to be gone; one vanished owner may have many dependents. All are forgotten when there are more.
const ABSENT: usize = 10_000;
/// How long operations may take to end when the process does.
const DRAIN: Duration = Duration::from_secs(5);

type Seen = (KindId, watcher::Result<Event<PartialObjectMeta<DynamicObject>>>);

/// Runs the collector until the shutdown.
pub(in crate::local::workload) async fn run(client: Client, shutdown: CancellationToken) {
    let Some(kinds) = discover(&client, &shutdown).await else { return };
    let kinds = Arc::new(kinds);
    let collector = Collector {
        operator: Operator { client: client.clone(), kinds: kinds.clone() },
        unlisted: kinds.iter().map(|(id, _)| id).collect(),
        listing: HashMap::new(),
        graph: Graph::default(),
        tasks: VecDeque::new(),
        queued: HashSet::new(),
        later: BTreeSet::new(),
        running: JoinSet::new(),
        busy: HashSet::new(),
        again: HashSet::new(),
        failures: HashMap::new(),
        absent: Arc::default(),
    };
    collector.run(watches(&client, &kinds), &shutdown).await;
}

async fn discover(client: &Client, shutdown: &CancellationToken) -> Option<Kinds> {
    let mut wait = RETRY.0;
    loop {
        match Kinds::discover(client).await {
            Ok(kinds) => return Some(kinds),
            Err(error) => warn!(retry_in = ?wait, error = %error, "cannot discover the kinds to collect"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
        }
    }
}

fn watches(client: &Client, kinds: &Kinds) -> SelectAll<BoxStream<'static, Seen>> {
    let watch = |(id, kind): (KindId, &super::kinds::Kind)| {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client.clone(), &kind.resource);
        watcher(api, watcher::Config::default()).default_backoff().map(move |event| (id, event)).boxed()
    };
    kinds.iter().map(watch).collect()
}

struct Collector {
    operator: Operator,
    /// Kinds whose first list is not complete. Before all are, nothing is judged.
    unlisted: HashSet<KindId>,
    /// Kinds that are being listed: what the list has not shown yet.
    listing: HashMap<KindId, HashSet<Uid>>,
    graph: Graph,
    tasks: VecDeque<Uid>,
    queued: HashSet<Uid>,
    later: BTreeSet<(Instant, Uid)>,
    running: JoinSet<(Uid, Result<Vec<Absent>, Error>)>,
    busy: HashSet<Uid>,
    again: HashSet<Uid>,
    failures: HashMap<Uid, u32>,
    absent: Arc<parking_lot::Mutex<HashSet<Absent>>>,
}

impl Collector {
    async fn run(mut self, mut watches: SelectAll<BoxStream<'static, Seen>>, shutdown: &CancellationToken) {
        info!(kinds = watches.len(), "collecting garbage");
        loop {
            self.start();
            let due = self.later.first().map(|(at, _)| *at);
            let timer = async move {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some((kind, event)) = watches.next() => self.see(kind, event),
                Some(done) = self.running.join_next(), if !self.running.is_empty() => match done {
                    Ok((uid, result)) => self.finish(&uid, result),
                    Err(error) => warn!(error = %error, "an operation of the garbage collector died"),
                },
                () = timer => self.advance(),
            }
        }
        if tokio::time::timeout(DRAIN, async { while self.running.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            warn!("operations of the garbage collector did not end in time");
        }
    }

    fn see(&mut self, kind: KindId, event: watcher::Result<Event<PartialObjectMeta<DynamicObject>>>) {
        match event {
            Ok(Event::Apply(object)) => self.observe(kind, &object.metadata),
            Ok(Event::InitApply(object)) => {
                if let (Some(missing), Some(uid)) = (self.listing.get_mut(&kind), &object.metadata.uid) {
                    missing.remove(&Uid::of(uid));
                }
                self.observe(kind, &object.metadata);
            }
            Ok(Event::Delete(object)) => self.forget(object.metadata.uid.as_deref().map(Uid::of)),
            Ok(Event::Init) => {
                self.listing.insert(kind, self.graph.of_kind(kind).into_iter().collect());
            }
            Ok(Event::InitDone) => {
                self.unlisted.remove(&kind);
                let missing = self.listing.remove(&kind).unwrap_or_default();
                self.forget(missing);
            }
            Err(error) => {
                // A kind that cannot be listed must not stop the others for ever.
                self.unlisted.remove(&kind);
                debug!(kind, error = %error, "a watch of the garbage collector is interrupted");
            }
        }
    }

    fn observe(&mut self, kind: KindId, metadata: &ObjectMeta) {
        let Some(uid) = metadata.uid.as_deref().map(Uid::of) else { return };
        let namespace = self.graph.namespace(metadata.namespace.as_deref().unwrap_or_default());
        let node = Node::of(kind, namespace, metadata);
        let kinds = &self.operator.kinds;
        let tasks = self.graph.observe(uid, node, |at, place| {
            let named = metadata.owner_references.as_ref().and_then(|owners| owners.get(at));
            let kind = named.and_then(|owner| kinds.find(&owner.api_version, &owner.kind)).map(|(id, _)| id);
            let near = place.namespace.is_empty() || Some(&*place.namespace) == metadata.namespace.as_deref();
            near && kind == Some(place.kind) && named.is_some_and(|owner| *owner.name == *place.name)
        });
        self.queue(tasks);
    }

    fn forget(&mut self, gone: impl IntoIterator<Item = Uid>) {
        for uid in gone {
            let tasks = self.graph.forget(&uid);
            self.failures.remove(&uid);
            self.queue(tasks);
        }
    }

    fn queue(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Finish(uid)
                    if self.graph.get(&uid).is_some_and(|node| node.leaving == Leaving::Orphan) =>
                {
                    self.at(uid, SETTLE);
                }
                Task::Examine(uid) | Task::Finish(uid) => self.now(uid),
                Task::ExamineLater(uid) => self.at(uid, SETTLE),
            }
        }
    }

    fn now(&mut self, uid: Uid) {
        if self.queued.insert(uid.clone()) {
            self.tasks.push_back(uid);
        }
    }

    fn at(&mut self, uid: Uid, wait: Duration) {
        self.later.insert((Instant::now() + wait, uid));
    }

    fn advance(&mut self) {
        let now = Instant::now();
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, uid)) = self.later.pop_first() else { return };
            self.now(uid);
        }
    }

    fn start(&mut self) {
        while self.unlisted.is_empty() && self.running.len() < OPERATIONS {
            let Some(uid) = self.tasks.pop_front() else { return };
            self.queued.remove(&uid);
            if self.busy.contains(&uid) {
                self.again.insert(uid);
                continue;
            }
            let Some(operation) = self.operation(&uid) else { continue };
            self.busy.insert(uid.clone());
            let (operator, absent) = (self.operator.clone(), self.absent.clone());
            self.running.spawn(async move {
                let result = operator.run(&uid, operation, |key| absent.lock().contains(key)).await;
                (uid, result)
            });
        }
    }

    /// What there is to do for an object, if anything.
    fn operation(&self, uid: &Uid) -> Option<Operation> {
        let node = self.graph.get(uid)?;
        let place = node.place.clone();
        match node.leaving {
            Leaving::Plain => None,
            Leaving::Foreground => {
                let held = self.graph.dependents(uid).any(|dependent| self.graph.blocks(uid, dependent));
                (!held).then_some(Operation::Finish { place })
            }
            Leaving::Orphan => {
                let dependents = self.graph.dependents(uid).filter_map(|dependent| self.graph.get(dependent));
                Some(Operation::Orphan {
                    place,
                    dependents: dependents.map(|node| node.place.clone()).collect(),
                })
            }
            Leaving::No => {
                let owner = |owner: &Uid| {
                    self.graph.get(owner).map(|node| (owner.clone(), (node.place.clone(), node.leaving)))
                };
                let owners: HashMap<_, _> =
                    node.owners.iter().filter_map(|named| owner(&named.uid)).collect();
                (!node.owners.is_empty()).then(|| Operation::Examine {
                    place,
                    dependents: self.dependents(uid),
                    owners,
                })
            }
        }
    }

    fn dependents(&self, uid: &Uid) -> Dependents {
        let waiting =
            |dependent| self.graph.get(dependent).is_some_and(|node| node.leaving == Leaving::Foreground);
        if self.graph.dependents(uid).any(waiting) {
            Dependents::Waiting
        } else if self.graph.dependents(uid).next().is_some() {
            Dependents::Some
        } else {
            Dependents::None
        }
    }

    fn finish(&mut self, uid: &Uid, result: Result<Vec<Absent>, Error>) {
        self.busy.remove(uid);
        let changed = self.again.remove(uid);
        match result {
            Ok(found) => {
                self.failures.remove(uid);
                let mut absent = self.absent.lock();
                if absent.len() + found.len() > ABSENT {
                    absent.clear();
                }
                absent.extend(found);
                drop(absent);
                if changed {
                    self.now(uid.clone());
                }
            }
            Err(error) => {
                let failures = self.failures.entry(uid.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = RETRY.0.saturating_mul(1 << (*failures - 1).min(20)).min(RETRY.1);
                if error.conflict() {
                    debug!(uid = %uid, error = %error, "an object changed while it was judged");
                } else {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    warn!(uid = %uid, retry_in = ?wait, cause = %cause, error = %error, "an object could not be collected");
                }
                self.at(uid.clone(), wait);
            }
        }
    }
}
