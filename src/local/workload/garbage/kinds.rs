//! The kinds that are collected: all that the server serves and that can be listed, watched and deleted, as discovered at the start.

use crate::local::workload::garbage::graph::KindId;
use kube::Client;
use kube::api::ApiResource;
use kube::discovery::Discovery;
use kube::discovery::Scope;
use kube::discovery::verbs;
use std::collections::HashMap;

/// What a kind must support to be collected.
const VERBS: [&str; 4] = [verbs::LIST, verbs::WATCH, verbs::DELETE, verbs::GET];
/// Events come in masses and expire by themselves; Kubernetes does not collect them either.
const IGNORED: &str = "Event";

/// One kind.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

/// All kinds that are collected.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    list: Vec<Kind>,
    by_name: HashMap<(String, String), KindId>,
}

impl Kinds {
    /// Asks the server.
    pub(super) async fn discover(client: &Client) -> kube::Result<Self> {
        let discovery = Discovery::new(client.clone()).run().await?;
        let mut kinds = Self::default();
        for (resource, capabilities) in discovery
            .groups_alphabetical()
            .into_iter()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
        {
            if VERBS.iter().all(|verb| capabilities.supports_operation(verb)) && resource.kind != IGNORED {
                kinds.add(Kind { namespaced: capabilities.scope == Scope::Namespaced, resource });
            }
        }
        Ok(kinds)
    }

    /// Adds a kind unless it is there already.
    pub(super) fn add(&mut self, kind: Kind) {
        let name = (kind.resource.group.clone(), kind.resource.kind.clone());
        // More than 65,535 kinds are beyond any API server.
        let Ok(id) = KindId::try_from(self.list.len()) else { return };
        if let std::collections::hash_map::Entry::Vacant(free) = self.by_name.entry(name) {
            free.insert(id);
            self.list.push(kind);
        }
    }

    pub(super) fn get(&self, id: KindId) -> Option<&Kind> {
        self.list.get(usize::from(id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (KindId, &Kind)> {
        (0..).zip(&self.list)
    }

    /// The kind that an owner reference names. Versions of a group share their objects.
    pub(super) fn find(&self, api_version: &str, kind: &str) -> Option<(KindId, &Kind)> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let id = *self.by_name.get(&(group.to_owned(), kind.to_owned()))?;
        Some((id, self.get(id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, kind: &str) -> Kind {
        let resource = ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") },
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        };
        Kind { resource, namespaced: true }
    }

    #[test]
    fn kinds_are_found_by_group_and_kind_whatever_the_version() {
        let mut kinds = Kinds::default();
        for kind in
            [kind("", "Pod"), kind("batch", "Job"), kind("run.kakehi.dev", "Job"), kind("batch", "Job")]
        {
            kinds.add(kind);
        }
        assert_eq!(kinds.iter().count(), 3);
        for (api_version, name, id) in [
            ("v1", "Pod", Some(0)),
            ("batch/v1", "Job", Some(1)),
            ("batch/v1beta9", "Job", Some(1)),
            ("run.kakehi.dev/v1alpha1", "Job", Some(2)),
            ("apps/v1", "Pod", None),
            ("v1", "Job", None),
        ] {
            assert_eq!(kinds.find(api_version, name).map(|(id, _)| id), id, "{api_version} {name}");
        }
    }
}
