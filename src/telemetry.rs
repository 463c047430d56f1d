//! Logs: where they go and in which form. Metrics and traces come with running in a cluster.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Flags of the logs.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// What to log: a level, or directives such as `kakehi=debug,kube=warn`
    #[arg(
        long,
        global = true,
        default_value = "warn,kakehi=info",
        value_name = "FILTER",
        env = "KAKEHI_LOG"
    )]
    pub log: String,

    /// Form of the log lines [default: text; json for serve]
    #[arg(long, global = true, default_value = "text", value_name = "FORM")]
    pub log_format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for programs
    Json,
}

/// Sends logs to standard error from here on. Called once, by the command line; a second call changes nothing.
pub fn init(options: &LogOptions, colour: bool) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(&options.log)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // The only failure is that a subscriber is installed already, as when several tests share a process.
    let installed = match options.log_format {
        LogFormat::Text => lines.with_ansi(colour).compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    drop(installed);
    Ok(())
}
