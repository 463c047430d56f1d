//! `PATCH`: JSON, merge and strategic merge patches on the newest state, and server-side apply.

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;

use crate::local::server::apply;
use crate::local::server::apply::ApplyError;
use crate::local::server::apply::Manager;
use crate::local::server::apply::Operation;
use crate::local::server::body;
use crate::local::server::body::PatchKind;
use crate::local::server::metadata;
use crate::local::server::objects::Call;
use crate::local::server::objects::Written;
use crate::local::server::objects::create::create_named;
use crate::local::server::objects::update::TRIES;
use crate::local::server::objects::update::applied_object;
use crate::local::server::objects::update::change;
use crate::local::server::objects::update::moved;
use crate::local::server::patch;
use crate::local::server::refusal::Refusal;
use crate::local::store::Row;

/// `PATCH` of an object. The flag says whether it was created.
pub(in crate::local::server) async fn patch(
    call: &mut Call,
    name: &str,
    kind: PatchKind,
    bytes: &Bytes,
) -> Result<(Written, bool), Refusal> {
    if kind == PatchKind::Apply {
        return apply(call, name, bytes).await;
    }
    if kind == PatchKind::Strategic && call.kind.custom {
        return Err(Refusal::UnsupportedMediaType(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        ));
    }
    let patch = body::json(bytes)?;
    for _ in 0..TRIES {
        let (row, old) = call.find(name)?;
        let mut new = old.clone();
        patched(call, kind, &patch, &mut new)?;
        // A patch that names a revision demands it; the one that was read is no demand.
        let demands = patch.pointer("/metadata/resourceVersion").is_some();
        call.claim(&mut new, Some(name))?;
        call.prune(&mut new)?;
        match change(call, &row, &old, new, false).await {
            Err(Refusal::Conflict { .. }) if !demands && moved(call, &row)? => call.warnings.clear(),
            other => return other.map(|written| (written, false)),
        }
    }
    Err(call.conflict(name))
}

fn patched(call: &Call, kind: PatchKind, patch: &Value, object: &mut Value) -> Result<(), Refusal> {
    match kind {
        PatchKind::Json => {
            if !patch.is_array() {
                return Err(Refusal::BadRequest("a JSON patch is a list of operations".to_owned()));
            }
            patch::json_patch(object, patch).map_err(unpatchable)?;
        }
        PatchKind::Merge | PatchKind::Apply => {
            if !patch.is_object() {
                return Err(Refusal::BadRequest("a merge patch is an object".to_owned()));
            }
            patch::merge_patch(object, patch);
        }
        PatchKind::Strategic => patch::strategic_merge_patch(object, patch, &call.kind.schema)
            .map_err(|error| Refusal::BadRequest(error.to_string()))?,
    }
    if object.is_object() {
        Ok(())
    } else {
        Err(Refusal::BadRequest("the patch leaves no object".to_owned()))
    }
}

/// A body that is no JSON patch is a bad request; one that does not fit this object is a 422 about no field.
fn unpatchable(error: patch::PatchError) -> Refusal {
    match error {
        patch::PatchError::Malformed(why) => Refusal::BadRequest(why),
        patch::PatchError::DoesNotApply(_) => Refusal::Unpatchable,
    }
}

/// Server-side apply: creates the object or merges what this manager wants into it.
async fn apply(call: &mut Call, name: &str, bytes: &Bytes) -> Result<(Written, bool), Refusal> {
    let mut wanted = applied_object(bytes)?;
    if call.query.get("fieldManager").is_none() {
        return Err(Refusal::BadRequest(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
                .to_owned(),
        ));
    }
    let force = call.query.flag("force").unwrap_or(false);
    // What is refused is named as it was sent: without the namespace that the path adds.
    let sent = wanted.clone();
    call.claim(&mut wanted, Some(name))?;
    if wanted
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty())
    {
        return Err(Refusal::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    metadata::set(&mut wanted, "managedFields", None);
    let now = metadata::time(jiff::Timestamp::now());
    as_manager(call, &now, |manager| apply::declared(&sent, manager, &call.kind.schema))?;
    call.prune(&mut wanted)?;
    for _ in 0..TRIES {
        let Some(row) = call.server.store.get(&call.key(name))? else {
            if call.subresource.is_some() {
                return Err(Refusal::NotFound(call.subject(name)));
            }
            let object = merged(call, None, &wanted, force)?;
            match create_named(call, object, true).await {
                // Somebody else was first: merge into what is there now.
                Err(Refusal::AlreadyExists(_)) if !call.query.dry_run()? => continue,
                other => return other.map(|written| (written, true)),
            }
        };
        let old = call.served(&row)?;
        let new = merged(call, Some(&old), &wanted, force)?;
        let demands = metadata::text(&wanted, "resourceVersion").is_some();
        match applied(call, &row, &old, new, demands.then_some(&wanted)).await {
            Err(Refusal::Conflict { .. }) if !demands && moved(call, &row)? => {}
            other => return other.map(|written| (written, false)),
        }
    }
    Err(call.conflict(name))
}

async fn applied(
    call: &mut Call,
    row: &Row,
    old: &Value,
    mut new: Value,
    demanding: Option<&Value>,
) -> Result<Written, Refusal> {
    // The merge starts from the live object, whose revision must not count as a demand; a demand in the applied one does.
    let version = demanding.and_then(|wanted| metadata::text(wanted, "resourceVersion"));
    metadata::set(&mut new, "resourceVersion", version.map(|version| json!(version)));
    change(call, row, old, new, true).await
}

fn merged(call: &Call, live: Option<&Value>, wanted: &Value, force: bool) -> Result<Value, Refusal> {
    let now = metadata::time(jiff::Timestamp::now());
    as_manager(call, &now, |manager| apply::apply(live, wanted, manager, force, &call.kind.schema))
}

/// Does something as the one who applies.
fn as_manager<T>(
    call: &Call,
    now: &str,
    act: impl FnOnce(&Manager<'_>) -> Result<T, ApplyError>,
) -> Result<T, Refusal> {
    let (name, api_version) = (call.manager(), call.kind.api_version());
    let manager = Manager {
        name: &name,
        operation: Operation::Apply,
        api_version: &api_version,
        subresource: call.subresource.as_deref(),
        now,
    };
    act(&manager).map_err(|error| match error {
        ApplyError::Conflict(conflicts) => Refusal::ApplyConflict(conflicts),
        ApplyError::Invalid(why) => Refusal::BadRequest(why),
        ApplyError::Untyped(why) => Refusal::Untyped(why),
    })
}
