//! `kakehi explain`: why an event runs what it runs, or nothing.
//!
//! Without a sink it is found out what would happen, by what files or a server hold; with the id of an event a sink is asked
//! what did. Both are printed by the same lines, because both are the same data.

mod asked;
mod offline;
pub(crate) mod tree;

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;

use super::kinds::job_name;
use super::output::{Format, Output};
use super::send::EventArgs;
use super::{Error, Exit, Global};
use crate::explain::Decision;

/// Why does an event run what it runs, or nothing?
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("source", |source| source.help("Attribute `source`; with an ID: of the event that is asked about [default: /kakehi/send]")),
    after_help = "With an event it is told what would happen, and nothing is sent: by the Triggers and Jobs in files, or by those of
the server. Jobs in files have no uid, so the names of their Executions differ from those in a cluster.
With an ID a sink is asked what became of that event; without either, what became of the latest ones.
The exit code is 0 if something ran or would run, and 1 if nothing did.

A sink in a cluster tells whoever may list executions in the namespace; it takes a token for that audience:
  kubectl port-forward service/kakehi-sink 8080:80 &
  kubectl create token ACCOUNT -n NAMESPACE --audience run.kakehi.dev/namespace/NAMESPACE > token
  kakehi explain ID -n NAMESPACE --sink http://localhost:8080 --token-file token
Each of several sinks knows the events that it received itself, and forgets the oldest; Executions keep their own trail,
which `kakehi describe` shows.

Examples:
  kakehi explain --event order.json -f triggers.yaml -f jobs.yaml
  kakehi explain --type com.example.order --data '{\"total\": 12}'
  kakehi explain --event order.json -f . --objects
  kakehi explain 7 --source /shop
  kakehi explain"
)]
pub(crate) struct Args {
    /// Ask the sink what became of the event of that id
    #[arg(
        value_name = "ID",
        conflicts_with_all = ["event", "kind", "id", "subject", "time", "data_schema", "data", "data_file", "content_type", "extension", "filename", "job", "objects"]
    )]
    sent: Option<String>,
    #[command(flatten)]
    event: EventArgs,
    /// Triggers and Jobs: a file, a directory that is searched, or `-`; may be repeated; without it those of the server
    #[arg(short, long, value_name = "FILE|DIR", help_heading = "What is asked")]
    filename: Vec<PathBuf>,
    /// As if the event was sent to this Job itself
    #[arg(short, long, value_name = "NAME", value_parser = job_name, help_heading = "What is asked")]
    job: Option<String>,
    /// Tell of this Trigger alone
    #[arg(long, value_name = "NAME", help_heading = "What is asked")]
    trigger: Option<String>,
    /// Print the Execution, its ConfigMaps and its batch/v1 Job, too
    #[arg(long, help_heading = "What is asked")]
    objects: bool,
    /// URL of the sink; without it the one of `kakehi dev`
    #[arg(long, env = "KAKEHI_SINK", value_name = "URL", help_heading = "What is asked")]
    sink: Option<String>,
    /// Token for the sink, in a file
    #[arg(long, env = "KAKEHI_SINK_TOKEN_FILE", value_name = "FILE", help_heading = "What is asked")]
    token_file: Option<PathBuf>,
    /// How to print; the table is a tree
    #[arg(short, long, value_enum, default_value_t, help_heading = "What is asked")]
    output: Format,
}

/// Explains what was asked for.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    if args.event.is_given() {
        let event = args.event.event(Timestamp::now())?;
        return offline::explain(args, global, output, &event).await;
    }
    if !args.filename.is_empty() || args.job.is_some() || args.objects {
        return Err(Error::usage("write which event is meant: --event FILE, or --type and what else it has"));
    }
    asked::explain(args, global, output).await
}

/// Whether anything ran, or would.
fn exit(decisions: &[Decision]) -> Exit {
    if decisions.iter().any(Decision::runs_something) { Exit::Success } else { Exit::Failure }
}

/// The names of the Executions, one per line.
fn names(output: &Output, decisions: &[Decision]) -> Result<(), Error> {
    let runs = decisions.iter().flat_map(|decision| &decision.runs);
    let mut names: Vec<&String> = runs.filter_map(|run| run.execution.as_ref()).collect();
    names.dedup();
    names.iter().try_for_each(|name| output.line(format!("execution.run.kakehi.dev/{name}")))?;
    Ok(())
}

fn encoded(value: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).context("encode the answer").map_err(Error::Failed)
}
