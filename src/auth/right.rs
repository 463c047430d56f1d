//! What may be done to what, as Kubernetes' RBAC names it.

use std::fmt;

use crate::api::GROUP;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change a part of one.
    Patch,
    /// Remove one.
    Delete,
    /// Name a `ServiceAccount` in something of one's own.
    Use,
    /// Be that `ServiceAccount`.
    Impersonate,
}

impl Verb {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::Use => "use",
            Verb::Impersonate => "impersonate",
        }
    }
}

/// A right in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub(super) verb: Verb,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Right {
    /// To do that to our objects of that kind, in that namespace.
    pub fn to(verb: Verb, resource: &'static str, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { verb, group: GROUP, resource, subresource: "", namespace, name: String::new() }
    }

    /// To do that to objects of Kubernetes' own first group.
    pub fn to_core(verb: Verb, resource: &'static str, namespace: &str) -> Self {
        Self { group: "", ..Self::to(verb, resource, namespace) }
    }

    /// The same for that one. A create has none: its name is not known to RBAC either.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The same for what is below it.
    #[must_use]
    pub fn below(self, subresource: &'static str) -> Self {
        Self { subresource, ..self }
    }

    /// That this is missing, in the words of an API server.
    pub(super) fn is_missing_for(&self, user: &str) -> String {
        let Self { verb, group, resource, subresource: _, namespace, name } = self;
        let about = if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") };
        let about = if name.is_empty() { about } else { format!("{about} {name:?}") };
        format!(
            "{about} is forbidden: User {user:?} cannot {} resource \"{self}\" in API group {group:?} in the namespace {namespace:?}",
            verb.as_str()
        )
    }
}

impl fmt::Display for Right {
    /// The resource, as roles name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if self.subresource.is_empty() { Ok(()) } else { write!(f, "/{}", self.subresource) }
    }
}
