//! `batch/v1` Jobs: limits, completion modes, failure policies. (KEP-3329, KEP-3850, KEP-3939)

use serde_json::Value;

use crate::local::server::schema::builtin::items;
use crate::local::server::schema::builtin::not_negative;
use crate::local::server::schema::builtin::one_of;
use crate::local::server::schema::builtin::pod;
use crate::local::server::schema::builtin::text;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::metadata;
use crate::local::server::schema::path::Path;

/// Rules in a failure policy.
const RULE_LIMIT: u64 = 20;
/// Exit codes in one rule.
const CODE_LIMIT: u64 = 255;

pub(super) fn check(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        not_negative(spec, field, path, errors);
    }
    one_of(spec, "completionMode", &["Indexed", "NonIndexed"], path, errors);
    let per_index = spec.get("backoffLimitPerIndex").is_some();
    if spec.get("maxFailedIndexes").is_some() && !per_index {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.field("backoffLimitPerIndex"), detail));
    }
    let policy = spec.get("podFailurePolicy");
    let replacement: &[&str] =
        if policy.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    one_of(spec, "podReplacementPolicy", replacement, path, errors);
    if let Some(policy) = policy {
        check_policy(policy, per_index, &path.field("podFailurePolicy"), errors);
    }
    let template = path.field("template");
    let pods = spec.pointer("/template/spec").unwrap_or(&Value::Null);
    pod::check(pods, &template.field("spec"), errors);
    if let Some(Value::Object(labels)) = spec.pointer("/template/metadata/labels") {
        metadata::labels(labels, &template.field("metadata").field("labels"), errors);
    }
    for (field, present) in [("podFailurePolicy", policy.is_some()), ("backoffLimitPerIndex", per_index)] {
        let restart = text(pods, "restartPolicy");
        if present && restart == "OnFailure" {
            let detail = format!("only \"Never\" is supported when {field} is specified");
            let spec = template.field("spec");
            errors.push(FieldError::invalid(&spec.field("restartPolicy"), &Value::from(restart), &detail));
        }
    }
}

fn check_policy(policy: &Value, per_index: bool, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let rules = items(policy, "rules");
    let path = path.field("rules");
    if rules.len() as u64 > RULE_LIMIT {
        errors.push(FieldError::too_many(&path, rules.len() as u64, RULE_LIMIT));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, per_index, &path.index(index), errors);
    }
}

fn check_rule(rule: &Value, per_index: bool, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let action = text(rule, "action");
    if action.is_empty() {
        let detail = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";
        errors.push(FieldError::required(&path.field("action"), detail));
    }
    one_of(rule, "action", &["Count", "FailIndex", "FailJob", "Ignore"], path, errors);
    if action == "FailIndex" && !per_index {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid(&path.field("action"), &Value::from(action), detail));
    }
    let codes = rule.get("onExitCodes");
    let conditions = items(rule, "onPodConditions");
    if codes.is_some() && !conditions.is_empty() {
        let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
        errors.push(FieldError::invalid(path, rule, detail));
    }
    match codes {
        Some(codes) => check_codes(codes, &path.field("onExitCodes"), errors),
        None if conditions.is_empty() => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(FieldError::invalid(path, rule, detail));
        }
        None => {}
    }
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.field("onPodConditions");
        let path = path.index(index);
        if text(condition, "type").is_empty() {
            errors.push(FieldError::required(&path.field("type"), ""));
        }
        one_of(condition, "status", &["False", "True", "Unknown"], &path, errors);
    }
}

fn check_codes(codes: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let operator = text(codes, "operator");
    if operator.is_empty() {
        errors.push(FieldError::required(&path.field("operator"), "valid values: [\"In\" \"NotIn\"]"));
    }
    one_of(codes, "operator", &["In", "NotIn"], path, errors);
    let values = items(codes, "values");
    let path = path.field("values");
    if values.is_empty() {
        errors.push(FieldError::invalid(&path, &Value::from(values), "at least one value is required"));
    } else if values.len() as u64 > CODE_LIMIT {
        errors.push(FieldError::too_many(&path, values.len() as u64, CODE_LIMIT));
    }
    for (index, value) in values.iter().enumerate() {
        let path = path.index(index);
        if operator == "In" && value.as_i64() == Some(0) {
            errors.push(FieldError::invalid(&path, value, "must not be 0 for the In operator"));
        }
        if values.iter().take(index).any(|other| other == value) {
            errors.push(FieldError::duplicate(&path, value));
        }
    }
    let ordered =
        values.windows(2).all(|pair| matches!(pair, [one, other] if one.as_i64() <= other.as_i64()));
    if !ordered {
        errors.push(FieldError::invalid(&path, &Value::from(values), "must be ordered"));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn errors(change: Value) -> Vec<String> {
        let mut spec = json!({
            "completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}},
        });
        crate::local::server::patch::merge_patch(&mut spec, &change);
        let mut errors = Vec::new();
        check(&spec, &Path::ROOT.field("spec"), &mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn the_jobs_that_we_plan_are_good() {
        assert!(errors(json!({})).is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let rule = |rule: Value| json!({"podFailurePolicy": {"rules": [rule]}});
        for (change, expected) in [
            (
                json!({"parallelism": -1}),
                "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"completionMode": "Random"}),
                "spec.completionMode: Unsupported value: \"Random\": supported values: \"Indexed\", \"NonIndexed\"",
            ),
            (
                json!({"podReplacementPolicy": "TerminatingOrFailed"}),
                "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
            ),
            (
                json!({"maxFailedIndexes": 1, "backoffLimitPerIndex": null}),
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            ),
            (
                json!({"template": {"spec": {"restartPolicy": "OnFailure"}}, "podFailurePolicy": null}),
                "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when backoffLimitPerIndex is specified",
            ),
            (
                json!({"template": {"spec": {"containers": []}}}),
                "spec.template.spec.containers: Required value",
            ),
            (
                rule(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}})),
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            ),
            (
                rule(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 1]}})),
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,1]: must be ordered",
            ),
            (
                rule(json!({"action": "Count"})),
                "spec.podFailurePolicy.rules[0]: Invalid value: {\"action\":\"Count\"}: specifying one of OnExitCodes and OnPodConditions is required",
            ),
            (
                rule(json!({"onExitCodes": {"operator": "In", "values": [1]}})),
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            ),
        ] {
            assert_eq!(errors(change), [expected]);
        }
    }
}
