//! Brings a Pod's state to the API server: one writer per Pod, which sends the newest state and skips those it missed.
//!
//! Every request is repeated until the API server took it or the Pod is gone; the pauses grow. All Pods share a bounded number of requests.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::local::runner::backoff::Backoff;
use crate::local::runner::context::Context;
use crate::local::runner::state::PodState;
use crate::local::runner::status;

/// Pauses between tries: short for a conflict, at most this long while the API server is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long the ends of Pods are reported after the runner was told to stop. What is not reported by then is reported at the next start.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What became of one status.
enum Sent {
    Stored,
    /// There is a newer one.
    Superseded,
    /// There is no such Pod any more.
    Gone,
}

/// Writes about one Pod.
pub(super) struct Reporter<'a> {
    pub(super) context: &'a Context,
    pub(super) pod: &'a Pod,
}

impl Reporter<'_> {
    /// Reports every state but the first until the finished one is stored or the Pod is gone (`gone` completes).
    pub(super) async fn run(&self, states: &mut watch::Receiver<PodState>, gone: impl Future<Output = ()>) {
        let work = async {
            let mut conditions = self.conditions();
            let mut sent = Value::Null;
            loop {
                let (next, finished) = self.render(&states.borrow_and_update(), &conditions);
                let mut value = serde_json::to_value(&next).unwrap_or_default();
                if value != sent {
                    let patch = clearing(value.clone(), next.conditions.as_deref(), &conditions);
                    match self.send(&patch, states).await {
                        Sent::Stored => {
                            conditions = next.conditions.unwrap_or_default();
                            sent = value.take();
                        }
                        Sent::Superseded => continue,
                        Sent::Gone => return,
                    }
                }
                if finished || states.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = gone => {}
            () = self.too_late() => {}
        }
    }

    fn render(
        &self,
        state: &PodState,
        conditions: &[PodCondition],
    ) -> (k8s_openapi::api::core::v1::PodStatus, bool) {
        let address = &self.context.host.node.address;
        (status::build(self.pod, state, conditions, address, Timestamp::now()), state.finished)
    }

    fn conditions(&self) -> Vec<PodCondition> {
        self.pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
    }

    /// Sends a status. Gives way to a newer state when the API server does not take this one.
    async fn send(&self, value: &Value, states: &mut watch::Receiver<PodState>) -> Sent {
        // The uid keeps a Pod of the same name that came later out of this.
        let patch = Patch::Strategic(json!({ "metadata": { "uid": self.uid() }, "status": value }));
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let tried = self.patch(&patch).await;
            match tried {
                Ok(()) => return Sent::Stored,
                Err(error) if is(&error, 404) => return Sent::Gone,
                Err(error) => {
                    let (namespace, name) = self.names();
                    tracing::debug!(
                        namespace,
                        pod = name,
                        error = &error as &dyn std::error::Error,
                        "status not stored"
                    );
                }
            }
            let pause = backoff.next();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = states.changed() => return Sent::Superseded,
            }
        }
    }

    /// Writes a status once.
    pub(super) async fn patch(&self, patch: &Patch<Value>) -> Result<(), kube::Error> {
        let permit = self.context.writes.acquire().await;
        let answer = self.api().patch_status(self.names().1, &PatchParams::default(), patch).await;
        drop(permit);
        answer.map(drop)
    }

    /// Lets a deleted Pod go, now that nothing of it runs.
    pub(super) async fn release(&self) {
        let preconditions = Preconditions { uid: Some(self.uid().to_owned()), resource_version: None };
        let now = DeleteParams::default().grace_period(0).preconditions(preconditions);
        let work = async {
            let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
            loop {
                let permit = self.context.writes.acquire().await;
                let answer = self.api().delete(self.names().1, &now).await;
                drop(permit);
                match answer {
                    // A conflict: the name belongs to another Pod by now.
                    Ok(_) => return,
                    Err(error) if is(&error, 404) || is(&error, 409) => return,
                    Err(error) => {
                        let (namespace, name) = self.names();
                        tracing::debug!(
                            namespace,
                            pod = name,
                            error = &error as &dyn std::error::Error,
                            "pod not deleted"
                        );
                    }
                }
                tokio::time::sleep(backoff.next()).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = self.too_late() => {}
        }
    }

    async fn too_late(&self) {
        self.context.shutdown.cancelled().await;
        tokio::time::sleep(self.context.options.shutdown_grace + LAST_WORDS).await;
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), self.names().0)
    }

    pub(super) fn names(&self) -> (&str, &str) {
        let metadata = &self.pod.metadata;
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }

    fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// Names what a condition no longer says. A strategic merge patch merges conditions by type, so what is only left out would stay.
fn clearing(mut status: Value, now: Option<&[PodCondition]>, before: &[PodCondition]) -> Value {
    let written = status.get_mut("conditions").and_then(Value::as_array_mut);
    for (condition, written) in now.unwrap_or_default().iter().zip(written.into_iter().flatten()) {
        let Some(before) = before.iter().find(|known| known.type_ == condition.type_) else { continue };
        if condition.reason.is_none() && before.reason.is_some() {
            written["reason"] = Value::Null;
        }
        if condition.message.is_none() && before.message.is_some() {
            written["message"] = Value::Null;
        }
    }
    status
}

/// Whether the API server answered with this status code.
pub(super) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, reason: Option<&str>) -> PodCondition {
        let text = reason.map(str::to_owned);
        PodCondition {
            type_: type_.to_owned(),
            reason: text.clone(),
            message: text,
            ..PodCondition::default()
        }
    }

    #[test]
    fn what_a_condition_no_longer_says_is_cleared() {
        let before = [condition("Ready", Some("NotYet")), condition("Other", None)];
        let now = [condition("Ready", None), condition("Other", None), condition("New", None)];
        let status = json!({ "conditions": now });
        let patch = clearing(status.clone(), Some(&now), &before);
        assert_eq!(patch["conditions"][0]["reason"], Value::Null);
        assert!(patch["conditions"][0].as_object().unwrap().contains_key("message"));
        assert_eq!(patch["conditions"][1], status["conditions"][1]);
        assert_eq!(patch["conditions"][2], status["conditions"][2]);
    }

    #[test]
    fn what_a_condition_says_now_replaces_what_it_said() {
        let (before, now) = ([condition("Ready", Some("Old"))], [condition("Ready", Some("New"))]);
        let status = json!({ "conditions": now });
        assert_eq!(clearing(status.clone(), Some(&now), &before), status);
    }

    #[test]
    fn only_the_api_servers_own_answer_counts() {
        let error = kube::Error::Api(kube::core::Status::failure("gone", "NotFound").with_code(404).boxed());
        assert!(is(&error, 404) && !is(&error, 409));
        assert!(!is(&kube::Error::Service("away".into()), 404));
    }
}
