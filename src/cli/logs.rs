//! `kakehi logs`: what the tasks of a run wrote.

use futures::StreamExt as _;

use super::connect::connect;
use super::follow::{Prefix, prefixed};
use super::kinds::execution_name;
use super::output::{FAINT, Output, paint};
use super::story::task_count;
use super::{Error, Exit, Global};
use crate::api::Execution;
use crate::ops::{self, LogOptions};

/// Print the logs of an execution's tasks
#[derive(Debug, clap::Args)]
#[command(after_help = "With several tasks each line opens with its task.

Examples:
  kakehi logs resize-h3k2m9x0aq
  kakehi logs -f resize-h3k2m9x0aq --task 2 --timestamps")]
pub(crate) struct Args {
    /// Name of the Execution
    #[arg(value_name = "EXECUTION", value_parser = execution_name)]
    execution: String,
    /// Go on until the run has ended
    #[arg(short, long)]
    follow: bool,
    /// Only the task with this index
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(i32).range(0..))]
    task: Option<i32>,
    /// Only the last lines of each attempt
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    tail: Option<i64>,
    /// Open each line with its time
    #[arg(long)]
    timestamps: bool,
    /// Leave out which task a line is of
    #[arg(long)]
    no_prefix: bool,
}

/// Prints the logs.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    let Args { execution, follow, task, tail, timestamps, no_prefix } = args;
    let (client, namespace) = (&connected.client, connected.namespace.as_str());
    let found: Result<Execution, _> = ops::get(client, namespace, execution).await;
    let count = task_count(&found.map_err(|error| connected.failed(error))?);
    if let Some(task) = task.filter(|task| *task >= count) {
        return Err(Error::usage(format!(
            "execution {execution} has no task {task}; its tasks are 0 to {}",
            count - 1
        )));
    }
    let options = LogOptions { follow: *follow, task: *task, tail: *tail, timestamps: *timestamps };
    let lines = ops::logs(client, namespace, execution, options).await;
    let mut lines = std::pin::pin!(lines.map_err(|error| connected.failed(error))?);
    let several = count > 1 && task.is_none() && !no_prefix;
    let prefix = if several { Prefix::Task } else { Prefix::None };
    let mut broken = false;
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => output.line(prefixed(&line, &prefix))?,
            Err(error) => {
                broken = true;
                output.note(paint(FAINT, super::chain(&error)));
            }
        }
    }
    // What is shown is not everything, unless the stream mended itself as one that follows does.
    Ok(if broken && !follow { Exit::Failure } else { Exit::Success })
}
