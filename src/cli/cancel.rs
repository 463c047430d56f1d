//! `kakehi cancel`: asks runs to stop.

use std::time::Duration;

use super::connect::connect;
use super::follow::Follower;
use super::kinds::execution_name;
use super::output::Output;
use super::time::patience;
use super::{Error, Exit, Global};
use crate::ops;
use crate::plan::is_terminal;

/// Stop executions
#[derive(Debug, clap::Args)]
#[command(after_help = "An execution that has ended is left as it is; one that is stopping goes on stopping.

Examples:
  kakehi cancel resize-h3k2m9x0aq --wait")]
pub(crate) struct Args {
    /// Names of the Executions
    #[arg(value_name = "EXECUTION", required = true, value_parser = execution_name)]
    executions: Vec<String>,
    /// Stay until they have stopped
    #[arg(short, long)]
    wait: bool,
    /// Give up waiting after so long
    #[arg(long, value_name = "TIME", value_parser = patience, requires = "wait")]
    timeout: Option<Duration>,
}

/// Cancels every Execution named.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    for name in &args.executions {
        let asked = ops::cancel(&connected.client, &connected.namespace, name).await;
        let execution = asked.map_err(|error| connected.failed(error))?;
        let what = if is_terminal(&execution) { "has ended already" } else { "is asked to stop" };
        output.line(format!("execution.run.kakehi.dev/{name} {what}"))?;
    }
    if args.wait {
        let follower = Follower { connected: &connected, output, logs: false, story: true, name_runs: false };
        for name in &args.executions {
            follower.until_end(name, args.timeout).await?;
        }
    }
    Ok(Exit::Success)
}
