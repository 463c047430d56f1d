//! Whole schemas: object in, object or errors out; and `jsonschema` as the judge of the structural part.

#![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::local::server::kinds::Definitions;

fn schema(document: &Value) -> Schema {
    let definitions = Definitions::builtin();
    Schema::custom(document, true, &mut Parser::new(&definitions)).unwrap()
}

/// A schema whose `spec` is this.
fn with_spec(spec: Value) -> Schema {
    schema(
        &json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}),
    )
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

fn errors_on_update(spec: &Value, old: Option<Value>, new: Value) -> Vec<String> {
    let schema = with_spec(spec.clone());
    let errors = schema.validate(&object(new), old.map(object).as_ref());
    errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

fn errors(spec: &Value, value: Value) -> Vec<String> {
    errors_on_update(spec, None, value)
}

#[test]
fn unknown_fields_are_pruned_and_named() {
    let schema = with_spec(json!({
        "type": "object",
        "properties": {
            "known": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "integer"}}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"closed": {"type": "object"}}},
            "embedded": {"type": "object", "x-kubernetes-embedded-resource": true},
        },
    }));
    let mut thing = object(json!({
        "known": "x", "unknown": 1,
        "list": [{"a": 1}, {"a": 2, "b": 3}],
        "map": {"anything": {"a": 1, "b": 2}},
        "open": {"x": {"y": 1}, "closed": {"z": 1}},
        "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}},
    }));
    thing["metadata"]["nonsense"] = json!(1);
    thing["extra"] = json!({});
    let mut unknown = schema.prune(&mut thing);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "extra",
            "metadata.nonsense",
            "spec.embedded.spec",
            "spec.list[1].b",
            "spec.map.anything.b",
            "spec.open.closed.z",
            "spec.unknown",
        ]
    );
    assert_eq!(
        thing["spec"],
        json!({
            "known": "x", "list": [{"a": 1}, {"a": 2}], "map": {"anything": {"a": 1}},
            "open": {"x": {"y": 1}, "closed": {}},
            "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
        })
    );
}

#[test]
fn defaults_fill_what_is_absent_from_the_outside_in() {
    let schema = with_spec(json!({
        "type": "object",
        "default": {},
        "properties": {
            "a": {"type": "integer", "default": 1},
            "nullable": {"type": "string", "nullable": true, "default": "x"},
            "strict": {"type": "string", "default": "y"},
            "plain": {"type": "string"},
            "nested": {"type": "object", "default": {}, "properties": {"b": {"type": "boolean", "default": true}}},
            "absent": {"type": "object", "properties": {"c": {"type": "integer", "default": 3}}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "string", "default": "z"}}}},
        },
    }));
    let mut thing =
        object(json!({"nullable": null, "strict": null, "plain": null, "items": [{}, {"d": "own"}]}));
    schema.default(&mut thing);
    assert_eq!(
        thing["spec"],
        json!({"a": 1, "nullable": null, "strict": "y", "nested": {"b": true}, "items": [{"d": "z"}, {"d": "own"}]})
    );
    let mut bare = json!({"metadata": {"name": "t"}});
    schema.default(&mut bare);
    assert_eq!(bare["spec"], json!({"a": 1, "nullable": "x", "strict": "y", "nested": {"b": true}}));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, a line per check")]
fn every_check_speaks_in_the_api_servers_words() {
    let integer = |rest: Value| {
        let mut node = json!({"type": "integer"});
        node.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"type": "object", "properties": {"n": node}})
    };
    let of = |node: Value| json!({"type": "object", "properties": {"n": node}});
    let table = [
        (
            integer(json!({"minimum": 1.0})),
            json!({"n": 0}),
            "spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1",
        ),
        (
            integer(json!({"maximum": 10})),
            json!({"n": 11}),
            "spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10",
        ),
        (
            integer(json!({"minimum": 1, "exclusiveMinimum": true})),
            json!({"n": 1}),
            "spec.n: Invalid value: 1: spec.n in body should be greater than 1",
        ),
        (
            integer(json!({"maximum": 1, "exclusiveMaximum": true})),
            json!({"n": 1}),
            "spec.n: Invalid value: 1: spec.n in body should be less than 1",
        ),
        (
            integer(json!({"multipleOf": 5})),
            json!({"n": 7}),
            "spec.n: Invalid value: 7: spec.n in body should be a multiple of 5",
        ),
        (
            integer(json!({})),
            json!({"n": "x"}),
            "spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\"",
        ),
        (
            integer(json!({})),
            json!({"n": 1.5}),
            "spec.n: Invalid value: \"number\": spec.n in body must be of type integer: \"number\"",
        ),
        (
            of(json!({"type": "string", "minLength": 2})),
            json!({"n": "x"}),
            "spec.n: Invalid value: \"x\": spec.n in body should be at least 2 chars long",
        ),
        (
            of(json!({"type": "string", "maxLength": 2})),
            json!({"n": "xyz"}),
            "spec.n: Too long: may not be more than 2 bytes",
        ),
        (
            of(json!({"type": "string", "pattern": "^a+$"})),
            json!({"n": "b"}),
            "spec.n: Invalid value: \"b\": spec.n in body should match '^a+$'",
        ),
        (
            of(json!({"type": "string", "enum": ["Allow", "Forbid"]})),
            json!({"n": "X"}),
            "spec.n: Unsupported value: \"X\": supported values: \"Allow\", \"Forbid\"",
        ),
        (
            of(json!({"type": "string", "format": "date-time"})),
            json!({"n": "now"}),
            "spec.n: Invalid value: \"now\": spec.n in body must be of type date-time: \"now\"",
        ),
        (
            of(json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}})),
            json!({"n": [1, 2]}),
            "spec.n: Too many: 2: must have at most 1 item",
        ),
        (
            of(json!({"type": "array", "minItems": 1, "items": {"type": "integer"}})),
            json!({"n": []}),
            "spec.n: Invalid value: 0: spec.n in body should have at least 1 items",
        ),
        (
            of(json!({"type": "array", "items": {"type": "integer"}})),
            json!({"n": [1, "x"]}),
            "spec.n[1]: Invalid value: \"string\": spec.n[1] in body must be of type integer: \"string\"",
        ),
        (
            of(json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "integer"}})),
            json!({"n": {"a": 1, "b": 2}}),
            "spec.n: Too many: 2: must have at most 1 item",
        ),
        (
            of(json!({"type": "object", "additionalProperties": {"type": "integer"}})),
            json!({"n": {"a": true}}),
            "spec.n.a: Invalid value: \"boolean\": spec.n.a in body must be of type integer: \"boolean\"",
        ),
        (
            json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}),
            json!({}),
            "spec.n: Required value",
        ),
        (
            of(json!({"x-kubernetes-int-or-string": true})),
            json!({"n": true}),
            "spec.n: Invalid value: \"boolean\": spec.n in body must be of type integer,string: \"boolean\"",
        ),
        (
            of(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})),
            json!({"n": ["a", "b", "a"]}),
            "spec.n[2]: Duplicate value: \"a\"",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {"name": {"type": "string"}}}}),
            ),
            json!({"n": [{"name": "a"}, {"name": "a"}]}),
            "spec.n[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            of(json!({"type": "string"})),
            json!({"n": null}),
            "spec.n: Invalid value: \"null\": spec.n in body must be of type string: \"null\"",
        ),
    ];
    for (spec, value, expected) in table {
        assert_eq!(errors(&spec, value), [expected]);
    }
}

#[test]
fn combinations_count_their_branches() {
    let one = json!({
        "type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    });
    assert!(errors(&one, json!({"a": "x"})).is_empty());
    assert_eq!(
        errors(&one, json!({})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid"
        ]
    );
    assert_eq!(
        errors(&one, json!({"a": "x", "b": "y"})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
        ]
    );
    let any =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]});
    assert_eq!(
        errors(&any, json!({})),
        ["<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)"]
    );
    let not = json!({"type": "object", "properties": {"a": {"type": "string"}}, "not": {"required": ["a"]}});
    assert_eq!(
        errors(&not, json!({"a": "x"})),
        ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]
    );
    let all = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "allOf": [{"properties": {"n": {"minimum": 1}}}]});
    assert_eq!(
        errors(&all, json!({"n": 0})),
        ["spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"]
    );
}

#[test]
fn rules_refuse_with_their_message_at_their_place() {
    let rules = json!({
        "type": "object",
        "properties": {
            "count": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "must be positive"}]},
            "names": {"type": "array", "items": {"type": "object", "properties": {"a-b": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "self.a__dash__b != 'x'"}]}},
            "map": {"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self != 7"}]}},
            "since": {"type": "string", "format": "date-time"},
            "max": {"type": "integer"},
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.count) || !has(self.max) || self.count <= self.max", "messageExpression": "'count is over ' + string(self.max)", "fieldPath": ".count", "reason": "FieldValueForbidden"},
            {"rule": "!has(self.since) || self.since < timestamp('2030-01-01T00:00:00Z')", "message": "too late"},
        ],
    });
    for (value, expected) in [
        (json!({"count": 0}), "spec.count: Invalid value: \"integer\": must be positive"),
        (
            json!({"names": [{"a-b": "y"}, {"a-b": "x"}]}),
            "spec.names[1]: Invalid value: \"object\": failed rule: self.a__dash__b != 'x'",
        ),
        (json!({"map": {"k": 7}}), "spec.map[k]: Invalid value: \"integer\": failed rule: self != 7"),
        (json!({"count": 3, "max": 2}), "spec.count: Forbidden: count is over 2"),
        (json!({"since": "2031-01-01T00:00:00Z"}), "spec: Invalid value: \"object\": too late"),
    ] {
        assert_eq!(errors(&rules, value), [expected]);
    }
    assert!(errors(&rules, json!({"count": 1, "max": 2, "since": "2020-01-01T00:00:00Z"})).is_empty());
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses() {
    let rules = json!({"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [{"rule": "self.a == 'x'", "message": "a is x"}]});
    let found = errors(&rules, json!({}));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("evaluating rule: a is x"), "{found:?}");
}

#[test]
fn rules_run_only_over_a_sound_structure() {
    let rules = json!({"type": "object", "properties": {"n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}}});
    assert_eq!(
        errors(&rules, json!({"n": "x"})),
        ["spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\""]
    );
}

#[test]
fn transition_rules_compare_with_what_was_there() {
    let rules = json!({
        "type": "object",
        "properties": {
            "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
            "cancelled": {"type": "boolean", "x-kubernetes-validations": [{"rule": "self || !oldSelf", "message": "stays"}]},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
                "type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}}},
            "born": {"type": "integer", "x-kubernetes-validations": [{"rule": "!oldSelf.hasValue() || self == oldSelf.value()", "optionalOldSelf": true, "message": "once"}]},
        },
    });
    let update = |old: Value, new: Value| errors_on_update(&rules, Some(old), new);
    assert!(errors(&rules, json!({"fixed": "a", "born": 1})).is_empty());
    assert!(update(json!({"fixed": "a"}), json!({"fixed": "a"})).is_empty());
    assert_eq!(
        update(json!({"fixed": "a"}), json!({"fixed": "b"})),
        ["spec.fixed: Invalid value: \"string\": is immutable"]
    );
    assert!(update(json!({}), json!({"fixed": "b"})).is_empty());
    assert_eq!(
        update(json!({"cancelled": true}), json!({"cancelled": false})),
        ["spec.cancelled: Invalid value: \"boolean\": stays"]
    );
    let items =
        |size_of_b: i64| json!({"items": [{"name": "b", "size": size_of_b}, {"name": "a", "size": 9}]});
    let before = json!({"items": [{"name": "a", "size": 9}, {"name": "b", "size": 5}]});
    assert!(update(before.clone(), items(5)).is_empty());
    assert_eq!(
        update(before, items(4)),
        ["spec.items[0].size: Invalid value: \"integer\": failed rule: self >= oldSelf"]
    );
    assert_eq!(
        update(json!({"born": 1}), json!({"born": 2})),
        ["spec.born: Invalid value: \"integer\": once"]
    );
}

#[test]
fn an_unchanged_mistake_does_not_block_an_update() {
    let rules = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}, "m": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 5"}]}, "other": {"type": "string"}}});
    assert!(
        errors_on_update(&rules, Some(json!({"n": 1, "m": 1})), json!({"n": 1, "m": 1, "other": "x"}))
            .is_empty()
    );
    assert_eq!(errors_on_update(&rules, Some(json!({"n": 1})), json!({"n": 2})).len(), 1);
    assert_eq!(errors_on_update(&rules, Some(json!({"m": 1})), json!({"m": 2})).len(), 1);
}

#[test]
fn the_root_sees_the_name_and_nothing_else_of_the_metadata() {
    let named = schema(&json!({
        "type": "object",
        "properties": {"spec": {"type": "object"}},
        "x-kubernetes-validations": [{"rule": "size(self.metadata.name) <= 3", "message": "short names"}],
    }));
    let thing = |name: &str| json!({"apiVersion": "v1", "kind": "T", "metadata": {"name": name, "labels": {"a": "b"}}});
    assert!(named.validate(&thing("abc"), None).is_empty());
    let found = named.validate(&thing("abcd"), None);
    assert_eq!(
        (found[0].field.as_str(), found[0].message.as_str()),
        ("<nil>", "Invalid value: \"object\": short names")
    );
    let labels = schema(&json!({
        "type": "object",
        "x-kubernetes-validations": [{"rule": "!has(self.metadata.labels)", "message": "labels are seen"}],
    }));
    assert!(labels.validate(&thing("abc"), None).is_empty());
}

#[test]
fn a_schema_that_cannot_work_is_refused_when_it_is_read() {
    let definitions = Definitions::builtin();
    for (document, word) in [
        (json!({"type": "thing"}), "type"),
        (json!({"type": "string", "pattern": "("}), "pattern"),
        (json!({"type": "object", "x-kubernetes-validations": [{"rule": "self."}]}), "rule"),
        (json!({"type": "object", "x-kubernetes-validations": [{"message": "x"}]}), "rule"),
        (json!({"type": "array", "x-kubernetes-list-type": "map"}), "keys"),
        (json!({"type": "array", "x-kubernetes-list-type": "heap"}), "list type"),
    ] {
        let error = Schema::custom(&document, false, &mut Parser::new(&definitions)).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn built_in_kinds_are_decoded_before_they_are_judged() {
    let kinds = crate::local::server::kinds::Kinds::new(&[]).unwrap();
    let maps = &kinds.find("", "v1", "configmaps").unwrap().schema;
    let map = |data: Value| json!({"metadata": {"name": "m"}, "data": data});
    assert_eq!(maps.decode(&map(json!({"a": "b"})), "ConfigMap"), Ok(()));
    assert_eq!(
        maps.decode(&map(json!({"a": 1})), "ConfigMap").unwrap_err(),
        "json: cannot unmarshal number 1 into Go struct field ConfigMap.data.a of type string"
    );
    assert_eq!(
        maps.decode(&map(json!([])), "ConfigMap").unwrap_err(),
        "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"
    );
    let secrets = &kinds.find("", "v1", "secrets").unwrap().schema;
    assert!(
        secrets.decode(&map(json!({"a": "not base64"})), "Secret").unwrap_err().contains("illegal base64")
    );
    let jobs = &kinds.find("batch", "v1", "jobs").unwrap().schema;
    assert!(jobs.decode(&json!({"spec": {"completions": 5_000_000_000_i64}}), "Job").is_err());
    let custom = with_spec(json!({"type": "object"}));
    assert!(custom.decode(&json!({"metadata": {"labels": {"a": 1}}, "spec": 5}), "Thing").is_err());
}

#[test]
fn nulls_and_empty_collections_in_built_in_kinds_are_absent_fields() {
    let kinds = crate::local::server::kinds::Kinds::new(&[]).unwrap();
    let pods = &kinds.find("", "v1", "pods").unwrap().schema;
    let mut pod = json!({
        "metadata": {"name": "p", "creationTimestamp": null, "annotations": {}, "finalizers": []},
        "spec": {"containers": [{"name": "a", "resources": {}, "env": [], "lifecycle": null}], "volumes": null},
    });
    assert!(pods.prune(&mut pod).is_empty());
    assert_eq!(
        pod,
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "resources": {}}]}})
    );
}

/// The structural keywords that JSON Schema and Kubernetes have in common.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0_i64..4, 4_i64..9)
            .prop_map(|(low, high)| json!({"type": "integer", "minimum": low, "maximum": high})),
        (0_u64..2, 2_u64..5)
            .prop_map(|(low, high)| json!({"type": "string", "minLength": low, "maxLength": high})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "number"})),
        Just(json!({"type": "string", "enum": ["a", "b"]})),
        Just(json!({"type": "string", "pattern": "^a"})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (prop::collection::btree_map("[a-c]", inner.clone(), 0..3), any::<bool>()).prop_map(|(properties, required)| {
                let names: Vec<&String> = if required { properties.keys().collect() } else { Vec::new() };
                json!({"type": "object", "properties": properties, "required": names})
            }),
            (inner.clone(), 0_u64..2, 2_u64..4)
                .prop_map(|(items, low, high)| json!({"type": "array", "items": items, "minItems": low, "maxItems": high})),
            inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values, "maxProperties": 2})),
            (inner.clone(), inner).prop_map(|(one, other)| json!({"type": "object", "properties": {"a": {}, "b": {}}, "x-kubernetes-preserve-unknown-fields": true,
                "anyOf": [{"properties": {"a": one}}, {"properties": {"b": other}}]})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0_i64..12).prop_map(Value::from),
        Just(json!(1.5)),
        "[ab]{0,6}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn structure_is_judged_as_json_schema_judges_it(document in any_schema(), value in any_value()) {
        let definitions = Definitions::builtin_for_tests();
        let node = Parser::new(definitions).custom(&document).unwrap();
        let mut errors = Vec::new();
        validate::structure(&value, None, &node, &Path::ROOT, &mut errors);
        let oracle = jsonschema::draft7::new(&document).unwrap();
        prop_assert_eq!(errors.is_empty(), oracle.is_valid(&value), "{:?}", errors);
    }

    #[test]
    fn pruning_leaves_nothing_unknown_and_is_done_after_once(document in any_schema(), value in any_value()) {
        let definitions = Definitions::builtin_for_tests();
        let node = Parser::new(definitions).custom(&document).unwrap();
        let mut pruned = value.clone();
        let mut unknown = Vec::new();
        prune::prune(&mut pruned, &node, &Path::ROOT, &mut unknown);
        prop_assert_eq!(unknown.is_empty(), pruned == value);
        let mut again = Vec::new();
        prune::prune(&mut pruned, &node, &Path::ROOT, &mut again);
        prop_assert!(again.is_empty(), "{:?}", again);
    }
}
