//! The command line.
//!
//! One file per verb. A verb parses its flags here, answers every question about them once, calls `ops` or `app`, and
//! prints through [`output`]; it decides nothing about runs. The environment is read here and nowhere else, through
//! the flags that it stands in for. How a command can end is [`Error`]; [`Exit`] lists the codes.

mod access;
mod apply;
mod cancel;
mod connect;
mod crd;
mod delete;
mod describe;
mod dev;
mod error;
mod explain;
mod follow;
mod guards;
mod kinds;
mod list;
mod logs;
mod manifests;
mod output;
mod rerun;
mod rows;
mod run;
mod send;
mod serve;
mod signals;
mod sink;
mod story;
mod time;
mod trial;

use std::ffi::OsString;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::api::DEFAULT_NAMESPACE;
use crate::telemetry::{self, LogFormat, LogOptions, TraceOptions};

pub use error::{Error, Exit, chain};
pub use output::Format;
pub(crate) use signals::Interruptions;

/// The address of the API of `kakehi dev` when nothing else is said.
pub const DEFAULT_API_ADDRESS: &str = "127.0.0.1:8421";
/// The address of the sink of `kakehi dev` when nothing else is said.
pub const DEFAULT_SINK_ADDRESS: &str = "127.0.0.1:8420";
/// The address of the API of Cloud Run of `kakehi dev` when nothing else is said.
pub const DEFAULT_CLOUD_RUN_ADDRESS: &str = "127.0.0.1:8422";

/// CloudEvents become jobs: receives events, matches them with Triggers, and runs each as an Indexed Kubernetes Job.
///
/// The same YAML runs in a cluster and, with `kakehi dev` or `kakehi try`, on a machine without one.
#[derive(Debug, Parser)]
#[command(name = "kakehi", version, max_term_width = 100, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
// What is logged without the flag depends on the verb: see `parse`.
#[command(mut_arg("log", |log| log.hide_default_value(true)), mut_arg("log_format", |form| form.hide_default_value(true)))]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  kakehi try                                  see an event become a finished run, in seconds
  kakehi dev -f jobs/                         everything on this machine, state kept between starts
  kakehi send --type com.example.order --source /shop --data '{\"id\": 7}'
  kakehi list executions
  kakehi logs resize-h3k2m9x0aq -f
  kakehi explain 7                            why did that event run nothing?

Exit codes:
  0    success; where a run was waited for, it succeeded
  1    the run failed or was cancelled, or the request was refused
  2    the command line or a file named on it is wrong
  3    the server cannot be reached
  4    the time given for waiting is over
  130  interrupted";

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Namespace; without it that of the kubeconfig's context, or `default`
    #[arg(
        short,
        long,
        global = true,
        env = "KAKEHI_NAMESPACE",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    namespace: Option<String>,
    #[command(flatten)]
    connection: connect::Connection,
    #[command(flatten, next_help_heading = "Global options")]
    log: LogOptions,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    color: ColorChoice,
}

impl Global {
    /// The namespace for objects that do not name one, where no kubeconfig is asked.
    pub(crate) fn namespace_or_default(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one event from its arrival to its result, here and now
    Try(trial::Args),
    /// Run everything on this machine: the event sink, the controllers, the API, and a small Kubernetes
    Dev(dev::Args),
    /// Run the event sink and the controllers in a cluster, or against one
    Serve(serve::Args),
    /// Apply manifests to the server
    Apply(apply::Args),
    /// Send an event
    Send(Box<send::Args>),
    /// Tell why an event runs what it runs, or nothing
    Explain(Box<explain::Args>),
    /// Run a job by hand
    Run(run::Args),
    /// Repeat an execution, or its failed tasks
    Rerun(rerun::Args),
    /// List jobs, executions or triggers
    List(list::Args),
    /// Show everything about an object
    Describe(describe::Args),
    /// Print the logs of an execution's tasks
    Logs(logs::Args),
    /// Stop executions
    Cancel(cancel::Args),
    /// Delete jobs, executions or triggers
    Delete(delete::Args),
    /// Print the definitions of our kinds, ready for `kubectl apply -f -`
    Crd(crd::Args),
}

/// What is logged by verbs that only ask a server: nothing but faults. What the client of the API cannot do is the verb's own
/// answer, with a hint; its line before that would only say it worse.
const CLIENT_LOG: &str = "error,kube_client=off";
/// What `dev` logs: faults, and events that are refused. What happens to runs it tells itself.
const DEV_LOG: &str = "warn,kakehi::sink=info";

/// What `serve` logs: what happened to runs, and faults of the libraries below.
const SERVE_LOG: &str = "warn,kakehi=info";

/// Parses a command line. `Err` holds what clap has to say: help and version included.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let said = |flag: &str| matches.value_source(flag) != Some(ValueSource::DefaultValue);
    if !said("log") {
        let usual = match cli.command {
            Command::Dev(_) => DEV_LOG,
            Command::Serve(_) => SERVE_LOG,
            _ => CLIENT_LOG,
        };
        usual.clone_into(&mut cli.global.log.log);
    }
    // Nobody reads the lines of a cluster one by one.
    if !said("log_format") && matches!(cli.command, Command::Serve(_)) {
        cli.global.log.log_format = LogFormat::Json;
    }
    Ok(cli)
}

/// Runs a parsed command to its end, on a runtime of its own.
pub fn main(cli: Cli) -> Result<Exit, Error> {
    // The only failure is that a provider is installed already, as when several commands share a process.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let end = runtime.block_on(cli.run());
    // A blocking read of standard input cannot be cancelled; the process ends without waiting for it.
    runtime.shutdown_background();
    end
}

impl Cli {
    async fn run(self) -> Result<Exit, Error> {
        let Cli { global, command } = self;
        colours(global.color);
        let telemetry = telemetry::init(&global.log, command.traces(), output::colourful());
        let telemetry = telemetry.map_err(|error| Error::Usage(error.into()))?;
        let output = output::Output::new();
        let end = if command.stops_in_order() {
            // Everything in one process is large.
            Box::pin(command.run(&global, &output)).await
        } else {
            tokio::select! {
                end = command.run(&global, &output) => end,
                () = interrupted() => Err(Error::Interrupted),
            }
        };
        telemetry.finish().await;
        end
    }
}

impl Command {
    /// Whether the verb looks after signals itself, because it has something to stop in order.
    fn stops_in_order(&self) -> bool {
        matches!(self, Command::Try(_) | Command::Dev(_) | Command::Serve(_))
    }

    /// Where traces go, for the verb that has any.
    fn traces(&self) -> Option<&TraceOptions> {
        match self {
            Command::Serve(args) => Some(&args.traces),
            _ => None,
        }
    }

    async fn run(self, global: &Global, output: &output::Output) -> Result<Exit, Error> {
        match self {
            Command::Try(args) => trial::run(&args, global, output).await,
            Command::Dev(args) => dev::run(&args, global, output).await,
            Command::Serve(args) => serve::run(&args, global).await,
            Command::Apply(args) => apply::run(&args, global, output).await,
            Command::Send(args) => send::run(&args, global, output).await,
            Command::Explain(args) => explain::run(&args, global, output).await,
            Command::Run(args) => Box::pin(run::run(&args, global, output)).await,
            Command::Rerun(args) => Box::pin(rerun::run(&args, global, output)).await,
            Command::List(args) => list::run(&args, global, output).await,
            Command::Describe(args) => describe::run(&args, global, output).await,
            Command::Logs(args) => logs::run(&args, global, output).await,
            Command::Cancel(args) => cancel::run(&args, global, output).await,
            Command::Delete(args) => delete::run(&args, global, output).await,
            Command::Crd(args) => crd::run(&args, output),
        }
    }
}

/// Waits for a signal that asks for an end.
pub(crate) async fn interrupted() {
    Interruptions::new().next().await;
}

/// Applies `--color` to both streams.
fn colours(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Prints an error with its causes to standard error.
pub fn report(error: &Error) {
    let text = chain(error);
    let words = text.strip_prefix("error:").unwrap_or(&text);
    output::Output::new().note(format!("{}{words}", output::paint(output::BAD, "error:")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_and_flag_has_a_help_text() {
        fn walk(command: &clap::Command, path: &str) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}: no help", argument.get_id());
            }
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                assert!(verb.get_about().is_some(), "{path}: no help");
                walk(verb, &path);
            }
        }
        walk(&Cli::command(), "kakehi");
    }

    #[test]
    fn the_exit_codes_in_the_help_are_the_real_ones() {
        let exits =
            [Exit::Success, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::TimedOut, Exit::Interrupted];
        for exit in exits {
            let code = format!("\n  {:<5}", exit as u8);
            assert!(AFTER_HELP.contains(&code), "{exit:?} is not in the help");
        }
    }

    #[test]
    fn each_verb_logs_what_fits_it_unless_told_otherwise() {
        let log = |line: &str| parse(line.split(' ').map(OsString::from)).unwrap().global.log.log;
        assert_eq!(log("kakehi list"), CLIENT_LOG);
        assert_eq!(log("kakehi try"), CLIENT_LOG);
        assert_eq!(log("kakehi dev"), DEV_LOG);
        assert_eq!(log("kakehi serve"), SERVE_LOG);
        assert_eq!(log("kakehi list --log debug"), "debug");
        assert_eq!(log("kakehi --log debug list"), "debug");
    }

    #[test]
    fn a_cluster_gets_lines_for_programs() {
        let form = |line: &str| parse(line.split(' ').map(OsString::from)).unwrap().global.log.log_format;
        assert_eq!(form("kakehi serve"), LogFormat::Json);
        assert_eq!(form("kakehi serve --log-format text"), LogFormat::Text);
        assert_eq!(form("kakehi dev"), LogFormat::Text);
    }

    #[test]
    fn global_flags_may_stand_on_both_sides_of_the_verb() {
        for line in ["kakehi -n shop crd", "kakehi crd -n shop"] {
            let cli = parse(line.split(' ').map(OsString::from)).unwrap();
            assert_eq!(cli.global.namespace_or_default(), "shop", "{line}");
        }
    }
}
