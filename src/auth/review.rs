//! The questions to the API server: who has this token, and may he do that?

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cache::{Cache, Key};
use super::{Caller, Error, FRESH, Identity, Right, Unavailable};

/// Time for one question, the wait for room included. A client gives up soon after.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions at a time. More are tokens that nobody knows, and the API server must not feel them.
const MAX_QUESTIONS: usize = 64;
/// Answers that are kept of each kind: some hundred bytes each, so a few megabytes at most.
const MAX_ANSWERS: usize = 8192;

/// Asks an API server, and remembers its answers for [`FRESH`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reviews {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    room: Semaphore,
    /// None is an answer, too: somebody who repeats a wrong token is told from here.
    callers: Cache<Option<Caller>>,
    rights: Cache<bool>,
}

impl Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, room: _, callers, rights } = self;
        f.debug_struct("Inner").field("callers", callers).field("rights", rights).finish_non_exhaustive()
    }
}

impl Reviews {
    /// Asks through that client, whose account must be allowed to create both kinds of review.
    pub fn new(client: Client) -> Self {
        Self::keeping(client, MAX_ANSWERS)
    }

    pub(super) fn keeping(client: Client, most: usize) -> Self {
        let room = Semaphore::new(MAX_QUESTIONS);
        let (callers, rights) = (Cache::new(FRESH, most), Cache::new(FRESH, most));
        Self { inner: Arc::new(Inner { client, room, callers, rights }) }
    }

    /// Who has that token, if it is for one of these audiences; for the API server's own, if there are none.
    pub async fn identify(&self, token: &str, audiences: &[String]) -> Result<Caller, Error> {
        let key = hash(&(token, audiences));
        if let Some(known) = self.inner.callers.get(&key) {
            return known.ok_or(Error::Unauthenticated);
        }
        let asked = Instant::now();
        let wanted = (!audiences.is_empty()).then(|| audiences.to_vec());
        let question = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: wanted },
            ..TokenReview::default()
        };
        let caller = identity(self.ask(&question).await?, audiences);
        let caller = caller.map(|identity| Caller { identity: Some(Arc::new(identity)) });
        self.inner.callers.put(key, caller.clone(), asked);
        caller.ok_or(Error::Unauthenticated)
    }

    /// Passes if the caller has one of these rights. The refusal names the first.
    pub async fn check(&self, caller: &Caller, rights: &[Right]) -> Result<(), Error> {
        match caller.identity() {
            Some(identity) => self.allow(identity, rights).await,
            None => Ok(()),
        }
    }

    /// Passes if somebody of that name has one of these rights. The refusal names the first.
    pub async fn allow(&self, identity: &Identity, rights: &[Right]) -> Result<(), Error> {
        for right in rights {
            if self.allows(identity, right).await? {
                return Ok(());
            }
        }
        let words = rights.first().map(|right| right.is_missing_for(&identity.user));
        Err(Error::Forbidden(words.unwrap_or_else(|| "forbidden".to_owned())))
    }

    async fn allows(&self, identity: &Identity, right: &Right) -> Result<bool, Error> {
        let question = question(identity, right);
        let key = hash(&question.spec);
        if let Some(known) = self.inner.rights.get(&key) {
            return Ok(known);
        }
        let asked = Instant::now();
        let status = self.ask(&question).await?.status.unwrap_or_default();
        // One that says no denies, whatever others say.
        let is_denied = status.denied.unwrap_or_default();
        let allowed = status.allowed && !is_denied;
        if let Some(words) =
            status.evaluation_error.filter(|words| !words.is_empty() && !allowed && !is_denied)
        {
            // An authorizer that failed has said neither yes nor no. (What RBAC cannot resolve, it tells as a reason.)
            tracing::warn!(error = words, "an authorizer failed");
            return Err(Error::Unavailable(Unavailable::Authorizer(words)));
        }
        self.inner.rights.put(key, allowed, asked);
        Ok(allowed)
    }

    async fn ask<K>(&self, question: &K) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let answered = async {
            let _permit = self.inner.room.acquire().await.expect("nobody closes the semaphore");
            Api::all(self.inner.client.clone()).create(&PostParams::default(), question).await
        };
        let failure = match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Unavailable::Server(Box::new(error)),
            Err(_) => Unavailable::TimedOut(PATIENCE),
        };
        tracing::warn!(error = &failure as &dyn std::error::Error, "cannot ask who may do what");
        Err(Error::Unavailable(failure))
    }
}

/// Who it is, if the review says that somebody is, for one of those audiences.
fn identity(review: TokenReview, audiences: &[String]) -> Option<Identity> {
    let status = review.status?;
    if !status.authenticated.unwrap_or_default() {
        return None;
    }
    let mut granted = status.audiences.unwrap_or_default();
    if !audiences.is_empty() {
        granted.retain(|one| audiences.contains(one));
        // An authenticator that knows nothing of audiences names none: it has not looked at ours.
        if granted.is_empty() {
            return None;
        }
    }
    let user = status.user?;
    Some(Identity {
        user: user.username.filter(|name| !name.is_empty())?,
        uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
        audiences: granted,
    })
}

fn question(identity: &Identity, right: &Right) -> SubjectAccessReview {
    let Identity { user, uid, groups, extra, audiences: _ } = identity;
    let Right { verb, group, resource, subresource, namespace, name } = right;
    let some = |word: &str| Some(word.to_owned()).filter(|word| !word.is_empty());
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: some(user),
            uid: uid.clone(),
            groups: Some(groups.clone()),
            extra: Some(extra.clone()).filter(|extra| !extra.is_empty()),
            resource_attributes: Some(ResourceAttributes {
                verb: some(verb.as_str()),
                group: some(group),
                version: some("*"),
                resource: some(resource),
                subresource: some(subresource),
                namespace: some(namespace),
                name: some(name),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// Text has one JSON form, and maps are sorted: equal questions have equal hashes.
fn hash(question: &impl Serialize) -> Key {
    let text = serde_json::to_vec(question).expect("text and lists have a JSON form");
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}
