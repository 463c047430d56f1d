//! `kakehi run`: runs a Job by hand.

use clap::value_parser;

use super::connect::connect;
use super::follow::{Follower, Stay, exit};
use super::kinds::job_name;
use super::list::values;
use super::output::{Format, Output};
use super::time::patience;
use super::{Error, Exit, Global};
use crate::api::{ContainerOverride, Job, MAX_TASK_COUNT, Overrides, ParameterValue};
use crate::ops::{self, Mode};

/// Run a job by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the name of the Execution.

Examples:
  kakehi run resize
  kakehi run resize --logs --timeout 5m
  kakehi run resize --args=--width,640 --env QUALITY=90 --tasks 3
  kakehi run report --task-timeout 2h -- --since 'last week'")]
pub(crate) struct Args {
    /// Name of the Job
    #[arg(value_name = "JOB", value_parser = job_name)]
    job: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    stay: Stay,
    /// How to print the Execution; the table is its name
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What this run changes of its Job; the flags are called as those of `gcloud run jobs execute` are.
#[derive(Debug, clap::Args)]
struct Changes {
    /// Arguments instead of the job's, for this run; may be repeated
    #[arg(long, value_name = "ARG,...", value_delimiter = ',', allow_hyphen_values = true)]
    args: Vec<String>,
    /// The same, each as it is
    #[arg(last = true, value_name = "ARG", conflicts_with = "args")]
    words: Vec<String>,
    /// No arguments, for this run
    #[arg(long, conflicts_with_all = ["args", "words"])]
    clear_args: bool,
    /// A variable besides the job's, or instead of the one of that name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<ParameterValue>,
    /// Tasks of this run
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(i32).range(1..=i64::from(MAX_TASK_COUNT)))]
    tasks: Option<i32>,
    /// Time for one attempt of a task, in this run
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    task_timeout: Option<i64>,
}

impl Changes {
    /// The same as an Execution records it.
    fn overrides(&self) -> Overrides {
        let Self { args, words, clear_args, env, tasks, task_timeout } = self;
        let container = ContainerOverride {
            name: None,
            args: args.iter().chain(words).cloned().collect(),
            clear_args: *clear_args,
            env: env.clone(),
        };
        let is_changed = container != ContainerOverride::default();
        Overrides {
            container_overrides: is_changed.then_some(container).into_iter().collect(),
            task_count: *tasks,
            timeout_seconds: *task_timeout,
        }
    }
}

/// Reads `NAME=VALUE`.
fn variable(text: &str) -> Result<ParameterValue, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(ParameterValue { name: name.to_owned(), value: value.to_owned() })
        }
        Some(_) | None => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

/// Reads a length of time of whole seconds, at least one.
fn seconds(text: &str) -> Result<i64, String> {
    let found = patience(text)?;
    match i64::try_from(found.as_secs()) {
        Ok(seconds) if seconds > 0 && found.subsec_nanos() == 0 => Ok(seconds),
        Ok(_) | Err(_) => Err(format!("{text:?} is no number of whole seconds")),
    }
}

/// Runs the Job.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    let (client, namespace) = (&connected.client, connected.namespace.as_str());
    let job: Job = ops::get(client, namespace, &args.job).await.map_err(|error| connected.failed(error))?;
    let overrides = args.changes.overrides();
    let created = ops::run_with(client, &job, None, Some(&overrides), Mode::Commit).await;
    let created = created.map_err(|error| connected.failed(error))?;
    let name = created.metadata.name.clone().unwrap_or_default();
    if args.output == Format::Table {
        output.line(&name)?;
    }
    let follower =
        Follower { connected: &connected, output, logs: args.stay.logs, story: true, name_runs: false };
    let (execution, exit) = if args.stay.asked() {
        let ended = follower.until_end(&name, args.stay.timeout).await?;
        let exit = exit(&ended);
        (ended, exit)
    } else {
        (created, Exit::Success)
    };
    if args.output != Format::Table {
        for value in values(&[execution])? {
            output.object(args.output, &value)?;
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn overrides(words: &[&str]) -> Result<Overrides, clap::Error> {
        let line = Line::try_parse_from(["run", "resize"].iter().chain(words))?;
        Ok(line.args.changes.overrides())
    }

    #[test]
    fn what_a_run_changes_is_what_its_flags_say() {
        assert_eq!(overrides(&[]).unwrap(), Overrides::default());
        let found = overrides(&[
            "--args=-c,echo",
            "--args",
            "-x",
            "--env",
            "A=1,2",
            "--env",
            "B=",
            "--tasks",
            "3",
            "--task-timeout",
            "2m",
        ]);
        let text = serde_json::to_value(found.unwrap()).unwrap();
        let wanted = serde_json::json!({
            "containerOverrides": [{
                "args": ["-c", "echo", "-x"],
                "env": [{"name": "A", "value": "1,2"}, {"name": "B", "value": ""}],
            }],
            "taskCount": 3,
            "timeoutSeconds": 120,
        });
        assert_eq!(text, wanted);
        let words = overrides(&["--tasks=2", "--", "--since", "a, b"]).unwrap();
        assert_eq!(words.container_overrides[0].args, ["--since", "a, b"]);
        assert!(overrides(&["--clear-args"]).unwrap().container_overrides[0].clear_args);
    }

    #[test]
    fn what_cannot_be_changed_so_is_refused() {
        for words in [
            &["--clear-args", "--args=a"][..],
            &["--clear-args", "--", "a"],
            &["--args=a", "--", "a"],
            &["--env", "A"],
            &["--env", "=1"],
            &["--tasks=0"],
            &["--tasks=10001"],
            &["--task-timeout=0"],
            &["--task-timeout=1500ms"],
        ] {
            assert!(overrides(words).is_err(), "{words:?}");
        }
    }
}
