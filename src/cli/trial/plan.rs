//! What a trial does, decided before anything starts: what is applied, which event is sent, and where.

use std::path::PathBuf;

use bytes::Bytes;

use crate::cli::Error;
use crate::cli::manifests::{self, Manifest};
use crate::cli::send::read_event;
use crate::event::{Event, json};

/// The built-in manifests.
pub(super) const SAMPLE: &str = include_str!("sample.yaml");
/// The built-in event.
pub(super) const ORDER: &str = include_str!("order.json");

/// What is asked for on the command line.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    /// Manifests.
    pub(super) filename: &'a [PathBuf],
    /// The event.
    pub(super) event: Option<&'a PathBuf>,
    /// The Job to run whatever the Triggers say.
    pub(super) job: Option<&'a str>,
}

/// A trial.
#[derive(Debug)]
pub(super) struct Trial {
    /// What is applied.
    pub(super) manifests: Vec<Manifest>,
    /// How the run comes about.
    pub(super) start: Start,
    /// The namespace that the Job or the Triggers name themselves.
    pub(super) namespace: Option<String>,
}

/// How the run of a trial comes about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The event is sent to the namespace's Triggers.
    Triggers(Event),
    /// The event is sent to that Job.
    Address(Event, String),
    /// That Job is run by hand.
    Manual(String),
}

impl Trial {
    /// Answers every question that the command line leaves open.
    pub(super) fn new(asked: &Asked<'_>) -> Result<Self, Error> {
        let Asked { filename, event, job } = *asked;
        let event = event.map(|path| read_event(path)).transpose()?;
        if filename.is_empty() {
            let mut manifests = Vec::new();
            manifests::parse("the built-in sample", SAMPLE, &mut manifests).map_err(Error::Failed)?;
            let built_in = || json::decode(&Bytes::from_static(ORDER.as_bytes()));
            let event = event.map_or_else(built_in, Ok).map_err(|error| Error::Failed(error.into()))?;
            return Ok(Self {
                manifests,
                start: start(Some(event), job.map(str::to_owned)),
                namespace: None,
            });
        }
        let manifests = manifests::read(filename)?;
        let named = |kind: &str| -> Vec<String> {
            let ours = manifests.iter().filter(|manifest| is_ours(manifest, kind));
            ours.filter_map(|manifest| manifest.object["metadata"]["name"].as_str().map(str::to_owned))
                .collect()
        };
        let (jobs, triggers) = (named("Job"), named("Trigger"));
        let only = match (job, jobs.as_slice()) {
            (Some(job), jobs) if jobs.iter().any(|known| known == job) => Some(job.to_owned()),
            (Some(job), _) => return Err(Error::usage(format!("no Job {job} is among the manifests"))),
            (None, []) => return Err(Error::usage("no Job of run.kakehi.dev is among the manifests")),
            // Triggers decide, where there are some and an event to decide about.
            (None, _) if event.is_some() && !triggers.is_empty() => None,
            (None, [only]) => Some(only.clone()),
            (None, several) => {
                let list = several.join(", ");
                return Err(Error::usage(format!(
                    "several Jobs are among the manifests; say which with --job: {list}"
                )));
            }
        };
        let decisive = manifests.iter().find(|manifest| match &only {
            Some(job) => is_ours(manifest, "Job") && manifest.object["metadata"]["name"] == job.as_str(),
            None => is_ours(manifest, "Trigger"),
        });
        let namespace = decisive.and_then(|manifest| manifest.object["metadata"]["namespace"].as_str());
        let namespace = namespace.map(str::to_owned);
        Ok(Self { manifests, start: start(event, only), namespace })
    }
}

fn start(event: Option<Event>, job: Option<String>) -> Start {
    match (event, job) {
        (Some(event), None) => Start::Triggers(event),
        (Some(event), Some(job)) => Start::Address(event, job),
        (None, job) => Start::Manual(job.unwrap_or_default()),
    }
}

/// Whether a manifest is of that kind of ours; a `batch/v1` Job is not.
pub(crate) fn is_ours(manifest: &Manifest, kind: &str) -> bool {
    let group = manifest.object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
    manifest.object["kind"] == kind && group.is_some_and(|(group, _)| group == crate::api::GROUP)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::api::{Job, Trigger};

    const JOB: &str = "apiVersion: run.kakehi.dev/v1alpha1\nkind: Job\nmetadata: {name: NAME}\n---\n";
    const TRIGGER: &str = "apiVersion: run.kakehi.dev/v1alpha1\nkind: Trigger\nmetadata: {name: t}\n---\n";
    const BATCH: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: b}\n---\n";

    fn asked(text: &str, event: bool, job: Option<&str>) -> Result<Start, String> {
        let dir = tempfile::tempdir().unwrap();
        let (manifests, order) = (dir.path().join("m.yaml"), dir.path().join("e.json"));
        fs::write(&manifests, text).unwrap();
        fs::write(&order, ORDER).unwrap();
        let asked = Asked { filename: &[manifests], event: event.then_some(&order), job };
        Trial::new(&asked).map(|trial| trial.start).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sample_is_a_job_and_a_trigger_of_ours() {
        let trial = Trial::new(&Asked::default()).unwrap();
        let [job, trigger] = trial.manifests.as_slice() else { panic!("{:?}", trial.manifests) };
        let job: Job = serde_json::from_value(job.object.clone()).unwrap();
        let trigger: Trigger = serde_json::from_value(trigger.object.clone()).unwrap();
        assert_eq!(Some(trigger.spec.job.name.as_str()), job.metadata.name.as_deref());
        assert!(matches!(&trial.start, Start::Triggers(event) if event.id() == "1001"));
    }

    #[test]
    fn triggers_decide_where_there_are_some() {
        let both = format!("{}{TRIGGER}", JOB.replace("NAME", "a"));
        assert!(matches!(asked(&both, true, None), Ok(Start::Triggers(_))));
        assert!(matches!(asked(&both, true, Some("a")), Ok(Start::Address(_, job)) if job == "a"));
        assert_eq!(asked(&both, false, None), Ok(Start::Manual("a".to_owned())));
    }

    #[test]
    fn a_single_job_needs_no_trigger() {
        let one = format!("{BATCH}{}", JOB.replace("NAME", "a"));
        assert!(matches!(asked(&one, true, None), Ok(Start::Address(_, job)) if job == "a"));
        assert_eq!(asked(&one, false, None), Ok(Start::Manual("a".to_owned())));
    }

    #[test]
    fn what_is_not_clear_is_asked() {
        let two = format!("{}{}", JOB.replace("NAME", "a"), JOB.replace("NAME", "b"));
        assert!(asked(&two, true, None).unwrap_err().contains("--job: a, b"));
        assert!(asked(&two, true, Some("c")).unwrap_err().contains("no Job c"));
        assert_eq!(asked(&two, false, Some("b")), Ok(Start::Manual("b".to_owned())));
        assert!(asked(BATCH, true, None).unwrap_err().contains("no Job of run.kakehi.dev"));
    }
}
