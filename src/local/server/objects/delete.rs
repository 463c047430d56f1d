//! Deletion: at once, after a grace period, or when the last finalizer is gone.
//!
//! The garbage collector is not here. A delete only leaves the finalizers that tell it what to do with the dependents.

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;

use crate::local::server::body;
use crate::local::server::metadata;
use crate::local::server::namespaces;
use crate::local::server::objects::Call;
use crate::local::server::objects::Selection;
use crate::local::server::objects::Written;
use crate::local::server::objects::update::TRIES;
use crate::local::server::objects::update::moved;
use crate::local::server::objects::update::store_change;
use crate::local::server::query::Query;
use crate::local::server::refusal::Refusal;
use crate::local::server::strategy;
use crate::local::store;
use crate::local::store::Row;

/// Holds an object until its blocking dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// Holds an object until its dependents no longer name it as owner.
const ORPHAN: &str = "orphan";

/// How many objects of a collection are looked at together.
const PAGE: usize = 500;

/// Namespaces that always exist.
const PERMANENT: &[&str] = &["default", "kube-system", "kube-public"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `DeleteOptions`, from the body or the query.
#[derive(Debug, Clone, Default)]
pub(in crate::local::server) struct Deletion {
    grace: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl Deletion {
    pub(in crate::local::server) fn read(query: &Query, bytes: &Bytes) -> Result<Self, Refusal> {
        let options = if bytes.is_empty() { json!({}) } else { body::yaml(bytes)? };
        let text = |pointer: &str| options.pointer(pointer).and_then(Value::as_str);
        let grace = match options.get("gracePeriodSeconds").and_then(Value::as_i64) {
            Some(seconds) => Some(seconds),
            None => query.get("gracePeriodSeconds").map(number).transpose()?,
        };
        let propagation = match text("/propagationPolicy").or_else(|| query.get("propagationPolicy")) {
            None => match options
                .get("orphanDependents")
                .and_then(Value::as_bool)
                .or(query.flag("orphanDependents"))
            {
                None => None,
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
            },
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                return Err(Refusal::BadRequest(format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: \
                     supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                )));
            }
        };
        let dry = options.get("dryRun").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        Ok(Self {
            grace,
            propagation,
            uid: text("/preconditions/uid").map(str::to_owned),
            version: text("/preconditions/resourceVersion").map(str::to_owned),
            dry_run: dry || query.dry_run()?,
        })
    }

    /// Deletes with everything that depends on it, waiting for nobody.
    pub(in crate::local::server) fn background() -> Self {
        Self { propagation: Some(Propagation::Background), ..Self::default() }
    }
}

fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::BadRequest(format!("gracePeriodSeconds: {text:?} is not a number")))
}

/// What a deletion did.
#[derive(Debug)]
pub(in crate::local::server) enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Value),
    /// It waits for its finalizers or its grace period.
    Waiting(Value),
}

/// `DELETE` of an object, as an answer.
pub(in crate::local::server) async fn delete(
    call: &mut Call,
    name: &str,
    deletion: &Deletion,
) -> Result<Value, Refusal> {
    if deletion.propagation.is_none() && strategy::orphans_by_default(&call.kind) {
        call.warnings.push(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
             them or set propagationPolicy=Orphan to suppress this warning"
                .to_owned(),
        );
    }
    match remove(call, name, deletion).await? {
        Deleted::Waiting(object) => Ok(object),
        // The API server answers with the object where it can end gracefully.
        Deleted::Gone(object) if strategy::grace(&call.kind, &object, None).is_some() => Ok(object),
        Deleted::Gone(object) => {
            let mut details =
                json!({"name": name, "kind": call.kind.plural, "uid": metadata::text(&object, "uid")});
            if !call.kind.group.is_empty() {
                details["group"] = json!(call.kind.group);
            }
            Ok(json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            }))
        }
    }
}

/// Deletes one object as far as that is possible now.
pub(in crate::local::server) async fn remove(
    call: &Call,
    name: &str,
    deletion: &Deletion,
) -> Result<Deleted, Refusal> {
    if call.kind.group.is_empty() && call.kind.plural == "namespaces" && PERMANENT.contains(&name) {
        let why = "this namespace may not be deleted".to_owned();
        return Err(Refusal::Forbidden { subject: call.subject(name), why, cause: None });
    }
    for _ in 0..TRIES {
        let (row, object) = call.find(name)?;
        preconditions(call, name, &object, deletion)?;
        match step(call, &row, object, deletion).await {
            Err(Refusal::Conflict { .. }) if moved(call, &row)? => {}
            other => return other,
        }
    }
    Err(call.conflict(name))
}

fn preconditions(call: &Call, name: &str, object: &Value, deletion: &Deletion) -> Result<(), Refusal> {
    let checks = [
        ("UID", deletion.uid.as_deref(), "uid", "deleted and then recreated"),
        ("ResourceVersion", deletion.version.as_deref(), "resourceVersion", "modified"),
    ];
    for (label, asked, field, happened) in checks {
        let actual = metadata::text(object, field).unwrap_or_default();
        if let Some(asked) = asked.filter(|asked| *asked != actual) {
            let why = format!(
                "the {label} in the precondition ({asked}) does not match the {label} in record ({actual}). The object might \
                 have been {happened}"
            );
            return Err(Refusal::Precondition { subject: call.subject(name), why });
        }
    }
    Ok(())
}

/// One try on one state of the object.
async fn step(call: &Call, row: &Row, mut object: Value, deletion: &Deletion) -> Result<Deleted, Refusal> {
    let before = object.clone();
    let finalizers = finalizers(call, &object, deletion);
    metadata::set_finalizers(&mut object, &finalizers);
    let grace = if metadata::deleting(&before) {
        let current =
            before.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        // A second delete can only make the end come sooner, and only if it says so.
        let grace = deletion.grace.map_or(current, |asked| asked.clamp(0, current));
        if grace < current {
            end_in(&mut object, grace);
        }
        grace
    } else {
        let grace = strategy::grace(&call.kind, &object, deletion.grace).unwrap_or(0);
        end_in(&mut object, grace);
        let generation = metadata::generation(&object);
        if generation > 0 {
            metadata::set(&mut object, "generation", Some(json!(generation + 1)));
        }
        grace
    };
    let namespace = call.kind.group.is_empty() && call.kind.plural == "namespaces";
    if namespace {
        object["status"]["phase"] = json!("Terminating");
    }
    if grace == 0 && finalizers.is_empty() && !namespaces::held(&object) {
        return end(call, row, before, deletion).await;
    }
    if deletion.dry_run || !metadata::differ(&before, &object) {
        return Ok(Deleted::Waiting(object));
    }
    match store_change(call, row, object).await? {
        Written::Row(row) => Ok(Deleted::Waiting(call.served(&row)?)),
        Written::Object(object) => Ok(Deleted::Waiting(object)),
    }
}

async fn end(call: &Call, row: &Row, mut object: Value, deletion: &Deletion) -> Result<Deleted, Refusal> {
    if !deletion.dry_run {
        let name = metadata::name(&object);
        let revision =
            call.server.store.delete(&row.key, row.revision).await.map_err(|error| match error {
                store::Error::Conflict { .. } => call.conflict(name),
                store::Error::Missing => Refusal::NotFound(call.subject(name)),
                other => other.into(),
            })?;
        metadata::set(&mut object, "resourceVersion", Some(json!(revision.to_string())));
    }
    Ok(Deleted::Gone(object))
}

fn end_in(object: &mut Value, seconds: i64) {
    let now = jiff::Timestamp::now();
    let end = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
    metadata::set(object, "deletionTimestamp", Some(json!(metadata::time(end))));
    metadata::set(object, "deletionGracePeriodSeconds", Some(json!(seconds)));
}

/// The object's finalizers with the garbage collector's two as the policy wants them.
fn finalizers(call: &Call, object: &Value, deletion: &Deletion) -> Vec<String> {
    let present = metadata::finalizers(object);
    let policy = deletion.propagation.unwrap_or_else(|| {
        if present.contains(&ORPHAN) {
            Propagation::Orphan
        } else if present.contains(&FOREGROUND) {
            Propagation::Foreground
        } else if strategy::orphans_by_default(&call.kind) {
            Propagation::Orphan
        } else {
            Propagation::Background
        }
    });
    let others = present.into_iter().filter(|name| *name != ORPHAN && *name != FOREGROUND);
    let mut finalizers: Vec<String> = others.map(str::to_owned).collect();
    match policy {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
    }
    finalizers
}

/// `DELETE` of a collection: every object that the selectors match. Returns what was deleted.
pub(in crate::local::server) async fn delete_collection(
    call: &Call,
    selection: &Selection,
    deletion: &Deletion,
) -> Result<Vec<Value>, Refusal> {
    let mut deleted = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = call.server.store.range(&call.prefix(), after.as_deref(), PAGE, None).await?;
        for row in &page.rows {
            if !selection.matches(&call.kind, row)? {
                continue;
            }
            let object = call.served(row)?;
            // The key of the row has the namespace, the call of a collection may not.
            let one = call.within(metadata::text(&object, "namespace"));
            match remove(&one, metadata::name(&object), deletion).await {
                Ok(Deleted::Gone(object) | Deleted::Waiting(object)) => deleted.push(object),
                Err(Refusal::NotFound(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        match page.rows.last().filter(|_| page.more) {
            Some(last) => after = Some(last.key.to_string()),
            None => return Ok(deleted),
        }
    }
}
