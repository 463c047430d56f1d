//! `kakehi delete`: removes objects, and in the background what belongs to them.

use super::connect::connect;
use super::kinds::{Kind, Reference, references};
use super::output::Output;
use super::{Error, Exit, Global};
use crate::api::{Execution, GROUP, Job, Trigger};
use crate::ops;

/// Delete jobs, executions or triggers
#[derive(Debug, clap::Args)]
#[command(after_help = "Deleting a job deletes its executions; deleting an execution stops its tasks.

Examples:
  kakehi delete job resize
  kakehi delete execution/resize-h3k2m9x0aq trigger/orders")]
pub(crate) struct Args {
    /// KIND NAME..., or KIND/NAME...
    #[arg(value_name = "OBJECT", required = true, num_args = 1..)]
    objects: Vec<String>,
    /// Be content with what is not there
    #[arg(long)]
    ignore_not_found: bool,
}

/// Deletes every object named.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let objects = references(&args.objects).map_err(|error| Error::Usage(error.into()))?;
    let connected = connect(global).await?;
    let (client, namespace) = (&connected.client, connected.namespace.as_str());
    for Reference { kind, name } in &objects {
        let deleted = match kind {
            Kind::Job => ops::delete::<Job>(client, namespace, name).await,
            Kind::Execution => ops::delete::<Execution>(client, namespace, name).await,
            Kind::Trigger => ops::delete::<Trigger>(client, namespace, name).await,
        };
        match deleted {
            Ok(()) => output.line(format!("{kind}.{GROUP}/{name} deleted"))?,
            Err(ops::Error::NotFound { .. }) if args.ignore_not_found => {}
            Err(error) => return Err(connected.failed(error)),
        }
    }
    Ok(Exit::Success)
}
