//! The page as HTML. Pure. Everything that is put into it goes through [`Text`].

use std::fmt::{self, Display, Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{CONDITION_COMPLETED, CauseKind, Execution, ExecutionStatus, TaskOutcome, condition};
use crate::ops::LogLine;
use crate::plan::{Task, TaskState, phase};

/// What a page tells.
pub(super) struct Story<'a> {
    pub(super) execution: &'a Execution,
    /// The only task that it is about, if it is about one.
    pub(super) task: Option<i32>,
    pub(super) tasks: &'a [Task],
    pub(super) log: &'a Log,
}

/// What tasks wrote.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: Vec<LogLine>,
    /// Why some of it cannot be read.
    pub(super) missing: Vec<String>,
    /// Whether there is more.
    pub(super) is_cut: bool,
}

/// The page.
pub(super) fn page(story: &Story<'_>) -> String {
    let mut html = String::new();
    write(story, &mut html).expect("a string takes everything");
    html
}

fn write(story: &Story<'_>, html: &mut String) -> fmt::Result {
    let Story { execution, task, tasks, log } = story;
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    let title = match task {
        Some(task) => format!("task {task} of {name}"),
        None => format!("execution {name}"),
    };
    let title = Text(&title);
    writeln!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>"
    )?;
    writeln!(html, "<body>\n<h1>{title}</h1>")?;
    if task.is_some() {
        writeln!(html, "<p><a href=\"?\">the whole execution</a></p>")?;
    }
    writeln!(html, "<table>")?;
    facts(execution, html)?;
    writeln!(html, "</table>\n<h2>Tasks</h2>\n<table>")?;
    writeln!(
        html,
        "<tr><th>task</th><th>state</th><th>retried</th><th>started</th><th>ended</th><th>last attempt</th></tr>"
    )?;
    for task in *tasks {
        row(task, html)?;
    }
    writeln!(html, "</table>")?;
    let total = execution.spec.template.spec.task_count;
    let left = i32::try_from(tasks.len()).map_or(0, |shown| total - shown);
    if task.is_none() && left > 0 {
        writeln!(html, "<p>{left} more; <code>?task=INDEX</code> shows one of them.</p>")?;
    }
    writeln!(html, "<h2>Log</h2>")?;
    lines(log, name, html)?;
    writeln!(html, "</body>\n</html>")
}

/// What the run is, and how far.
fn facts(execution: &Execution, html: &mut String) -> fmt::Result {
    let mut fact = |name: &str, value: &str| {
        if value.is_empty() {
            return Ok(());
        }
        writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", Text(value))
    };
    let spec = &execution.spec;
    let status = execution.status.clone().unwrap_or_default();
    let ExecutionStatus { conditions, start_time, completion_time, result, .. } = &status;
    let completed = condition(conditions, CONDITION_COMPLETED);
    fact("namespace", execution.metadata.namespace.as_deref().unwrap_or_default())?;
    fact("job", &spec.job.name)?;
    fact(
        "cause",
        &match (spec.cause.kind, &spec.cause.trigger) {
            (CauseKind::Trigger, Some(trigger)) => format!("trigger {trigger}"),
            (CauseKind::Trigger | CauseKind::Address, _) => "an event".to_owned(),
            (CauseKind::Manual, _) => "by hand".to_owned(),
            (CauseKind::Rerun, _) => "another run that is repeated".to_owned(),
        },
    )?;
    for event in &spec.events {
        fact("event", &format!("{} from {}, id {}", event.kind, event.source, event.id))?;
    }
    fact("status", phase(execution).as_str())?;
    fact("reason", completed.map_or("", |completed| &completed.reason))?;
    fact("message", completed.map_or("", |completed| &completed.message))?;
    fact(
        "tasks",
        &format!(
            "{} in all: {} running, {} succeeded, {} failed, {} cancelled; {} tried more than once",
            spec.template.spec.task_count,
            status.running_count,
            status.succeeded_count,
            status.failed_count,
            status.cancelled_count,
            status.retried_count,
        ),
    )?;
    fact("created", &time(execution.metadata.creation_timestamp.as_ref()))?;
    fact("started", &time(start_time.as_ref()))?;
    fact("ended", &time(completion_time.as_ref()))?;
    fact("result", result.as_deref().unwrap_or_default())
}

fn row(task: &Task, html: &mut String) -> fmt::Result {
    let Task { index, shown, state, retried, created: _, started, completed, last, result: _ } = task;
    let state = match state {
        TaskState::Pending => "pending",
        TaskState::Running => "running",
        TaskState::Succeeded => "succeeded",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Abandoned => "never started",
    };
    let (started, ended) = (time(started.as_ref()), time(completed.as_ref()));
    let last = last.as_ref().map(attempt).unwrap_or_default();
    writeln!(
        html,
        "<tr><td><a href=\"?task={index}\">{shown}</a></td><td>{state}</td><td>{retried}</td><td>{started}</td><td>{ended}</td><td>{}</td></tr>",
        Text(&last)
    )
}

/// How an attempt ended.
fn attempt(last: &TaskOutcome) -> String {
    let mut words = Vec::new();
    words.extend(last.exit_code.map(|code| format!("exit code {code}")));
    words.extend(last.signal.map(|signal| format!("signal {signal}")));
    words.extend(last.reason.clone());
    words.extend(last.message.clone());
    words.join(", ")
}

fn lines(log: &Log, name: &str, html: &mut String) -> fmt::Result {
    let Log { lines, missing, is_cut } = log;
    if lines.is_empty() {
        writeln!(html, "<p>There is none: nothing was written, or its Pods are gone.</p>")?;
    } else {
        writeln!(html, "<pre>")?;
        for LogLine { task, attempt, text } in lines {
            match attempt {
                0 => write!(html, "[task {task}] ")?,
                _ => write!(html, "[task {task}, attempt {attempt}] ")?,
            }
            writeln!(html, "{}", Text(text))?;
        }
        writeln!(html, "</pre>")?;
    }
    if *is_cut {
        writeln!(html, "<p>There is more: <code>kakehi logs {}</code></p>", Text(name))?;
    }
    for why in missing.iter().take(10) {
        writeln!(html, "<p>Some of it cannot be read now: {}</p>", Text(why))?;
    }
    Ok(())
}

fn time(time: Option<&Time>) -> String {
    time.map(|time| time.0.to_string()).unwrap_or_default()
}

/// Text that is text in HTML, between tags and inside quotes, whatever it holds.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(letter)?,
                // HTML has no form for these, and a terminal's colours are none here.
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "</pre><script>alert('x')</script>&\"\u{1b}[31m";

    /// A run in which everything that somebody else writes is an attack.
    fn execution() -> Execution {
        let text = serde_json::json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
            "metadata": {"name": "resize-abcde", "namespace": "shop"},
            "spec": {
                "job": {"name": "resize", "uid": "u", "generation": 1},
                "cause": {"type": "Trigger", "trigger": "orders"},
                "events": [{"id": BAD, "source": BAD, "type": BAD}],
                "template": {"spec": {"taskCount": 3, "template": {"spec": {"containers": [{"image": "i"}]}}}},
            },
            "status": {
                "result": BAD,
                "conditions": [{
                    "type": "Completed", "status": "False", "reason": "NonZeroExitCode", "message": BAD,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        serde_json::from_value(text).unwrap()
    }

    fn shown(task: Option<i32>, log: &Log) -> String {
        let last =
            TaskOutcome { exit_code: Some(7), message: Some(BAD.to_owned()), ..TaskOutcome::default() };
        let task_one = Task {
            index: 1,
            shown: 1,
            state: TaskState::Failed,
            retried: 0,
            created: None,
            started: None,
            completed: None,
            last: Some(last),
            result: None,
        };
        page(&Story { execution: &execution(), task, tasks: &[task_one], log })
    }

    #[test]
    fn whatever_somebody_else_writes_is_text() {
        let line = LogLine { task: 1, attempt: 2, text: BAD.to_owned() };
        let log = Log { lines: vec![line], missing: vec![BAD.to_owned()], is_cut: true };
        let html = shown(None, &log);
        assert!(!html.contains("<script") && !html.contains('\u{1b}'), "{html}");
        let text = "&lt;/pre&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}[31m";
        assert!(html.contains(&format!("[task 1, attempt 2] {text}\n")), "{html}");
        // The event thrice, the result, the message, the last line, the log, what is missing.
        assert_eq!(html.matches(text).count(), 8, "{html}");
    }

    #[test]
    fn a_page_says_what_is_not_on_it() {
        let html = shown(None, &Log::default());
        assert!(html.contains("<p>2 more;") && html.contains("There is none"), "{html}");
        assert!(html.contains("exit code 7"), "{html}");
        let html = shown(Some(1), &Log { is_cut: true, ..Log::default() });
        assert!(
            html.contains("task 1 of resize-abcde") && html.contains("kakehi logs resize-abcde"),
            "{html}"
        );
        assert!(!html.contains("more;"), "{html}");
    }
}
