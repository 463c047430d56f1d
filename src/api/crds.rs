//! The custom resource definitions, made from the Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::execution::Execution;
use super::job::Job;
use super::trigger::Trigger;

/// The definitions of our kinds, ready for `kubectl apply`.
///
/// Descriptions are cut to their first sentence: whole, those of the Pod fields would push an object past the
/// 256 KiB that a client-side apply can annotate.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![Job::crd(), Execution::crd(), Trigger::crd()];
    for version in definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            shorten(schema);
        }
    }
    definitions
}

/// Cuts the descriptions of a schema and of everything below it.
fn shorten(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description = first_sentence(description);
    }
    schema.properties.iter_mut().flatten().for_each(|(_, property)| shorten(property));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => shorten(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(shorten),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        shorten(values);
    }
}

fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    line.split_once(". ").map_or(line.clone(), |(sentence, _)| format!("{sentence}."))
}

#[cfg(test)]
mod tests {
    use kube::core::cel::{Validator, compile_schema, estimate_rule_cost};
    use serde_json::{Value, json};

    use super::*;

    /// Limit of the annotation that a client-side apply writes.
    const ANNOTATION_LIMIT: usize = 256 * 1024;

    #[test]
    fn definitions_fit_a_client_side_apply() {
        for definition in crds() {
            let size = serde_json::to_vec(&definition).unwrap().len();
            assert!(size < ANNOTATION_LIMIT, "{:?}: {size} bytes", definition.metadata.name);
        }
    }

    #[test]
    fn plurals_are_what_knative_guesses() {
        for definition in crds() {
            let names = &definition.spec.names;
            assert_eq!(names.plural, format!("{}s", names.kind.to_lowercase()));
            assert_eq!(names.categories.as_deref(), Some(&["kakehi".to_owned()][..]));
        }
    }

    fn schemas() -> Vec<(String, Value)> {
        let schema = |definition: &CustomResourceDefinition| {
            let schema =
                definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            serde_json::to_value(schema).unwrap()
        };
        crds().iter().map(|definition| (definition.spec.names.kind.clone(), schema(definition))).collect()
    }

    fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
        visit(node);
        match node {
            Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
            Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
            _ => {}
        }
    }

    #[test]
    fn every_rule_compiles_is_affordable_and_says_what_is_wrong() {
        let mut rules = 0;
        for (_, schema) in schemas() {
            walk(&schema, &mut |node| {
                for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                    assert!(rule["message"].is_string(), "a rule without a message: {rule}");
                    let compiled = compile_schema(node);
                    assert!(!compiled.has_errors(), "{rule}");
                    let warnings = estimate_rule_cost(rule["rule"].as_str().unwrap(), &compiled);
                    assert!(warnings.is_empty(), "{warnings:?}");
                    rules += 1;
                }
            });
        }
        assert!(rules > 5, "only {rules} rules found");
    }

    /// Adds up how often rules may have to run for one object, as far as lists say how long they may be.
    fn runs_of_rules(schema: &Value, times: u64) -> u64 {
        let own = schema["x-kubernetes-validations"].as_array().map_or(0, |rules| rules.len() as u64 * times);
        let properties = schema["properties"].as_object().into_iter().flatten();
        let below: u64 = properties.map(|(_, property)| runs_of_rules(property, times)).sum();
        let length = schema["maxItems"].as_u64().unwrap_or(1);
        let items =
            if schema["items"].is_object() { runs_of_rules(&schema["items"], times * length) } else { 0 };
        own + below + items
    }

    #[test]
    fn rules_in_nested_lists_stay_within_the_budget_of_an_api_server() {
        for (kind, schema) in schemas() {
            // The budget is 100 million units for a definition; ours are rules of about ten units.
            let runs = runs_of_rules(&schema, 1);
            assert!(runs < 5_000_000, "{kind}: {runs} runs");
        }
    }

    /// What admission says of an object, as one text; empty where it passes.
    fn refusal(kind: &str, object: &Value, old: Option<&Value>) -> String {
        let (_, schema) = schemas().into_iter().find(|(name, _)| name == kind).unwrap();
        match Validator::new().validate(&schema, object, old) {
            Ok(()) => String::new(),
            Err(errors) => errors.to_string(),
        }
    }

    fn job(name: &str, containers: usize) -> Value {
        let containers: Vec<_> =
            (0..containers).map(|_| json!({"name": "main", "image": "busybox"})).collect();
        json!({
            "metadata": {"name": name},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": containers}}}}},
        })
    }

    #[test]
    fn a_job_has_one_container_and_a_name_that_leaves_room() {
        assert_eq!(refusal("Job", &job("resize", 1), None), "");
        assert_eq!(refusal("Job", &job(&"j".repeat(46), 1), None), "");
        assert!(refusal("Job", &job(&"j".repeat(47), 1), None).contains("at most 46 characters"));
        assert!(refusal("Job", &job("resize", 2), None).contains("exactly one container"));
        assert!(refusal("Job", &job("resize", 0), None).contains("exactly one container"));
    }

    #[test]
    fn the_name_of_a_job_can_be_part_of_a_host_name() {
        for name in ["a", "0", "a-b", "2-resize", "r2d2"] {
            assert_eq!(refusal("Job", &job(name, 1), None), "", "{name}");
        }
        // An API server takes the first one as the name of an object.
        for name in ["resize.v2", "-a", "a-", "Resize", "a_b", "", "a\n"] {
            assert!(refusal("Job", &job(name, 1), None).contains("DNS label"), "{name:?}");
        }
    }

    #[test]
    fn a_limit_takes_a_policy_that_counts_and_numbers_that_mean_something() {
        let limited = |concurrency: Value| {
            let mut job = job("resize", 1);
            job["spec"]["concurrency"] = concurrency;
            refusal("Job", &job, None)
        };
        for fine in [
            json!({}),
            json!({"policy": "Allow", "queueLimit": 0, "queueTimeoutSeconds": 1}),
            json!({"policy": "Queue", "limit": 10_000, "key": "event.subject", "queueLimit": 1_000_000}),
            json!({"policy": "Forbid"}),
            json!({"policy": "Replace", "limit": 1}),
        ] {
            assert_eq!(limited(fine.clone()), "", "{fine}");
        }
        for (wrong, why) in [
            (json!({"limit": 2}), "counts only with the policy"),
            (json!({"policy": "Allow", "limit": 2}), "counts only with the policy"),
            (json!({"policy": "Allow", "key": "event.id"}), "counts only with the policy"),
        ] {
            assert!(limited(wrong.clone()).contains(why), "{wrong}: {}", limited(wrong.clone()));
        }
    }

    #[test]
    fn the_key_of_a_run_is_fixed() {
        let run = |key: Option<&str>| {
            let mut run = json!({
                "metadata": {"name": "r-1"},
                "spec": {"job": {"name": "r", "uid": "u", "generation": 1}, "cause": {"type": "Address"}, "events": [],
                    "parameters": [], "cancelled": false,
                    "template": {"spec": {"taskCount": 1, "template": {"spec": {"containers": [{"image": "i"}]}}}}},
            });
            if let Some(key) = key {
                run["spec"]["concurrencyKey"] = json!(key);
            }
            run
        };
        assert_eq!(refusal("Execution", &run(Some("a")), Some(&run(Some("a")))), "");
        for (old, new) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("a"))] {
            assert!(refusal("Execution", &run(new), Some(&run(old))).contains("fixed"), "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_filter_holds_one_dialect_at_every_depth() {
        let trigger = |filter: Value| json!({"metadata": {"name": "t"}, "spec": {"job": {"name": "j"}, "filters": [filter]}});
        let one = json!({"exact": {"type": "a"}});
        let two = json!({"exact": {"type": "a"}, "prefix": {"type": "a"}});
        assert_eq!(refusal("Trigger", &trigger(json!({"not": {"all": [one]}})), None), "");
        assert_eq!(refusal("Trigger", &trigger(json!({"any": [{"cesql": "id = '1'"}, one]})), None), "");
        let mixed = json!({"exact": {"type": "a"}, "cesql": "TRUE"});
        for filter in [mixed, two.clone(), json!({"not": two}), json!({"any": [{"all": [two]}]})] {
            assert!(refusal("Trigger", &trigger(filter), None).contains("one dialect"));
        }
    }

    #[test]
    fn an_execution_is_a_snapshot_that_can_only_be_cancelled_and_hurried() {
        let run = json!({
            "metadata": {"name": "e"},
            "spec": {
                "job": {"name": "j", "uid": "u", "generation": 1}, "cause": {"type": "Manual"}, "events": [],
                "parameters": [], "cancelled": false,
                "template": {"spec": {"taskCount": 1, "template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}},
            },
        });
        let with = |pointer: &str, value: Value| {
            let mut changed = run.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            changed
        };
        let cancelled = with("/spec/cancelled", json!(true));
        assert_eq!(refusal("Execution", &cancelled, Some(&run)), "");
        assert!(refusal("Execution", &run, Some(&cancelled)).contains("stays cancelled"));
        let mut hurried = run.clone();
        hurried["spec"]["parallelism"] = json!(5);
        assert_eq!(refusal("Execution", &hurried, Some(&run)), "");
        assert_eq!(refusal("Execution", &run, Some(&hurried)), "");
        let changes = [
            ("/spec/job/name", json!("k")),
            ("/spec/cause", json!({"type": "Address"})),
            ("/spec/events", json!([{"id": "1", "source": "/s", "type": "t"}])),
            ("/spec/parameters", json!([{"name": "A", "value": "1"}])),
            ("/spec/template/spec/taskCount", json!(2)),
        ];
        for (pointer, value) in changes {
            assert!(
                refusal("Execution", &with(pointer, value), Some(&run)).contains("is fixed"),
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_description_is_cut_to_its_first_sentence() {
        assert_eq!(first_sentence("One. Two."), "One.");
        assert_eq!(first_sentence("one\ntwo\n\nthree"), "one two");
    }
}
