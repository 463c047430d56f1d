//! What the API server does to an object of a certain kind before it validates and stores it.
//!
//! A schema says which fields exist and which value an absent one has. What it cannot say stands here: which part a
//! write may touch at all (`status` belongs to `/status`), what the server fills in from what it knows (a Job's
//! selector), what may never change. One file per kind with rules of its own; the others share the plain ones.

mod job;
mod namespace;
mod pod;
mod secret;

use serde_json::Value;
use serde_json::json;

use crate::local::server::admission;
use crate::local::server::kinds::Kind;
use crate::local::server::metadata;
use crate::local::server::schema::FieldError;

pub(super) use self::pod::bind;

/// The rules of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    Custom,
    Job,
    Namespace,
    Node,
    Pod,
    Secret,
    ConfigMap,
    Plain,
}

impl Rules {
    fn of(kind: &Kind) -> Self {
        if kind.custom {
            return Self::Custom;
        }
        match (kind.group.as_str(), kind.plural.as_str()) {
            ("batch", "jobs") => Self::Job,
            ("", "namespaces") => Self::Namespace,
            ("", "nodes") => Self::Node,
            ("", "pods") => Self::Pod,
            ("", "secrets") => Self::Secret,
            ("", "configmaps") => Self::ConfigMap,
            _ => Self::Plain,
        }
    }

    /// Whether `metadata.generation` counts changes of what is desired.
    fn counts(self) -> bool {
        matches!(self, Self::Custom | Self::Job | Self::Pod)
    }
}

/// Fills in and clears what a creation may not decide. The object's `metadata.uid` is set.
pub(super) fn create(kind: &Kind, object: &mut Value) {
    let rules = Rules::of(kind);
    metadata::set(object, "generation", rules.counts().then(|| json!(1)));
    match rules {
        Rules::Custom if kind.has_status => remove(object, "status"),
        Rules::Job => job::create(object),
        Rules::Namespace => namespace::create(object),
        Rules::Pod => pod::create(object),
        Rules::Secret => secret::create(object),
        Rules::Custom | Rules::Node | Rules::ConfigMap | Rules::Plain => {}
    }
}

/// Puts back what an update through this (sub)resource may not change.
pub(super) fn update(kind: &Kind, subresource: Option<&str>, object: &mut Value, old: &Value) {
    let rules = Rules::of(kind);
    match (rules, subresource) {
        (Rules::Custom, Some("status")) => {
            let status = object.get_mut("status").map(Value::take);
            let managed = object.pointer_mut("/metadata/managedFields").map(Value::take);
            object.clone_from(old);
            metadata::set(object, "managedFields", managed);
            match status {
                Some(status) => object["status"] = status,
                None => remove(object, "status"),
            }
        }
        (_, Some("status")) => {
            for field in fields(old).into_iter().chain(fields(object)) {
                if !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
                    metadata::inherit_field(object, old, &field);
                }
            }
            metadata::inherit(object, old, "ownerReferences");
        }
        (Rules::Namespace, Some("finalize")) => metadata::inherit_field(object, old, "status"),
        _ if kind.has_status => metadata::inherit_field(object, old, "status"),
        _ => {}
    }
    match (rules, subresource) {
        (Rules::Namespace, None) => metadata::inherit_field(object, old, "spec"),
        (Rules::Secret, None) => secret::update(object, old),
        (Rules::Pod, None) => pod::update(object, old),
        (Rules::Job, None) => job::update(object, old),
        _ => {}
    }
}

/// The generation of the new state: one more if what is desired has changed.
pub(super) fn generation(kind: &Kind, object: &Value, old: &Value) -> Option<i64> {
    let rules = Rules::of(kind);
    if !rules.counts() {
        return None;
    }
    let changed = match rules {
        // Everything but metadata and status is what somebody desires of a custom object.
        Rules::Custom => {
            let desired = |name: &str| name != "metadata" && !(kind.has_status && name == "status");
            let names = fields(old).into_iter().chain(fields(object));
            names.into_iter().any(|name| desired(&name) && old.get(&name) != object.get(&name))
        }
        _ => old.get("spec") != object.get("spec"),
    };
    Some(metadata::generation(old) + i64::from(changed))
}

/// What a change of this kind may not do; the schema has been checked already.
pub(super) fn validate(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match Rules::of(kind) {
        Rules::Job => job::validate(object, old),
        Rules::Pod => pod::validate(object, old),
        Rules::Secret => old.map_or_else(Vec::new, |old| {
            let mut errors = frozen(object, old, &["data"]);
            errors.extend(immutable(object, old, "/type"));
            errors
        }),
        Rules::ConfigMap => old.map_or_else(Vec::new, |old| frozen(object, old, &["data", "binaryData"])),
        Rules::Custom => kind.review.map_or_else(Vec::new, |review| admission::errors(review, object, old)),
        Rules::Namespace | Rules::Node | Rules::Plain => Vec::new(),
    }
}

/// How long the end of an object may take: `Some` only for kinds that end gracefully.
pub(super) fn grace(kind: &Kind, object: &Value, asked: Option<i64>) -> Option<i64> {
    (Rules::of(kind) == Rules::Pod).then(|| pod::grace(object, asked))
}

/// Whether a replace may leave `resourceVersion` out. Custom kinds may not.
pub(super) fn unconditional_update(kind: &Kind) -> bool {
    Rules::of(kind) != Rules::Custom
}

/// Whether a delete without a policy leaves the dependents alone: only `batch/v1` Jobs, for old clients' sake.
pub(super) fn orphans_by_default(kind: &Kind) -> bool {
    Rules::of(kind) == Rules::Job
}

/// A ConfigMap or Secret that was once `immutable: true` stays as it is.
fn frozen(object: &Value, old: &Value, contents: &[&str]) -> Vec<FieldError> {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let forbidden = |field: &str, why: &str| FieldError {
        field: field.to_owned(),
        reason: "FieldValueForbidden",
        message: format!("Forbidden: {why}"),
    };
    let mut errors = Vec::new();
    if object.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for field in contents.iter().filter(|field| object.get(**field) != old.get(**field)) {
        errors.push(forbidden(field, "field is immutable when `immutable` is set"));
    }
    errors
}

/// An error if the field at the pointer has changed.
fn immutable(object: &Value, old: &Value, pointer: &str) -> Option<FieldError> {
    let new = object.pointer(pointer);
    (new != old.pointer(pointer)).then(|| FieldError {
        field: pointer.trim_start_matches('/').replace('/', "."),
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {}: field is immutable", new.unwrap_or(&Value::Null)),
    })
}

fn fields(object: &Value) -> Vec<String> {
    object.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// Sets a field that is absent.
fn default(object: &mut Value, field: &str, value: impl FnOnce() -> Value) {
    if let Some(fields) = object.as_object_mut()
        && fields.get(field).is_none_or(Value::is_null)
    {
        fields.insert(field.to_owned(), value());
    }
}

/// The items of a list field.
fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}
