//! `kakehi list`: objects as tables, and as they change.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connect::{Connected, connect};
use super::kinds::{Kind, job_name};
use super::output::{FAINT, Format, Output, Rows, paint};
use super::rows;
use super::{Error, Exit, Global};
use crate::api::{Execution, Job, LABEL_JOB, Trigger};
use crate::ops;

/// List jobs, executions or triggers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kakehi list                      executions of the namespace, the newest first
  kakehi list jobs -A
  kakehi list executions --job resize -w
  kakehi list triggers -o yaml")]
pub(crate) struct Args {
    /// What to list: jobs, executions or triggers
    #[arg(value_name = "KIND", default_value = "executions")]
    kind: Kind,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only what belongs to this Job
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    job: Option<String>,
    /// Only what has these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Go on and show every change
    #[arg(short, long)]
    watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Leave out the heading of the table
    #[arg(long)]
    no_headers: bool,
}

/// Lists what was asked for.
pub(crate) async fn run(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    match args.kind {
        Kind::Job => {
            let shown = Shown { heading: rows::JOB, row: rows::job, job: |job: &Job| job.name_any() };
            View { args, shown, output }.list(&connected).await
        }
        Kind::Execution => {
            let job = |execution: &Execution| execution.spec.job.name.clone();
            let shown = Shown { heading: rows::EXECUTION, row: rows::execution, job };
            View { args, shown, output }.list(&connected).await
        }
        Kind::Trigger => {
            let job = |trigger: &Trigger| trigger.spec.job.name.clone();
            let shown = Shown { heading: rows::TRIGGER, row: rows::trigger, job };
            View { args, shown, output }.list(&connected).await
        }
    }
}

/// How a kind is shown, and which Job an object belongs to.
#[derive(Debug, Clone, Copy)]
struct Shown<K> {
    heading: &'static [&'static str],
    row: fn(&K, Timestamp) -> Vec<String>,
    job: fn(&K) -> String,
}

/// A listing: what is asked, how it is shown, and where.
#[derive(Debug)]
struct View<'a, K> {
    args: &'a Args,
    shown: Shown<K>,
    output: &'a Output,
}

impl<K> View<'_, K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    async fn list(&self, connected: &Connected) -> Result<Exit, Error> {
        let namespace = (!self.args.all_namespaces).then_some(connected.namespace.as_str());
        let selector = Some(self.selector()).filter(|selector| !selector.is_empty());
        let listed: Result<Vec<K>, _> = ops::list(&connected.client, namespace, selector.as_deref()).await;
        let mut objects = listed.map_err(|error| connected.failed(error))?;
        objects.retain(|object| self.wanted(object));
        if self.args.output == Format::Table {
            // The newest first: that is the one somebody just asked for. A watch ends with it instead.
            objects.sort_by_key(|object| Reverse(rows::created(object)));
        }
        if self.args.watch {
            objects.reverse();
            let client = connected.client.clone();
            let api = namespace
                .map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
            return self.follow(api, objects, connected).await;
        }
        if self.args.output == Format::Table && objects.is_empty() {
            let place = if self.args.all_namespaces { "any namespace" } else { &connected.namespace };
            self.output.note(format!("no {}s found in {place}", self.args.kind));
            return Ok(Exit::Success);
        }
        self.print(&objects)?;
        Ok(Exit::Success)
    }

    /// Prints what there is, then each object again whenever it changes, until interrupted.
    async fn follow(&self, api: Api<K>, first: Vec<K>, connected: &Connected) -> Result<Exit, Error> {
        let config = watcher::Config::default().labels(&self.selector());
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut shown: HashMap<String, K> = HashMap::new();
        let mut floor = Vec::new();
        if self.args.output == Format::Table && !first.is_empty() {
            let table = self.table(&first);
            self.output.text(&table.render(!self.args.no_headers))?;
            floor = table.widths();
        } else {
            self.print_each(&first)?;
        }
        shown.extend(first.into_iter().map(|object| (key(&object), object)));
        while let Some(event) = events.next().await {
            let object = match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) if self.wanted(&object) => object,
                Ok(Event::Delete(object)) => {
                    shown.remove(&key(&object));
                    continue;
                }
                Ok(_) => continue,
                Err(error) => {
                    self.output.note(paint(
                        FAINT,
                        format!("the watch of {} broke, trying again: {error}", connected.server),
                    ));
                    continue;
                }
            };
            let version = object.resource_version();
            if shown.get(&key(&object)).is_some_and(|known| known.resource_version() == version) {
                continue;
            }
            if self.args.output == Format::Table {
                let mut table = self.table(std::slice::from_ref(&object));
                table.widen(&floor);
                self.output.text(&table.render(floor.is_empty() && !self.args.no_headers))?;
                floor = table.widths();
            } else {
                self.print_each(std::slice::from_ref(&object))?;
            }
            shown.insert(key(&object), object);
        }
        Ok(Exit::Success)
    }

    /// What the server is asked for. Executions carry their Job as a label; the other kinds are few and filtered here.
    fn selector(&self) -> String {
        let job = match (self.args.kind, &self.args.job) {
            (Kind::Execution, Some(job)) => Some(format!("{LABEL_JOB}={job}")),
            _ => None,
        };
        let parts: Vec<String> = self.args.selector.iter().cloned().chain(job).collect();
        parts.join(",")
    }

    fn wanted(&self, object: &K) -> bool {
        self.args.job.as_ref().is_none_or(|job| (self.shown.job)(object) == *job)
    }

    fn print(&self, objects: &[K]) -> Result<(), Error> {
        match self.args.output {
            Format::Table => self.output.text(&self.table(objects).render(!self.args.no_headers))?,
            format => self.output.list(format, &values(objects)?)?,
        }
        Ok(())
    }

    /// One document per object: what comes later cannot go into a list that is already printed.
    fn print_each(&self, objects: &[K]) -> Result<(), Error> {
        for value in values(objects)? {
            self.output.object(self.args.output, &value)?;
        }
        Ok(())
    }

    fn table(&self, objects: &[K]) -> Rows {
        let now = Timestamp::now();
        let mut heading = self.shown.heading.to_vec();
        if self.args.all_namespaces {
            heading.insert(0, "NAMESPACE");
        }
        let mut table = Rows::new(&heading);
        for object in objects {
            let mut row = (self.shown.row)(object, now);
            if self.args.all_namespaces {
                row.insert(0, object.namespace().unwrap_or_default());
            }
            table.push(row);
        }
        table
    }
}

fn key(object: &impl Resource<DynamicType = ()>) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// The objects for programs, without the book-keeping of field owners, which kubectl leaves out too.
pub(crate) fn values<K: Serialize>(objects: &[K]) -> Result<Vec<Value>, Error> {
    let values = objects.iter().map(|object| {
        let mut value = serde_json::to_value(object)?;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        Ok(value)
    });
    values.collect::<Result<_, serde_json::Error>>().map_err(|error| Error::Failed(error.into()))
}
