//! `kakehi send`: makes an event out of flags or a file and sends it to the sink.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::connect::{Connected, connect};
use super::kinds::job_name;
use super::output::{FAINT, Format, Output, paint};
use super::sink::{Address, Delivered, Mode, Sink};
use super::time::patience;
use super::{Error, Exit, Global};
use crate::event::{Event, Value, ValueRef, json};

/// Largest data that is read from a file: more than any sink takes, less than what hurts this process.
const MAX_DATA: u64 = 64 * 1024 * 1024;
/// Where events come from when nothing else is said.
const DEFAULT_SOURCE: &str = "/kakehi/send";

/// Send an event
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("kind", |kind| kind.required_unless_present("event")),
    after_help = "Prints the name of each Execution that the event led to; nothing if no Trigger matched.

Examples:
  kakehi send --type com.example.order --source /shop --data '{\"id\": 7}'
  kakehi send --event order.json --mode structured
  kakehi send --job resize --type com.example.image --subject a.png
  kakehi logs -f $(kakehi send --event order.json)
  kakehi send --type load.test --repeat 1000"
)]
pub(crate) struct Args {
    #[command(flatten)]
    event: EventArgs,
    /// How the event travels
    #[arg(long, value_enum, default_value_t, help_heading = "Delivery")]
    mode: Mode,
    /// Run this Job, whatever the Triggers say
    #[arg(short, long, value_name = "NAME", value_parser = job_name, help_heading = "Delivery")]
    job: Option<String>,
    /// URL of the sink; without it the one of `kakehi dev`
    #[arg(long, env = "KAKEHI_SINK", value_name = "URL", help_heading = "Delivery")]
    sink: Option<String>,
    /// Send so many events, each with an id of its own (ID-1, ID-2, ...)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Delivery")]
    repeat: Option<u64>,
    /// Try again what may succeed later, for so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s", value_parser = patience, help_heading = "Delivery")]
    retry: Option<Duration>,
    /// How to print what became of it; the table is one name per line
    #[arg(short, long, value_enum, default_value_t, help_heading = "Delivery")]
    output: Format,
}

/// Flags that describe an event.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Event")]
pub(crate) struct EventArgs {
    /// Attribute `type`; required without --event
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Attribute `source` [default: /kakehi/send]
    #[arg(short, long, value_name = "URI")]
    source: Option<String>,
    /// Attribute `id`; without it a random one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Attribute `subject`
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Attribute `time`; without it now
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Attribute `dataschema`
    #[arg(long, value_name = "URI")]
    data_schema: Option<String>,
    /// The data
    #[arg(short, long, value_name = "TEXT", conflicts_with = "data_file", allow_hyphen_values = true)]
    data: Option<String>,
    /// The data, from a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// Attribute `datacontenttype`; without it told from the data
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// An extension attribute; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    extension: Vec<(String, String)>,
    /// The whole event in a JSON file, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "source", "id", "subject", "time", "data_schema", "data", "data_file", "content_type", "extension"])]
    event: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Sends what was asked for.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let event = args.event.event(Timestamp::now())?;
    let connected = connect(global).await?;
    let sink = Sink::new(&sink_url(args.sink.as_ref(), &connected)?)?;
    let address = Address { namespace: connected.namespace.clone(), job: args.job.clone() };
    let patience = args.retry.unwrap_or_default();
    let Some(count) = args.repeat else {
        let delivered = sink.send(&event, args.mode, &address, patience).await?;
        tell(args, &address, output, &delivered)?;
        return Ok(Exit::Success);
    };
    let bar = output.bar(count, "sending");
    for number in 1..=count {
        let event = with_id(&event, &format!("{}-{number}", event.id()))?;
        let delivered = sink.send(&event, args.mode, &address, patience).await?;
        print(args, output, &delivered)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Exit::Success)
}

/// The sink that is meant.
pub(crate) fn sink_url(said: Option<&String>, connected: &Connected) -> Result<String, Error> {
    said.cloned().or_else(|| connected.sink.clone()).ok_or_else(|| {
        Error::usage(format!(
            "where the sink beside {} is, is not known; say it with --sink or KAKEHI_SINK",
            connected.server
        ))
    })
}

fn tell(args: &Args, address: &Address, output: &Output, delivered: &[Delivered]) -> Result<(), Error> {
    print(args, output, delivered)?;
    if delivered.is_empty() {
        output.note(format!("accepted; no trigger of namespace {} matched", address.namespace));
    }
    for one in delivered.iter().filter(|one| one.outcome.as_deref() == Some("duplicate")) {
        let words = format!("{} is the run of the same event, received before", one.execution);
        output.note(paint(FAINT, words));
    }
    Ok(())
}

fn print(args: &Args, output: &Output, delivered: &[Delivered]) -> Result<(), Error> {
    match args.output {
        Format::Table => delivered.iter().try_for_each(|one| output.line(&one.execution))?,
        Format::Name => {
            delivered
                .iter()
                .try_for_each(|one| output.line(format!("execution.run.kakehi.dev/{}", one.execution)))?;
        }
        format @ (Format::Json | Format::Yaml) => {
            let value = serde_json::to_value(delivered).context("encode the answer")?;
            output.object(format, &value)?;
        }
    }
    Ok(())
}

impl EventArgs {
    /// Whether they describe one.
    pub(crate) fn is_given(&self) -> bool {
        self.kind.is_some() || self.event.is_some()
    }

    /// The source that was said.
    pub(crate) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The event that the flags describe.
    pub(crate) fn event(&self, now: Timestamp) -> Result<Event, Error> {
        if let Some(path) = &self.event {
            return read_event(path);
        }
        let data = match (&self.data, &self.data_file) {
            (Some(text), _) => Some(Bytes::from(text.clone())),
            (None, Some(path)) => Some(read(path).map_err(Error::Usage)?),
            (None, None) => None,
        };
        let id = self.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let time = self.time.clone().unwrap_or_else(|| now.to_string());
        let content_type =
            self.content_type.clone().or_else(|| data.as_ref().map(|data| guess(data).to_owned()));
        let named = [
            ("time", Some(time)),
            ("subject", self.subject.clone()),
            ("dataschema", self.data_schema.clone()),
            ("datacontenttype", content_type),
        ];
        let mut builder = Event::builder().required(
            &id,
            self.source().unwrap_or(DEFAULT_SOURCE),
            self.kind.as_deref().unwrap_or_default(),
        );
        for (name, value) in named {
            if let Some(value) = value {
                builder = builder.set(name, value);
            }
        }
        for (name, value) in &self.extension {
            builder = builder.set(name, value.as_str());
        }
        let builder = if let Some(data) = data { builder.data(data) } else { builder };
        builder.build().map_err(|error| Error::Usage(error.into()))
    }
}

/// An event in the JSON format from a file.
pub(crate) fn read_event(path: &Path) -> Result<Event, Error> {
    let text = read(path).map_err(Error::Usage)?;
    json::decode(&text)
        .with_context(|| format!("{} holds no event in the JSON format of CloudEvents", path.display()))
        .map_err(Error::Usage)
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(MAX_DATA + 1).read_to_end(&mut bytes).context("read standard input")?
    } else {
        let file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
        file.take(MAX_DATA + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?
    };
    anyhow::ensure!(u64::try_from(read)? <= MAX_DATA, "{}: more than {} MiB", path.display(), MAX_DATA >> 20);
    Ok(bytes.into())
}

/// The media type of data that does not say.
fn guess(data: &[u8]) -> &'static str {
    match std::str::from_utf8(data) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => "application/json",
        Ok(_) => "text/plain",
        Err(_) => "application/octet-stream",
    }
}

/// The same event under another id.
fn with_id(event: &Event, id: &str) -> Result<Event, Error> {
    let mut builder = Event::builder();
    for (name, value) in event.attributes() {
        builder = if name == "id" { builder.set("id", id) } else { builder.set(name, owned(value)) };
    }
    let builder = if let Some(data) = event.data() { builder.data(data.clone()) } else { builder };
    builder.build().map_err(|error| Error::Usage(error.into()))
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Boolean(value) => value.into(),
        ValueRef::Integer(value) => value.into(),
        ValueRef::String(value) => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn event(line: &[&str]) -> Result<Event, Error> {
        let line = Line::try_parse_from([&["send"], line].concat())
            .map_err(|error| Error::usage(error.to_string()))?;
        line.args.event.event(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn flags_make_an_event() {
        let line = [
            "--type",
            "t",
            "--source",
            "/s",
            "--id",
            "1",
            "--subject",
            "x",
            "-e",
            "tenant=a=b",
            "--data",
            "{}",
        ];
        let event = event(&line).unwrap();
        assert_eq!((event.id(), event.source(), event.kind(), event.subject()), ("1", "/s", "t", Some("x")));
        assert_eq!(event.time(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(event.datacontenttype(), Some("application/json"));
        assert_eq!(event.attribute("tenant").unwrap().text(), "a=b");
        assert_eq!(event.data().unwrap().as_ref(), b"{}");
    }

    #[test]
    fn ids_are_random_unless_given() {
        let (one, two) = (event(&["-t", "t"]).unwrap(), event(&["-t", "t"]).unwrap());
        assert_ne!(one.id(), two.id());
        assert_eq!((one.source(), one.data()), (DEFAULT_SOURCE, None));
        assert_eq!(one.datacontenttype(), None);
    }

    #[test]
    fn the_content_type_is_told_from_the_data_unless_given() {
        assert_eq!(event(&["-t", "t", "-d", "[1]"]).unwrap().datacontenttype(), Some("application/json"));
        assert_eq!(event(&["-t", "t", "-d", "hello"]).unwrap().datacontenttype(), Some("text/plain"));
        let given = event(&["-t", "t", "-d", "<a/>", "--content-type", "text/xml"]).unwrap();
        assert_eq!(given.datacontenttype(), Some("text/xml"));
        assert_eq!(guess(&[0xff]), "application/octet-stream");
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            &[][..],
            &["-t", "t", "-e", "x"],
            &["-t", "t", "-e", "Bad_Name=x"],
            &["-t", "t", "--time", "noon"],
            &["-t", "t", "--event", "e.json"],
            &["-t", "t", "-d", "x", "--data-file", "y"],
            &["-t", "t", "--data-file", "/nowhere/at/all"],
            &["-t", "t", "--repeat", "0"],
        ] {
            assert!(matches!(event(line), Err(Error::Usage(_))), "{line:?}");
        }
    }

    #[test]
    fn a_file_holds_a_whole_event() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.json");
        fs::write(&path, r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#)
            .unwrap();
        let read = event(&["--event", path.to_str().unwrap()]).unwrap();
        assert_eq!(read.data().unwrap().as_ref(), br#"{"a":1}"#);
        fs::write(&path, r#"{"id":"1"}"#).unwrap();
        let error = event(&["--event", path.to_str().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("holds no event"), "{error}");
    }

    #[test]
    fn another_id_changes_nothing_else() {
        let one = event(&["-t", "t", "--id", "a", "-e", "tenant=x", "-d", "{}"]).unwrap();
        let two = with_id(&one, "b").unwrap();
        assert_eq!(two.id(), "b");
        assert_eq!(with_id(&two, "a").unwrap(), one);
    }
}
