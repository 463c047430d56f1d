//! Accepting a run: one create.
//!
//! The name follows from the event, so a create that is sent twice, or whose answer was lost, finds its own work and
//! says so. Nothing is written before and nothing has to be written after: the Execution holds everything.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use super::error::Error;
use crate::api::{ANNOTATION_ACCEPTED, ANNOTATION_DIGEST, Execution, FIELD_MANAGER};
use crate::plan::Planned;

/// How long one accept may take with everything it asks. Senders give up after 10 to 30 s; an answer must come before.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often one name is tried when its holder vanishes between our create and our look at it.
const TRIES: usize = 3;

/// What became of a planned run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Name of the Execution that stands for it.
    pub execution: String,
    /// Whether it is new.
    pub outcome: Outcome,
}

/// Whether an accepted run is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This call created it.
    Created,
    /// An earlier one did: the event is a repeated one.
    Duplicate,
}

/// Creates the planned Execution, or finds that it is there already.
///
/// One request when the event is new, two when it is not. An error that [`Error::is_transient`] may leave the Execution
/// created; the same call made again then answers [`Outcome::Duplicate`].
pub async fn accept(client: &Client, planned: &Planned) -> Result<Accepted, Error> {
    match tokio::time::timeout(DEADLINE, create(client, planned)).await {
        Ok(result) => result,
        Err(_) => Err(Error::TimedOut { seconds: DEADLINE.as_secs() }),
    }
}

/// The Execution that stands for the planned one already, if there is one: whoever repeats itself is told so, whatever is
/// done with newcomers.
pub async fn find(client: &Client, planned: &Planned) -> Result<Option<Accepted>, Error> {
    match tokio::time::timeout(DEADLINE, look_for(client, planned)).await {
        Ok(result) => result,
        Err(_) => Err(Error::TimedOut { seconds: DEADLINE.as_secs() }),
    }
}

async fn look_for(client: &Client, planned: &Planned) -> Result<Option<Accepted>, Error> {
    let api: Api<Execution> = Api::namespaced(client.clone(), planned.namespace());
    for name in planned.names() {
        match holder(&api, name).await? {
            // It would have been created here.
            Holder::Nobody => return Ok(None),
            Holder::Digest(digest) if Some(digest.as_str()) == planned.digest() => {
                return Ok(Some(Accepted { execution: name.clone(), outcome: Outcome::Duplicate }));
            }
            Holder::Digest(_) | Holder::Other => {}
        }
    }
    Ok(None)
}

async fn create(client: &Client, planned: &Planned) -> Result<Accepted, Error> {
    let api: Api<Execution> = Api::namespaced(client.clone(), planned.namespace());
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for name in planned.names() {
        let mut execution = planned.named(name);
        let annotations = execution.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_ACCEPTED.to_owned(), format!("{:.6}", Timestamp::now()));
        for _ in 0..TRIES {
            match api.create(&parameters, &execution).await {
                Ok(_) => return Ok(Accepted { execution: name.clone(), outcome: Outcome::Created }),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(Error::of::<Execution>(error, name)),
            }
            match holder(&api, name).await? {
                Holder::Nobody => {}
                Holder::Digest(digest) if Some(digest.as_str()) == planned.digest() => {
                    return Ok(Accepted { execution: name.clone(), outcome: Outcome::Duplicate });
                }
                Holder::Digest(_) | Holder::Other => break,
            }
        }
    }
    let job = planned.named("").spec.job.name;
    Err(Error::NamesTaken { job })
}

/// Who has a name.
enum Holder {
    /// Nobody any more.
    Nobody,
    /// The run of an event.
    Digest(String),
    /// Something without a digest.
    Other,
}

async fn holder(api: &Api<Execution>, name: &str) -> Result<Holder, Error> {
    let found = api.get_metadata_opt(name).await.map_err(|error| Error::of::<Execution>(error, name))?;
    let Some(found) = found else { return Ok(Holder::Nobody) };
    let digest = found.metadata.annotations.and_then(|mut annotations| annotations.remove(ANNOTATION_DIGEST));
    Ok(digest.map_or(Holder::Other, Holder::Digest))
}
