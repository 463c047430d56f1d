//! The one table of what local mode and a real API server do differently, or what only one of them has.
//!
//! Every scenario of `kubeapi`, `sink`, `runs`, `faults`, `runner`, `workload` and `knative` runs in both worlds unless it
//! is listed here: then it runs on local mode only. A scenario that is listed asks
//! [`differs`](crate::support::cluster::differs) first.
//!
//! These modules have no second world and need no line: `floors` and `generated` read files of this repository, as `chart`
//! and `examples` do, which apply them to the API server, too; `cli`, `cli_dev`, `cli_try`, `crash`, `kubectl` and
//! `local_server` are about `kakehi dev`, `kakehi try` and the server of local mode themselves; `serve` reaches its API server
//! by a URL on loopback, but for the scenarios that ask for the real one by name; `workload::cost` and `workload::faults`
//! count the requests of our own Job controller, and kill it.

/// Scenario and reason.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "kubeapi::negotiation::a_plain_no_is_text_in_yaml",
        "Kubernetes reads YAML 1.1, where `no` and `y` are booleans, and refuses them as text; ours reads 1.2, as people mean it",
    ),
    (
        "kubeapi::negotiation::protobuf_is_refused_with_what_to_do_instead",
        "a real API server reads protobuf, in which `kubectl create configmap` and its like send; ours reads JSON and YAML",
    ),
    (
        "kubeapi::watches::a_watcher_that_is_told_410_lists_again",
        "a real API server forgets nothing on demand; what it says of a forgotten revision is the test before",
    ),
    (
        "runner::restart::a_result_that_was_not_reported_yet_is_the_true_one",
        "it takes back what was reported, as if the report had been lost; a real API server lets no container's state go back",
    ),
    (
        "runs::accounts::nothing_starts_while_nobody_can_say",
        "a real API server that does not say who may do what answers nothing else either",
    ),
    (
        "workload::garbage::what_lost_its_owner_while_nobody_watched_is_collected_at_the_start",
        "the collector is stopped and started again, which a scenario cannot do to a cluster",
    ),
    (
        "workload::jobs::a_retry_waits_for_its_backoff",
        "in Kubernetes an index that waits for its retry holds up the indexes after it when parallelism is used up; ours lets \
         them go on, so that one bad task does not stand in the way of the others",
    ),
];

/// Why that scenario runs on local mode only.
#[track_caller]
pub(crate) fn reason(scenario: &str) -> &'static str {
    let found = DIFFERENCES.iter().find(|(name, _)| *name == scenario);
    found.unwrap_or_else(|| panic!("{scenario} is not in the table of differences")).1
}

#[test]
fn every_listed_scenario_exists_and_asks() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (scenario, reason) in DIFFERENCES {
        assert!(!reason.is_empty(), "{scenario}");
        let (module, name) = scenario.rsplit_once("::").expect("module::scenario");
        let file = root.join(module.replace("::", "/")).with_extension("rs");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{scenario}: {error}"));
        assert!(text.contains(&format!("async fn {name}(")), "{scenario} does not exist");
        // Only who asks names the whole path.
        assert!(text.contains(&format!("\"{scenario}\"")), "{scenario} does not ask");
    }
}
