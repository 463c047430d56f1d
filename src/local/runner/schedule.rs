//! Which Pod is bound and started next: plain bookkeeping over what the watch shows. No client, no clock.
//!
//! Waiting Pods are served in the order of their creation. A Pod occupies one of `max_pods` places from the moment it is chosen until its end was
//! reported. Pods of other nodes and of other schedulers are left alone, and so are Pods behind a scheduling gate.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

/// The scheduler that Pods name when they do not care; in local mode this runner stands in for it.
const SCHEDULER: &str = "default-scheduler";

/// The order of service: creation, which the API tells to the second, then the order in which the watch showed them.
type Turn = (Timestamp, u64);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Bind a Pod to this node; answer with `bound` or `not_bound`.
    Bind { namespace: String, name: String, uid: String },
    /// Start a worker; answer with `ended` when it is done.
    Start(Arc<Pod>),
    /// Tell the Pod's worker.
    Update(Arc<Pod>),
    /// The object is gone: tell the Pod's worker.
    Vanish(String),
    /// The object is gone and nothing runs: remove what is kept of it.
    Clean(String),
    /// End a Pod that was deleted before it was bound.
    Collect(Arc<Pod>),
}

#[derive(Debug)]
enum Entry {
    /// In the queue.
    Waiting { turn: Turn, what: Waiting },
    /// Being bound, or bound and not yet seen so.
    Binding { turn: Turn, name: (String, String) },
    /// A worker has it. `gone`: the object is.
    Active { gone: bool },
    /// Its end was reported.
    Finished,
    /// Deleted before it was bound: its end is being reported.
    Collected,
}

/// What a Pod waits for.
#[derive(Debug)]
enum Waiting {
    /// To be bound; (namespace, name).
    Bind((String, String)),
    /// It is bound to this node already.
    Start(Arc<Pod>),
}

/// All Pods that concern this node.
#[derive(Debug)]
pub(super) struct Schedule {
    node: String,
    max: usize,
    entries: HashMap<String, Entry>,
    queue: BTreeMap<Turn, String>,
    /// Entries that are `Binding` or `Active`.
    used: usize,
    /// How many Pods were queued so far.
    arrivals: u64,
    /// While the watch starts anew: the Pods that it showed.
    seen: Option<HashSet<String>>,
}

impl Schedule {
    pub(super) fn new(node: &str, max: usize) -> Self {
        let (entries, queue) = (HashMap::new(), BTreeMap::new());
        Self { node: node.to_owned(), max, entries, queue, used: 0, arrivals: 0, seen: None }
    }

    /// The watch starts anew: what it does not show until `complete` does not exist any more.
    pub(super) fn restart(&mut self) {
        self.seen = Some(HashSet::new());
    }

    /// The watch has shown everything; returns what has vanished meanwhile.
    pub(super) fn complete(&mut self) -> Vec<Command> {
        let Some(seen) = self.seen.take() else { return Vec::new() };
        let vanished: Vec<_> = self.entries.keys().filter(|uid| !seen.contains(*uid)).cloned().collect();
        vanished.into_iter().filter_map(|uid| self.deleted(&uid)).collect()
    }

    /// Whether a Pod is known; the others' directories are nobody's.
    pub(super) fn knows(&self, uid: &str) -> bool {
        self.entries.contains_key(uid)
    }

    /// A Pod was shown by the watch.
    pub(super) fn applied(&mut self, pod: Arc<Pod>) -> Option<Command> {
        let uid = pod.metadata.uid.clone()?;
        if let Some(seen) = &mut self.seen {
            seen.insert(uid.clone());
        }
        match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty()) {
            None => self.unbound(uid, pod),
            Some(name) if name == self.node => self.ours(uid, pod),
            Some(_) => {
                // Somebody else was faster.
                self.forget(&uid);
                None
            }
        }
    }

    fn unbound(&mut self, uid: String, pod: Arc<Pod>) -> Option<Command> {
        if pod.metadata.deletion_timestamp.is_some() && !is_terminal(&pod) {
            return self.collect(uid, pod);
        }
        if !may_be_bound(&pod) {
            if matches!(self.entries.get(&uid), Some(Entry::Waiting { .. })) {
                self.forget(&uid);
            }
        } else if !self.entries.contains_key(&uid) {
            let turn = self.turn(&pod);
            self.enqueue(uid, turn, Waiting::Bind(names(&pod)));
        }
        None
    }

    /// A finalizer holds a deleted Pod that no node has and, as a deleted Pod is never bound, none will: nobody else makes it end. Whose
    /// scheduler it was waiting for does not matter any more.
    fn collect(&mut self, uid: String, pod: Arc<Pod>) -> Option<Command> {
        match self.entries.get(&uid) {
            // Under way, or an old state of a Pod that was bound.
            Some(Entry::Collected | Entry::Active { .. } | Entry::Finished) => None,
            // A binding that is still under way is refused.
            Some(Entry::Waiting { .. } | Entry::Binding { .. }) | None => {
                self.forget(&uid);
                self.entries.insert(uid, Entry::Collected);
                Some(Command::Collect(pod))
            }
        }
    }

    fn ours(&mut self, uid: String, pod: Arc<Pod>) -> Option<Command> {
        let ending = is_ending(&pod);
        match self.entries.get(&uid) {
            Some(Entry::Active { .. }) => Some(Command::Update(pod)),
            Some(Entry::Binding { .. }) => Some(self.start(uid, pod)),
            // What came to its end is only ever touched again to let it go.
            Some(Entry::Finished) if !ending => None,
            _ if ending => {
                self.forget(&uid);
                Some(self.start(uid, pod))
            }
            _ if is_terminal(&pod) => {
                self.forget(&uid);
                self.entries.insert(uid, Entry::Finished);
                None
            }
            _ => {
                self.forget(&uid);
                let turn = self.turn(&pod);
                self.enqueue(uid, turn, Waiting::Start(pod));
                None
            }
        }
    }

    fn start(&mut self, uid: String, pod: Arc<Pod>) -> Command {
        self.forget(&uid);
        self.used += 1;
        self.entries.insert(uid, Entry::Active { gone: false });
        Command::Start(pod)
    }

    /// A Pod was deleted.
    pub(super) fn deleted(&mut self, uid: &str) -> Option<Command> {
        if let Some(Entry::Active { gone }) = self.entries.get_mut(uid) {
            *gone = true;
            return Some(Command::Vanish(uid.to_owned()));
        }
        let known = self.entries.contains_key(uid);
        self.forget(uid);
        known.then(|| Command::Clean(uid.to_owned()))
    }

    /// The next thing to do while places are free.
    pub(super) fn next(&mut self) -> Option<Command> {
        if self.used >= self.max {
            return None;
        }
        let (turn, uid) = self.queue.pop_first()?;
        match self.entries.remove(&uid) {
            Some(Entry::Waiting { what: Waiting::Start(pod), .. }) => Some(self.start(uid, pod)),
            Some(Entry::Waiting { what: Waiting::Bind(name), .. }) => {
                self.used += 1;
                let (namespace, pod) = name.clone();
                self.entries.insert(uid.clone(), Entry::Binding { turn, name });
                Some(Command::Bind { namespace, name: pod, uid })
            }
            other => unreachable!("what is queued waits: {other:?}"),
        }
    }

    /// A Pod could not be bound. `again`: it may work later; otherwise the watch will tell what became of it.
    pub(super) fn not_bound(&mut self, uid: &str, again: bool) {
        // The watch may already have shown it bound: the answer was lost, not the binding.
        let Some(Entry::Binding { turn, name }) = self.entries.get(uid) else { return };
        let (turn, name) = (*turn, name.clone());
        self.forget(uid);
        if again {
            self.enqueue(uid.to_owned(), turn, Waiting::Bind(name));
        }
    }

    /// A worker is done with its Pod.
    pub(super) fn ended(&mut self, uid: &str) -> Option<Command> {
        let Some(Entry::Active { gone }) = self.entries.get(uid) else { return None };
        let gone = *gone;
        self.forget(uid);
        if gone {
            return Some(Command::Clean(uid.to_owned()));
        }
        self.entries.insert(uid.to_owned(), Entry::Finished);
        None
    }

    fn turn(&mut self, pod: &Pod) -> Turn {
        self.arrivals += 1;
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        (created, self.arrivals)
    }

    fn enqueue(&mut self, uid: String, turn: Turn, what: Waiting) {
        self.queue.insert(turn, uid.clone());
        self.entries.insert(uid, Entry::Waiting { turn, what });
    }

    fn forget(&mut self, uid: &str) {
        match self.entries.remove(uid) {
            Some(Entry::Waiting { turn, .. }) => drop(self.queue.remove(&turn)),
            Some(Entry::Binding { .. } | Entry::Active { .. }) => self.used -= 1,
            Some(Entry::Finished | Entry::Collected) | None => {}
        }
    }
}

fn names(pod: &Pod) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&pod.metadata.namespace), text(&pod.metadata.name))
}

fn may_be_bound(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let scheduler = spec.scheduler_name.as_deref().unwrap_or(SCHEDULER);
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    scheduler == SCHEDULER && !gated && !is_terminal(pod)
}

fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the Pod is to be deleted and waits for this node to let it go.
fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds != Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures;

    /// A Pod of the given uid; `more` is YAML for `metadata`, `spec` and `status`.
    fn pod(uid: &str, second: u32, [metadata, spec, status]: [&str; 3]) -> Arc<Pod> {
        Arc::new(fixtures::pod(&format!(
            "{{metadata: {{name: {uid}, namespace: ns, uid: {uid}, creationTimestamp: '2026-01-01T00:00:{second:02}Z', {metadata}}}, \
             spec: {{containers: [], {spec}}}, status: {{{status}}}}}"
        )))
    }

    fn pending(uid: &str, second: u32) -> Arc<Pod> {
        pod(uid, second, ["", "", "phase: Pending"])
    }

    fn bound(uid: &str, second: u32) -> Arc<Pod> {
        pod(uid, second, ["", "nodeName: laptop", "phase: Pending"])
    }

    /// Deleted, not bound, and held by a finalizer.
    fn deleted(uid: &str) -> Arc<Pod> {
        let metadata = "deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 0";
        pod(uid, 1, [metadata, "", "phase: Pending"])
    }

    fn schedule(max: usize) -> Schedule {
        Schedule::new("laptop", max)
    }

    /// The uids that are bound next, until the places are full.
    fn binds(schedule: &mut Schedule) -> Vec<String> {
        std::iter::from_fn(|| schedule.next())
            .map(|command| match command {
                Command::Bind { uid, .. } => uid,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn waiting_pods_are_bound_in_the_order_of_their_creation() {
        let mut schedule = schedule(2);
        for (uid, second) in [("c", 3), ("z", 1), ("b", 2), ("a", 1)] {
            assert_eq!(schedule.applied(pending(uid, second)), None);
        }
        assert_eq!(binds(&mut schedule), ["z", "a"], "within a second, who came first");
        assert_eq!(schedule.next(), None, "no place is free");
    }

    #[test]
    fn a_place_is_free_again_when_a_pod_has_ended() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 1));
        schedule.applied(pending("b", 2));
        assert_eq!(binds(&mut schedule), ["a"]);
        assert_eq!(schedule.applied(bound("a", 1)), Some(Command::Start(bound("a", 1))));
        assert_eq!(schedule.next(), None);
        assert_eq!(schedule.ended("a"), None);
        assert_eq!(binds(&mut schedule), ["b"]);
    }

    #[test]
    fn pods_that_are_not_meant_for_this_runner_are_left_alone() {
        let mut schedule = schedule(9);
        for (name, parts) in [
            ("scheduler", ["", "schedulerName: other", ""]),
            ("node", ["", "nodeName: other", ""]),
            ("gate", ["", "schedulingGates: [{name: g}]", ""]),
            ("done", ["", "", "phase: Failed"]),
            ("deleted", ["deletionTimestamp: '2026-01-01T00:00:00Z'", "", "phase: Failed"]),
        ] {
            assert_eq!(schedule.applied(pod(name, 1, parts)), None, "{name}");
        }
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_gate_that_opens_lets_the_pod_in_and_a_deletion_takes_it_out() {
        let mut schedule = schedule(9);
        schedule.applied(pod("a", 1, ["", "schedulingGates: [{name: g}]", ""]));
        schedule.applied(pending("a", 1));
        assert!(matches!(schedule.applied(deleted("a")), Some(Command::Collect(_))));
        assert_eq!(schedule.next(), None);
        schedule.applied(pending("b", 1));
        assert_eq!(schedule.deleted("b"), Some(Command::Clean("b".to_owned())));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_pod_deleted_before_it_was_bound_is_ended_once() {
        let mut schedule = schedule(1);
        assert_eq!(schedule.applied(deleted("a")), Some(Command::Collect(deleted("a"))));
        assert_eq!(schedule.applied(deleted("a")), None, "it is under way");
        assert_eq!(schedule.deleted("a"), Some(Command::Clean("a".to_owned())));
        let elsewhere =
            pod("b", 1, ["deletionTimestamp: '2026-01-01T00:00:00Z'", "schedulerName: other", ""]);
        assert_eq!(schedule.applied(elsewhere.clone()), Some(Command::Collect(elsewhere)));
    }

    #[test]
    fn a_pod_deleted_while_it_is_bound_gives_its_place_back() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 1));
        schedule.applied(pending("b", 2));
        assert_eq!(binds(&mut schedule), ["a"]);
        assert!(matches!(schedule.applied(deleted("a")), Some(Command::Collect(_))));
        assert_eq!(binds(&mut schedule), ["b"]);
        schedule.not_bound("a", false);
        schedule.not_bound("a", true);
        assert_eq!(schedule.next(), None, "the refused binding changes nothing");
    }

    #[test]
    fn a_pod_that_names_this_node_waits_for_its_turn_as_well() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 2));
        schedule.applied(bound("b", 1));
        assert_eq!(schedule.next(), Some(Command::Start(bound("b", 1))));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_failed_binding_is_tried_again_at_its_turn() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 1));
        schedule.applied(pending("b", 2));
        assert_eq!(binds(&mut schedule), ["a"]);
        schedule.not_bound("a", true);
        assert_eq!(binds(&mut schedule), ["a"]);
        schedule.not_bound("a", false);
        assert_eq!(binds(&mut schedule), ["b"]);
    }

    #[test]
    fn a_binding_whose_answer_was_lost_still_counts() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 1));
        assert_eq!(binds(&mut schedule), ["a"]);
        assert!(matches!(schedule.applied(bound("a", 1)), Some(Command::Start(_))));
        schedule.not_bound("a", true);
        assert_eq!(schedule.next(), None, "it runs; it is not queued again");
        assert!(matches!(schedule.applied(bound("a", 1)), Some(Command::Update(_))));
    }

    #[test]
    fn a_pod_that_another_binds_gives_its_place_back() {
        let mut schedule = schedule(1);
        schedule.applied(pending("a", 1));
        schedule.applied(pending("b", 2));
        assert_eq!(binds(&mut schedule), ["a"]);
        schedule.applied(pod("a", 1, ["", "nodeName: other", ""]));
        assert_eq!(binds(&mut schedule), ["b"]);
    }

    #[test]
    fn finished_pods_are_not_started_again() {
        let mut schedule = schedule(1);
        let done = pod("a", 1, ["", "nodeName: laptop", "phase: Succeeded"]);
        assert_eq!(schedule.applied(done.clone()), None);
        assert_eq!(schedule.next(), None);
        // An older state that the watch shows late changes nothing.
        assert_eq!(schedule.applied(bound("a", 1)), None);
        assert_eq!(schedule.next(), None);
        assert!(schedule.knows("a"));
    }

    #[test]
    fn a_finished_pod_that_waits_to_be_let_go_gets_a_worker_at_once() {
        let mut schedule = schedule(0);
        let deleted = |grace: u32| {
            let metadata =
                format!("deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: {grace}");
            pod("a", 1, [&metadata, "nodeName: laptop", "phase: Succeeded"])
        };
        schedule.applied(pod("a", 1, ["", "nodeName: laptop", "phase: Succeeded"]));
        assert_eq!(schedule.applied(deleted(30)), Some(Command::Start(deleted(30))));
        assert_eq!(schedule.ended("a"), None);
        assert_eq!(schedule.applied(deleted(0)), None, "it waits for finalizers of others");
    }

    #[test]
    fn a_deleted_pod_that_waits_for_a_place_is_let_go_without_one() {
        let mut schedule = schedule(0);
        schedule.applied(bound("a", 1));
        let metadata = "deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30";
        let deleted = pod("a", 1, [metadata, "nodeName: laptop", "phase: Pending"]);
        assert_eq!(schedule.applied(deleted.clone()), Some(Command::Start(deleted)));
    }

    #[test]
    fn what_is_kept_is_removed_when_object_and_worker_are_gone() {
        let mut schedule = schedule(9);
        schedule.applied(bound("a", 1));
        assert!(matches!(schedule.next(), Some(Command::Start(_))));
        assert_eq!(schedule.deleted("a"), Some(Command::Vanish("a".to_owned())));
        assert_eq!(schedule.ended("a"), Some(Command::Clean("a".to_owned())));
        assert!(!schedule.knows("a"));
        assert_eq!(schedule.deleted("a"), None);
    }

    #[test]
    fn what_a_new_watch_does_not_show_is_gone() {
        let mut schedule = schedule(1);
        schedule.applied(bound("a", 1));
        assert!(matches!(schedule.next(), Some(Command::Start(_))));
        schedule.applied(pod("b", 1, ["", "nodeName: laptop", "phase: Failed"]));
        schedule.applied(pending("c", 1));
        schedule.applied(pending("d", 2));
        schedule.restart();
        schedule.applied(pending("d", 2));
        let mut gone = schedule.complete();
        gone.sort_by_key(|command| format!("{command:?}"));
        let uid = str::to_owned;
        assert_eq!(gone, [Command::Clean(uid("b")), Command::Clean(uid("c")), Command::Vanish(uid("a"))]);
        assert_eq!(schedule.complete(), []);
        schedule.ended("a");
        assert_eq!(binds(&mut schedule), ["d"]);
    }
}
