//! What a Trigger says of itself.

use k8s_openapi::jiff::Timestamp;

use crate::api::{CONDITION_READY, NewCondition, Reason, Status, Trigger, TriggerStatus, set_condition};
use crate::filter::Filter;
use crate::params::Parameters;

/// The status of `trigger`, if it would say anything new.
pub fn trigger_status(trigger: &Trigger, job_exists: bool, now: Timestamp) -> Option<TriggerStatus> {
    let parameters = Parameters::compile(&trigger.spec.parameters);
    let (status, reason, message) = match Filter::compile(&trigger.spec) {
        Err(error) => (
            Status::False,
            Reason::FilterInvalid,
            format!("a filter does not compile, so no event matches: {error}"),
        ),
        Ok(_) if parameters.is_err() => (
            Status::False,
            Reason::ExpressionInvalid,
            format!(
                "a parameter does not compile, so no event matches: {}",
                parameters.err().map(|problem| format!("spec.{problem}")).unwrap_or_default()
            ),
        ),
        Ok(_) if !job_exists => (
            Status::False,
            Reason::JobNotFound,
            format!("there is no job {} in this namespace", trigger.spec.job.name),
        ),
        Ok(_) => (Status::True, Reason::Ready, String::new()),
    };
    let mut conditions = trigger.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let ready = NewCondition { kind: CONDITION_READY, status, reason, message };
    set_condition(&mut conditions, ready, trigger.metadata.generation, now);
    let status = TriggerStatus { observed_generation: trigger.metadata.generation, conditions };
    (trigger.status.as_ref() != Some(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Parameter;

    fn trigger(filters: &str) -> Trigger {
        let text = format!(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Trigger
metadata: {{name: t, namespace: shop, generation: 2}}
spec: {{filters: {filters}, job: {{name: resize}}}}
"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn told(filters: &str, job_exists: bool) -> (String, String, String) {
        let status = trigger_status(&trigger(filters), job_exists, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(status.observed_generation, Some(2));
        let ready = status.conditions.into_iter().next().unwrap();
        (ready.status, ready.reason, ready.message)
    }

    #[test]
    fn ready_needs_filters_that_compile_and_a_job() {
        let good = "[{exact: {type: order}}]";
        assert_eq!(told(good, true), ("True".into(), "Ready".into(), String::new()));
        let (status, reason, message) = told(good, false);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "JobNotFound"));
        assert_eq!(message, "there is no job resize in this namespace");
    }

    #[test]
    fn a_filter_that_does_not_compile_is_told_with_its_place() {
        let (status, reason, message) = told("[{exact: {type: order}}, {}]", true);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "FilterInvalid"));
        assert!(message.contains("filters[1]"), "{message}");
        let (.., message) = told("[{cesql: \"id = '1' AND type = \"}]", true);
        assert!(
            message.contains("filters[0].cesql: character 21: a value is expected, and here it ends"),
            "{message}"
        );
    }

    #[test]
    fn a_parameter_that_does_not_compile_is_told_with_its_place() {
        let mut bad = trigger("[]");
        bad.spec.parameters = vec![Parameter { name: "P".into(), value: "event.".into(), default: None }];
        let status = trigger_status(&bad, true, Timestamp::UNIX_EPOCH).unwrap();
        let ready = &status.conditions[0];
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "ExpressionInvalid"));
        let told =
            "a parameter does not compile, so no event matches: spec.parameters[0].value: line 1, column 7";
        assert!(ready.message.starts_with(told), "{}", ready.message);
    }

    #[test]
    fn a_settled_trigger_is_not_written_again() {
        let mut settled = trigger("[]");
        settled.status = trigger_status(&settled, true, Timestamp::UNIX_EPOCH);
        assert_eq!(trigger_status(&settled, true, Timestamp::MAX), None);
        assert!(trigger_status(&settled, false, Timestamp::MAX).is_some());
    }
}
