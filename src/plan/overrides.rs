//! What a single run changes of its Job's template: arguments, environment, tasks and timeout, as Cloud Run has it.
//!
//! The Execution holds the template as it is run, and what was changed of it.

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::execution::Refusal;
use super::expansion::literal;
use crate::api::{ContainerOverride, ExecutionTemplate, MAX_TASK_COUNT, Overrides, ParameterValue};

/// The template with those overrides.
pub(super) fn overridden(
    template: &ExecutionTemplate,
    overrides: &Overrides,
) -> Result<ExecutionTemplate, Refusal> {
    let Overrides { container_overrides, task_count, timeout_seconds } = overrides;
    let mut template = template.clone();
    let spec = &mut template.spec;
    if let Some(count) = *task_count {
        if !(1..=MAX_TASK_COUNT).contains(&count) {
            return Err(refused("taskCount", format!("must be between 1 and {MAX_TASK_COUNT}")));
        }
        spec.task_count = count;
    }
    let task = &mut spec.template.spec;
    if let Some(seconds) = *timeout_seconds {
        if seconds < 1 {
            return Err(refused("timeoutSeconds", "must be at least one second"));
        }
        task.timeout_seconds = seconds;
    }
    for (at, one) in container_overrides.iter().enumerate() {
        let field = format!("containerOverrides[{at}]");
        // A task has one container; naming none means that one.
        let names = |container: &Container| one.name.as_ref().is_none_or(|name| *name == container.name);
        let Some(container) = task.containers.iter_mut().find(|container| names(container)) else {
            let name = one.name.as_deref().unwrap_or_default();
            return Err(refused(&format!("{field}.name"), format!("the job has no container {name:?}")));
        };
        if at > 0 {
            return Err(refused(&field, "the container of the job is overridden twice"));
        }
        override_container(&field, container, one)?;
    }
    Ok(template)
}

fn override_container(
    field: &str,
    container: &mut Container,
    with: &ContainerOverride,
) -> Result<(), Refusal> {
    let ContainerOverride { name: _, args, clear_args, env } = with;
    if *clear_args && !args.is_empty() {
        return Err(refused(&format!("{field}.args"), "arguments are both given and cleared"));
    }
    if *clear_args {
        container.args = None;
    } else if !args.is_empty() {
        container.args = Some(args.iter().map(|argument| literal(argument)).collect());
    }
    if env.is_empty() {
        return Ok(());
    }
    let all = container.env.get_or_insert_default();
    for (at, ParameterValue { name, value }) in env.iter().enumerate() {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(refused(
                &format!("{field}.env[{at}].name"),
                format!("{name:?} is no name of a variable"),
            ));
        }
        if value.contains('\0') {
            return Err(refused(&format!("{field}.env[{at}].value"), "holds the character U+0000"));
        }
        let variable = EnvVar { name: name.clone(), value: Some(literal(value)), value_from: None };
        match all.iter_mut().find(|known| known.name == *name) {
            Some(known) => *known = variable,
            None => all.push(variable),
        }
    }
    Ok(())
}

fn refused(field: &str, problem: impl Into<String>) -> Refusal {
    Refusal::Override { field: field.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn template() -> ExecutionTemplate {
        let container = json!({
            "name": "main", "image": "i", "args": ["a", "b"],
            "env": [{"name": "KEPT", "value": "$(X)"}, {"name": "CHANGED", "valueFrom": {"fieldRef": {"fieldPath": "p"}}}],
        });
        let spec =
            json!({"taskCount": 3, "template": {"spec": {"containers": [container], "timeoutSeconds": 60}}});
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    fn with(overrides: Value) -> Result<Value, String> {
        let overrides: Overrides = serde_json::from_value(overrides).unwrap();
        let found = overridden(&template(), &overrides).map_err(|refusal| refusal.to_string())?;
        Ok(serde_json::to_value(found).unwrap()["spec"].take())
    }

    #[test]
    fn nothing_changes_nothing() {
        let unchanged = serde_json::to_value(template()).unwrap()["spec"].take();
        assert_eq!(with(json!({})).unwrap(), unchanged);
        assert_eq!(with(json!({"containerOverrides": [{}]})).unwrap(), unchanged);
    }

    #[test]
    fn arguments_are_replaced_and_the_environment_is_merged() {
        let found = with(json!({
            "taskCount": 5, "timeoutSeconds": 9,
            "containerOverrides": [{
                "name": "main", "args": ["$(literally)"],
                "env": [{"name": "CHANGED", "value": "now"}, {"name": "NEW", "value": "$$"}],
            }],
        }))
        .unwrap();
        assert_eq!(
            (&found["taskCount"], &found["template"]["spec"]["timeoutSeconds"]),
            (&json!(5), &json!(9))
        );
        let container = &found["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["$$(literally)"]));
        let env = json!([
            {"name": "KEPT", "value": "$(X)"}, {"name": "CHANGED", "value": "now"}, {"name": "NEW", "value": "$$$$"},
        ]);
        assert_eq!(container["env"], env);
        let cleared = with(json!({"containerOverrides": [{"clearArgs": true}]})).unwrap();
        assert_eq!(cleared["template"]["spec"]["containers"][0].get("args"), None);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        let table = [
            (json!({"taskCount": 0}), "taskCount"),
            (json!({"taskCount": 10_001}), "taskCount"),
            (json!({"timeoutSeconds": 0}), "timeoutSeconds"),
            (json!({"containerOverrides": [{"name": "other"}]}), "containerOverrides[0].name"),
            (json!({"containerOverrides": [{}, {}]}), "containerOverrides[1]"),
            (
                json!({"containerOverrides": [{"args": ["a"], "clearArgs": true}]}),
                "containerOverrides[0].args",
            ),
            (
                json!({"containerOverrides": [{"env": [{"name": "a=b", "value": ""}]}]}),
                "containerOverrides[0].env[0].name",
            ),
        ];
        for (overrides, field) in table {
            let refusal = with(overrides.clone()).unwrap_err();
            assert!(refusal.starts_with(&format!("override {field}: ")), "{overrides}: {refusal}");
        }
    }
}
