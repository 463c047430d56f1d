//! `kakehi describe`: everything about one object, for people.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Resource, ResourceExt as _};

use super::connect::{Connected, connect};
use super::explain::tree;
use super::kinds::{Kind, Reference, references};
use super::list::values;
use super::output::{Format, Output, Rows, age, one_line, span};
use super::{Error, Exit, Global, rows, story};
use crate::api::{
    CompletionOutcome, CompletionStatus, Concurrency, ConcurrencyPolicy, Condition, ContainerOverride,
    DEFAULT_CONCURRENCY_LIMIT, EventRecord, Execution, Job, LABEL_JOB, Overrides, ParameterValue, Trigger,
};
use crate::explain::Trail;
use crate::ops::{self, Description};
use crate::plan::{self, Attempt, parallelism};

/// Column at which values stand.
const INDENT: usize = 15;
/// Most executions of a Job that are shown.
const LATEST: usize = 10;
/// Most characters of an event's data that are shown; the whole is in `-o yaml`.
const DATA: usize = 500;

/// Show everything about an object
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kakehi describe resize-h3k2m9x0aq
  kakehi describe job/resize
  kakehi describe trigger orders -o yaml")]
pub(crate) struct Args {
    /// KIND NAME, KIND/NAME, or the name of an Execution
    #[arg(value_name = "OBJECT", required = true, num_args = 1..)]
    objects: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Describes what was named.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let objects = references(&args.objects).map_err(|error| Error::Usage(error.into()))?;
    let connected = connect(global).await?;
    let now = Timestamp::now();
    for (index, reference) in objects.iter().enumerate() {
        let (text, object) = describe(&connected, reference, now).await?;
        match args.output {
            Format::Table => {
                let gap = if index > 0 { "\n" } else { "" };
                output.text(&format!("{gap}{text}"))?;
            }
            format => output.object(format, &object)?,
        }
    }
    Ok(Exit::Success)
}

/// The description of an object, and the object.
async fn describe(
    connected: &Connected,
    Reference { kind, name }: &Reference,
    now: Timestamp,
) -> Result<(String, serde_json::Value), Error> {
    let (client, namespace) = (&connected.client, connected.namespace.as_str());
    let failed = |error| connected.failed(error);
    let (text, mut objects) = match kind {
        Kind::Execution => {
            let found = ops::describe(client, namespace, name).await.map_err(failed)?;
            let text = execution(&found, now);
            let objects = values(&[found.execution])?.into_iter().map(plan::with_result_as_data).collect();
            (text, objects)
        }
        Kind::Job => {
            let found: Job = ops::get(client, namespace, name).await.map_err(failed)?;
            let selector = format!("{LABEL_JOB}={name}");
            let runs = ops::list(client, Some(namespace), Some(&selector)).await.map_err(failed)?;
            (job(&found, runs, now), values(&[found])?)
        }
        Kind::Trigger => {
            let found: Trigger = ops::get(client, namespace, name).await.map_err(failed)?;
            (trigger(&found, now), values(&[found])?)
        }
    };
    Ok((text, objects.pop().unwrap_or_default()))
}

/// An Execution with its tasks and what was reported of it.
fn execution(description: &Description, now: Timestamp) -> String {
    let Description { execution, task_set: _, pods, events } = description;
    let mut text = head(execution, now);
    let spec = &execution.spec;
    field(&mut text, "Job", &format!("{} (generation {})", spec.job.name, spec.job.generation));
    field(&mut text, "Cause", &story::cause(&spec.cause));
    let trail = Trail::of(execution);
    if let Some(trail) = &trail {
        let sink = trail.sink.as_ref().map(|sink| format!(" by {sink}")).unwrap_or_default();
        field(&mut text, "Received", &one_line(&format!("{}{sink}", trail.received)));
    }
    let message = story::message(execution);
    let state = story::state(execution);
    field(&mut text, "Status", &if message.is_empty() { state } else { format!("{state}: {message}") });
    if let Some(took) = story::took(execution, now) {
        field(&mut text, "Duration", &span(took));
    }
    if let Some(key) = &spec.concurrency_key {
        field(&mut text, "Counted by", &one_line(key));
    }
    field(&mut text, "Tasks", &story::counts(execution));
    let parallelism = parallelism(execution);
    if parallelism < spec.template.spec.task_count {
        field(&mut text, "Parallelism", &parallelism.to_string());
    }
    if let Some(changes) = &spec.overrides {
        overrides(&mut text, changes);
    }
    let result = execution.status.as_ref().and_then(|status| status.result.as_deref());
    if let Some(result) = result {
        field(&mut text, "Result", &one_line(result));
    }
    if let Some(told) = told(execution) {
        field(&mut text, "Completion", &told);
    }
    spec.events.iter().for_each(|record| event(&mut text, record));
    if !spec.parameters.is_empty() {
        let mut table = Rows::new(&["NAME", "VALUE"]);
        spec.parameters.iter().for_each(|one| table.push([one.name.clone(), one.value.clone()]));
        section(&mut text, "Parameters", &table);
    }
    if let Some(trail) = trail {
        why(&mut text, &trail);
    }
    let conditions = execution.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    section(&mut text, "Conditions", &condition_rows(conditions, now));
    section(&mut text, "Tasks", &attempts(execution, pods, now));
    section(&mut text, "Events", &reports(events, now));
    text
}

/// What became of the event that tells the end, where one is to be sent.
fn told(execution: &Execution) -> Option<String> {
    execution.spec.completion.as_ref()?;
    let Some(told) = execution.status.as_ref().and_then(|status| status.completion.as_ref()) else {
        let word = if plan::is_terminal(execution) { "being sent" } else { "sent at the end" };
        return Some(word.to_owned());
    };
    let CompletionStatus { outcome, attempts, time: _, message } = told;
    let word = match outcome {
        CompletionOutcome::Delivered => "delivered",
        CompletionOutcome::DeadLettered => "taken by the dead letter sink",
        CompletionOutcome::Failed => "not delivered",
    };
    let attempts = if *attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    let why = message.as_ref().map(|message| format!(": {}", one_line(message))).unwrap_or_default();
    Some(format!("{word} after {attempts}{why}"))
}

/// The Triggers that matched, and by which terms.
fn why(text: &mut String, trail: &Trail) {
    let Trail { received: _, sink: _, triggers, more } = trail;
    if triggers.is_empty() {
        return;
    }
    text.push_str("Why:\n");
    for line in tree::verdicts(triggers).lines() {
        text.extend(["  ", line, "\n"]);
    }
    if *more > 0 {
        text.extend(["  and ", &more.to_string(), " more triggers\n"]);
    }
}

/// What the run changes of its Job.
fn overrides(text: &mut String, changes: &Overrides) {
    let Overrides { container_overrides, task_count, timeout_seconds } = changes;
    text.push_str("Overrides:\n");
    let mut inner = |name: &str, value: &str| field(text, &format!("  {name}"), value);
    for ContainerOverride { name: _, args, clear_args, env } in container_overrides {
        if *clear_args {
            inner("arguments", "none");
        } else if !args.is_empty() {
            inner("arguments", &args.iter().map(|word| one_line(word)).collect::<Vec<_>>().join(" "));
        }
        for ParameterValue { name, value } in env {
            inner("variable", &one_line(&format!("{name}={value}")));
        }
    }
    if let Some(count) = task_count {
        inner("tasks", &count.to_string());
    }
    if let Some(seconds) = timeout_seconds {
        inner("timeout", &format!("{seconds} s per attempt"));
    }
}

fn event(text: &mut String, record: &EventRecord) {
    text.push_str("Event:\n");
    let mut inner = |name: &str, value: &str| field(text, &format!("  {name}"), &one_line(value));
    for (name, value) in record.attributes() {
        match name {
            // There is only one.
            "specversion" => {}
            "datacontenttype" => inner("content type", &value),
            "dataschema" => inner("schema", &value),
            name => inner(name, &value),
        }
    }
    match (&record.data, &record.data_base64) {
        (Some(data), _) if data.chars().count() > DATA => {
            let start: String = data.chars().take(DATA).collect();
            inner("data", &format!("{start}... ({} bytes)", data.len()));
        }
        (Some(data), _) => inner("data", data),
        (None, Some(encoded)) => inner("data", &format!("binary, {} characters in Base64", encoded.len())),
        (None, None) => {}
    }
}

/// The attempts that still have a Pod, then the failed tasks whose Pods are gone.
fn attempts(execution: &Execution, pods: &[Pod], now: Timestamp) -> Rows {
    let mut table = Rows::new(&["TASK", "ATTEMPT", "STATUS", "EXIT", "AGE", "MESSAGE"]);
    let mut shown = Vec::new();
    for pod in pods {
        let attempt = Attempt::of(pod);
        let Some(index) = attempt.index() else { continue };
        shown.push(index);
        let index = plan::shown(execution, index);
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let ended = terminated(pod);
        table.push([
            index.to_string(),
            attempt.number().to_string(),
            ended.and_then(|ended| ended.reason.clone()).filter(|_| phase == "Failed").unwrap_or(phase),
            ended.map(|ended| ended.exit_code.to_string()).unwrap_or_default(),
            age(rows::created(pod), now),
            ended.and_then(|ended| ended.message.clone()).unwrap_or_default(),
        ]);
    }
    let failed = execution.status.iter().flat_map(|status| &status.failed_tasks);
    for task in failed.filter(|task| !shown.contains(&task.index)) {
        table.push([
            plan::shown(execution, task.index).to_string(),
            (task.attempts - 1).max(0).to_string(),
            task.reason.clone().unwrap_or_default(),
            task.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            age(task.finished_at.as_ref().map(|time| time.0), now),
            task.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// How the container of a Pod ended, if it has.
pub(crate) fn terminated(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.state.as_ref()?.terminated.as_ref()
}

fn reports(events: &[Event], now: Timestamp) -> Rows {
    let mut table = Rows::new(&["AGE", "TYPE", "REASON", "MESSAGE"]);
    for event in events {
        let time = event.event_time.as_ref().map(|time| time.0);
        let time = time.or_else(|| event.last_timestamp.as_ref().map(|time| time.0));
        table.push([
            age(time.or_else(|| rows::created(event)), now),
            event.type_.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            event.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// A Job with its latest runs.
fn job(job: &Job, mut runs: Vec<Execution>, now: Timestamp) -> String {
    let mut text = head(job, now);
    let spec = &job.spec.template.spec;
    field(
        &mut text,
        "Suspended",
        if job.spec.suspend { "yes: events are accepted, nothing starts" } else { "no" },
    );
    if let Some(concurrency) = &job.spec.concurrency {
        field(&mut text, "Concurrency", &limits(concurrency));
    }
    if let Some(key) = job.spec.event.as_ref().and_then(|rules| rules.dedup_key.as_deref()) {
        field(&mut text, "Dedup key", &one_line(key));
    }
    field(&mut text, "Tasks", &spec.task_count.to_string());
    let parallelism = spec.parallelism.filter(|some| *some > 0);
    field(&mut text, "Parallelism", &parallelism.map_or("all".to_owned(), |some| some.to_string()));
    let task = &spec.template.spec;
    field(&mut text, "Retries", &format!("{} per task", task.max_retries));
    field(&mut text, "Timeout", &format!("{} s per attempt", task.timeout_seconds));
    if let Some(container) = task.containers.first() {
        field(&mut text, "Image", container.image.as_deref().unwrap_or_default());
        let command: Vec<&String> = container.command.iter().chain(&container.args).flatten().collect();
        let command = command.iter().map(|word| one_line(word)).collect::<Vec<_>>().join(" ");
        field(&mut text, "Command", &command);
    }
    let status = job.status.clone().unwrap_or_default();
    if let Some(address) = &status.address {
        field(&mut text, "Address", &address.url);
    }
    let counts = format!(
        "{} (running {}, queued {})",
        status.execution_count, status.running_count, status.queued_count
    );
    field(&mut text, "Executions", &counts);
    section(&mut text, "Conditions", &condition_rows(&status.conditions, now));
    runs.sort_by_key(|run| std::cmp::Reverse(rows::created(run)));
    let mut table = Rows::new(rows::EXECUTION);
    runs.iter().take(LATEST).for_each(|run| table.push(rows::execution(run, now)));
    section(&mut text, "Latest executions", &table);
    text
}

/// How many runs there may be, in one line.
fn limits(concurrency: &Concurrency) -> String {
    let Concurrency { policy, limit, key, queue_limit, queue_timeout_seconds } = concurrency;
    let mut words = vec![policy.as_str().to_owned()];
    if *policy != ConcurrencyPolicy::Allow {
        words.push(format!("{} at a time", limit.unwrap_or(DEFAULT_CONCURRENCY_LIMIT)));
    }
    words.extend(key.as_ref().map(|key| format!("for each {}", one_line(key))));
    words.extend(queue_limit.map(|limit| format!("{limit} may wait")));
    words.extend(queue_timeout_seconds.map(|seconds| format!("for {seconds} s at most")));
    words.join(", ")
}

/// A Trigger with its whole filter.
fn trigger(trigger: &Trigger, now: Timestamp) -> String {
    let mut text = head(trigger, now);
    field(&mut text, "Job", &trigger.spec.job.name);
    field(&mut text, "Filter", &rows::filter(&trigger.spec));
    let conditions = trigger.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    section(&mut text, "Conditions", &condition_rows(conditions, now));
    text
}

/// What every object has.
fn head(object: &impl Resource, now: Timestamp) -> String {
    let mut text = String::new();
    field(&mut text, "Name", &object.name_any());
    field(&mut text, "Namespace", &object.namespace().unwrap_or_default());
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    if !object.labels().is_empty() {
        field(&mut text, "Labels", &pairs(object.labels()));
    }
    if let Some(created) = rows::created(object) {
        field(&mut text, "Created", &format!("{created} ({} ago)", age(Some(created), now)));
    }
    text
}

fn condition_rows(conditions: &[Condition], now: Timestamp) -> Rows {
    let mut table = Rows::new(&["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"]);
    for Condition { type_, status, reason, message, last_transition_time, observed_generation: _ } in
        conditions
    {
        let since = age(Some(last_transition_time.0), now);
        table.push([type_.clone(), status.clone(), reason.clone(), since, message.clone()]);
    }
    table
}

fn field(text: &mut String, name: &str, value: &str) {
    let label = format!("{name}:");
    text.push_str(format!("{label:<INDENT$} {value}").trim_end());
    text.push('\n');
}

/// A table under a title; nothing at all where the table is empty.
fn section(text: &mut String, title: &str, table: &Rows) {
    if table.is_empty() {
        return;
    }
    text.extend([title, ":\n"]);
    for line in table.render(true).lines() {
        text.extend(["  ", line, "\n"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::ExtensionValue;

    fn now() -> Timestamp {
        "2026-01-01T00:03:00Z".parse().unwrap()
    }

    #[test]
    fn limits_read_as_one_line() {
        let told = |concurrency| limits(&serde_json::from_value(concurrency).unwrap());
        assert_eq!(told(json!({})), "Allow");
        assert_eq!(told(json!({"policy": "Forbid"})), "Forbid, 1 at a time");
        let all = json!({"policy": "Queue", "limit": 2, "key": "event.subject", "queueLimit": 9, "queueTimeoutSeconds": 60});
        assert_eq!(told(all), "Queue, 2 at a time, for each event.subject, 9 may wait, for 60 s at most");
    }

    fn pod(index: &str, attempt: &str, exit: i32) -> Pod {
        let phase = if exit == 0 { "Succeeded" } else { "Failed" };
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("p-{index}"), "creationTimestamp": "2026-01-01T00:02:00Z",
                "labels": {"batch.kubernetes.io/job-completion-index": index},
                "annotations": {"batch.kubernetes.io/job-index-failure-count": attempt},
            },
            "status": {"phase": phase, "containerStatuses": [{
                "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": exit, "reason": "Error", "message": "boom\n"}},
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn an_execution_is_told_whole() {
        let mut run =
            story::tests::execution("False", "NonZeroExitCode", "task 1 exited with 3", [0, 2, 1, 1]);
        run.spec.events[0].data = Some("{\"id\": 42}".to_owned());
        run.spec.events[0].extensions.insert("tenant".to_owned(), ExtensionValue::Integer(7));
        run.status.as_mut().unwrap().result = Some("done\n".to_owned());
        let pods = vec![pod("0", "0", 0), pod("1", "2", 3)];
        let text =
            execution(&Description { execution: run, task_set: None, pods, events: Vec::new() }, now());
        let wanted = "\
Name:           resize-abc
Namespace:      shop
Created:        2026-01-01T00:00:00Z (3m ago)
Job:            resize (generation 2)
Cause:          trigger/orders
Status:         NonZeroExitCode: task 1 exited with 3
Duration:       4s
Tasks:          2 succeeded, 1 failed, 1 retried of 3 tasks
Result:         done
Event:
  id:           42
  source:       /shop
  type:         com.example.order
  tenant:       7
  data:         {\"id\": 42}
Conditions:
  TYPE        STATUS   REASON            AGE   MESSAGE
  Started     True     NonZeroExitCode   3m
  Completed   False    NonZeroExitCode   3m    task 1 exited with 3
Tasks:
  TASK   ATTEMPT   STATUS      EXIT   AGE   MESSAGE
  0      0         Succeeded   0      60s   boom
  1      2         Error       3      60s   boom
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_failed_task_is_shown_after_its_pod_is_gone() {
        let mut run = story::tests::execution("False", "NonZeroExitCode", "", [0, 2, 1, 0]);
        let outcome = json!([{"index": 1, "attempts": 4, "exitCode": 3, "reason": "Error", "message": "boom", "finishedAt": "2026-01-01T00:02:00Z"}]);
        run.status.as_mut().unwrap().failed_tasks = serde_json::from_value(outcome).unwrap();
        let gone = attempts(&run, &[], now()).render(false);
        assert_eq!(gone, "1   3   Error   3   60s   boom\n");
        let still = attempts(&run, &[pod("1", "3", 3)], now()).render(false);
        assert_eq!(still.lines().count(), 1);
    }

    #[test]
    fn long_data_is_cut_and_binary_data_is_not_shown() {
        let mut text = String::new();
        event(&mut text, &EventRecord { data: Some("x".repeat(2000)), ..EventRecord::default() });
        assert!(text.contains("xxx... (2000 bytes)"), "{text}");
        text.clear();
        event(&mut text, &EventRecord { data_base64: Some("AAAA".to_owned()), ..EventRecord::default() });
        assert!(text.contains("binary, 4 characters"), "{text}");
    }

    #[test]
    fn a_job_shows_its_latest_runs_first() {
        let one: Job = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "resize", "namespace": "shop"},
            "spec": {"template": {"spec": {"taskCount": 3, "template": {"spec": {"containers": [{"image": "busybox", "command": ["sh", "-c"], "args": ["echo\nhi"]}]}}}}},
        }))
        .unwrap();
        let mut old = story::tests::execution("True", "Succeeded", "", [0, 3, 0, 0]);
        old.metadata.name = Some("old".to_owned());
        let mut new = old.clone();
        new.metadata.name = Some("new".to_owned());
        new.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
        let text = job(&one, vec![old, new], now());
        assert!(text.contains("Command:        sh -c echo hi\n"), "{text}");
        assert!(text.find("new").unwrap() < text.find("old").unwrap(), "{text}");
    }
}
