//! `kakehi run`: runs a Job by hand.

use super::connect::connect;
use super::follow::{Follower, Stay, exit};
use super::kinds::job_name;
use super::list::values;
use super::output::{Format, Output};
use super::{Error, Exit, Global};
use crate::api::Execution;
use crate::ops;

/// Run a job by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the name of the Execution.

Examples:
  kakehi run resize
  kakehi run resize --logs --timeout 5m")]
pub(crate) struct Args {
    /// Name of the Job
    #[arg(value_name = "JOB", value_parser = job_name)]
    job: String,
    #[command(flatten)]
    stay: Stay,
    /// How to print the Execution; the table is its name
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the Job.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    let accepted = ops::run(&connected.client, &connected.namespace, &args.job, None).await;
    let name = accepted.map_err(|error| connected.failed(error))?.execution;
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
        let created: Result<Execution, _> = ops::get(&connected.client, &connected.namespace, &name).await;
        (created.map_err(|error| connected.failed(error))?, Exit::Success)
    };
    if args.output != Format::Table {
        for value in values(&[execution])? {
            output.object(args.output, &value)?;
        }
    }
    Ok(exit)
}
