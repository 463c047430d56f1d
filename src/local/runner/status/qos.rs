//! The quality-of-service class of a Pod, by Kubernetes' definition.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::local::runner::launch::quantity::Amount;

/// The resources that the class depends on.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(spec: &PodSpec) -> &'static str {
    let containers: Vec<_> = spec.init_containers.iter().flatten().chain(&spec.containers).collect();
    if containers.iter().all(|container| !asks(container)) {
        "BestEffort"
    } else if containers.iter().all(|container| guaranteed(container)) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn amount(values: Option<&BTreeMap<String, Quantity>>, name: &str) -> Option<Amount> {
    let amount = Amount::parse(&values?.get(name)?.0)?;
    (amount > Amount::ZERO).then_some(amount)
}

fn asks(container: &Container) -> bool {
    container.resources.as_ref().is_some_and(|resources| {
        let both = [resources.requests.as_ref(), resources.limits.as_ref()];
        both.into_iter().any(|values| COUNTED.iter().any(|name| amount(values, name).is_some()))
    })
}

/// Every resource is limited, and what is requested is the limit (as it is when no request is given).
fn guaranteed(container: &Container) -> bool {
    container.resources.as_ref().is_some_and(|resources| {
        COUNTED.iter().all(|name| {
            let limit = amount(resources.limits.as_ref(), name);
            let request = amount(resources.requests.as_ref(), name).or(limit);
            limit.is_some() && request == limit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::pod;

    #[test]
    fn the_class_follows_requests_and_limits() {
        let full = "resources: {limits: {cpu: 1, memory: 1Gi}}";
        for (containers, want) in [
            ("{name: a}".to_owned(), "BestEffort"),
            ("{name: a, resources: {requests: {cpu: 0}}}".to_owned(), "BestEffort"),
            ("{name: a, resources: {requests: {nvidia.com/gpu: 1}}}".to_owned(), "BestEffort"),
            ("{name: a, resources: {requests: {cpu: 100m}}}".to_owned(), "Burstable"),
            ("{name: a, resources: {limits: {cpu: 1}}}".to_owned(), "Burstable"),
            (format!("{{name: a, {full}}}"), "Guaranteed"),
            (
                "{name: a, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}}"
                    .to_owned(),
                "Guaranteed",
            ),
            (
                "{name: a, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}}".to_owned(),
                "Burstable",
            ),
            (format!("{{name: a, {full}}}, {{name: b}}"), "Burstable"),
        ] {
            // Integers are what people write; the API server hands them out as strings.
            let text = containers.replace("cpu: 1,", "cpu: '1',").replace("cpu: 1}", "cpu: '1'}");
            let text = text.replace("cpu: 0}", "cpu: '0'}").replace("gpu: 1}", "gpu: '1'}");
            let pod = pod(&format!("spec: {{containers: [{text}]}}"));
            assert_eq!(class(pod.spec.as_ref().unwrap()), want, "{containers}");
        }
    }
}
