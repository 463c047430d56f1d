//! What would happen: by the Triggers and Jobs of a server, or of files.
//!
//! Files are applied to a server in this process, which refuses what `kakehi apply` would be refused, and adds the same
//! defaults. Nothing runs in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::{Args, encoded, exit, names, tree};
use crate::api::{self, Job, Trigger};
use crate::cli::apply::apply_all;
use crate::cli::connect::{Connected, connect};
use crate::cli::list::values;
use crate::cli::manifests::{self, Manifest};
use crate::cli::output::{FAINT, Format, Output, paint};
use crate::cli::trial::is_ours;
use crate::cli::{Error, Exit, Global};
use crate::event::Event;
use crate::local::server::{self, Server};
use crate::local::store::{self, Store};
use crate::ops;
use crate::plan::{self, Planned, Prepared};
use crate::sink::{Rehearsal, Stage};
use crate::triggers::LiveTrigger;

/// Stands for a uid that only a server gives.
const PLACEHOLDER: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn explain(
    args: &Args,
    global: &Global,
    output: &Output,
    event: &Event,
) -> Result<Exit, Error> {
    let stage = if args.filename.is_empty() {
        stage(&connect(global).await?, None).await?
    } else {
        in_files(args, global).await?
    };
    let Rehearsal { mut decision, planned } = stage.rehearse(event, args.job.as_deref());
    if let Some(name) = &args.trigger {
        decision.triggers.retain(|verdict| verdict.trigger == *name);
    }
    let objects = if args.objects { objects(&planned)? } else { Vec::new() };
    match args.output {
        Format::Table => {
            output.text(&tree::decision(&decision))?;
            objects.iter().try_for_each(|object| output.object(Format::Yaml, object))?;
            if stage.triggers.is_empty() && args.job.is_none() {
                output.note(paint(FAINT, format!("there is no trigger in namespace {}", stage.namespace)));
            }
            if !args.filename.is_empty() && stage.jobs.is_empty() {
                output.note(paint(FAINT, "there is no job in the files: name those with -f, too"));
            } else if !args.filename.is_empty() && !planned.is_empty() {
                output.note(paint(
                    FAINT,
                    "jobs in files have no uid, so runs are called otherwise in a cluster",
                ));
            }
        }
        Format::Name => names(output, std::slice::from_ref(&decision))?,
        format @ (Format::Json | Format::Yaml) => {
            let mut value = encoded(&decision)?;
            if args.objects {
                value["objects"] = Value::from(objects);
            }
            output.object(format, &value)?;
        }
    }
    Ok(exit(std::slice::from_ref(&decision)))
}

/// What a server has; `uid` takes the place of the Jobs' own.
async fn stage(connected: &Connected, uid: Option<&str>) -> Result<Stage, Error> {
    let Connected { client, namespace, .. } = connected;
    let failed = |error| connected.failed(error);
    let triggers: Vec<DeserializeGuard<Trigger>> =
        ops::list(client, Some(namespace), None).await.map_err(failed)?;
    let jobs: Vec<DeserializeGuard<Job>> = ops::list(client, Some(namespace), None).await.map_err(failed)?;
    let is_there = |trigger: &&DeserializeGuard<Trigger>| {
        use kube::Resource as _;
        trigger.meta().deletion_timestamp.is_none()
    };
    let mut triggers: Vec<Arc<LiveTrigger>> =
        triggers.iter().filter(is_there).map(|trigger| Arc::new(LiveTrigger::new(trigger))).collect();
    triggers.sort_by(|one, other| one.name.cmp(&other.name));
    let mut known = BTreeMap::new();
    for mut job in jobs.into_iter().filter_map(|job| job.0.ok()) {
        job.metadata.managed_fields = None;
        if let Some(uid) = uid {
            job.metadata.uid = Some(uid.to_owned());
        }
        known.insert(job.metadata.name.clone().unwrap_or_default(), Prepared::new(job));
    }
    Ok(Stage { namespace: namespace.clone(), triggers, jobs: known })
}

/// What files hold, read as a server would.
async fn in_files(args: &Args, global: &Global) -> Result<Stage, Error> {
    let mut manifests = manifests::read(&args.filename)?;
    manifests.retain(|manifest| is_ours(manifest, "Trigger") || is_ours(manifest, "Job"));
    if manifests.is_empty() {
        return Err(Error::usage("no Trigger and no Job of run.kakehi.dev is among the manifests"));
    }
    let namespace = namespace(&manifests, global, args.job.as_deref());
    let store = Store::open(store::Options::memory()).map_err(|error| Error::Failed(error.into()))?;
    let server = Server::new(store, api::crds(), server::Options::default());
    let server = server.map_err(|error| Error::Failed(error.into()))?;
    let connected = Connected::local(Client::new(server.router(), &namespace), &namespace);
    // What it refuses somebody wrote.
    let applied = apply_all(&connected.client, &namespace, &manifests, |_| Ok(())).await;
    applied.map_err(|error| match error {
        Error::Failed(source) => Error::Usage(source),
        other => other,
    })?;
    stage(&connected, Some(PLACEHOLDER)).await
}

/// The namespace that is meant: the one that is said, or else what decides, the first Trigger or the Job, names its own.
fn namespace(manifests: &[Manifest], global: &Global, job: Option<&str>) -> String {
    let decisive = manifests.iter().find(|manifest| match job {
        Some(job) => is_ours(manifest, "Job") && manifest.object["metadata"]["name"] == job,
        None => is_ours(manifest, "Trigger"),
    });
    let own = decisive.and_then(|manifest| manifest.object["metadata"]["namespace"].as_str());
    match (&global.namespace, own) {
        (None, Some(own)) => own.to_owned(),
        _ => global.namespace_or_default().to_owned(),
    }
}

/// Everything that would be created, each Execution before what follows from it.
fn objects(planned: &[Planned]) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for planned in planned {
        let name = planned.names().first().map(String::as_str).unwrap_or_default();
        let execution = planned.named(name);
        let mut stored = execution.clone();
        stored.metadata.uid = Some(PLACEHOLDER.to_owned());
        let files = plan::files(&stored).map_err(|error| Error::Failed(error.into()))?;
        all.extend(values(&[execution])?);
        all.extend(values(&files)?);
        all.extend(values(&[plan::task_set(&stored)])?);
    }
    for object in &mut all {
        // Nobody has looked after any of them yet.
        if let Some(members) = object.as_object_mut()
            && members.get("status").is_none_or(|status| *status == json!(null))
        {
            members.remove("status");
        }
    }
    Ok(all)
}
