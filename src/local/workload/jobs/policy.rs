//! `spec.podFailurePolicy`: what the failure of one Pod means for its Job (KEP-3329).

use crate::local::workload::jobs::attempt::Attempt;
use k8s_openapi::api::batch::v1::PodFailurePolicy;
use k8s_openapi::api::batch::v1::PodFailurePolicyOnExitCodesRequirement;
use k8s_openapi::api::batch::v1::PodFailurePolicyOnPodConditionsPattern;
use k8s_openapi::api::batch::v1::PodFailurePolicyRule;

/// What one failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An ordinary failure: it counts towards the limits.
    Count,
    /// It counts nowhere; the Pod is replaced.
    Ignore,
    /// Its index is not tried again.
    FailIndex,
    /// The whole Job fails, with this message.
    FailJob(String),
}

/// Judges the failure of a Pod by the first rule that matches; without one it counts.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, namespace: &str, attempt: &Attempt) -> Verdict {
    let mut rules = policy.iter().flat_map(|policy| &policy.rules).enumerate();
    rules.find_map(|(place, rule)| apply(rule, place, namespace, attempt)).unwrap_or(Verdict::Count)
}

fn apply(rule: &PodFailurePolicyRule, place: usize, namespace: &str, attempt: &Attempt) -> Option<Verdict> {
    let PodFailurePolicyRule { action, on_exit_codes, on_pod_conditions } = rule;
    let name = &attempt.name;
    let matched = match (on_exit_codes, on_pod_conditions) {
        (Some(requirement), _) => {
            let (container, code) = attempt.exits.iter().find(|exit| exits(requirement, exit))?;
            format!("Container {container} for pod {namespace}/{name} failed with exit code {code}")
        }
        (None, Some(patterns)) => {
            let (kind, _) =
                attempt.conditions.iter().find(|has| patterns.iter().any(|pattern| holds(pattern, has)))?;
            format!("Pod {namespace}/{name} has condition {kind}")
        }
        (None, None) => return None,
    };
    match action.as_str() {
        "Count" => Some(Verdict::Count),
        "Ignore" => Some(Verdict::Ignore),
        "FailIndex" => Some(Verdict::FailIndex),
        "FailJob" => Some(Verdict::FailJob(format!("{matched} matching {action} rule at index {place}"))),
        // An action of a later version: the rules after it decide, as in a cluster that does not know it.
        _ => None,
    }
}

fn exits(requirement: &PodFailurePolicyOnExitCodesRequirement, (container, code): &(String, i32)) -> bool {
    let PodFailurePolicyOnExitCodesRequirement { container_name, operator, values } = requirement;
    let named = container_name.as_ref().is_none_or(|name| name == container);
    named
        && match operator.as_str() {
            "In" => values.contains(code),
            "NotIn" => !values.contains(code),
            _ => false,
        }
}

fn holds(pattern: &PodFailurePolicyOnPodConditionsPattern, (kind, status): &(String, String)) -> bool {
    pattern.type_ == *kind && pattern.status.as_deref().unwrap_or("True") == status
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
rules:
- {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}
- {action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42]}}
- {action: FailIndex, onExitCodes: {operator: In, values: [7, 8]}}
- {action: Tomorrow, onExitCodes: {operator: In, values: [9]}}
- {action: Count, onExitCodes: {operator: NotIn, values: [9, 42]}}
- {action: FailJob, onPodConditions: [{type: ConfigIssue, status: "False"}]}
- {action: Ignore, onExitCodes: {operator: Between, values: [9]}}
"#;

    fn judged(exits: &[(&str, i32)], conditions: &[(&str, &str)]) -> Verdict {
        let policy: PodFailurePolicy = serde_saphyr::from_str(RULES).expect("rules");
        let attempt = Attempt {
            name: "p".to_owned(),
            exits: exits.iter().map(|(name, code)| ((*name).to_owned(), *code)).collect(),
            conditions: conditions
                .iter()
                .map(|(kind, status)| ((*kind).to_owned(), (*status).to_owned()))
                .collect(),
            ..Attempt::default()
        };
        judge(Some(&policy), "ns", &attempt)
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let failed = |text: &str| Verdict::FailJob(text.to_owned());
        for (exits, conditions, verdict) in [
            (&[("main", 1)][..], &[("DisruptionTarget", "True")][..], Verdict::Ignore),
            (&[("main", 42)], &[("DisruptionTarget", "True")], Verdict::Ignore),
            (&[("main", 1)], &[("DisruptionTarget", "False")], Verdict::Count),
            (
                &[("main", 42)],
                &[],
                failed(
                    "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 1",
                ),
            ),
            (&[("side", 42)], &[], Verdict::Count),
            (&[("side", 8)], &[], Verdict::FailIndex),
            (&[("side", 1), ("main", 7)], &[], Verdict::FailIndex),
            (&[("main", 9)], &[], Verdict::Count),
            (
                &[],
                &[("ConfigIssue", "False")],
                failed("Pod ns/p has condition ConfigIssue matching FailJob rule at index 5"),
            ),
            (&[], &[("ConfigIssue", "True")], Verdict::Count),
            (&[], &[], Verdict::Count),
        ] {
            assert_eq!(judged(exits, conditions), verdict, "{exits:?} {conditions:?}");
        }
    }

    #[test]
    fn without_a_policy_every_failure_counts() {
        assert_eq!(
            judge(None, "ns", &Attempt { exits: vec![("main".to_owned(), 42)], ..Attempt::default() }),
            Verdict::Count
        );
    }
}
