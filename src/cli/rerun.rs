//! `kakehi rerun`: repeats a run.

use futures::StreamExt as _;
use futures::stream;

use super::connect::connect;
use super::follow::{Follower, Stay, exit};
use super::kinds::execution_name;
use super::list::values;
use super::output::{Format, Output};
use super::{Error, Exit, Global};
use crate::api::Execution;
use crate::ops::{self, Accepted};

/// Runs that are followed at a time.
const AT_ONCE: usize = 8;

/// Repeat an execution: the same job as it was then, for the same event
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints the name of the new Execution; with --failed-tasks one for each task that failed. Such a run has one
task, whose container is told the index and the number of tasks of the first time.

Examples:
  kakehi rerun resize-h3k2m9x0aq --wait
  kakehi rerun resize-h3k2m9x0aq --failed-tasks --logs"
)]
pub(crate) struct Args {
    /// Name of the Execution
    #[arg(value_name = "EXECUTION", value_parser = execution_name)]
    execution: String,
    /// Only the tasks that failed, at most 100
    #[arg(long)]
    failed_tasks: bool,
    #[command(flatten)]
    stay: Stay,
    /// How to print the Executions; the table is their names
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Repeats the run.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    let (client, namespace) = (&connected.client, connected.namespace.as_str());
    let failed = |error| connected.failed(error);
    let old: Execution = ops::get(client, namespace, &args.execution).await.map_err(failed)?;
    let started = Box::pin(ops::rerun(client, &old, args.failed_tasks, None)).await.map_err(failed)?;
    let names: Vec<String> = started.into_iter().map(|Accepted { execution, .. }| execution).collect();
    if args.output == Format::Table {
        names.iter().try_for_each(|name| output.line(name))?;
    }
    let follower = Follower {
        connected: &connected,
        output,
        logs: args.stay.logs,
        story: true,
        name_runs: names.len() > 1,
    };
    let looked = stream::iter(&names).map(async |name| {
        if args.stay.asked() {
            return follower.until_end(name, args.stay.timeout).await;
        }
        ops::get(client, namespace, name).await.map_err(failed)
    });
    let looked: Vec<Result<Execution, Error>> = looked.buffered(AT_ONCE).collect().await;
    let runs: Vec<Execution> = looked.into_iter().collect::<Result<_, _>>()?;
    if args.output != Format::Table {
        for value in values(&runs)? {
            output.object(args.output, &value)?;
        }
    }
    // Of several the worst.
    let mut ends = runs.iter().map(exit).filter(|exit| args.stay.asked() && *exit != Exit::Success);
    Ok(ends.next_back().unwrap_or(Exit::Success))
}
