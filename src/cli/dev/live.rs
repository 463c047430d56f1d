//! What happens, as it happens: one line for each step of each run, and no flood of them.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{Timestamp, Unit};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{DEFAULT_NAMESPACE, Execution};
use crate::cli::output::{FAINT, Output, paint};
use crate::cli::{Error, story};
use crate::plan::{is_terminal, phase};

/// Lines shown per [`WINDOW`]; a person reads no more, and a terminal must not slow the server down.
const MAX_LINES: usize = 40;
/// The span over which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// How the live lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Tells what happens to runs until it is dropped. What had happened before is not told again.
pub(super) async fn tell(client: Client, form: Form, output: &Output) -> Result<(), Error> {
    let api: Api<Execution> = Api::all(client);
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut known = Known::default();
    let mut throttle = Throttle::new(Instant::now());
    while let Some(event) = events.next().await {
        let lines = match event {
            Ok(Event::InitApply(execution)) => known.learn(&execution, form),
            Ok(Event::InitDone) => known.settle(),
            Ok(Event::Apply(execution)) => known.changed(&execution, form),
            Ok(Event::Delete(execution)) => known.forget(&execution),
            Ok(Event::Init) | Err(_) => Vec::new(),
        };
        for line in lines {
            // Programs get everything: a line that is missing would be a lie.
            match (form, throttle.pass(Instant::now())) {
                (Form::Json, _) | (Form::Text, Pass::Line) => output.line(line)?,
                (Form::Text, Pass::After(missed)) => {
                    output.line(paint(FAINT, format!("          ... and {missed} more changes")))?;
                    output.line(line)?;
                }
                (Form::Text, Pass::Hold) => {}
            }
        }
    }
    Ok(())
}

/// What was seen of each run.
#[derive(Debug, Default)]
struct Known {
    /// Runs that have not ended: only their status, because that is what changes.
    open: HashMap<String, Execution>,
    /// Runs that have.
    ended: HashSet<String>,
    settled: bool,
}

impl Known {
    /// A run of the first list was there before us; in a later list it may have changed while the watch was broken.
    fn learn(&mut self, execution: &Execution, form: Form) -> Vec<String> {
        if self.settled {
            return self.changed(execution, form);
        }
        self.remember(execution);
        Vec::new()
    }

    fn settle(&mut self) -> Vec<String> {
        self.settled = true;
        Vec::new()
    }

    fn changed(&mut self, execution: &Execution, form: Form) -> Vec<String> {
        let uid = execution.uid().unwrap_or_default();
        if self.ended.contains(&uid) {
            return Vec::new();
        }
        let before = self.open.get(&uid);
        let lines = match form {
            Form::Text => stamped(execution, story::changes(before, execution)),
            Form::Json => {
                let moved = before.is_none_or(|before| phase(before) != phase(execution));
                moved.then(|| record(execution).to_string()).into_iter().collect()
            }
        };
        self.remember(execution);
        lines
    }

    fn remember(&mut self, execution: &Execution) {
        let uid = execution.uid().unwrap_or_default();
        if is_terminal(execution) {
            self.open.remove(&uid);
            self.ended.insert(uid);
        } else {
            self.open.insert(uid, Execution { status: execution.status.clone(), ..Execution::default() });
        }
    }

    fn forget(&mut self, execution: &Execution) -> Vec<String> {
        let uid = execution.uid().unwrap_or_default();
        self.open.remove(&uid);
        self.ended.remove(&uid);
        Vec::new()
    }
}

/// Lines with the time of day in front, and the namespace where it is not the usual one.
fn stamped(execution: &Execution, lines: Vec<String>) -> Vec<String> {
    let now = jiff::Zoned::now().round(Unit::Second);
    let time = now.map(|now| now.strftime("%H:%M:%S").to_string()).unwrap_or_default();
    let namespace = execution.namespace().filter(|name| name != DEFAULT_NAMESPACE);
    let place = namespace.map(|name| paint(FAINT, format!("{name}/"))).unwrap_or_default();
    lines.into_iter().map(|line| format!("{}  {place}{line}", paint(FAINT, &time))).collect()
}

/// A run in one JSON line.
fn record(execution: &Execution) -> Value {
    let status = execution.status.clone().unwrap_or_default();
    json!({
        "type": "execution",
        "time": Timestamp::now().to_string(),
        "namespace": execution.namespace(),
        "name": story::name(execution),
        "job": execution.spec.job.name,
        "cause": story::cause(&execution.spec.cause),
        "phase": phase(execution).as_str(),
        "state": story::state(execution),
        "message": story::message(execution),
        "succeeded": status.succeeded_count,
        "failed": status.failed_count,
        "tasks": story::task_count(execution),
        "result": status.result,
    })
}

/// Lets so many lines pass per window and counts the rest.
#[derive(Debug)]
struct Throttle {
    start: Instant,
    passed: usize,
    held: usize,
}

/// What a [`Throttle`] says to a line.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    /// Show it.
    Line,
    /// Show it after saying how many were not.
    After(usize),
    /// Do not.
    Hold,
}

impl Throttle {
    fn new(now: Instant) -> Self {
        Self { start: now, passed: 0, held: 0 }
    }

    fn pass(&mut self, now: Instant) -> Pass {
        if now.duration_since(self.start) >= WINDOW {
            let held = std::mem::take(&mut self.held);
            (self.start, self.passed) = (now, 1);
            return if held > 0 { Pass::After(held) } else { Pass::Line };
        }
        if self.passed < MAX_LINES {
            self.passed += 1;
            return Pass::Line;
        }
        self.held += 1;
        Pass::Hold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::story::tests::execution;

    fn run(status: &str, reason: &str, counts: [i32; 4]) -> Execution {
        let mut run = execution(status, reason, "", counts);
        run.metadata.uid = Some("u1".to_owned());
        run
    }

    #[test]
    fn what_was_there_before_is_not_told() {
        let mut known = Known::default();
        assert!(known.learn(&run("True", "Succeeded", [0, 3, 0, 0]), Form::Text).is_empty());
        known.settle();
        assert!(known.changed(&run("True", "Succeeded", [0, 3, 0, 0]), Form::Text).is_empty());
    }

    #[test]
    fn a_run_that_was_open_is_told_from_where_it_stood() {
        let mut known = Known::default();
        known.learn(&run("Unknown", "Running", [1, 2, 0, 0]), Form::Text);
        known.settle();
        let lines = known.changed(&run("True", "Succeeded", [0, 3, 0, 0]), Form::Text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("shop/") && lines[0].contains("after 4s"), "{lines:?}");
        assert!(known.changed(&run("True", "Succeeded", [0, 3, 0, 0]), Form::Text).is_empty());
        assert!(known.open.is_empty());
        known.forget(&run("True", "Succeeded", [0, 3, 0, 0]));
        assert!(known.ended.is_empty());
    }

    #[test]
    fn programs_get_one_object_per_phase() {
        let mut known = Known::default();
        known.settle();
        let steps = [
            run("Unknown", "Pending", [0; 4]),
            run("Unknown", "Running", [2, 0, 0, 0]),
            run("Unknown", "Running", [2, 1, 0, 0]),
            run("True", "Succeeded", [0, 3, 0, 0]),
        ];
        let lines: Vec<String> = steps.iter().flat_map(|step| known.changed(step, Form::Json)).collect();
        let phases: Vec<String> = lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["phase"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(phases, ["Pending", "Running", "Succeeded"]);
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let passed = (0..100).filter(|_| throttle.pass(start) == Pass::Line).count();
        assert_eq!(passed, MAX_LINES);
        assert_eq!(throttle.pass(start + WINDOW), Pass::After(100 - MAX_LINES));
        assert_eq!(throttle.pass(start + WINDOW), Pass::Line);
        assert_eq!(throttle.pass(start + WINDOW * 3), Pass::Line);
    }
}
