//! Who may send events, where senders have to say who they are: as Knative's OIDC has it.
//!
//! A token is for one audience: that of the Job that it is sent to, which the Job publishes in its address, or that of a
//! namespace's Triggers. A token for one Job is worth nothing at another. Accounts of the same namespace may send, which is
//! Knative's own rule where no policy says otherwise; and so may whoever Kubernetes lets create Executions there, because
//! that is what an event does.
//!
//! Where an `EventPolicy` of Knative is about the Job, its word stands in the place of that rule; see [`super::policies`].
//!
//! All of this is known from the head of a request, but which events a policy lets pass. Nothing is read of a body that nobody vouches
//! for.

use axum::http::HeaderMap;

use super::Doorkeeper;
use super::Sink;
use super::answer::Refusal;
use super::policies::Grant;
use super::policies::Verdict;
use crate::api;
use crate::auth;
use crate::auth::Caller;
use crate::auth::Right;
use crate::auth::Verb;
use crate::event::Event;
use crate::plan::Prepared;

/// What somebody asks for, and what it takes.
pub(super) struct Ask<'a> {
    pub(super) namespace: &'a str,
    /// For whom his token may be.
    audiences: Vec<String>,
    /// What takes him there who is not of that namespace.
    right: Right,
}

impl<'a> Ask<'a> {
    /// To send an event to a Job, or to the Triggers of a namespace.
    pub(super) fn to_send(namespace: &'a str, job: Option<&str>) -> Self {
        let audience = match job {
            Some(job) => api::job_audience(namespace, job),
            None => api::namespace_audience(namespace),
        };
        Self { namespace, audiences: vec![audience], right: Right::to(Verb::Create, "executions", namespace) }
    }

    /// To see how a run is doing: for whoever may have started it.
    pub(super) fn to_see(namespace: &'a str, execution: &str) -> Self {
        let mut audiences = vec![api::namespace_audience(namespace)];
        audiences.extend(job_of(execution).map(|job| api::job_audience(namespace, job)));
        let right = Right::to(Verb::Get, "executions", namespace).named(execution);
        Self { namespace, audiences, right }
    }
}

/// The Job of a run that was named by us.
pub(super) fn job_of(execution: &str) -> Option<&str> {
    execution.rsplit_once('-').map(|(job, _)| job)
}

/// Whether whoever has that token may see a run of that Job: with one for a Job, only its own.
pub(super) fn may_see(caller: Option<&Caller>, namespace: &str, job: &str) -> bool {
    let Some(identity) = caller.and_then(Caller::identity) else { return true };
    let wanted = [api::namespace_audience(namespace), api::job_audience(namespace, job)];
    identity.audiences.iter().any(|one| wanted.contains(one))
}

/// Somebody who may send events.
pub(super) struct Sender {
    caller: Caller,
    /// What takes him there whatever policies say.
    right: Right,
    /// The policies that let him send something; none if he may send everything.
    grants: Option<Vec<Grant>>,
}

impl Sink {
    /// Lets a sender in; everybody, and as nobody, where nobody has to say who he is.
    pub(super) async fn admit_sender(
        &self,
        headers: &HeaderMap,
        namespace: &str,
        job: Option<&str>,
    ) -> Result<Option<Sender>, Refusal> {
        let Some(Doorkeeper { reviews, policies }) = &self.inner.doorkeeper else { return Ok(None) };
        let Ask { namespace, audiences, right } = Ask::to_send(namespace, job);
        let caller = reviews.identify(auth::bearer(headers)?, &audiences).await?;
        let user = caller.identity().map_or("", |identity| &identity.user);
        let job = match job {
            Some(job) => self.inner.triggers.job(namespace, job).await?,
            None => None,
        };
        let grants = match policies.ask(namespace, job.as_deref().map(Prepared::job), user)? {
            Verdict::Grants(grants) => Some(grants),
            Verdict::Silent if is_of(&caller, namespace) => None,
            Verdict::Silent => {
                reviews.check(&caller, std::slice::from_ref(&right)).await?;
                None
            }
            Verdict::Refuses => {
                reviews.check(&caller, std::slice::from_ref(&right)).await.map_err(no_policy)?;
                None
            }
        };
        Ok(Some(Sender { caller, right, grants }))
    }

    /// Passes if the sender may send that event.
    pub(super) async fn admit_event(&self, sender: &Sender, event: &Event) -> Result<(), Refusal> {
        let (Some(grants), Some(doorkeeper)) = (&sender.grants, &self.inner.doorkeeper) else {
            return Ok(());
        };
        if grants.iter().any(|grant| grant.lets(event)) {
            return Ok(());
        }
        let right = std::slice::from_ref(&sender.right);
        doorkeeper.reviews.check(&sender.caller, right).await.map_err(no_policy)
    }

    /// Lets somebody in who may ask for that; everybody, and as nobody, where nobody has to say who he is.
    pub(super) async fn admit(&self, headers: &HeaderMap, ask: &Ask<'_>) -> Result<Option<Caller>, Refusal> {
        let Some(Doorkeeper { reviews, policies: _ }) = &self.inner.doorkeeper else { return Ok(None) };
        let caller = reviews.identify(auth::bearer(headers)?, &ask.audiences).await?;
        if !is_of(&caller, ask.namespace) {
            reviews.check(&caller, std::slice::from_ref(&ask.right)).await?;
        }
        Ok(Some(caller))
    }
}

/// Whether it is an account of that namespace.
fn is_of(caller: &Caller, namespace: &str) -> bool {
    let home = format!("system:serviceaccount:{namespace}:");
    caller.identity().is_some_and(|identity| identity.user.starts_with(&home))
}

/// What somebody is told whom no policy lets pass, and no right.
fn no_policy(error: auth::Error) -> Refusal {
    match Refusal::from(error) {
        Refusal::Forbidden(words) => {
            Refusal::Forbidden(format!("no EventPolicy lets this pass, and {words}"))
        }
        other => other,
    }
}

impl From<auth::Error> for Refusal {
    fn from(error: auth::Error) -> Self {
        use auth::Error;
        match &error {
            Error::Missing | Error::Unauthenticated => Refusal::Unauthenticated(error.to_string()),
            Error::Forbidden(words) => Refusal::Forbidden(words.clone()),
            // What an event is sent again for: nobody may lose one because we could not ask.
            Error::Unavailable(_) => Refusal::Unavailable(error.to_string()),
        }
    }
}
