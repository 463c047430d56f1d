//! `kakehi dev`: everything on this machine, for a person at a terminal.
//!
//! The parts are [`crate::app::Dev`]'s; here they are given their places, told what to apply, and watched, so that the
//! terminal shows what happens. A first SIGINT, SIGTERM or SIGHUP ends in order, a second SIGINT or SIGTERM at once.

mod live;
pub(crate) mod place;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use kube::Client;
use serde_json::json;

use self::place::Temporary;
use super::access::AccessFlags;
use super::apply::apply_all;
use super::guards::GuardFlags;
use super::manifests::{self, Manifest};
use super::output::{FAINT, GOOD, Output, STRONG, duration, paint};
use super::{
    DEFAULT_API_ADDRESS, DEFAULT_CLOUD_RUN_ADDRESS, DEFAULT_SINK_ADDRESS, Error, Exit, Global, Interruptions,
};
use crate::app::{self, Dev, DevOptions};
use crate::local::{self, store};

/// Largest event in bytes: what fits into an object of etcd together with everything else that an Execution holds.
const MAX_EVENT_BYTES: u64 = 1024 * 1024;

/// Run everything on this machine: the event sink, the controllers, and a small Kubernetes that runs tasks as processes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Tasks are processes of this machine: their commands run, their images are not pulled.
The API is Kubernetes' own; kubectl works on it with the kubeconfig that is written.

Examples:
  kakehi dev                          state in ~/.local/share/kakehi/dev, kept between starts
  kakehi dev -f jobs/ --memory        nothing is kept
  kakehi dev --api 0 --sink 0 --cloud-run 0 -o json
                                      for programs: free ports, one JSON object per line"
)]
pub(crate) struct Args {
    /// Apply these manifests: a file, or a directory that is searched; may be repeated
    #[arg(short, long, value_name = "FILE|DIR")]
    filename: Vec<PathBuf>,
    /// Where state is kept [default: kakehi/dev below the data directory of the user]
    #[arg(long, value_name = "DIR", env = "KAKEHI_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Keep nothing
    #[arg(long, conflicts_with = "data_dir")]
    memory: bool,
    /// Address of the API; a port alone is one on 127.0.0.1, and port 0 a free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_API_ADDRESS, value_parser = address)]
    api: SocketAddr,
    /// Address of the event sink
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_SINK_ADDRESS, value_parser = address)]
    sink: SocketAddr,
    /// Address of the API of Cloud Run, for Google's clients
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_CLOUD_RUN_ADDRESS, value_parser = address)]
    cloud_run: SocketAddr,
    #[command(flatten)]
    access: AccessFlags,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    guards: GuardFlags,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Do not tell what happens to runs
    #[arg(short, long)]
    quiet: bool,
}

/// Limits of everything on one machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Limits {
    /// Tasks that run at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) max_pods: u16,
    /// Largest event, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 512 * 1024, value_parser = clap::value_parser!(u64).range(1..=MAX_EVENT_BYTES))]
    pub(crate) max_event_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line; the first has type `ready` and the addresses
    Json,
}

/// Reads an address: `IP:PORT`, or a port on 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let local = text.replace("localhost:", "127.0.0.1:");
    local.parse().map_err(|_| format!("{text:?} is neither a port nor an address such as 127.0.0.1:8421"))
}

/// Runs until it is interrupted.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let begun = Instant::now();
    // A mistake in a manifest shows before anything is started.
    let manifests = manifests::read(&args.filename)?;
    let (access, tls) = (args.access.on_machine(args.api, args.cloud_run, args.sink)?, args.access.tls());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (directory, temporary) = directory(args)?;
    let options = DevOptions {
        directory: directory.clone(),
        durable: !args.memory,
        api: args.api,
        sink: args.sink,
        cloud_run: args.cloud_run,
        access,
        tls,
        guards: args.guards.guards(),
        max_pods: args.limits.max_pods.into(),
        max_event_bytes: usize::try_from(args.limits.max_event_bytes).unwrap_or(usize::MAX),
        sources: true,
        inherited: place::inherited(),
    };
    // Before there is anything that a signal could leave behind.
    let mut signals = Interruptions::new();
    let mut dev = Dev::start(options).await.map_err(|error| unstarted(error, &directory))?;
    let place = Place {
        client: dev.client(),
        api: dev.api_address(),
        sink: dev.sink_address(),
        cloud_run: format!("{scheme}://{}", dev.cloud_run_address()),
        kubeconfig: place::write_kubeconfig(&directory, dev.api_address(), dev.sink_address())?,
        directory,
        manifests,
        begun,
    };
    let served = tokio::select! {
        served = serve(args, global, output, &place) => served,
        () = signals.next() => Ok(()),
        error = dev.failed() => Err(Error::Failed(error.into())),
    };
    if served.is_ok() && args.output == Form::Text {
        output.note("stopping; once more to stop at once");
    }
    let stopped = tokio::select! {
        stopped = dev.stop() => stopped,
        () = signals.insisted() => return Err(Error::Interrupted),
    };
    drop(temporary);
    served?;
    stopped.context("stop")?;
    Ok(Exit::Success)
}

/// What kept everything from starting, in a sentence where there is one.
fn unstarted(error: app::Error, directory: &Path) -> Error {
    match error {
        app::Error::Local(local::Error::Store { source: store::Error::InUse, .. }) => Error::Failed(anyhow!(
            "another kakehi uses the directory {}; choose another with --data-dir, or --memory",
            directory.display()
        )),
        error => Error::Failed(anyhow::Error::from(error).context("start")),
    }
}

/// What was started, and where it is.
struct Place {
    client: Client,
    api: SocketAddr,
    sink: SocketAddr,
    cloud_run: String,
    kubeconfig: PathBuf,
    directory: PathBuf,
    manifests: Vec<Manifest>,
    begun: Instant,
}

fn directory(args: &Args) -> Result<(PathBuf, Option<Temporary>), Error> {
    if args.memory {
        let temporary = Temporary::new()?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    }
    let directory = match &args.data_dir {
        Some(directory) => std::path::absolute(directory).map_err(|error| Error::Usage(error.into()))?,
        None => place::default_directory()?,
    };
    place::create(&directory)?;
    Ok((directory, None))
}

/// Applies the manifests, says that all is ready, and tells what happens from then on.
async fn serve(args: &Args, global: &Global, output: &Output, place: &Place) -> Result<(), Error> {
    let mut applied = Vec::new();
    apply_all(&place.client, global.namespace_or_default(), &place.manifests, |one| {
        applied.push(one.line());
        Ok(())
    })
    .await?;
    let form = match args.output {
        Form::Text => {
            applied.iter().try_for_each(|line| output.line(line))?;
            output.text(&place.text(args.memory))?;
            live::Form::Text
        }
        Form::Json => {
            output.line(place.json(args.memory, &applied))?;
            live::Form::Json
        }
    };
    if args.quiet {
        return std::future::pending().await;
    }
    live::tell(place.client.clone(), form, output).await
}

impl Place {
    /// What a person has to know to begin.
    fn text(&self, memory: bool) -> String {
        let Place { client: _, api, sink, cloud_run, kubeconfig, directory, manifests, begun } = self;
        let state =
            if memory { "in memory; nothing is kept".to_owned() } else { directory.display().to_string() };
        let next = if manifests.is_empty() {
            "kakehi apply -f job.yaml\n  kakehi run JOB --logs"
        } else {
            "kakehi list jobs\n  kakehi send --type TYPE --data '{}'"
        };
        format!(
            "{title} after {took}\n\n  {events}     http://{sink}\n  {api_word}  http://{api}\n  {runs_word}  {cloud_run}\n  {state_word}  {state}\n\n{try_word}\n  export KUBECONFIG={kubeconfig}\n  {next}\n  kubectl get rj,rx,rt\n\n{footer}\n\n",
            title = paint(GOOD, "kakehi is ready"),
            took = duration(begun.elapsed()),
            events = paint(STRONG, "events"),
            api_word = paint(STRONG, "API      "),
            runs_word = paint(STRONG, "Cloud Run"),
            state_word = paint(STRONG, "state    "),
            try_word = paint(FAINT, "In another terminal:"),
            kubeconfig = quoted(kubeconfig),
            footer = paint(FAINT, "What happens is shown here. Ctrl-C ends it."),
        )
    }

    /// The same for a program: always the first line.
    fn json(&self, memory: bool, applied: &[String]) -> String {
        let Place { client: _, api, sink, cloud_run, kubeconfig, directory, manifests: _, begun: _ } = self;
        json!({
            "type": "ready",
            "api": format!("http://{api}"),
            "sink": format!("http://{sink}"),
            "cloudRun": cloud_run,
            "kubeconfig": kubeconfig,
            "directory": directory,
            "memory": memory,
            "applied": applied,
        })
        .to_string()
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/home/u/.local/x-1")), "/home/u/.local/x-1");
        assert_eq!(quoted(Path::new("/My Data/it's")), r"'/My Data/it'\''s'");
    }

    #[test]
    fn an_address_may_be_a_port() {
        assert_eq!(address("0"), Ok("127.0.0.1:0".parse().unwrap()));
        assert_eq!(address(":8421"), Ok("127.0.0.1:8421".parse().unwrap()));
        assert_eq!(address("localhost:1"), Ok("127.0.0.1:1".parse().unwrap()));
        assert_eq!(address("[::1]:1"), Ok("[::1]:1".parse().unwrap()));
        for wrong in ["", "99999", "example.com:1", "127.0.0.1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_addresses_are_addresses() {
        for text in [DEFAULT_API_ADDRESS, DEFAULT_CLOUD_RUN_ADDRESS, DEFAULT_SINK_ADDRESS] {
            assert!(address(text).unwrap().ip().is_loopback());
        }
    }
}
