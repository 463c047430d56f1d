//! Replacing an object, and the common end of every change: replace, patch, apply, binding.

use serde_json::Value;
use serde_json::json;

use crate::local::server::apply;
use crate::local::server::apply::Manager;
use crate::local::server::apply::Operation;
use crate::local::server::body;
use crate::local::server::codec;
use crate::local::server::metadata;
use crate::local::server::namespaces;
use crate::local::server::objects::Call;
use crate::local::server::objects::Written;
use crate::local::server::refusal::Refusal;
use crate::local::server::schema::FieldError;
use crate::local::server::strategy;
use crate::local::store;
use crate::local::store::Expect;
use crate::local::store::Row;

/// How often a change is computed anew because another write came between. Each try sees a newer object, so this many
/// failures mean that somebody writes it without a pause.
pub(super) const TRIES: usize = 16;

/// `PUT` of an object.
pub(in crate::local::server) async fn replace(
    call: &mut Call,
    name: &str,
    mut object: Value,
) -> Result<Written, Refusal> {
    call.claim(&mut object, Some(name))?;
    call.prune(&mut object)?;
    let asked =
        metadata::text(&object, "resourceVersion").filter(|version| *version != "0").map(str::to_owned);
    if asked.is_none() && !strategy::unconditional_update(&call.kind) {
        call.row(name)?;
        return Err(Refusal::Invalid {
            subject: call.subject(name),
            errors: vec![FieldError {
                field: "metadata.resourceVersion".to_owned(),
                reason: "FieldValueInvalid",
                message: "Invalid value: 0: must be specified for an update".to_owned(),
            }],
        });
    }
    for _ in 0..TRIES {
        let (row, old) = call.find(name)?;
        match change(call, &row, &old, object.clone(), false).await {
            Err(Refusal::Conflict { .. }) if asked.is_none() && moved(call, &row)? => {}
            other => return other,
        }
    }
    Err(call.conflict(name))
}

/// `POST …/binding`: assigns a pod to a node.
pub(in crate::local::server) async fn bind(
    call: &mut Call,
    name: &str,
    binding: &Value,
) -> Result<Written, Refusal> {
    if binding.pointer("/target/name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::BadRequest("target.name: Required value".to_owned()));
    }
    for _ in 0..TRIES {
        let (row, old) = call.find(name)?;
        let mut bound = old.clone();
        strategy::bind(&mut bound, binding, &metadata::time(jiff::Timestamp::now()))
            .map_err(|why| Refusal::Conflict { subject: call.subject(name), why })?;
        // The binding brings annotations, which a client can get wrong. Only their type is looked at, as elsewhere.
        call.prune(&mut bound)?;
        match store_change(call, &row, bound).await {
            Err(Refusal::Conflict { .. }) if moved(call, &row)? => {}
            other => return other,
        }
    }
    Err(call.conflict(name))
}

/// Whether the object was written since it was read: then a conflict is the server's to resolve, not the client's.
pub(super) fn moved(call: &Call, row: &Row) -> Result<bool, Refusal> {
    let now = call.server.store.get(&row.key)?;
    Ok(now.is_some_and(|now| now.revision != row.revision))
}

/// Carries out a change from `old` (stored as `row`) to `new`. `applied`: its managers are known already.
pub(super) async fn change(
    call: &mut Call,
    row: &Row,
    old: &Value,
    mut new: Value,
    applied: bool,
) -> Result<Written, Refusal> {
    let name = metadata::name(old).to_owned();
    identify(call, &name, row, old, &new)?;
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        metadata::inherit(&mut new, old, field);
    }
    if !new["metadata"].get("managedFields").is_some_and(Value::is_array) {
        metadata::inherit(&mut new, old, "managedFields");
    }
    metadata::omit_empty(&mut new);
    let subresource = call.subresource.clone();
    strategy::update(&call.kind, subresource.as_deref(), &mut new, old);
    call.kind.schema.default(&mut new);
    if !applied {
        let now = metadata::time(jiff::Timestamp::now());
        let manager = call.manager();
        let api_version = call.kind.api_version();
        let manager = Manager {
            name: &manager,
            operation: Operation::Update,
            api_version: &api_version,
            subresource: subresource.as_deref(),
            now: &now,
        };
        apply::track(Some(old), &mut new, &manager, &call.kind.schema);
    }
    let ended = metadata::deleting(old) && ended(&new);
    if !ended && !metadata::differ(old, &new) {
        return Ok(Written::Row(row.clone()));
    }
    if let Some(generation) = strategy::generation(&call.kind, &new, old) {
        metadata::set(&mut new, "generation", Some(json!(generation)));
    }
    validate(call, &name, &new, old)?;
    store_change(call, row, new).await
}

/// Stores what was computed from `row`; removes the object if that was all that it waited for.
pub(super) async fn store_change(call: &Call, row: &Row, mut new: Value) -> Result<Written, Refusal> {
    let name = metadata::name(&new).to_owned();
    let lost = |error| match error {
        store::Error::Conflict { .. } => call.conflict(&name),
        store::Error::Missing => Refusal::NotFound(call.subject(&name)),
        other => other.into(),
    };
    let gone = metadata::deleting(&new) && ended(&new);
    if call.query.dry_run()? {
        metadata::set(&mut new, "resourceVersion", Some(json!(row.revision.to_string())));
        return Ok(Written::Object(new));
    }
    if gone {
        let revision = call.server.store.delete(&row.key, row.revision).await.map_err(lost)?;
        metadata::set(&mut new, "resourceVersion", Some(json!(revision.to_string())));
        return Ok(Written::Object(new));
    }
    call.kind.to_stored(&mut new);
    let value = codec::encode(&mut new);
    let put = call.server.store.put(&row.key, Expect::Revision(row.revision), value.clone());
    let revision = put.await.map_err(lost)?;
    Ok(Written::Row(Row { key: row.key.clone(), revision, value }))
}

/// Whether nothing holds an object that is being deleted: no finalizer, no grace period, no namespace content.
fn ended(object: &Value) -> bool {
    let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    metadata::finalizers(object).is_empty() && grace == 0 && !namespaces::held(object)
}

/// Refuses a change that was meant for another object or for an older state of this one.
fn identify(call: &Call, name: &str, row: &Row, old: &Value, new: &Value) -> Result<(), Refusal> {
    if let (Some(asked), Some(uid)) = (metadata::text(new, "uid"), metadata::text(old, "uid"))
        && asked != uid
    {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}");
        return Err(Refusal::Conflict { subject: call.subject(name), why });
    }
    match metadata::text(new, "resourceVersion") {
        None | Some("0") => Ok(()),
        Some(asked) if asked == row.revision.to_string() => Ok(()),
        Some(asked) if asked.parse::<u64>().is_err() => Err(Refusal::Invalid {
            subject: call.subject(name),
            errors: vec![FieldError {
                field: "metadata.resourceVersion".to_owned(),
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {asked:?}: must be an unsigned integer"),
            }],
        }),
        Some(_) => Err(call.conflict(name)),
    }
}

fn validate(call: &Call, name: &str, new: &Value, old: &Value) -> Result<(), Refusal> {
    let mut errors = call.kind.schema.validate(new, Some(old));
    errors.extend(strategy::validate(&call.kind, new, Some(old)));
    if metadata::deleting(old) {
        let before = metadata::finalizers(old);
        let added: Vec<&str> =
            metadata::finalizers(new).into_iter().filter(|name| !before.contains(name)).collect();
        if !added.is_empty() {
            errors.push(FieldError {
                field: "metadata.finalizers".to_owned(),
                reason: "FieldValueForbidden",
                message: format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
                     []string{{{}}}",
                    added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
                ),
            });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Refusal::Invalid { subject: call.subject(name), errors }) }
}

/// Reads an object from a body that may also be YAML.
pub(super) fn applied_object(bytes: &[u8]) -> Result<Value, Refusal> {
    let value = body::yaml(bytes)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Refusal::BadRequest("the body is not an object".to_owned()))
    }
}
