//! What every component of Knative expects of a sink: the rows of our checklist, each with the test that shows it.
//!
//! | row | a sink must | shown by |
//! |---|---|---|
//! | 1 | publish an address with a host before it is ready | knative/objects.rs row_01_the_address_has_a_host_before_the_job_is_ready |
//! | 2 | have the plural that is guessed from its kind | src/api/crds.rs plurals_are_what_knative_guesses |
//! | 3 | let Knative read its address | chart/render.rs row_3_knative_may_read_the_address_of_a_job |
//! | 4 | label its definition as addressable | knative/objects.rs row_04_the_definition_of_a_job_is_labelled_addressable |
//! | 5 | say which generation its status speaks of | knative/objects.rs row_05_the_status_follows_the_generation |
//! | 6 | list https first where it offers TLS: it offers none | knative/objects.rs row_01_the_address_has_a_host_before_the_job_is_ready |
//! | 7 | accept suffixes of its address | sink/answers.rs a_suffix_a_query_and_a_trailing_slash_are_accepted |
//! | 8 | accept both modes | knative/receiver.rs row_08_both_modes_with_and_without_a_charset |
//! | 9 | accept no content type | knative/receiver.rs row_09_no_content_type_with_and_without_a_body |
//! | 10 | read the content type in any case, with parameters | knative/receiver.rs row_10_the_content_type_in_any_case |
//! | 11 | take batches, and only whole ones | sink/batches.rs a_batch_is_one_execution_for_each_of_its_events |
//! | 12 | accept 64 KiB and bound the body | sink/limits.rs the_limit_is_the_last_size_that_fits |
//! | 13 | answer with an empty body | knative/receiver.rs row_13_and_14_success_is_202_without_a_body |
//! | 14 | answer 202 for what is stored and not run | knative/receiver.rs row_13_and_14_success_is_202_without_a_body |
//! | 15 | never redirect | knative/receiver.rs row_15_nothing_is_ever_redirected |
//! | 16 | answer 503 or 429 for what passes | faults/storm.rs fifty_runs_end_once_each_in_a_storm |
//! | 17 | say when to try again | knative/receiver.rs row_17_who_shall_try_again_is_told_when |
//! | 18 | answer 404 for what is not known yet | sink/answers.rs what_is_unknown_is_404_so_that_senders_try_again |
//! | 19 | answer 400 only for good, and record it | knative/receiver.rs row_19_a_refused_event_is_recorded_with_its_reason |
//! | 20 | answer 405 with the methods it has | sink/answers.rs other_methods_are_told_which_one_to_use |
//! | 21 | consent to whoever asks first | knative/receiver.rs row_21_a_sender_that_asks_first_is_told_that_it_may_send |
//! | 25 | acknowledge only what is stored | crash.rs every_acknowledged_event_becomes_one_finished_run_however_often_the_process_is_killed |
//! | 26 | tell events apart without doubt | sink/answers.rs source_and_id_are_not_run_together |
//! | 27 | answer concurrent duplicates alike | sink/answers.rs one_hundred_identical_events_at_once_are_one_execution |
//! | 28 | remember events longer than senders repeat them | knative/objects.rs row_28_an_event_is_remembered_for_an_hour_whatever_becomes_of_its_tasks |
//! | 29 | remember them per target | sink/triggers.rs a_job_that_was_made_again_runs_the_event_again |
//! | 30 | never call success what it failed to store | knative/receiver.rs row_30_an_event_that_is_too_large_stays_an_error |
//! | 31 | cope with ids that change | knative/receiver.rs row_31_a_key_of_ones_own_knows_an_event_that_comes_again_under_another_id |
//! | 32 | ignore what changes between attempts | knative/receiver.rs row_32_what_changes_between_attempts_does_not_make_another_run |
//! | 33 | accept unknown extensions and hop headers | knative/receiver.rs row_33_unknown_extensions_are_kept_and_hop_headers_are_not |
//! | 34 | accept an empty extension | knative/receiver.rs row_34_an_extension_may_be_empty |
//! | 35 | accept raw UTF-8 and spaces | knative/receiver.rs row_35_to_37_header_values_are_decoded_once |
//! | 36 | decode percent signs once | knative/receiver.rs row_35_to_37_header_values_are_decoded_once |
//! | 37 | accept quoted values | knative/receiver.rs row_35_to_37_header_values_are_decoded_once |
//! | 38 | read header names in any case, and over HTTP/2 | knative/receiver.rs row_38_and_58_many_events_at_once_over_one_http_2_connection |
//! | 39 | compare typed extensions as text | sink/triggers.rs typed_extensions_match_alike_in_every_mode |
//! | 40 | keep times as they were sent | src/event/builder.rs a_time_is_kept_as_it_was_sent |
//! | 41 | treat what is missing as absent | knative/receiver.rs row_41_what_is_missing_is_absent |
//! | 42 | accept version 1.0, and 0.3 as 1.0 | knative/receiver.rs row_42_version_0_3_becomes_1_0_and_no_other_is_spoken |
//! | 43 | hand data on byte for byte | knative/objects.rs row_43_data_reaches_the_container_byte_for_byte |
//! | 44 | give JSON data without a type its type | knative/receiver.rs row_44_json_data_without_a_type_is_json |
//! | 45 | run the filters, odd ones too | src/filter/tests.rs edge_cases_are_decided_safely |
//! | 46 | survive bad filters | sink/triggers.rs a_filter_that_does_not_compile_matches_nothing |
//! | 47 | pass the compatibility kit of CESQL | cesql.rs the_compatibility_kit_is_passed |
//! | 48 | tell a container why a letter is dead | knative/objects.rs row_48_a_dead_letter_tells_the_container_why_it_died |
//! | 56 | drain when it is ended | serve/ends.rs an_end_under_load_loses_no_event_and_breaks_no_connection |
//! | 57 | be ready only with warm caches | sink/faults.rs cold_caches_are_503 |
//! | 58 | speak HTTP/1.1 as it is spoken | knative/receiver.rs row_38_and_58_names_in_any_case_chunks_and_one_connection |
//! | 59 | own its children with their real kind | runs/lost.rs a_deleted_job_takes_everything_with_it |
//! | 60 | count what becomes of events | serve/metrics.rs what_happens_is_counted_by_both_roles |
//! | 61 | continue traces | knative/objects.rs row_61_the_trace_of_an_event_reaches_the_container |
//! | 62 | keep internal errors to itself | knative/receiver.rs row_62_nothing_of_an_internal_error_is_shown |
//! | 63 | need no right to read Secrets | chart/render.rs rights_are_named_one_by_one_and_none_is_about_secrets |

mod objects;
mod receiver;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

/// The rows that are ours to show by now. Those between them are OIDC's, or of what comes later.
const ROWS: [RangeInclusive<u8>; 3] = [1..=21, 25..=48, 56..=63];

/// Row, file and name of the test of every line of the table above.
fn table() -> Vec<(u8, String, String)> {
    let lines = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let row = |cells: Vec<&str>| {
        let (file, test) = cells.get(2)?.split_once(' ')?;
        Some((cells[0].parse().ok()?, file.to_owned(), test.to_owned()))
    };
    cells.filter_map(row).collect()
}

#[test]
fn every_row_is_shown_by_a_test_that_exists() {
    let mut shown: BTreeMap<u8, usize> = BTreeMap::new();
    for (row, file, test) in table() {
        *shown.entry(row).or_default() += 1;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path =
            if file.starts_with("src/") { root.join(&file) } else { root.join("tests/it").join(&file) };
        let source =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let head = format!("fn {test}(");
        let at = source.find(&head).unwrap_or_else(|| panic!("row {row}: no {test} in {file}"));
        let above = source.get(..at).unwrap_or_default();
        let before = above.get(above.trim_end().rfind("\n\n").unwrap_or_default()..).unwrap_or_default();
        assert!(
            before.contains("#[test]") || before.contains("#[tokio::test"),
            "row {row}: {test} is no test"
        );
    }
    let wanted: BTreeMap<u8, usize> = ROWS.into_iter().flatten().map(|row| (row, 1)).collect();
    assert_eq!(shown, wanted, "every row once");
}

#[test]
fn a_test_that_names_a_row_is_the_one_that_the_table_names() {
    let named: Vec<_> = table().into_iter().map(|(_, _, test)| test).collect();
    for source in [include_str!("objects.rs"), include_str!("receiver.rs")] {
        let tests = source.split("fn row_").skip(1).filter_map(|rest| rest.split_once('('));
        for (rest, _) in tests {
            let test = format!("row_{rest}");
            assert!(named.contains(&test), "{test} stands in no line of the table");
        }
    }
}
