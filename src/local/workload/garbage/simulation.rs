//! Random forests of objects, deleted in every way, with watches of two kinds that do not keep step. In the end nothing is left whose
//! owners are all gone, nothing waits for ever, and nothing was deleted that had an owner or was let go.

use crate::local::workload::garbage::graph::Graph;
use crate::local::workload::garbage::graph::Leaving;
use crate::local::workload::garbage::graph::Node;
use crate::local::workload::garbage::graph::Owner;
use crate::local::workload::garbage::graph::Place;
use crate::local::workload::garbage::graph::Task;
use crate::local::workload::garbage::judge::Dependents;
use crate::local::workload::garbage::judge::OwnerState;
use crate::local::workload::garbage::judge::Policy;
use crate::local::workload::garbage::judge::Verdict;
use crate::local::workload::garbage::judge::judge;
use crate::local::workload::garbage::uid::Uid;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Happening {
    /// An object of one of two kinds, owned by some of those that ever were; `bool`: the owners wait for it.
    Born(bool, Vec<usize>, bool),
    Deleted(usize, u8),
    /// One watch tells so many changes.
    Told(bool, usize),
    /// The collector does so many tasks.
    Worked(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (any::<bool>(), proptest::collection::vec(0_usize..20, 0..3), any::<bool>()).prop_map(|(kind, owners, blocking)| Happening::Born(kind, owners, blocking)),
        2 => (0_usize..20, 0_u8..3).prop_map(|(which, policy)| Happening::Deleted(which, policy)),
        4 => (any::<bool>(), 1_usize..6).prop_map(|(kind, count)| Happening::Told(kind, count)),
        2 => (1_usize..4).prop_map(Happening::Worked),
    ]
}

#[derive(Clone, Debug)]
struct Object {
    kind: bool,
    owners: Vec<(usize, bool)>,
    leaving: Leaving,
}

#[derive(Default)]
struct World {
    /// The truth: objects by number. Numbers are not used again.
    objects: BTreeMap<usize, Object>,
    born: usize,
    /// What each watch has still to tell; None: gone.
    untold: [VecDeque<(usize, Option<Object>)>; 2],
    graph: Graph,
    tasks: VecDeque<Uid>,
    later: BTreeSet<Uid>,
    /// Objects that a person deleted.
    felled: BTreeSet<usize>,
}

fn uid(number: usize) -> Uid {
    Uid::of(&format!("{number:03}"))
}

fn number(uid: &Uid) -> usize {
    uid.to_string().parse().expect("a number")
}

impl World {
    fn change(&mut self, which: usize, object: Option<Object>) {
        let Some(kind) = object.as_ref().or_else(|| self.objects.get(&which)).map(|object| object.kind)
        else {
            return;
        };
        match object.clone() {
            Some(object) => self.objects.insert(which, object),
            None => self.objects.remove(&which),
        };
        self.untold[usize::from(kind)].push_back((which, object));
    }

    fn delete(&mut self, which: usize, policy: Policy) {
        let Some(mut object) = self.objects.get(&which).cloned() else { return };
        object.leaving = match (object.leaving, policy) {
            (Leaving::No, Policy::Background) => return self.change(which, None),
            (Leaving::No, Policy::Foreground) => Leaving::Foreground,
            (Leaving::No, Policy::Orphan) => Leaving::Orphan,
            (leaving, _) => leaving,
        };
        self.change(which, Some(object));
    }

    fn happens(&mut self, happening: &Happening) {
        match happening {
            Happening::Born(kind, owners, blocking) => {
                let chosen: BTreeSet<usize> =
                    owners.iter().filter(|_| self.born > 0).map(|owner| owner % self.born).collect();
                let owners = chosen.into_iter().map(|owner| (owner, *blocking)).collect();
                self.change(self.born, Some(Object { kind: *kind, owners, leaving: Leaving::No }));
                self.born += 1;
            }
            Happening::Deleted(which, policy) if self.born > 0 => {
                let which = which % self.born;
                self.felled.insert(which);
                self.delete(
                    which,
                    [Policy::Background, Policy::Foreground, Policy::Orphan][usize::from(*policy)],
                );
            }
            Happening::Deleted(..) => {}
            Happening::Told(kind, count) => (0..*count).for_each(|_| self.tell(*kind)),
            Happening::Worked(count) => (0..*count).for_each(|_| self.work()),
        }
    }

    fn tell(&mut self, kind: bool) {
        let Some((which, object)) = self.untold[usize::from(kind)].pop_front() else { return };
        let tasks = match object {
            None => self.graph.forget(&uid(which)),
            Some(object) => {
                let owners = object
                    .owners
                    .iter()
                    .map(|(owner, blocking)| Owner { uid: uid(*owner), blocking: *blocking })
                    .collect();
                let place = Place { kind: u16::from(kind), namespace: "".into(), name: "".into() };
                self.graph.observe(uid(which), Node { place, leaving: object.leaving, owners }, |_, _| true)
            }
        };
        for task in tasks {
            match task {
                Task::Finish(uid)
                    if self.graph.get(&uid).is_some_and(|node| node.leaving == Leaving::Orphan) =>
                {
                    self.later.insert(uid);
                }
                Task::Examine(uid) | Task::Finish(uid) => self.tasks.push_back(uid),
                Task::ExamineLater(uid) => {
                    self.later.insert(uid);
                }
            }
        }
    }

    fn work(&mut self) {
        let Some(task) = self.tasks.pop_front() else { return };
        let Some(node) = self.graph.get(&task).cloned() else { return };
        let which = number(&task);
        let Some(object) = self.objects.get(&which).cloned() else { return };
        match node.leaving {
            Leaving::Plain => {}
            Leaving::Foreground => {
                if !self.graph.dependents(&task).any(|dependent| self.graph.blocks(&task, dependent)) {
                    self.change(which, None);
                }
            }
            Leaving::Orphan => {
                let dependents: Vec<usize> = self.graph.dependents(&task).map(number).collect();
                for dependent in dependents {
                    if let Some(mut object) = self.objects.get(&dependent).cloned() {
                        object.owners.retain(|(owner, _)| *owner != which);
                        self.change(dependent, Some(object));
                    }
                }
                self.change(which, None);
            }
            Leaving::No => self.examine(&task, which, object),
        }
    }

    fn examine(&mut self, task: &Uid, which: usize, mut object: Object) {
        let state =
            |leaving| if leaving == Leaving::Foreground { OwnerState::Waiting } else { OwnerState::Solid };
        let known = |owner: usize| self.graph.get(&uid(owner)).map(|node| node.leaving);
        let live = |owner: usize| self.objects.get(&owner).map(|object| object.leaving);
        let owners: Vec<OwnerState> = object
            .owners
            .iter()
            .map(|(owner, _)| known(*owner).or_else(|| live(*owner)).map_or(OwnerState::Absent, state))
            .collect();
        let waiting = |dependent: &Uid| {
            self.graph.get(dependent).is_some_and(|node| node.leaving == Leaving::Foreground)
        };
        let dependents = if self.graph.dependents(task).any(waiting) {
            Dependents::Waiting
        } else if self.graph.dependents(task).next().is_some() {
            Dependents::Some
        } else {
            Dependents::None
        };
        match judge(&ObjectMeta::default(), &owners, object.leaving, dependents) {
            Verdict::Keep => {}
            Verdict::Delete(policy) => {
                let lives = |owner: &usize| {
                    self.objects.get(owner).is_some_and(|object| object.leaving != Leaving::Foreground)
                };
                assert!(
                    !object.owners.is_empty() && !object.owners.iter().any(|(owner, _)| lives(owner)),
                    "{which} still has an owner"
                );
                self.delete(which, policy);
            }
            Verdict::Free(places) => {
                let mut place = 0..;
                object.owners.retain(|_| !places.contains(&place.next().expect("endless")));
                self.change(which, Some(object));
            }
            Verdict::Unblock => {
                object.owners.iter_mut().for_each(|(_, blocking)| *blocking = false);
                self.change(which, Some(object));
            }
        }
    }

    /// Everything is told and done. What may settle first does.
    fn rests(&mut self) {
        for _ in 0..10_000 {
            if !self.tasks.is_empty() {
                self.work();
            } else if self.untold.iter().any(|untold| !untold.is_empty()) {
                self.tell(false);
                self.tell(true);
            } else if let Some(task) = self.later.pop_first() {
                self.tasks.push_back(task);
            } else {
                return;
            }
        }
        panic!("the collector never rests");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn what_has_no_owner_left_goes_and_the_rest_stays(happenings in proptest::collection::vec(happening(), 0..80)) {
        let mut world = World::default();
        for happening in &happenings {
            world.happens(happening);
        }
        world.rests();
        for (which, object) in &world.objects {
            prop_assert_eq!(object.leaving, Leaving::No, "{} waits for ever", which);
            for (owner, _) in &object.owners {
                prop_assert!(world.objects.contains_key(owner), "{which} names {owner}, which is gone: {object:?}");
            }
        }
        prop_assert!(world.objects.keys().all(|which| !world.felled.contains(which)), "what was deleted is gone");
    }
}
