//! What the collector reads and writes: the live state of one object and its owners, then what the judgement says.
//!
//! Nothing is deleted on the word of a watch alone: the object is read again, and so is each owner that seems to be gone. Every write
//! carries the version that was judged, so one that changed meanwhile is judged again.

use crate::local::workload::garbage::graph;
use crate::local::workload::garbage::graph::KindId;
use crate::local::workload::garbage::graph::Leaving;
use crate::local::workload::garbage::graph::Place;
use crate::local::workload::garbage::judge::Dependents;
use crate::local::workload::garbage::judge::OwnerState;
use crate::local::workload::garbage::judge::Policy;
use crate::local::workload::garbage::judge::Verdict;
use crate::local::workload::garbage::judge::judge;
use crate::local::workload::garbage::kinds::Kinds;
use crate::local::workload::garbage::uid::Uid;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::DynamicObject;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::Preconditions;
use serde_json::Value;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// Why an object could not be dealt with; it will be looked at again.
#[derive(Debug, Error)]
pub(super) enum Error {
    #[error("cannot read {name}")]
    Read { name: Arc<str>, source: kube::Error },
    #[error("cannot delete {name}")]
    Delete { name: Arc<str>, source: kube::Error },
    #[error("cannot change the metadata of {name}")]
    Patch { name: Arc<str>, source: kube::Error },
}

impl Error {
    /// The object changed after it was read.
    pub(super) fn conflict(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Delete { source, .. } | Self::Patch { source, .. } => {
                is(source, 409)
            }
        }
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// One thing to do, with all of the graph that it needs.
#[derive(Debug)]
pub(super) enum Operation {
    /// Judge the object by its owners.
    Examine { place: Place, dependents: Dependents, owners: HashMap<Uid, (Place, Leaving)> },
    /// Let go of the dependents, then of the object itself.
    Orphan { place: Place, dependents: Vec<Place> },
    /// No dependent holds up the object any more.
    Finish { place: Place },
}

/// An owner that was looked up and is not there: under this UID, kind and name.
pub(super) type Absent = (Uid, KindId, String);

/// Does operations.
#[derive(Clone)]
pub(super) struct Operator {
    pub(super) client: Client,
    pub(super) kinds: Arc<Kinds>,
}

impl Operator {
    /// Does it; `absent` says which owners were already looked up. Returns further ones.
    pub(super) async fn run(
        &self,
        uid: &Uid,
        operation: Operation,
        absent: impl Fn(&Absent) -> bool,
    ) -> Result<Vec<Absent>, Error> {
        match operation {
            Operation::Examine { place, dependents, owners } => {
                let mut found = Vec::new();
                if let Some(object) = self.read(&place).await?.filter(|object| names(object, uid)) {
                    let states = self.owners(&place, &object, &owners, (&absent, &mut found)).await?;
                    self.carry_out(
                        &place,
                        &object,
                        judge(&object, &states, graph::leaving(&object), dependents),
                    )
                    .await?;
                }
                Ok(found)
            }
            Operation::Orphan { place, dependents } => {
                for dependent in &dependents {
                    self.let_go(dependent, uid).await?;
                }
                self.take_finalizer(&place, uid, graph::ORPHAN).await?;
                Ok(Vec::new())
            }
            Operation::Finish { place } => {
                self.take_finalizer(&place, uid, graph::FOREGROUND).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn owners(
        &self,
        place: &Place,
        object: &ObjectMeta,
        known: &HashMap<Uid, (Place, Leaving)>,
        (absent, found): (&impl Fn(&Absent) -> bool, &mut Vec<Absent>),
    ) -> Result<Vec<OwnerState>, Error> {
        let mut states = Vec::new();
        for owner in object.owner_references.iter().flatten() {
            let Some(wanted) = self.owner_place(place, owner) else {
                // A kind that nobody serves, or an owner that cannot be: not ours to judge.
                states.push(OwnerState::Unknown);
                continue;
            };
            let uid = Uid::of(&owner.uid);
            let key = (uid.clone(), wanted.kind, owner.name.clone());
            states.push(match known.get(&uid) {
                Some((place, leaving)) if *place == wanted => state(*leaving),
                _ if absent(&key) || found.contains(&key) => OwnerState::Absent,
                _ => {
                    let live = self.read(&wanted).await?.filter(|object| names(object, &uid));
                    if live.is_none() {
                        found.push(key);
                    }
                    live.map_or(OwnerState::Absent, |owner| state(graph::leaving(&owner)))
                }
            });
        }
        Ok(states)
    }

    /// Where the owner must be: in the namespace of its dependent, or of the cluster.
    fn owner_place(&self, dependent: &Place, owner: &OwnerReference) -> Option<Place> {
        let (kind, served) = self.kinds.find(&owner.api_version, &owner.kind)?;
        let namespace: Arc<str> = if served.namespaced { dependent.namespace.clone() } else { "".into() };
        let possible = !served.namespaced || !namespace.is_empty();
        possible.then(|| Place { kind, namespace, name: owner.name.as_str().into() })
    }

    async fn carry_out(&self, place: &Place, object: &ObjectMeta, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Keep => Ok(()),
            Verdict::Delete(policy) => self.delete(place, object, policy).await,
            Verdict::Free(places) => {
                let owners = object.owner_references.iter().flatten().enumerate();
                let kept: Vec<_> =
                    owners.filter(|(at, _)| !places.contains(at)).map(|(_, owner)| owner).collect();
                self.patch(place, object, json!({ "ownerReferences": kept })).await
            }
            Verdict::Unblock => {
                let owners = object.owner_references.iter().flatten().cloned();
                let owners: Vec<_> = owners
                    .map(|owner| OwnerReference { block_owner_deletion: Some(false), ..owner })
                    .collect();
                self.patch(place, object, json!({ "ownerReferences": owners })).await
            }
        }
    }

    async fn delete(&self, place: &Place, object: &ObjectMeta, policy: Policy) -> Result<(), Error> {
        let Some(api) = self.api(place) else { return Ok(()) };
        let params = match policy {
            Policy::Background => DeleteParams::background(),
            Policy::Foreground => DeleteParams::foreground(),
            Policy::Orphan => DeleteParams::orphan(),
        };
        let preconditions =
            Preconditions { uid: object.uid.clone(), resource_version: object.resource_version.clone() };
        match api.delete(&place.name, &params.preconditions(preconditions)).await {
            Err(source) if !is(&source, 404) => Err(Error::Delete { name: place.name.clone(), source }),
            _ => Ok(()),
        }
    }

    /// Removes the dependent's references to the owner.
    async fn let_go(&self, dependent: &Place, owner: &Uid) -> Result<(), Error> {
        let Some(object) = self.read(dependent).await? else { return Ok(()) };
        let owners = || object.owner_references.iter().flatten();
        let kept: Vec<_> = owners().filter(|reference| Uid::of(&reference.uid) != *owner).collect();
        if kept.len() == owners().count() {
            return Ok(());
        }
        let change = json!({ "ownerReferences": kept });
        self.patch(dependent, &object, change).await
    }

    async fn take_finalizer(&self, place: &Place, uid: &Uid, finalizer: &str) -> Result<(), Error> {
        let Some(object) = self.read(place).await?.filter(|object| names(object, uid)) else { return Ok(()) };
        let all = || object.finalizers.iter().flatten();
        let kept: Vec<_> = all().filter(|name| *name != finalizer).collect();
        if kept.len() == all().count() {
            return Ok(());
        }
        let change = json!({ "finalizers": kept });
        self.patch(place, &object, change).await
    }

    /// Changes metadata, if the object is still at the version that was read.
    async fn patch(&self, place: &Place, object: &ObjectMeta, mut change: Value) -> Result<(), Error> {
        let Some(api) = self.api(place) else { return Ok(()) };
        change["uid"] = json!(object.uid);
        change["resourceVersion"] = json!(object.resource_version);
        match api
            .patch(&place.name, &PatchParams::default(), &Patch::Merge(json!({ "metadata": change })))
            .await
        {
            Err(source) if !is(&source, 404) => Err(Error::Patch { name: place.name.clone(), source }),
            _ => Ok(()),
        }
    }

    async fn read(&self, place: &Place) -> Result<Option<ObjectMeta>, Error> {
        let Some(api) = self.api(place) else { return Ok(None) };
        let found = api.get_metadata_opt(&place.name).await;
        found
            .map(|object| object.map(|object| object.metadata))
            .map_err(|source| Error::Read { name: place.name.clone(), source })
    }

    fn api(&self, place: &Place) -> Option<Api<DynamicObject>> {
        let kind = self.kinds.get(place.kind)?;
        Some(if kind.namespaced {
            Api::namespaced_with(self.client.clone(), &place.namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        })
    }
}

/// Whether the object has this UID: names are used again, UIDs are not.
fn names(object: &ObjectMeta, uid: &Uid) -> bool {
    object.uid.as_deref().is_some_and(|text| Uid::of(text) == *uid)
}

fn state(leaving: Leaving) -> OwnerState {
    match leaving {
        Leaving::Foreground => OwnerState::Waiting,
        Leaving::No | Leaving::Plain | Leaving::Orphan => OwnerState::Solid,
    }
}
