//! Who owns whom: every object that the watches show, by UID, with its owners and its dependents.
//!
//! An object takes about 200 bytes: identity, owners, how it is being deleted. Names of owners are not kept; who needs them reads
//! the dependent again.

use crate::local::workload::garbage::uid::Uid;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

/// Finalizer of an object that waits for its blocking dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object that waits for its dependents to be let go.
pub(super) const ORPHAN: &str = "orphan";

/// A kind that is served, as its place in the list of kinds.
pub(super) type KindId = u16;

/// How an object is being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is not.
    #[default]
    No,
    /// It waits for its grace period or finalizers of others.
    Plain,
    Foreground,
    Orphan,
}

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: KindId,
    /// Empty for an object of the cluster.
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

/// An owner as its dependent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    /// `blockOwnerDeletion`: the owner's foreground deletion waits for this dependent.
    pub(super) blocking: bool,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) leaving: Leaving,
    pub(super) owners: Box<[Owner]>,
}

impl Node {
    /// Reads an object's metadata.
    pub(super) fn of(kind: KindId, namespace: Arc<str>, metadata: &ObjectMeta) -> Self {
        let owners = metadata.owner_references.iter().flatten();
        let owner = |owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| Owner {
            uid: Uid::of(&owner.uid),
            blocking: owner.block_owner_deletion == Some(true),
        };
        Self {
            place: Place { kind, namespace, name: metadata.name.as_deref().unwrap_or_default().into() },
            leaving: leaving(metadata),
            owners: owners.map(owner).collect(),
        }
    }
}

/// How the object is being deleted.
pub(super) fn leaving(metadata: &ObjectMeta) -> Leaving {
    let has = |name: &str| metadata.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    match metadata.deletion_timestamp {
        None => Leaving::No,
        Some(_) if has(ORPHAN) => Leaving::Orphan,
        Some(_) if has(FOREGROUND) => Leaving::Foreground,
        Some(_) => Leaving::Plain,
    }
}

/// What a change asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Look whether the object should be deleted, or be freed of owners.
    Examine(Uid),
    /// The same, unless its owner is seen soon: the watches of two kinds do not keep step.
    ExamineLater(Uid),
    /// The object waits for its dependents.
    Finish(Uid),
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    /// (owner, dependent), also of owners that were never seen.
    edges: BTreeSet<(Uid, Uid)>,
    namespaces: BTreeSet<Arc<str>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &Uid) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The one copy of a namespace's name.
    pub(super) fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.namespaces.insert(name.clone());
        name
    }

    /// Objects of one kind, to compare with a list.
    pub(super) fn of_kind(&self, kind: KindId) -> Vec<Uid> {
        self.nodes.iter().filter(|(_, node)| node.place.kind == kind).map(|(uid, _)| uid.clone()).collect()
    }

    /// The objects that name this one as owner.
    pub(super) fn dependents<'a>(&'a self, owner: &'a Uid) -> impl Iterator<Item = &'a Uid> {
        let from = (owner.clone(), Uid::Uuid([0; 16]));
        self.edges.range(from..).take_while(move |(from, _)| from == owner).map(|(_, dependent)| dependent)
    }

    /// Whether the dependent holds up the owner's foreground deletion.
    pub(super) fn blocks(&self, owner: &Uid, dependent: &Uid) -> bool {
        let node = self.nodes.get(dependent);
        node.is_some_and(|node| {
            node.owners.iter().any(|reference| reference.uid == *owner && reference.blocking)
        })
    }

    /// Takes in an object as it is now. `fits` says whether its n-th owner reference names what is at a place.
    pub(super) fn observe(
        &mut self,
        uid: Uid,
        node: Node,
        fits: impl Fn(usize, &Place) -> bool,
    ) -> Vec<Task> {
        let before = self.nodes.get(&uid);
        let mut tasks = Vec::new();
        if node.leaving != before.map_or(Leaving::No, |before| before.leaving) {
            match node.leaving {
                Leaving::Foreground | Leaving::Orphan => tasks.push(Task::Finish(uid.clone())),
                Leaving::No | Leaving::Plain => {}
            }
            // Its dependents may have waited for just this, and its owners for it to leave in the foreground.
            if node.leaving == Leaving::Foreground {
                tasks.extend(self.dependents(&uid).cloned().map(Task::Examine));
            }
        }
        if before.is_none_or(|before| before.owners != node.owners) {
            let gone: Vec<Owner> = before.map(|before| before.owners.to_vec()).unwrap_or_default();
            for owner in &gone {
                self.edges.remove(&(owner.uid.clone(), uid.clone()));
                tasks.extend(self.waiting(&owner.uid).map(Task::Finish));
            }
            for owner in &node.owners {
                self.edges.insert((owner.uid.clone(), uid.clone()));
            }
            tasks.extend(self.check_owners(&uid, &node, fits));
        }
        if !self.nodes.contains_key(&uid) {
            // Dependents that wait for it by another name must be looked at; the others find it now.
            tasks.extend(self.dependents(&uid).cloned().map(Task::ExamineLater));
        }
        self.nodes.insert(uid, node);
        tasks
    }

    fn check_owners(&self, uid: &Uid, node: &Node, fits: impl Fn(usize, &Place) -> bool) -> Option<Task> {
        let owners = || node.owners.iter().map(|owner| self.nodes.get(&owner.uid)).enumerate();
        if owners().any(|(_, owner)| owner.is_some_and(|owner| owner.leaving == Leaving::Foreground)) {
            return Some(Task::Examine(uid.clone()));
        }
        let doubtful =
            |(at, owner): (usize, Option<&Node>)| owner.is_none_or(|owner| !fits(at, &owner.place));
        owners().any(doubtful).then(|| Task::ExamineLater(uid.clone()))
    }

    /// Takes in that an object is gone.
    pub(super) fn forget(&mut self, uid: &Uid) -> Vec<Task> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut tasks: Vec<Task> = self.dependents(uid).cloned().map(Task::Examine).collect();
        for owner in &node.owners {
            self.edges.remove(&(owner.uid.clone(), uid.clone()));
            tasks.extend(self.waiting(&owner.uid).map(Task::Finish));
        }
        tasks
    }

    /// The owner, if it waits for its dependents.
    fn waiting(&self, owner: &Uid) -> Option<Uid> {
        let leaving = self.nodes.get(owner)?.leaving;
        matches!(leaving, Leaving::Foreground | Leaving::Orphan).then(|| owner.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::of(text)
    }

    /// An object owned by these; `!` marks an owner that waits for it.
    fn node(owners: &[&str], leaving: Leaving) -> Node {
        let owner =
            |text: &&str| Owner { uid: uid(text.trim_start_matches('!')), blocking: text.starts_with('!') };
        let place = Place { kind: 0, namespace: "ns".into(), name: "n".into() };
        Node { place, leaving, owners: owners.iter().map(owner).collect() }
    }

    fn see(graph: &mut Graph, uid: Uid, node: Node) -> Vec<Task> {
        graph.observe(uid, node, |_, _| true)
    }

    fn dependents(graph: &Graph, owner: &str) -> Vec<String> {
        graph.dependents(&uid(owner)).map(ToString::to_string).collect()
    }

    #[test]
    fn an_object_with_a_known_owner_needs_no_look() {
        let mut graph = Graph::default();
        assert_eq!(see(&mut graph, uid("o"), node(&[], Leaving::No)), []);
        assert_eq!(see(&mut graph, uid("d"), node(&["o"], Leaving::No)), []);
        assert_eq!(see(&mut graph, uid("d"), node(&["o"], Leaving::No)), []);
        assert_eq!(dependents(&graph, "o"), ["d"]);
    }

    #[test]
    fn an_unknown_owner_is_awaited_and_then_asked_for() {
        let mut graph = Graph::default();
        assert_eq!(see(&mut graph, uid("d"), node(&["o"], Leaving::No)), [Task::ExamineLater(uid("d"))]);
        assert_eq!(see(&mut graph, uid("o"), node(&[], Leaving::No)), [Task::ExamineLater(uid("d"))]);
    }

    #[test]
    fn an_owner_that_is_named_wrongly_is_asked_for() {
        let mut graph = Graph::default();
        see(&mut graph, uid("o"), node(&[], Leaving::No));
        let named = |at: usize, place: &Place| at == 0 && *place.name == *"other";
        assert_eq!(graph.observe(uid("d"), node(&["o"], Leaving::No), named), [Task::ExamineLater(uid("d"))]);
        assert_eq!(graph.observe(uid("d"), node(&["o"], Leaving::No), named), [], "it was asked for");
    }

    #[test]
    fn dependents_of_a_vanished_owner_are_looked_at() {
        let mut graph = Graph::default();
        see(&mut graph, uid("o"), node(&[], Leaving::No));
        for name in ["a", "b"] {
            see(&mut graph, uid(name), node(&["o"], Leaving::No));
        }
        assert_eq!(graph.forget(&uid("o")), [Task::Examine(uid("a")), Task::Examine(uid("b"))]);
        assert_eq!(graph.forget(&uid("o")), []);
        graph.forget(&uid("a"));
        assert_eq!(dependents(&graph, "o"), ["b"]);
        graph.forget(&uid("b"));
        assert!(graph.nodes.is_empty() && graph.edges.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_foreground_deletion_looks_at_the_dependents_and_again_when_one_is_gone() {
        let mut graph = Graph::default();
        see(&mut graph, uid("o"), node(&[], Leaving::No));
        see(&mut graph, uid("d"), node(&["!o"], Leaving::No));
        let tasks = see(&mut graph, uid("o"), node(&[], Leaving::Foreground));
        assert_eq!(tasks, [Task::Finish(uid("o")), Task::Examine(uid("d"))]);
        assert!(graph.blocks(&uid("o"), &uid("d")));
        assert_eq!(graph.forget(&uid("d")), [Task::Finish(uid("o"))]);
        assert_eq!(see(&mut graph, uid("late"), node(&["o"], Leaving::No)), [Task::Examine(uid("late"))]);
        assert!(!graph.blocks(&uid("o"), &uid("late")));
    }

    #[test]
    fn a_dependent_that_is_let_go_brings_its_owner_forward() {
        let mut graph = Graph::default();
        see(&mut graph, uid("o"), node(&[], Leaving::Orphan));
        see(&mut graph, uid("d"), node(&["o"], Leaving::No));
        assert_eq!(see(&mut graph, uid("d"), node(&[], Leaving::No)), [Task::Finish(uid("o"))]);
        assert_eq!(dependents(&graph, "o"), [""; 0]);
    }

    #[test]
    fn the_way_of_leaving_is_read_from_the_finalizers() {
        for (meta, expected) in [
            ("{}", Leaving::No),
            ("{finalizers: [orphan]}", Leaving::No),
            ("{deletionTimestamp: 2026-01-01T00:00:00Z, finalizers: [x]}", Leaving::Plain),
            (
                "{deletionTimestamp: 2026-01-01T00:00:00Z, finalizers: [x, foregroundDeletion]}",
                Leaving::Foreground,
            ),
            ("{deletionTimestamp: 2026-01-01T00:00:00Z, finalizers: [orphan]}", Leaving::Orphan),
        ] {
            assert_eq!(leaving(&serde_saphyr::from_str(meta).expect("metadata")), expected, "{meta}");
        }
    }

    #[test]
    fn dependents_of_one_owner_only_are_found() {
        let mut graph = Graph::default();
        let uuid = "5f0c4b9e-8f5e-4c6e-9a53-0e2b6f1d2c3a";
        for (dependent, owner) in [("a", uuid), ("b", "x"), ("00000000-0000-0000-0000-000000000000", uuid)] {
            see(&mut graph, uid(dependent), node(&[owner], Leaving::No));
        }
        assert_eq!(dependents(&graph, uuid), ["00000000-0000-0000-0000-000000000000", "a"]);
        assert_eq!(dependents(&graph, "x"), ["b"]);
    }
}
