//! Round trips through the messages of the crate, and the edges of JSON.

use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::schema::{BAD_REQUEST, Field, Kind, Message, RESOURCE_INFO};
use super::*;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::messages::longrunning::{ListOperationsResponse, Operation, WaitOperationRequest};
use crate::cloudrun::messages::{rpc, v2};

/// Some JSON of a kind, as it is written. `depth` bounds messages within messages.
fn some(kind: &'static Kind, depth: u32) -> BoxedStrategy<Value> {
    match kind {
        Kind::Text => "[a-zß$\"\\\\\u{0}]{1,6}".prop_map(Value::from).boxed(),
        Kind::Bool => Just(json!(true)).boxed(),
        Kind::Int => prop_oneof![1..i32::MAX, i32::MIN..0].prop_map(Value::from).boxed(),
        Kind::Long => {
            prop_oneof![1..i64::MAX, i64::MIN..0].prop_map(|number| json!(number.to_string())).boxed()
        }
        Kind::Words(words) => {
            let known: Vec<Value> = (1..200).filter_map(|n| (words.name)(n)).map(Value::from).collect();
            // A number that has no word stays one.
            prop_oneof![9 => prop::sample::select(known), 1 => Just(json!(77_777))].boxed()
        }
        Kind::Map => {
            prop::collection::btree_map("[a-z/]{1,4}", "[a-z]{0,3}", 1..3).prop_map(|map| json!(map)).boxed()
        }
        Kind::Time => (-9_000_000_000_i64..9_000_000_000, 0..1_000_000_000_i32)
            .prop_map(|(seconds, nanos)| {
                let time = k8s_openapi::jiff::Timestamp::from_nanosecond(
                    i128::from(seconds) * 1_000_000_000 + i128::from(nanos),
                );
                json!(time.unwrap().to_string())
            })
            .boxed(),
        Kind::Span => prop_oneof![Just("600s"), Just("1.5s"), Just("-0.000000001s"), Just("-7s")]
            .prop_map(Value::from)
            .boxed(),
        Kind::Any => object(if depth.is_multiple_of(2) { &BAD_REQUEST } else { &RESOURCE_INFO }, 0)
            .prop_map(move |mut message| {
                let name = if depth.is_multiple_of(2) { "BadRequest" } else { "ResourceInfo" };
                message["@type"] = json!(format!("type.googleapis.com/google.rpc.{name}"));
                message
            })
            .boxed(),
        Kind::Message(message) => object(message, depth.saturating_sub(1)),
    }
}

/// Some JSON of a message. Of fields that exclude each other one at most is there.
fn object(message: &'static Message, depth: u32) -> BoxedStrategy<Value> {
    let fields: Vec<_> = message
        .fields
        .iter()
        .filter(|field| depth > 0 || !matches!(field.kind, Kind::Message(_)))
        .map(|Field { tag: _, name, kind, many }| {
            let one = some(kind, depth);
            let found =
                if *many { prop::collection::vec(one, 1..3).prop_map(Value::from).boxed() } else { one };
            prop::option::of(found.prop_map(move |value| (*name, value)))
        })
        .collect();
    fields
        .prop_map(|members| {
            let mut object = json!({});
            let mut chosen: Vec<&[&str]> = Vec::new();
            for (name, value) in members.into_iter().flatten() {
                if let Some(group) = EXCLUSIVE.iter().find(|group| group.contains(&name)) {
                    if chosen.contains(group) {
                        continue;
                    }
                    chosen.push(group);
                }
                object[camel(name)] = value;
            }
            object
        })
        .boxed()
}

/// Fields of which a message has one.
const EXCLUSIVE: [&[&str]; 7] = [
    &["value", "value_source"],
    &["secret", "cloud_sql_instance", "empty_dir", "nfs", "gcs"],
    &["http_get", "tcp_socket", "grpc"],
    &["reason", "revision_reason", "execution_reason"],
    &["use_default", "policy"],
    &["start_execution_token", "run_execution_token"],
    &["error", "response"],
];

/// There and back through the crate's own message. A tag or a kind that is wrong in the table is lost on the way.
fn there_and_back<M: prost::Message + Default>(schema: &'static Message, json: &Value) {
    let message: M = read(schema, json).unwrap();
    let again = write(schema, &message, Enums::Names);
    assert_eq!(again, *json);
    let numbers = write(schema, &message, Enums::Numbers);
    assert_eq!(read::<M>(schema, &numbers).unwrap().encode_to_vec(), message.encode_to_vec());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn jobs_come_back_as_they_went(json in object(&JOB, 4)) {
        there_and_back::<v2::Job>(&JOB, &json);
    }

    #[test]
    fn executions_come_back_as_they_went(json in object(&EXECUTION, 4)) {
        there_and_back::<v2::Execution>(&EXECUTION, &json);
    }

    #[test]
    fn tasks_come_back_as_they_went(json in object(&TASK, 4)) {
        there_and_back::<v2::Task>(&TASK, &json);
    }

    #[test]
    fn requests_come_back_as_they_went(
        run in object(&RUN_JOB_REQUEST, 4),
        cancel in object(&CANCEL_EXECUTION_REQUEST, 1),
        wait in object(&WAIT_OPERATION_REQUEST, 1),
    ) {
        there_and_back::<v2::RunJobRequest>(&RUN_JOB_REQUEST, &run);
        there_and_back::<v2::CancelExecutionRequest>(&CANCEL_EXECUTION_REQUEST, &cancel);
        there_and_back::<WaitOperationRequest>(&WAIT_OPERATION_REQUEST, &wait);
    }

    #[test]
    fn operations_come_back_as_they_went(one in object(&OPERATION, 2), all in object(&LIST_OPERATIONS_RESPONSE, 3)) {
        there_and_back::<Operation>(&OPERATION, &one);
        there_and_back::<ListOperationsResponse>(&LIST_OPERATIONS_RESPONSE, &all);
    }
}

#[test]
fn lists_come_back_as_they_went() {
    let token = json!("t");
    there_and_back::<v2::ListJobsResponse>(
        &LIST_JOBS_RESPONSE,
        &json!({"jobs": [{"name": "a"}], "nextPageToken": token}),
    );
    let executions = json!({"executions": [{"name": "a"}], "nextPageToken": token});
    there_and_back::<v2::ListExecutionsResponse>(&LIST_EXECUTIONS_RESPONSE, &executions);
    there_and_back::<v2::ListTasksResponse>(
        &LIST_TASKS_RESPONSE,
        &json!({"tasks": [{"index": 1}], "nextPageToken": token}),
    );
}

#[test]
fn a_value_that_is_there_although_it_is_zero_is_told_from_none() {
    let task = |json: Value| read::<v2::Job>(&JOB, &json!({"template": {"template": json}})).unwrap();
    let retries = |job: v2::Job| job.template.unwrap().template.unwrap().retries;
    assert_eq!(retries(task(json!({"maxRetries": 0}))), Some(v2::task_template::Retries::MaxRetries(0)));
    assert_eq!(retries(task(json!({"maxRetries": null}))), None);
    let again = write(&JOB, &task(json!({"maxRetries": 0})), Enums::Names);
    assert_eq!(again["template"]["template"]["maxRetries"], 0);
}

#[test]
fn what_is_written_otherwise_is_understood() {
    let job: v2::Job = read(
        &JOB,
        &json!({
            "launch_stage": 4, "generation": 3, "observedGeneration": "5", "executionCount": "7",
            "create_time": "2026-01-01T01:00:00+01:00",
            "template": {"template": {"timeout": "90s"}, "task_count": 2},
        }),
    )
    .unwrap();
    assert_eq!((job.generation, job.observed_generation, job.execution_count), (3, 5, 7));
    let shown = write(&JOB, &job, Enums::Names);
    assert_eq!((&shown["launchStage"], &shown["createTime"]), (&json!("GA"), &json!("2026-01-01T00:00:00Z")));
    assert_eq!(write(&JOB, &job, Enums::Numbers)["launchStage"], 4);
}

#[test]
fn what_is_no_such_message_is_refused_with_the_path() {
    for (json, path) in [
        (json!([]), ""),
        (json!({"x": 1}), "x"),
        (
            json!({"template": {"template": {"containers": [{}, {"env": [{"name": 1}]}]}}}),
            "template.template.containers[1].env[0].name",
        ),
        (json!({"template": {"template": {"timeout": "1m"}}}), "template.template.timeout"),
        (json!({"template": {"taskCount": 3_000_000_000_u32}}), "template.task_count"),
        (json!({"launchStage": "SOON"}), "launch_stage"),
        (json!({"labels": {"a": 1}}), "labels[\"a\"]"),
        (json!({"createTime": "today"}), "create_time"),
        (json!({"conditions": {}}), "conditions"),
        (json!({"reconciling": "yes"}), "reconciling"),
    ] {
        let fault: Fault = read::<v2::Job>(&JOB, &json).unwrap_err();
        assert_eq!(fault.violations()[0].field, path);
    }
}

#[test]
fn what_an_operation_carries_says_what_it_is() {
    let job = v2::Job { name: "j".to_owned(), ..v2::Job::default() };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.cloud.run.v2.Job".to_owned(),
        value: job.encode_to_vec(),
    };
    let error = rpc::Status { code: 1, message: "no".to_owned(), details: Vec::new() };
    let operation = Operation {
        name: "o".to_owned(),
        metadata: Some(any),
        done: true,
        result: Some(crate::cloudrun::messages::longrunning::operation::Result::Error(error)),
    };
    assert_eq!(
        write(&OPERATION, &operation, Enums::Names),
        json!({
            "name": "o", "done": true, "error": {"code": 1, "message": "no"},
            "metadata": {"@type": "type.googleapis.com/google.cloud.run.v2.Job", "name": "j"},
        })
    );
}
