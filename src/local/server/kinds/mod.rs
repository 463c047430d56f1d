//! The registry of what this API serves: the built-in kinds and the CRDs that were handed in.
//!
//! A [`Kind`] is one (group, version, resource) with everything the server must know about it before it reads an
//! object: names, scope, subresources, schema, printer columns, selectable fields. Routes, storage and HTTP are the
//! server's; this folder does no I/O.

mod builtin;
mod custom;
mod definitions;
mod events;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::local::server::admission::Admission;
use crate::local::server::admission::Objection;
use crate::local::server::schema::Schema;
use crate::local::server::selector::Selectable;
use crate::local::server::table::Column;

pub(super) use self::definitions::Definitions;
pub(super) use self::definitions::REFERENCE;
pub(super) use self::definitions::name_of;

/// Why a registry could not be built. Every one of these is a mistake in a definition that was handed in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("custom resource definition {name} has no version that is served")]
    NothingServed { name: String },
    #[error("custom resource definition {name} version {version} has no schema")]
    NoSchema { name: String, version: String },
    #[error("custom resource definition {name} version {version} has an unusable schema: {reason}")]
    Schema { name: String, version: String, reason: String },
    #[error("two definitions serve {resource}")]
    Twice { resource: String },
}

/// One served resource: a (group, version, plural) and what is known about it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the terms of the API")]
pub(super) struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `/status` is served, which also hides status from writes to the main resource.
    pub has_status: bool,
    /// Whether it came from a `CustomResourceDefinition`.
    pub custom: bool,
    /// Whether clients may only get, list and watch it.
    pub read_only: bool,
    pub schema: Schema,
    /// What is refused beyond that, if anybody has said so.
    pub review: Option<fn(&Value) -> Vec<Objection>>,
    pub columns: Vec<Column>,
    /// What a field selector may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// The name of the root schema in [`Kinds::definitions`], such as `io.k8s.api.core.v1.Pod`.
    pub definition: String,
    /// The version under which objects are stored, when it differs from what is served here.
    stored: Stored,
}

/// How the served form of an object becomes the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    /// As served.
    Same,
    /// The same fields under another `apiVersion` (a CRD with conversion strategy None).
    Renamed { api_version: String },
    /// `events.k8s.io/v1`: the core v1 Event with other field names.
    CoreEvent,
}

impl Kind {
    /// `group/version`, or the bare version in the core group.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The first part of every storage key: one resource has one, however many versions or groups serve it.
    pub(super) fn storage_prefix(&self) -> String {
        match (&self.stored, self.group.as_str()) {
            (Stored::CoreEvent, _) | (_, "") => format!("core/{}", self.plural),
            (_, group) => format!("{group}/{}", self.plural),
        }
    }

    /// Turns an object of this kind into the form in which it is stored.
    pub(super) fn to_stored(&self, object: &mut Value) {
        match &self.stored {
            Stored::Same => {}
            Stored::Renamed { api_version } => object["apiVersion"] = Value::String(api_version.clone()),
            Stored::CoreEvent => events::to_core(object),
        }
    }

    /// Turns a stored object into this kind.
    pub(super) fn to_served(&self, object: &mut Value) {
        match &self.stored {
            Stored::Same => {}
            Stored::Renamed { .. } => object["apiVersion"] = Value::String(self.api_version()),
            Stored::CoreEvent => events::to_events(object),
        }
    }

    /// Whether [`Kind::to_stored`] and [`Kind::to_served`] do nothing: bytes can be served as they are stored.
    pub(super) fn stored_as_served(&self) -> bool {
        self.stored == Stored::Same
    }

    /// `plural.group` as the API server names a resource in its messages; the bare plural in the core group.
    pub(super) fn qualified_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Kind.group` as the API server names a kind in its messages; the bare kind in the core group.
    pub(super) fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// What clients may do, in the order in which discovery lists it.
    pub(super) fn verbs(&self) -> &'static [&'static str] {
        if self.read_only {
            &["get", "list", "watch"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }
}

/// Every kind that is served, and the schema definitions that they share.
#[derive(Debug)]
pub(super) struct Kinds {
    all: Vec<Arc<Kind>>,
    by_resource: HashMap<(String, String, String), usize>,
    definitions: Definitions,
}

impl Kinds {
    /// The built-in kinds and the served versions of `crds`.
    #[cfg(test)]
    pub(super) fn new(crds: &[CustomResourceDefinition]) -> Result<Self, Error> {
        Self::reviewed(crds, &[])
    }

    /// The built-in kinds and the served versions of `crds`, whose objects `admissions` look at.
    pub(super) fn reviewed(
        crds: &[CustomResourceDefinition],
        admissions: &[Admission],
    ) -> Result<Self, Error> {
        let mut definitions = Definitions::builtin();
        let mut kinds = builtin::kinds(&definitions);
        for crd in crds {
            kinds.extend(custom::kinds(crd, &mut definitions)?);
        }
        for (group, name, review) in admissions {
            kinds
                .iter_mut()
                .filter(|kind| kind.group == *group && kind.kind == *name)
                .for_each(|kind| kind.review = Some(*review));
        }
        let mut by_resource = HashMap::new();
        for (index, kind) in kinds.iter().enumerate() {
            let key = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
            if by_resource.insert(key, index).is_some() {
                return Err(Error::Twice { resource: kind.qualified_resource() });
            }
        }
        Ok(Self { all: kinds.into_iter().map(Arc::new).collect(), by_resource, definitions })
    }

    /// The kind that a request path names. The core group is the empty string.
    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        // Three small strings per request; a borrowed key would need a type of its own.
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_resource.get(&key).map(|index| &self.all[*index])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }

    /// The schemas behind the kinds, by definition name.
    pub(super) fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn definition(versions: Value) -> CustomResourceDefinition {
        serde_json::from_value(json!({
            "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"], "categories": ["all"]},
                "versions": versions,
            },
        }))
        .unwrap()
    }

    fn version(name: &str, storage: bool) -> Value {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"job": {"type": "string"}}}}}},
            "selectableFields": [{"jsonPath": ".spec.job"}],
        })
    }

    #[test]
    fn a_definition_becomes_a_kind_per_served_version() {
        let kinds =
            Kinds::new(&[definition(json!([version("v1", true), version("v1beta1", false)]))]).unwrap();
        let old = kinds.find("example.com", "v1beta1", "things").unwrap();
        let new = kinds.find("example.com", "v1", "things").unwrap();
        assert_eq!(old.storage_prefix(), new.storage_prefix());
        assert_eq!((new.singular.as_str(), new.list_kind.as_str()), ("thing", "ThingList"));
        assert!(new.has_status && new.namespaced && new.custom && new.stored_as_served());
        let mut object = json!({"apiVersion": "example.com/v1beta1", "kind": "Thing"});
        old.to_stored(&mut object);
        assert_eq!(object["apiVersion"], "example.com/v1");
        old.to_served(&mut object);
        assert_eq!(object["apiVersion"], "example.com/v1beta1");
    }

    #[test]
    fn selectable_fields_of_a_definition_can_be_selected() {
        use crate::local::server::selector::FieldSelector;
        let kinds = Kinds::new(&[definition(json!([version("v1", true)]))]).unwrap();
        let kind = kinds.find("example.com", "v1", "things").unwrap();
        let selector = FieldSelector::parse("spec.job=a", kind).unwrap();
        assert!(selector.matches(&json!({"spec": {"job": "a"}})));
        assert!(!selector.matches(&json!({"spec": {}})));
        assert_eq!(FieldSelector::parse("spec.x=a", kind).unwrap_err(), "field label not supported: spec.x");
    }

    #[test]
    fn both_event_groups_are_stored_as_one() {
        let kinds = Kinds::new(&[]).unwrap();
        let core = kinds.find("", "v1", "events").unwrap();
        let other = kinds.find("events.k8s.io", "v1", "events").unwrap();
        assert_eq!(
            (core.storage_prefix(), other.storage_prefix()),
            ("core/events".into(), "core/events".into())
        );
        assert!(core.stored_as_served() && !other.stored_as_served());
    }

    #[test]
    fn mistaken_definitions_are_refused() {
        let none = definition(json!([]));
        assert!(matches!(Kinds::new(&[none]), Err(Error::NothingServed { .. })));
        let mut bare = version("v1", true);
        bare["schema"] = json!({});
        assert!(matches!(Kinds::new(&[definition(json!([bare]))]), Err(Error::NoSchema { .. })));
        let mut broken = version("v1", true);
        broken["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = json!([{"rule": "self +"}]);
        assert!(matches!(Kinds::new(&[definition(json!([broken]))]), Err(Error::Schema { .. })));
        let twice = || definition(json!([version("v1", true)]));
        assert!(matches!(Kinds::new(&[twice(), twice()]), Err(Error::Twice { .. })));
    }
}
