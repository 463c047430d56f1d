//! What a client changes for one run.

use super::Refusals;
use super::text::some;
use super::time;
use crate::api::{ContainerOverride, Overrides, ParameterValue};
use crate::cloudrun::fault::Fault;
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::env_var::Values;
use crate::cloudrun::messages::v2::run_job_request as request;

/// The overrides that a client sent. What they mean for the Job is not judged here.
pub(in crate::cloudrun) fn read_overrides(message: request::Overrides) -> Result<Overrides, Fault> {
    let request::Overrides { container_overrides, task_count, timeout } = message;
    let mut refusals = Refusals::default();
    let timeout_seconds =
        timeout.and_then(|timeout| time::seconds("overrides.timeout", timeout, &mut refusals));
    let mut containers = Vec::with_capacity(container_overrides.len());
    for (at, one) in container_overrides.into_iter().enumerate() {
        containers.push(read_container(&format!("overrides.container_overrides[{at}]"), one, &mut refusals));
    }
    refusals.pass(Overrides {
        container_overrides: containers,
        task_count: (task_count != 0).then_some(task_count),
        timeout_seconds,
    })
}

fn read_container(
    field: &str,
    message: request::overrides::ContainerOverride,
    refusals: &mut Refusals,
) -> ContainerOverride {
    let request::overrides::ContainerOverride { name, args, env, clear_args } = message;
    let mut variables = Vec::with_capacity(env.len());
    for (at, v2::EnvVar { name, values }) in env.into_iter().enumerate() {
        let value = match values {
            None => String::new(),
            Some(Values::Value(value)) => value,
            Some(Values::ValueSource(_)) => {
                refusals.add(
                    format!("{field}.env[{at}].value_source"),
                    "only a value can be given for a single run",
                );
                String::new()
            }
        };
        variables.push(ParameterValue { name, value });
    }
    ContainerOverride { name: some(name), args, clear_args, env: variables }
}
