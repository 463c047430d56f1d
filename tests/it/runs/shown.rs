//! What stands behind a run: each row of the mapping to `batch/v1`, each trap in which a naive one is caught, and each reason
//! that a condition can have, with the test that shows it, or what was decided.
//!
//! Tests of this folder, of `workload` and of `knative` run on local mode and on a real API server.
//!
//! | mapping | ours in `batch/v1` | shown by |
//! |---|---|---|
//! | m1 | an Execution is one Indexed Job of its name, which it owns | src/plan/task_set.rs the_whole_mapping, runs/lost.rs a_deleted_job_takes_everything_with_it |
//! | m2 | tasks are completions, and parallelism is at most as many | src/plan/task_set.rs parallelism_means_at_most_and_zero_means_all, runs/ends.rs three_tasks_two_at_a_time_each_with_its_index, runs/parallel.rs more_tasks_run_once_that_is_asked_for |
//! | m3 | retries are counted for each task | src/plan/task_set.rs the_whole_mapping, runs/ends.rs a_retried_task_may_succeed |
//! | m4 | a timeout is that of one attempt | src/plan/task_set.rs what_must_stay_unset_is_unset, runs/ends.rs an_attempt_that_takes_too_long_is_a_timeout |
//! | m5 | a disruption costs no retry | src/plan/task_set.rs the_whole_mapping, workload/jobs.rs a_disruption_costs_no_retry_and_a_fatal_exit_code_ends_the_job |
//! | m6 | cancelling suspends, and ends when nothing runs any more | src/plan/run/tests/cancelling.rs cancelling_stops_the_tasks_and_waits_for_them, runs/cancel.rs a_running_run_is_stopped_and_counted |
//! | m7 | the event is two files of a `ConfigMap` that is there first | src/plan/files.rs the_event_names_every_attribute_it_has, knative/objects.rs row_43_data_reaches_the_container_byte_for_byte |
//! | m8 | the environment has the event, the parameters and the task; the author's names win | src/plan/environment.rs the_authors_variables_win_and_come_last, runs/ends.rs a_container_sees_the_event_as_it_was_sent |
//! | m9 | labels of the author are on the Job and its Pods, and ours | src/plan/task_set.rs the_whole_mapping, runs/ends.rs labels_of_the_author_are_on_the_tasks_and_their_pods |
//! | m10 | the result is what task 0 said at its end | src/plan/run/tests/ends.rs succeeded_with_the_result_of_task_0, runs/ends.rs an_event_becomes_a_finished_task_with_a_result |
//!
//! | trap | what goes wrong without care | shown by |
//! |---|---|---|
//! | t1 | `backoffLimit` counts the failures of all tasks together | src/plan/task_set.rs what_must_stay_unset_is_unset, runs/ends.rs one_failed_task_does_not_stop_the_others |
//! | t2 | a deadline of the Job bounds the whole run | src/plan/task_set.rs what_must_stay_unset_is_unset |
//! | t3 | a Pod's deadline tells nobody that it was one | src/plan/run/tests/ends.rs task_timeout_is_told_from_a_failure |
//! | t4 | drains and preemption eat retries | workload/jobs.rs a_disruption_costs_no_retry_and_a_fatal_exit_code_ends_the_job |
//! | t5 | Pods that cannot start are waited for without end | src/plan/run/tests/ends.rs past_the_start_deadline_the_run_ends_with_the_pods_reason, runs/starts.rs a_run_that_nobody_can_start_ends_at_its_start_deadline, runs/lost.rs pods_that_no_quota_or_account_lets_in_end_the_run_with_the_clusters_words |
//! | t6 | two attempts of a task overlap | src/plan/task_set.rs the_whole_mapping |
//! | t7 | a retry is not at once: decided to leave the Job controller's pause (10 s, doubled each time, up to 6 min), which has no setting | workload/jobs.rs a_retry_waits_for_its_backoff |
//! | t8 | a run with failed tasks could count as complete | runs/ends.rs one_failed_task_does_not_stop_the_others |
//! | t9 | `$(NAME)` is expanded | src/plan/expansion.rs what_is_given_is_what_is_read, runs/parameters.rs a_value_reaches_the_container_as_it_is_and_expands_nothing |
//! | t10 | a version of a secret is no key: decided that it is one here | src/cloudrun/convert/tests.rs what_is_sent_is_what_is_read |
//! | t11 | a service account is an address | src/cloudrun/convert/tests.rs an_address_of_a_service_account_is_one_of_the_namespace |
//! | t12 | a container without a name, or several of them | src/plan/task_set.rs the_whole_mapping, src/api/crds.rs a_job_has_one_container_and_a_name_that_leaves_room |
//! | t13 | names of Pods are too long | src/plan/task_set.rs the_longest_name_leaves_room_for_its_pods, cloudrun/rest.rs every_refusal_is_an_error_of_google |
//! | t14 | what Pods said is gone with them | src/plan/run/tests.rs what_a_pod_said_outlives_it, runs/lost.rs what_is_known_of_a_run_outlives_its_pods_and_its_task_set |
//! | t15 | a success policy or a time to live ends too early | src/plan/task_set.rs what_must_stay_unset_is_unset |
//! | t16 | Cloud Run gives every task a CPU and 512 MiB: decided that it has what its Job says, and else what the namespace's LimitRange does | src/plan/task_set.rs what_must_stay_unset_is_unset |

use std::collections::BTreeSet;
use std::path::Path;

use kakehi::api::Reason;

/// The test that reaches that reason; its text has the word.
fn shown_by(reason: Reason) -> &'static str {
    match reason {
        Reason::Queued => {
            "src/plan/run/tests.rs queued_while_the_job_is_suspended_and_started_when_it_is_resumed"
        }
        Reason::Starting => "src/plan/run/tests.rs pending_a_new_run_gets_its_files_and_tasks",
        Reason::Running => "src/plan/run/tests.rs running_from_the_first_container_on",
        Reason::Succeeded => "src/plan/run/tests/ends.rs succeeded_with_the_result_of_task_0",
        Reason::NonZeroExitCode => "src/plan/run/tests/ends.rs non_zero_exit_code_of_the_first_failed_task",
        Reason::TaskTimeout => "src/plan/run/tests/ends.rs task_timeout_is_told_from_a_failure",
        Reason::StartDeadlineExceeded
        | Reason::ImagePullFailed
        | Reason::Unschedulable
        | Reason::ContainerConfigFailed => {
            "src/plan/run/tests/ends.rs past_the_start_deadline_the_run_ends_with_the_pods_reason"
        }
        Reason::Refused => "src/plan/run/tests.rs refused_when_the_name_belongs_to_something_else",
        Reason::Cancelling | Reason::Cancelled => {
            "src/plan/run/tests/cancelling.rs cancelling_stops_the_tasks_and_waits_for_them"
        }
        Reason::Replaced | Reason::ConcurrencyForbidden | Reason::QueueTimeout => {
            "src/plan/run/tests/limits.rs a_run_that_never_gets_a_place_ends_with_the_reason"
        }
        Reason::JobLost => {
            "src/plan/run/tests/ends.rs job_lost_when_the_task_set_vanishes_or_somebody_ends_it"
        }
        Reason::Ready | Reason::FilterInvalid => "runs/history.rs a_trigger_says_what_it_lacks",
        Reason::ExpressionInvalid => {
            "src/plan/roll_up.rs a_job_whose_account_nobody_allowed_is_not_ready_unless_more_is_wrong"
        }
        Reason::AccountNotAllowed => "runs/accounts.rs a_run_waits_until_its_account_is_allowed",
        Reason::JobNotFound => "src/plan/run/tests.rs a_run_whose_job_is_gone_before_it_started_ends",
    }
}

/// The text of a test: `FILE NAME`, the file below `tests/it` unless it is one of `src`.
fn test(shown_by: &str) -> String {
    let (file, name) = shown_by.split_once(' ').unwrap_or_else(|| panic!("{shown_by:?} names no test"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if file.starts_with("src/") { root.join(file) } else { root.join("tests/it").join(file) };
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{shown_by}: {error}"));
    let at = source.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("there is no {shown_by}"));
    let (above, rest) = source.split_at(at);
    let head = above.get(above.trim_end().rfind("\n\n").unwrap_or_default()..).unwrap_or_default();
    let is_property = above.contains("proptest! {");
    let is_test = head.contains("#[test]") || head.contains("#[tokio::test");
    assert!(is_test || is_property, "{shown_by} is no test");
    let end = rest.find("\n#[").or_else(|| rest.find("\n    #[")).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default().to_owned()
}

#[test]
fn every_row_and_every_trap_is_shown() {
    let mut rows = BTreeSet::new();
    for line in include_str!("shown.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
        let [row, _, tests] = cells.as_slice() else { panic!("{line}") };
        if *row == "mapping" || *row == "trap" {
            continue;
        }
        assert!(rows.insert((*row).to_owned()), "{row} is there twice");
        tests.split(", ").for_each(|shown_by| assert!(!test(shown_by).is_empty(), "{row}"));
    }
    let numbered = |letter: char, count: usize| (1..=count).map(move |number| format!("{letter}{number}"));
    let wanted: BTreeSet<String> = numbered('m', 10).chain(numbered('t', 16)).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn no_reason_is_left_that_nothing_reaches() {
    let missing = Reason::ALL.iter().filter(|reason| !test(shown_by(**reason)).contains(reason.as_str()));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{missing:?}");
}
