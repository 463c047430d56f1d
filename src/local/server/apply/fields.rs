//! Sets of field paths in the form in which `managedFields` stores them (`fieldsV1`), and their algebra.
//!
//! A set is a trie in JSON: a key is a path element (`f:` field, `k:` item by keys, `v:` item by value), an empty object
//! is a path that belongs to the set, and `"."` marks one that has others below it. Keeping the wire form in memory
//! makes reading and writing it free, which is what most requests do.

use serde_json::Map;
use serde_json::Value;

/// The paths at and below one place.
pub(super) type Fields = Map<String, Value>;

/// Marks that the place itself belongs to the set.
const SELF: &str = ".";

/// The part of a set that stands at `element`.
pub(super) fn below<'f>(set: &'f Fields, element: &str) -> Option<&'f Fields> {
    set.get(element).and_then(Value::as_object)
}

/// Whether the place itself belongs to the set (of which it is a part).
pub(super) fn owned(part: &Fields) -> bool {
    part.is_empty() || part.contains_key(SELF)
}

fn children(part: &Fields) -> impl Iterator<Item = (&String, &Fields)> {
    part.iter()
        .filter(|(element, _)| *element != SELF)
        .filter_map(|(element, part)| Some((element, part.as_object()?)))
}

/// A part from whether its place belongs and what is below; `None` if that is nothing.
pub(super) fn part(owned: bool, mut below: Fields) -> Option<Fields> {
    match (owned, below.is_empty()) {
        (false, true) => None,
        (true, false) => {
            below.insert(SELF.to_owned(), Value::Object(Fields::new()));
            Some(below)
        }
        (true, true) | (false, false) => Some(below),
    }
}

/// Adds a part at `element`.
pub(super) fn insert(set: &mut Fields, element: String, part: Option<Fields>) {
    if let Some(part) = part {
        set.insert(element, Value::Object(part));
    }
}

pub(super) fn union(one: &Fields, other: &Fields) -> Fields {
    combine(one, other, &|one, other| one || other).unwrap_or_default()
}

pub(super) fn intersection(one: &Fields, other: &Fields) -> Fields {
    combine(one, other, &|one, other| one && other).unwrap_or_default()
}

/// The paths of `one` that are not in `other`; paths below them stay.
pub(super) fn difference(one: &Fields, other: &Fields) -> Fields {
    combine(one, other, &|one, other| one && !other).unwrap_or_default()
}

/// Both sets walked together. The roots are no members: a set does not hold the object as a whole.
fn combine(one: &Fields, other: &Fields, keep: &dyn Fn(bool, bool) -> bool) -> Option<Fields> {
    fn parts(
        one: Option<&Fields>,
        other: Option<&Fields>,
        keep: &dyn Fn(bool, bool) -> bool,
    ) -> Option<Fields> {
        let member = keep(one.is_some_and(owned), other.is_some_and(owned));
        let empty = Fields::new();
        part(member, descend(one.unwrap_or(&empty), other.unwrap_or(&empty), keep))
    }
    fn descend(one: &Fields, other: &Fields, keep: &dyn Fn(bool, bool) -> bool) -> Fields {
        let mut result = Fields::new();
        for (element, mine) in children(one) {
            insert(&mut result, element.clone(), parts(Some(mine), below(other, element), keep));
        }
        for (element, theirs) in children(other).filter(|(element, _)| !one.contains_key(*element)) {
            insert(&mut result, element.clone(), parts(None, Some(theirs), keep));
        }
        result
    }
    part(false, descend(one, other, keep))
}

/// The set with every named field that has members below it as a member of its own.
pub(super) fn with_parents(set: &Fields) -> Fields {
    let mut result = Fields::new();
    for (element, mine) in children(set) {
        let member = owned(mine) || element.starts_with("f:");
        insert(&mut result, element.clone(), part(member, with_parents(mine)));
    }
    result
}

/// The members as people read them: `.spec.containers[name="a"].image`.
pub(super) fn paths(set: &Fields) -> Vec<String> {
    fn collect(set: &Fields, prefix: &str, into: &mut Vec<String>) {
        for (element, part) in children(set) {
            let path = format!("{prefix}{}", shown(element));
            if owned(part) {
                into.push(path.clone());
            }
            collect(part, &path, into);
        }
    }
    let mut found = Vec::new();
    collect(set, "", &mut found);
    found
}

/// A path element as people read it.
pub(super) fn shown(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("i:", index)) => format!("[{index}]"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        _ => element.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn set(value: Value) -> Fields {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn sets_combine_member_by_member() {
        let one = set(json!({"f:a": {}, "f:b": {".": {}, "f:x": {}, "f:y": {}}}));
        let other = set(json!({"f:b": {"f:x": {}}, "f:c": {}}));
        assert_eq!(
            Value::Object(union(&one, &other)),
            json!({"f:a": {}, "f:b": {".": {}, "f:x": {}, "f:y": {}}, "f:c": {}})
        );
        assert_eq!(Value::Object(intersection(&one, &other)), json!({"f:b": {"f:x": {}}}));
        assert_eq!(Value::Object(difference(&one, &other)), json!({"f:a": {}, "f:b": {".": {}, "f:y": {}}}));
        assert_eq!(Value::Object(difference(&one, &one)), json!({}));
    }

    #[test]
    fn a_difference_keeps_what_is_below_a_removed_member() {
        let one = set(json!({"f:b": {".": {}, "f:x": {}}}));
        let other = set(json!({"f:b": {}}));
        assert_eq!(Value::Object(difference(&one, &other)), json!({"f:b": {"f:x": {}}}));
        assert_eq!(Value::Object(union(&other, &set(json!({"f:b": {"f:x": {}}})))), Value::Object(one));
    }

    #[test]
    fn parents_that_are_named_become_members() {
        let one = set(json!({"f:spec": {"f:list": {"k:{\"name\":\"a\"}": {"f:image": {}}}}}));
        assert_eq!(
            Value::Object(with_parents(&one)),
            json!({"f:spec": {".": {}, "f:list": {".": {}, "k:{\"name\":\"a\"}": {"f:image": {}}}}})
        );
    }

    #[test]
    fn paths_print_as_in_conflict_messages() {
        let one = set(json!({"f:spec": {
            "f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}},
            "f:finalizers": {"v:\"x\"": {}},
        }}));
        assert_eq!(
            paths(&one),
            [
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"].image",
                ".spec.finalizers[=\"x\"]",
                ".spec.ports[containerPort=80,protocol=\"TCP\"]",
            ]
        );
    }
}
