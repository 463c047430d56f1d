//! Jobs and Executions, followed: a client that waits for a run asks once a second, and the API server must not feel it.
//!
//! What this process wrote it puts in itself, so that its own clients see it at once, whatever the watch brings when; and
//! what it deleted is gone from here at once, too. What is not here may still exist: whoever finds nothing asks the API
//! server. While a watch is broken nothing is found here.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::api::{ANNOTATION_DECISION, Execution, Job};
use crate::feed::{Change, Follower, Health};

/// Everything that is followed.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) jobs: Shelf<Job>,
    pub(super) executions: Shelf<Execution>,
}

/// What a cache leaves out.
pub(super) trait Trim {
    /// Drops what no answer shows.
    fn trim(&mut self);
}

impl Trim for Job {
    fn trim(&mut self) {
        // The times are read, the fields are not.
        for entry in self.metadata.managed_fields.iter_mut().flatten() {
            entry.fields_v1 = None;
        }
    }
}

impl Trim for Execution {
    fn trim(&mut self) {
        self.metadata.managed_fields = None;
        self.metadata.owner_references = None;
        // How it came about is up to four kibibytes, and an event may have half a mebibyte.
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.remove(ANNOTATION_DECISION);
        }
        self.spec.events = Vec::new();
        self.spec.parameters = Vec::new();
        self.spec.overrides = None;
        self.spec.completion = None;
        if let Some(status) = &mut self.status {
            status.failed_tasks = Vec::new();
            status.result = None;
        }
    }
}

type Rows<K> = HashMap<String, BTreeMap<String, Arc<K>>>;

/// The objects of one kind.
pub(super) struct Shelf<K> {
    inner: RwLock<Inner<K>>,
    health: Health,
    /// Counts changes, so that somebody can wait for one.
    changed: watch::Sender<u64>,
}

/// Deletions that are remembered: more than happen while one object is read. A few kilobytes, and looked through for
/// every change.
const REMEMBERED: usize = 64;

struct Inner<K> {
    rows: Rows<K>,
    /// Uids of what is being deleted. The watch may still bring older states of it.
    gone: HashSet<String>,
    /// Uids of what was deleted last. Whoever read it a moment before may still put it here.
    deleted: VecDeque<String>,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        let inner =
            RwLock::new(Inner { rows: HashMap::new(), gone: HashSet::new(), deleted: VecDeque::new() });
        Self { inner, health: Health::default(), changed: watch::Sender::default() }
    }
}

impl<K> Shelf<K>
where
    K: Resource<DynamicType = ()> + Clone + Trim,
{
    /// Whether everything is here.
    pub(super) fn is_current(&self) -> bool {
        self.health.is_current()
    }

    /// The object of that name, if it is here.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        if !self.is_current() {
            return None;
        }
        self.inner.read().rows.get(namespace)?.get(name).cloned()
    }

    /// The objects of a namespace; none if not everything is here.
    pub(super) fn list(&self, namespace: &str) -> Option<Vec<Arc<K>>> {
        if !self.is_current() {
            return None;
        }
        let inner = self.inner.read();
        Some(inner.rows.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect())
    }

    /// Takes in what this process has read or written.
    pub(super) fn put(&self, object: &K) {
        self.inner.write().apply(object.clone());
        self.tell();
    }

    /// Takes in that this process has deleted that object.
    pub(super) fn remove(&self, object: &K) {
        let mut inner = self.inner.write();
        // If it is not here, the watch was quicker, and nothing of it will come any more.
        if inner.has(object) {
            inner.bury(object);
        }
        drop(inner);
        self.tell();
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

impl<K> Inner<K>
where
    K: Resource<DynamicType = ()> + Clone + Trim,
{
    fn apply(&mut self, mut object: K) {
        if object.meta().deletion_timestamp.is_some() {
            return self.bury(&object);
        }
        let (namespace, name) = key(&object);
        if self.gone.contains(&uid(&object)) || self.deleted.contains(&uid(&object)) {
            return;
        }
        let row = self.rows.entry(namespace).or_default();
        if row.get(&name).is_some_and(|known| is_newer(known.as_ref(), &object)) {
            return;
        }
        object.trim();
        row.insert(name, Arc::new(object));
    }

    /// Whether that very object is here.
    fn has(&self, object: &K) -> bool {
        let (namespace, name) = key(object);
        let known = self.rows.get(&namespace).and_then(|row| row.get(&name));
        known.is_some_and(|known| uid(known.as_ref()) == uid(object))
    }

    /// Drops an object that does not exist any more.
    fn deleted(&mut self, object: &K) {
        self.forget(object);
        self.gone.remove(&uid(object));
        self.deleted.truncate(REMEMBERED - 1);
        self.deleted.push_front(uid(object));
    }

    /// Hides an object that is being deleted, and whatever of it may still come.
    fn bury(&mut self, object: &K) {
        self.forget(object);
        self.gone.insert(uid(object));
    }

    /// Drops that very object.
    fn forget(&mut self, object: &K) {
        if !self.has(object) {
            return;
        }
        let (namespace, name) = key(object);
        let Some(row) = self.rows.get_mut(&namespace) else { return };
        row.remove(&name);
        if row.is_empty() {
            self.rows.remove(&namespace);
        }
    }

    fn replace(&mut self, objects: Vec<K>) {
        let there: HashSet<String> = objects.iter().map(uid).collect();
        self.gone.retain(|uid| there.contains(uid));
        let before = std::mem::take(&mut self.rows);
        for object in objects {
            let (namespace, name) = key(&object);
            // The list may be older than what we wrote since.
            let known = before.get(&namespace).and_then(|row| row.get(&name));
            match known
                .filter(|known| uid(known.as_ref()) == uid(&object) && is_newer(known.as_ref(), &object))
            {
                Some(known) => drop(self.rows.entry(namespace).or_default().insert(name, Arc::clone(known))),
                None => self.apply(object),
            }
        }
    }
}

impl<K> Follower<DeserializeGuard<K>> for Shelf<K>
where
    K: Resource<DynamicType = ()> + Clone + Trim,
{
    fn change(&self, change: Change<DeserializeGuard<K>>) {
        match change {
            Change::Replace(objects) => {
                // One that cannot be read is asked for live, and the error told then.
                self.inner.write().replace(objects.into_iter().filter_map(|object| object.0.ok()).collect());
                self.health.listed();
            }
            Change::Apply(DeserializeGuard(Ok(object))) => self.inner.write().apply(object),
            Change::Delete(DeserializeGuard(Ok(object))) => {
                self.inner.write().deleted(&object);
            }
            Change::Apply(DeserializeGuard(Err(invalid)))
            | Change::Delete(DeserializeGuard(Err(invalid))) => {
                let mut inner = self.inner.write();
                let namespace = invalid.metadata.namespace.unwrap_or_default();
                let name = invalid.metadata.name.unwrap_or_default();
                inner.rows.get_mut(&namespace).map(|row| row.remove(&name));
            }
            Change::Broken => self.health.broke(),
        }
        self.tell();
    }
}

/// Whether `one` is a later state than `other`. Versions of the objects of a kind count up.
fn is_newer<K: Resource>(one: &K, other: &K) -> bool {
    let version = |object: &K| object.meta().resource_version.as_ref()?.parse::<u64>().ok();
    version(one) > version(other) && version(other).is_some()
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn uid<K: Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(uid: &str, version: u64) -> Job {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "a", "namespace": "n", "uid": uid, "resourceVersion": version.to_string()},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
        }))
        .unwrap()
    }

    fn followed(jobs: &[Job]) -> Shelf<Job> {
        let shelf = Shelf::default();
        shelf.change(Change::Replace(jobs.iter().cloned().map(|job| DeserializeGuard(Ok(job))).collect()));
        shelf
    }

    fn brings(job: Job) -> Change<DeserializeGuard<Job>> {
        Change::Apply(DeserializeGuard(Ok(job)))
    }

    fn version(shelf: &Shelf<Job>) -> Option<String> {
        shelf.get("n", "a")?.metadata.resource_version.clone()
    }

    #[test]
    fn what_was_written_is_not_taken_back_by_what_was_seen_before() {
        let shelf = followed(&[job("u", 1)]);
        shelf.put(&job("u", 10));
        shelf.change(brings(job("u", 9)));
        assert_eq!(version(&shelf).as_deref(), Some("10"));
        // Nor by a list that was asked for before it.
        shelf.change(Change::Replace(vec![DeserializeGuard(Ok(job("u", 8)))]));
        assert_eq!(version(&shelf).as_deref(), Some("10"));
        shelf.change(brings(job("u", 11)));
        assert_eq!(version(&shelf).as_deref(), Some("11"));
    }

    #[test]
    fn what_was_deleted_stays_gone_and_its_successor_does_not() {
        let shelf = followed(&[job("u", 1)]);
        shelf.remove(&job("u", 1));
        shelf.change(brings(job("u", 2)));
        assert_eq!(version(&shelf), None);
        shelf.put(&job("w", 4));
        assert_eq!(version(&shelf).as_deref(), Some("4"));
        shelf.change(Change::Delete(DeserializeGuard(Ok(job("u", 3)))));
        assert_eq!(version(&shelf).as_deref(), Some("4"));
        assert!(shelf.inner.read().gone.is_empty(), "nothing is remembered for ever");
        shelf.remove(&job("u", 3));
        assert!(shelf.inner.read().gone.is_empty(), "the watch was quicker");
        // Somebody who read it before it was deleted comes late.
        shelf.change(Change::Delete(DeserializeGuard(Ok(job("w", 5)))));
        shelf.put(&job("w", 4));
        assert_eq!(version(&shelf), None);
        for number in 0..2 * REMEMBERED {
            shelf.change(Change::Delete(DeserializeGuard(Ok(job(&number.to_string(), 6)))));
        }
        assert_eq!(shelf.inner.read().deleted.len(), REMEMBERED);
    }

    #[test]
    fn what_is_on_its_way_out_is_gone_for_readers() {
        let shelf = followed(&[job("u", 1)]);
        let mut leaving = job("u", 2);
        leaving.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        shelf.change(brings(leaving));
        assert_eq!(version(&shelf), None);
    }

    #[test]
    fn nothing_is_found_while_something_may_have_been_missed() {
        let shelf = followed(&[job("u", 1)]);
        shelf.change(Change::Broken);
        assert!(version(&shelf).is_none() && shelf.list("n").is_none());
        shelf.change(Change::Replace(Vec::new()));
        assert_eq!((version(&shelf), shelf.list("n").map(|all| all.len())), (None, Some(0)));
    }
}
