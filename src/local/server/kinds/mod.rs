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

use crate::local::server::schema::Schema;
use crate::local::server::selector::Selectable;
use crate::local::server::table::Column;

pub(super) use self::definitions::Definitions;
pub(super) use self::definitions::REFERENCE;
pub(super) use self::definitions::name_of;

/// Why a registry could not be built. Every one of these is a mistake in a definition that was handed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    pub(super) fn new(crds: &[CustomResourceDefinition]) -> Result<Self, Error> {
        let mut definitions = Definitions::builtin();
        let mut kinds = builtin::kinds(&definitions);
        for crd in crds {
            kinds.extend(custom::kinds(crd, &mut definitions)?);
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

    /// The kind that an object's `apiVersion` and `kind` name.
    pub(super) fn of_object(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.all.iter().find(|known| known.group == group && known.version == version && known.kind == kind)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }

    /// The schemas behind the kinds, by definition name.
    pub(super) fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}
