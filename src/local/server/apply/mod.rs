//! Server-side apply, and the tracking of who set what (`metadata.managedFields`).
//!
//! The semantics are those of structured-merge-diff: a configuration is laid over the live object, fields that the same
//! manager applied before and that nobody owns any more go, and a change of a field that somebody else owns is a
//! conflict. Every other write is tracked as an Update of its manager.

mod compare;
mod declared;
mod element;
mod fields;
mod managers;
mod merge;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

use self::fields::Fields;
use self::managers::Entry;
use crate::local::server::schema::Schema;

/// Which kind of request a manager's fields come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// Who writes, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager<'a> {
    pub name: &'a str,
    pub operation: Operation,
    pub api_version: &'a str,
    pub subresource: Option<&'a str>,
    /// RFC 3339 in UTC, whole seconds.
    pub now: &'a str,
}

/// Why an applied configuration is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ApplyError {
    /// Fields that others own would change: 409.
    #[error(transparent)]
    Conflict(Conflicts),
    /// The configuration itself is wrong: 400.
    #[error("{0}")]
    Invalid(String),
    /// The configuration does not fit the kind's schema: 500, as an API server has it.
    #[error("{0}")]
    Untyped(String),
}

/// A field that somebody else owns with another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    /// `"x"`, `"x" using v1`, `"x" with subresource "status" using v1`.
    pub manager: String,
    /// `.spec.containers[name="a"].image`.
    pub path: String,
}

/// All conflicts of one apply, in the API server's sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", conflict_message(.0))]
pub(super) struct Conflicts(pub Vec<Conflict>);

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [Conflict { manager, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Conflict { manager, path } in conflicts {
        by_manager.entry(manager).or_default().push(path);
    }
    let mut lines = Vec::new();
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Who owns the fields of an object that nobody has tracked when it is applied for the first time.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that have no owner: the server sets them, or they say which object it is.
const UNOWNED: &[&str] = &[
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

/// The object after `applied` has been applied to `live`, with its managers. Nothing but times would change: the live
/// object comes back as it is.
pub(super) fn apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager<'_>,
    force: bool,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::Invalid("metadata.managedFields must be nil".to_owned()));
    }
    let root = Some(schema.root().as_ref());
    let config = writable(applied, manager.subresource, schema);
    let nothing = json!({"metadata": {}});
    let base = live.unwrap_or(&nothing);
    let mut merged = merge::merge(base, &config, root).map_err(|error| untyped(applied, manager, &error))?;
    let mut others = managers::read(base).unwrap_or_default();
    if live.is_some() && others.is_empty() {
        let first = Manager { name: BEFORE_FIRST_APPLY, operation: Operation::Update, ..*manager };
        others.push(Entry::of(&first, without_unowned(compare::created(base, root))));
    }
    let before = others.iter().position(|entry| entry.belongs_to(manager)).map(|at| others.remove(at));
    let own = without_unowned(compare::set_by(&config, root));
    if let Some(before) = &before {
        let claimed = others.iter().fold(own.clone(), |all, entry| fields::union(&all, &entry.fields));
        // The metadata as a whole stays when its last owned field goes: the name in it is nobody's.
        let metadata = fields::Fields::from_iter([("f:metadata".to_owned(), json!({}))]);
        let claimed = fields::union(&claimed, &metadata);
        let gone = fields::difference(&fields::with_parents(&before.fields), &fields::with_parents(&claimed));
        merge::remove(&mut merged, &gone, root);
    }
    let changes = compare::compare(base, &merged, root);
    let written = changes.written();
    let mut conflicts = Vec::new();
    for entry in others.iter().filter(|_| !force) {
        let paths = fields::paths(&fields::intersection(&entry.fields, &written));
        conflicts.extend(paths.into_iter().map(|path| Conflict { manager: entry.describe(), path }));
    }
    if !conflicts.is_empty() {
        conflicts.sort();
        return Err(ApplyError::Conflict(Conflicts(conflicts)));
    }
    yield_to(&mut others, &written, &changes.removed);
    if let (Some(live), Some(before)) = (live, &before)
        && merged == *live
        && before.fields == own
        && before.api_version == manager.api_version
    {
        return Ok(merged);
    }
    others.push(Entry::of(manager, own));
    managers::write(&mut merged, others);
    Ok(merged)
}

/// Whether the kind has all the fields of a configuration. Server-side apply refuses one that it has not, whatever
/// `fieldValidation` says: nobody could own it.
pub(super) fn declared(applied: &Value, manager: &Manager<'_>, schema: &Schema) -> Result<(), ApplyError> {
    let undeclared = declared::undeclared(applied, schema.root());
    let complaints: Vec<String> =
        undeclared.iter().map(|path| format!("{path}: field not declared in schema")).collect();
    match complaints.as_slice() {
        [] => Ok(()),
        [one] => Err(untyped(applied, manager, one)),
        many => Err(untyped(applied, manager, &format!("errors:\n  {}", many.join("\n  ")))),
    }
}

/// The API server's sentence (apimachinery, `pkg/util/managedfields/internal/structuredmerge.go`).
fn untyped(applied: &Value, manager: &Manager<'_>, why: &str) -> ApplyError {
    let text = |pointer: &str| applied.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name, kind) = (text("/metadata/namespace"), text("/metadata/name"), text("/kind"));
    let group = if manager.api_version.contains('/') { "" } else { "/" };
    let version = manager.api_version;
    ApplyError::Untyped(format!(
        "failed to create typed patch object ({namespace}/{name}; {group}{version}, Kind={kind}): {why}"
    ))
}

/// Brings `managedFields` of `new` up to date after a create, replace or patch. `new` is as it will be stored: its
/// strategy has had its say.
pub(super) fn track(old: Option<&Value>, new: &mut Value, manager: &Manager<'_>, schema: &Schema) {
    let root = Some(schema.root().as_ref());
    let Some(old) = old else {
        let entry = Entry::of(manager, without_unowned(compare::created(new, root)));
        managers::write(new, vec![entry]);
        return;
    };
    let mut entries = entries_before(old, new, manager);
    if entries.is_empty() {
        // Somebody has reset them, or nobody ever tracked this object: an update does not begin to.
        managers::write(new, Vec::new());
        return;
    }
    let changes = compare::compare(old, new, root);
    let written = without_unowned(changes.written());
    yield_to(&mut entries, &written, &changes.removed);
    if !written.is_empty() {
        match entries.iter_mut().find(|entry| entry.belongs_to(manager)) {
            Some(entry) => {
                entry.fields = fields::union(&entry.fields, &written);
                entry.time = Some(manager.now.to_owned());
            }
            None => entries.push(Entry::of(manager, written)),
        }
    }
    managers::write(new, entries);
}

/// The entries from which an update starts: those that it brings, else those of the live object. A single empty entry
/// and an empty list reset them.
fn entries_before(old: &Value, new: &Value, manager: &Manager<'_>) -> Vec<Entry> {
    let brought = new.pointer("/metadata/managedFields").and_then(Value::as_array);
    let reset = brought.is_some_and(|entries| match &entries[..] {
        [] => true,
        [Value::Object(entry)] => entry.is_empty(),
        _ => false,
    });
    if reset && manager.subresource.is_none() {
        return Vec::new();
    }
    match managers::read(new) {
        Some(entries) if !entries.is_empty() && manager.subresource.is_none() => entries,
        _ => managers::read(old).unwrap_or_default(),
    }
}

/// Takes from the others what has been written over or removed.
fn yield_to(others: &mut [Entry], written: &Fields, removed: &Fields) {
    if written.is_empty() && removed.is_empty() {
        return;
    }
    for entry in others {
        entry.fields = fields::difference(&fields::difference(&entry.fields, written), removed);
    }
}

/// The part of a configuration that a request through this (sub)resource may set.
fn writable(applied: &Value, subresource: Option<&str>, schema: &Schema) -> Value {
    let mut config = applied.clone();
    let Some(map) = config.as_object_mut() else { return config };
    match subresource {
        Some("status") => {
            map.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
                metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace"));
            }
        }
        None if schema.has_status() => {
            map.remove("status");
        }
        _ => {}
    }
    config
}

fn without_unowned(mut set: Fields) -> Fields {
    set.remove("f:apiVersion");
    set.remove("f:kind");
    if let Some(Value::Object(metadata)) = set.get_mut("f:metadata") {
        metadata.retain(|element, _| element != "." && !UNOWNED.contains(&element.as_str()));
        if metadata.is_empty() {
            set.remove("f:metadata");
        }
    }
    set
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use crate::local::server::kinds::Kinds;

    const T1: &str = "2024-01-01T00:00:01Z";
    const T2: &str = "2024-01-01T00:00:02Z";

    fn applier<'a>(name: &'a str, now: &'a str) -> Manager<'a> {
        Manager { name, operation: Operation::Apply, api_version: "v1", subresource: None, now }
    }

    fn updater<'a>(name: &'a str, now: &'a str) -> Manager<'a> {
        Manager { operation: Operation::Update, ..applier(name, now) }
    }

    struct Kind(Kinds, &'static str, &'static str);

    impl Kind {
        fn config_maps() -> Self {
            Self(Kinds::new(&[]).unwrap(), "", "configmaps")
        }

        fn pods() -> Self {
            Self(Kinds::new(&[]).unwrap(), "", "pods")
        }

        fn schema(&self) -> &Schema {
            &self.0.find(self.1, "v1", self.2).unwrap().schema
        }

        fn apply(
            &self,
            live: Option<&Value>,
            config: &Value,
            manager: &Manager<'_>,
        ) -> Result<Value, ApplyError> {
            apply(live, config, manager, false, self.schema())
        }

        fn force(&self, live: &Value, config: &Value, manager: &Manager<'_>) -> Value {
            apply(Some(live), config, manager, true, self.schema()).unwrap()
        }

        fn update(&self, old: Option<&Value>, new: &Value, manager: &Manager<'_>) -> Value {
            let mut new = new.clone();
            track(old, &mut new, manager, self.schema());
            new
        }
    }

    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "n"}, "data": data})
    }

    fn fields_of<'a>(object: &'a Value, manager: &str) -> &'a Value {
        let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .find(|entry| entry["manager"] == manager)
            .map_or(&Value::Null, |entry| &entry["fieldsV1"])
    }

    #[test]
    fn a_field_that_is_not_applied_again_goes() {
        let kind = Kind::config_maps();
        let first = kind.apply(None, &map(json!({"a": "1", "b": "2"})), &applier("x", T1)).unwrap();
        assert_eq!(fields_of(&first, "x"), &json!({"f:data": {"f:a": {}, "f:b": {}}}));
        let second = kind.apply(Some(&first), &map(json!({"a": "1"})), &applier("x", T2)).unwrap();
        assert_eq!(second["data"], json!({"a": "1"}));
        assert_eq!(fields_of(&second, "x"), &json!({"f:data": {"f:a": {}}}));
    }

    #[test]
    fn a_whole_struct_goes_when_nothing_in_it_is_owned() {
        let kind = Kind::config_maps();
        let mut config = map(json!({"a": "1"}));
        config["metadata"]["labels"] = json!({"l": "1"});
        let first = kind.apply(None, &config, &applier("x", T1)).unwrap();
        let second = kind.apply(Some(&first), &map(json!({"a": "1"})), &applier("x", T2)).unwrap();
        assert_eq!(second["metadata"].get("labels"), None);
    }

    #[test]
    fn a_field_that_somebody_else_owns_too_stays() {
        let kind = Kind::config_maps();
        let object = kind.apply(None, &map(json!({"a": "1", "b": "2"})), &applier("x", T1)).unwrap();
        let object = kind.apply(Some(&object), &map(json!({"b": "2"})), &applier("y", T1)).unwrap();
        let object = kind.apply(Some(&object), &map(json!({"a": "1"})), &applier("x", T2)).unwrap();
        assert_eq!(object["data"], json!({"a": "1", "b": "2"}));
        assert_eq!(fields_of(&object, "y"), &json!({"f:data": {"f:b": {}}}));
        assert_eq!(fields_of(&object, "x"), &json!({"f:data": {"f:a": {}}}));
    }

    #[test]
    fn another_managers_value_is_a_conflict_unless_forced() {
        let kind = Kind::config_maps();
        let object = kind.apply(None, &map(json!({"a": "1", "b": "2"})), &applier("x", T1)).unwrap();
        let conflict = kind.apply(Some(&object), &map(json!({"a": "9"})), &applier("y", T2)).unwrap_err();
        assert_eq!(
            conflict,
            ApplyError::Conflict(Conflicts(vec![Conflict {
                manager: "\"x\"".to_owned(),
                path: ".data.a".to_owned()
            }]))
        );
        assert_eq!(conflict.to_string(), "Apply failed with 1 conflict: conflict with \"x\": .data.a");
        let forced = kind.force(&object, &map(json!({"a": "9"})), &applier("y", T2));
        assert_eq!(forced["data"]["a"], "9");
        assert_eq!(fields_of(&forced, "x"), &json!({"f:data": {"f:b": {}}}));
        let both =
            kind.apply(Some(&object), &map(json!({"a": "9", "b": "9"})), &applier("y", T2)).unwrap_err();
        assert_eq!(
            both.to_string(),
            "Apply failed with 2 conflicts: conflicts with \"x\":\n- .data.a\n- .data.b"
        );
    }

    #[test]
    fn an_update_takes_fields_over_and_an_apply_then_conflicts_with_it() {
        let kind = Kind::config_maps();
        let object = kind.apply(None, &map(json!({"a": "1"})), &applier("x", T1)).unwrap();
        let mut edited = object.clone();
        edited["data"]["a"] = json!("2");
        let edited = kind.update(Some(&object), &edited, &updater("edit", T2));
        assert_eq!(fields_of(&edited, "x"), &Value::Null);
        assert_eq!(fields_of(&edited, "edit"), &json!({"f:data": {"f:a": {}}}));
        let conflict = kind.apply(Some(&edited), &map(json!({"a": "1"})), &applier("x", T2)).unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.a"
        );
        let agreed = kind.apply(Some(&edited), &map(json!({"a": "2"})), &applier("x", T2)).unwrap();
        assert_eq!(fields_of(&agreed, "x"), &json!({"f:data": {"f:a": {}}}));
        assert_eq!(fields_of(&agreed, "edit"), &json!({"f:data": {"f:a": {}}}));
    }

    #[test]
    fn applying_the_same_again_changes_nothing_not_even_the_time() {
        let kind = Kind::config_maps();
        let object = kind.apply(None, &map(json!({"a": "1"})), &applier("x", T1)).unwrap();
        assert_eq!(kind.apply(Some(&object), &map(json!({"a": "1"})), &applier("x", T2)).unwrap(), object);
    }

    #[test]
    fn list_items_belong_to_those_who_apply_them() {
        let kind = Kind::pods();
        let pod = |containers: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}});
        let one = pod(
            json!([{"name": "a", "image": "1", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]}]),
        );
        let object = kind.apply(None, &one, &applier("x", T1)).unwrap();
        let sidecar = pod(json!([{"name": "side", "image": "s"}]));
        let object = kind.apply(Some(&object), &sidecar, &applier("y", T1)).unwrap();
        let names: Vec<_> =
            object["spec"]["containers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["a", "side"]);
        let fewer = pod(json!([{"name": "a", "image": "1", "env": [{"name": "F", "value": "2"}]}]));
        let object = kind.apply(Some(&object), &fewer, &applier("x", T2)).unwrap();
        assert_eq!(object["spec"]["containers"][0]["env"], json!([{"name": "F", "value": "2"}]));
        assert_eq!(object["spec"]["containers"][1]["name"], "side");
        let none = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let object = kind.apply(Some(&object), &none, &applier("y", T2)).unwrap();
        assert_eq!(object["spec"]["containers"].as_array().unwrap().len(), 1);
        assert_eq!(fields_of(&object, "y"), &Value::Null);
    }

    #[test]
    fn status_belongs_to_its_subresource() {
        let kind = Kind::pods();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let main = kind.apply(None, &pod, &applier("x", T1)).unwrap();
        assert_eq!(main.get("status"), None);
        let status = Manager { subresource: Some("status"), ..applier("x", T1) };
        let both = kind.apply(Some(&main), &pod, &status).unwrap();
        assert_eq!(both["status"]["phase"], "Running");
        let entries = both["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        let by_status = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
        assert_eq!(by_status["fieldsV1"], json!({"f:status": {"f:phase": {}}}));
    }

    #[test]
    fn an_object_from_before_apply_has_an_owner_then() {
        let kind = Kind::config_maps();
        let object = map(json!({"a": "1"}));
        let conflict = kind.apply(Some(&object), &map(json!({"a": "2"})), &applier("x", T1)).unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
        );
    }

    #[test]
    fn a_create_and_its_updates_are_tracked() {
        let kind = Kind::config_maps();
        let created = kind.update(None, &map(json!({"a": "1"})), &updater("kubectl", T1));
        assert_eq!(fields_of(&created, "kubectl"), &json!({"f:data": {".": {}, "f:a": {}}}));
        let mut changed = created.clone();
        changed["data"] = json!({"b": "2"});
        let changed = kind.update(Some(&created), &changed, &updater("other", T2));
        assert_eq!(fields_of(&changed, "kubectl"), &json!({"f:data": {}}));
        assert_eq!(fields_of(&changed, "other"), &json!({"f:data": {"f:b": {}}}));
        let again = kind.update(Some(&changed), &changed.clone(), &updater("third", T2));
        assert_eq!(again, changed);
    }

    #[test]
    fn managed_fields_survive_clients_that_do_not_know_them_and_can_be_reset() {
        let kind = Kind::config_maps();
        let created = kind.update(None, &map(json!({"a": "1"})), &updater("kubectl", T1));
        let unaware = kind.update(Some(&created), &map(json!({"a": "1"})), &updater("old", T2));
        assert_eq!(unaware, created);
        for none in [json!([]), json!([{}])] {
            let mut reset = created.clone();
            reset["metadata"]["managedFields"] = none;
            let reset = kind.update(Some(&created), &reset, &updater("old", T2));
            assert_eq!(reset["metadata"].get("managedFields"), None);
            let mut later = reset.clone();
            later["data"]["a"] = json!("3");
            assert_eq!(kind.update(Some(&reset), &later, &updater("old", T2)), later);
        }
    }

    #[test]
    fn a_configuration_may_not_bring_managed_fields() {
        let kind = Kind::config_maps();
        let mut config = map(json!({}));
        config["metadata"]["managedFields"] = json!([]);
        assert!(matches!(kind.apply(None, &config, &applier("x", T1)), Err(ApplyError::Invalid(_))));
    }
}
