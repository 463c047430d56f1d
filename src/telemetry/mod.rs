//! Logs and traces: where they go and in which form. Metrics belong to the parts that count.

mod traces;

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::traces::TraceOptions;
use self::traces::Traces;

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

/// What was asked for cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter makes no sense.
    #[error("read --log")]
    Filter(#[source] ParseError),
    /// Traces cannot be sent there.
    #[error("cannot send traces to {endpoint}")]
    Traces {
        /// The address.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// What has to be ended in order.
#[derive(Debug)]
#[must_use = "traces are lost without `finish`"]
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Sends logs to standard error, and traces where the options say, from here on. Called once, by the command line, inside
/// a runtime; a second call changes nothing.
pub fn init(logs: &LogOptions, traces: Option<&TraceOptions>, colour: bool) -> Result<Telemetry, Error> {
    let filter = EnvFilter::try_new(&logs.log).map_err(Error::Filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match logs.log_format {
        LogFormat::Text => lines.with_ansi(colour).compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let traces = traces.and_then(|traces| traces.otlp_endpoint.as_ref()).map(|endpoint| {
        Traces::to(endpoint).map_err(|source| Error::Traces { endpoint: endpoint.clone(), source })
    });
    let traces = traces.transpose()?;
    // Ours alone, whatever is logged: a library's spans would tell of the sending of spans.
    let spans = traces.as_ref().map(|traces| {
        let ours = Targets::new().with_target(env!("CARGO_PKG_NAME"), LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(traces.tracer()).with_filter(ours)
    });
    let installed = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
    // The only failure is that a subscriber is installed already, as when several tests share a process.
    drop(installed);
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends what is left, for a moment.
    pub async fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish().await;
        }
    }
}
