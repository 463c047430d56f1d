//! A cache of the objects that belong to Executions, found by the Execution's name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use kube::Resource;
use kube::runtime::watcher::Event;

use super::world::{Key, key};
use crate::api::LABEL_EXECUTION;

/// Objects of one kind, by Execution and name.
pub(super) struct Children<K> {
    known: HashMap<Key, HashMap<String, Arc<K>>>,
    /// What a list in progress has brought so far; it replaces the rest when it is whole.
    listing: Option<HashMap<Key, HashMap<String, Arc<K>>>>,
}

impl<K> Default for Children<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), listing: None }
    }
}

impl<K: Resource<DynamicType = ()>> Children<K> {
    /// Takes in what a watch says.
    pub(super) fn apply(&mut self, event: Event<K>) {
        match event {
            Event::Init => self.listing = Some(HashMap::new()),
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    insert(listing, object);
                }
            }
            Event::InitDone => {
                if let Some(listed) = self.listing.take() {
                    self.known = listed;
                }
            }
            Event::Apply(object) => insert(&mut self.known, object),
            Event::Delete(object) => self.remove(&object),
        }
    }

    /// The objects that belong to that Execution.
    pub(super) fn of(&self, execution: &Key) -> impl Iterator<Item = &Arc<K>> {
        self.known.get(execution).into_iter().flat_map(HashMap::values)
    }

    /// Drops what belongs to that Execution.
    pub(super) fn forget(&mut self, execution: &Key) {
        self.known.remove(execution);
        if let Some(listing) = &mut self.listing {
            listing.remove(execution);
        }
    }

    /// Keeps only what belongs to those Executions.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Key) -> bool) {
        for objects in [Some(&mut self.known), self.listing.as_mut()].into_iter().flatten() {
            objects.retain(|execution, _| is_wanted(execution));
        }
    }

    fn remove(&mut self, object: &K) {
        let Some(execution) = execution_of(object) else { return };
        let (_, name) = key(object.meta());
        if let Entry::Occupied(mut siblings) = self.known.entry(execution) {
            siblings.get_mut().remove(&name);
            if siblings.get().is_empty() {
                siblings.remove();
            }
        }
    }
}

fn insert<K: Resource<DynamicType = ()>>(into: &mut HashMap<Key, HashMap<String, Arc<K>>>, object: K) {
    let Some(execution) = execution_of(&object) else { return };
    let (_, name) = key(object.meta());
    into.entry(execution).or_default().insert(name, Arc::new(object));
}

/// The Execution that an object carries in its label.
pub(super) fn execution_of<K: Resource<DynamicType = ()>>(object: &K) -> Option<Key> {
    let name = object.meta().labels.as_ref()?.get(LABEL_EXECUTION)?;
    Some((object.meta().namespace.clone().unwrap_or_default(), name.clone()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(execution: &str, name: &str) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "shop", "name": name, "labels": {LABEL_EXECUTION: execution}},
        }))
        .unwrap()
    }

    fn names(children: &Children<Pod>, execution: &str) -> Vec<String> {
        let key = ("shop".to_owned(), execution.to_owned());
        let mut names: Vec<_> = children.of(&key).map(|pod| pod.metadata.name.clone().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn objects_are_found_by_their_execution() {
        let mut children = Children::default();
        children.apply(Event::Apply(pod("a", "a-0")));
        children.apply(Event::Apply(pod("a", "a-1")));
        children.apply(Event::Apply(pod("b", "b-0")));
        children.apply(Event::Delete(pod("a", "a-0")));
        assert_eq!((names(&children, "a"), names(&children, "b")), (vec!["a-1".into()], vec!["b-0".into()]));
    }

    #[test]
    fn a_new_list_replaces_everything_when_it_is_whole() {
        let mut children = Children::default();
        children.apply(Event::Apply(pod("a", "old")));
        children.apply(Event::Init);
        children.apply(Event::InitApply(pod("a", "new")));
        assert_eq!(names(&children, "a"), ["old"], "half a list says nothing");
        children.apply(Event::InitDone);
        assert_eq!(names(&children, "a"), ["new"]);
    }

    #[test]
    fn what_is_forgotten_does_not_come_back_with_the_list_in_progress() {
        let mut children = Children::default();
        children.apply(Event::Init);
        children.apply(Event::InitApply(pod("a", "a-0")));
        children.forget(&("shop".to_owned(), "a".to_owned()));
        children.apply(Event::InitDone);
        assert!(names(&children, "a").is_empty());
        assert!(children.known.is_empty());
    }
}
