//! `kakehi try`: one event from its arrival to a recorded result, then nothing is left.
//!
//! The whole of local mode is started in a directory of its own on free ports, so that trials neither meet each other
//! nor a running `kakehi dev`. The exit code is the run's.

mod plan;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::{sleep, timeout};

pub(crate) use self::plan::is_ours;
use self::plan::{Asked, Start, Trial};
use super::apply::apply_all;
use super::connect::Connected;
use super::dev::Limits;
use super::dev::place::{Temporary, inherited};
use super::follow::{Follower, exit};
use super::kinds::job_name;
use super::output::{FAINT, Output, Rows, STRONG, between, duration, one_line, paint, qualified_name, span};
use super::sink::{Address, Delivered, Mode, Sink};
use super::time::patience;
use super::{Error, Exit, Global, describe, interrupted, rows, story};
use crate::api::{CONDITION_READY, Condition, EventRecord, Execution, Trigger, TriggerSpec, condition};
use crate::app::{Access, Dev, DevOptions};
use crate::event::Event;
use crate::ops;
use crate::plan::{Attempt, Guards, is_terminal};

/// How long the parts may take to see what was applied. They see it within milliseconds.
const SETTLE: Duration = Duration::from_secs(10);
/// How long an event that matches nothing is sent again: the sink may not have seen a Trigger that is ready.
const UNSEEN: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Width of the words that open a step.
const LABEL: usize = 11;
/// Most characters of an event's data that are shown.
const DATA: usize = 400;

/// Run one event from its arrival to its result, here and now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without arguments a built-in sample shows the whole way. Tasks are processes of this machine.
Nothing is kept. The exit code is the run's: 0 if it succeeded, 1 if not, 4 if it took too long.

Examples:
  kakehi try
  kakehi try -f job.yaml --event order.json
  kakehi try -f jobs/ --job resize --timeout 2m"
)]
pub(crate) struct Args {
    /// Manifests: a file, or a directory that is searched; may be repeated
    #[arg(short, long, value_name = "FILE|DIR")]
    filename: Vec<PathBuf>,
    /// The event, in the JSON format of CloudEvents; without it the Job is run by hand
    #[arg(short, long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Run this Job, whatever the Triggers say
    #[arg(short, long, value_name = "NAME", value_parser = job_name)]
    job: Option<String>,
    /// Give up after so long
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = patience)]
    timeout: Duration,
    #[command(flatten)]
    limits: Limits,
}

/// Tries what was asked for.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let asked = Asked { filename: &args.filename, event: args.event.as_ref(), job: args.job.as_deref() };
    let trial = Trial::new(&asked)?;
    let place = Temporary::new()?;
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let options = DevOptions {
        directory: place.path().to_owned(),
        durable: false,
        api: free,
        sink: free,
        cloud_run: free,
        access: Access::Open,
        tls: None,
        guards: Guards::default(),
        max_pods: args.limits.max_pods.into(),
        max_event_bytes: usize::try_from(args.limits.max_event_bytes).unwrap_or(usize::MAX),
        // One event is tried; those of a clock would run among it.
        sources: false,
        inherited: inherited(),
    };
    let mut dev = Dev::start(options).await.context("start")?;
    let stage = Stage {
        connected: Connected::local(
            dev.client(),
            trial.namespace.as_deref().unwrap_or(global.namespace_or_default()),
        ),
        sink: Sink::new(&format!("http://{}", dev.sink_address()))?,
        output,
    };
    let too_long = |_| Error::TimedOut { after: args.timeout, what: "the trial".to_owned() };
    let end = tokio::select! {
        end = timeout(args.timeout, stage.play(&trial)) => end.map_err(too_long).and_then(|end| end),
        () = interrupted() => Err(Error::Interrupted),
        error = dev.failed() => Err(Error::Failed(error.into())),
    };
    // However it went, no process of a task may stay behind.
    let stopped = dev.stop().await;
    drop(place);
    let exit = end?;
    stopped.context("stop")?;
    Ok(exit)
}

/// Where a trial is played.
struct Stage<'a> {
    connected: Connected,
    sink: Sink,
    output: &'a Output,
}

impl Stage<'_> {
    async fn play(&self, trial: &Trial) -> Result<Exit, Error> {
        let begun = Instant::now();
        let mut labels = Vec::new();
        apply_all(&self.connected.client, &self.connected.namespace, &trial.manifests, |applied| {
            labels.push(qualified_name(&applied.object));
            Ok(())
        })
        .await?;
        self.step("Applied", &labels.join(", "))?;
        let delivered = self.start(trial).await?;
        if delivered.is_empty() {
            return self.nothing_matched(trial);
        }
        for one in &delivered {
            self.introduce(&one.execution).await?;
        }
        let follower = Follower {
            connected: &self.connected,
            output: self.output,
            logs: true,
            story: !self.output.is_live(),
            name_runs: delivered.len() > 1,
        };
        let ends = try_join_all(delivered.iter().map(|one| follower.until_end(&one.execution, None))).await?;
        for end in &ends {
            self.result(end).await?;
        }
        let words = format!("{} altogether; nothing is kept", duration(begun.elapsed()));
        self.output.note(paint(FAINT, words));
        let good = ends.iter().all(|end| exit(end) == Exit::Success);
        Ok(if good { Exit::Success } else { Exit::Failure })
    }

    /// Makes the run come about, and says how.
    async fn start(&self, trial: &Trial) -> Result<Vec<Delivered>, Error> {
        match &trial.start {
            Start::Manual(job) => {
                let run = ops::run(&self.connected.client, &self.connected.namespace, job, None).await;
                let execution = run.map_err(|error| self.connected.failed(error))?.execution;
                self.step("Request", &format!("run Job {job} by hand"))?;
                Ok(vec![Delivered { trigger: None, outcome: None, execution }])
            }
            Start::Address(event, job) => {
                self.event(event)?;
                self.step("Address", &format!("sent to Job {job} itself"))?;
                self.send(event, Some(job)).await
            }
            Start::Triggers(event) => {
                self.settled(trial).await?;
                self.event(event)?;
                let delivered = self.matched(event).await?;
                for trigger in delivered.iter().filter_map(|one| one.trigger.as_ref()) {
                    self.step("Trigger", &format!("{trigger} matches: {}", self.filter(trigger).await?))?;
                }
                Ok(delivered)
            }
        }
    }

    async fn send(&self, event: &Event, job: Option<&String>) -> Result<Vec<Delivered>, Error> {
        let address = Address { namespace: self.connected.namespace.clone(), job: job.cloned() };
        self.sink.send(event, Mode::Binary, &address, SETTLE).await
    }

    /// Sends an event to the Triggers until one matches. The sink may not have seen them yet; sending an event again
    /// is harmless.
    async fn matched(&self, event: &Event) -> Result<Vec<Delivered>, Error> {
        let begun = Instant::now();
        loop {
            let delivered = self.send(event, None).await?;
            if !delivered.is_empty() || begun.elapsed() > UNSEEN {
                return Ok(delivered);
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until every Trigger was looked at, and says what is wrong with one that is not fit for use.
    async fn settled(&self, trial: &Trial) -> Result<(), Error> {
        let begun = Instant::now();
        for manifest in trial.manifests.iter().filter(|manifest| is_ours(manifest, "Trigger")) {
            let name = manifest.object["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = manifest.object["metadata"]["namespace"].as_str();
            let namespace = namespace.unwrap_or(&self.connected.namespace);
            loop {
                let trigger: Result<Trigger, _> = ops::get(&self.connected.client, namespace, name).await;
                let trigger = trigger.map_err(|error| self.connected.failed(error))?;
                let ready =
                    trigger.status.as_ref().and_then(|status| condition(&status.conditions, CONDITION_READY));
                match ready {
                    Some(ready) if ready.status == "True" => break,
                    Some(ready) if begun.elapsed() > SETTLE => {
                        let Condition { reason, message, .. } = ready;
                        return Err(Error::Failed(anyhow!(
                            "{}: Trigger {name}: {reason}: {message}",
                            manifest.origin
                        )));
                    }
                    None if begun.elapsed() > SETTLE => {
                        let what = format!("Trigger {name} to be ready");
                        return Err(Error::TimedOut { after: SETTLE, what });
                    }
                    _ => sleep(LOOK).await,
                }
            }
        }
        Ok(())
    }

    async fn filter(&self, trigger: &str) -> Result<String, Error> {
        let found: Result<Trigger, _> =
            ops::get(&self.connected.client, &self.connected.namespace, trigger).await;
        Ok(rows::filter(&found.map_err(|error| self.connected.failed(error))?.spec))
    }

    fn event(&self, event: &Event) -> Result<(), Error> {
        let record = EventRecord::from(event);
        self.step("Event", &story::event(&record))?;
        if let Some(data) = &record.data {
            let short: String = one_line(data).chars().take(DATA).collect();
            self.output.line(format!("{:LABEL$}{}", "", paint(FAINT, short)))?;
        }
        Ok(())
    }

    fn nothing_matched(&self, trial: &Trial) -> Result<Exit, Error> {
        for manifest in trial.manifests.iter().filter(|manifest| is_ours(manifest, "Trigger")) {
            let spec: Option<TriggerSpec> = serde_json::from_value(manifest.object["spec"].clone()).ok();
            let filter = spec.map(|spec| rows::filter(&spec)).unwrap_or_default();
            self.step("Trigger", &format!("{} does not match: {filter}", manifest.label()))?;
        }
        Err(Error::Failed(anyhow!("no Trigger matches the event, so nothing ran")))
    }

    /// Shows the run and the task set that the controllers make of it.
    async fn introduce(&self, name: &str) -> Result<(), Error> {
        let (client, namespace) = (&self.connected.client, &self.connected.namespace);
        let failed = |error| self.connected.failed(error);
        let execution: Execution = ops::get(client, namespace, name).await.map_err(failed)?;
        let kept = if execution.spec.events.is_empty() { "" } else { ", the event inside" };
        self.step("Execution", &format!("{name}: a run of Job {}{kept}", execution.spec.job.name))?;
        let begun = Instant::now();
        while begun.elapsed() < SETTLE {
            let found = ops::describe(client, namespace, name).await.map_err(failed)?;
            if let Some(spec) = found.task_set.and_then(|task_set| task_set.spec) {
                let mode = spec.completion_mode.unwrap_or_default();
                let (count, parallel) = (spec.completions.unwrap_or(1), spec.parallelism.unwrap_or(1));
                let words =
                    format!("batch/v1 Job {name}: {mode}, completions {count}, parallelism {parallel}");
                return self.step("Tasks", &words);
            }
            if is_terminal(&found.execution) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn result(&self, execution: &Execution) -> Result<(), Error> {
        let name = story::name(execution);
        let pods = ops::pods(&self.connected.client, &self.connected.namespace, name).await;
        let table = tasks(&pods.map_err(|error| self.connected.failed(error))?);
        if !table.is_empty() {
            self.output.line("")?;
            self.output.text(&table.render(true))?;
            self.output.line("")?;
        }
        self.step("Result", &story::ending(execution))
    }

    fn step(&self, label: &str, words: &str) -> Result<(), Error> {
        Ok(self.output.line(format!("{}{words}", paint(STRONG, format!("{label:LABEL$}"))))?)
    }
}

/// The tasks of a run that has ended, the last attempt of each.
fn tasks(pods: &[Pod]) -> Rows {
    let mut last: BTreeMap<i32, (i32, &Pod)> = BTreeMap::new();
    for pod in pods {
        let attempt = Attempt::of(pod);
        let Some(index) = attempt.index() else { continue };
        let entry = last.entry(index).or_insert((attempt.number(), pod));
        if attempt.number() >= entry.0 {
            *entry = (attempt.number(), pod);
        }
    }
    let mut table = Rows::new(&["TASK", "ATTEMPTS", "STATUS", "EXIT", "DURATION"]);
    for (index, (number, pod)) in last {
        let ended = describe::terminated(pod);
        let took = ended.and_then(|ended| {
            between(
                ended.started_at.as_ref().map(|time| time.0),
                ended.finished_at.as_ref().map(|time| time.0),
            )
        });
        table.push([
            index.to_string(),
            (number + 1).to_string(),
            pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
            ended.map(|ended| ended.exit_code.to_string()).unwrap_or_default(),
            took.map(span).unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_shows_the_last_attempt_of_each_task() {
        let pod = |index: i32, attempt: i32, exit: i32| -> Pod {
            serde_json::from_value(json!({
                "metadata": {
                    "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()},
                    "annotations": {"batch.kubernetes.io/job-index-failure-count": attempt.to_string()},
                },
                "status": {
                    "phase": if exit == 0 { "Succeeded" } else { "Failed" },
                    "containerStatuses": [{
                        "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                        "state": {"terminated": {
                            "exitCode": exit,
                            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:02Z",
                        }},
                    }],
                },
            }))
            .unwrap()
        };
        let table = tasks(&[pod(1, 0, 3), pod(0, 0, 0), pod(1, 1, 0)]).render(false);
        assert_eq!(table, "0   1   Succeeded   0   2s\n1   2   Succeeded   0   2s\n");
    }
}
