//! Knative's `EventPolicy`, read where its definition is installed: who may send which events to which Jobs.
//!
//! Its rule is kept: where no policy is about a Job, accounts of the Job's namespace may send to it; where one is, only
//! whom a policy names. Whoever Kubernetes lets create Executions may do so this way, too, whatever policies say.
//!
//! Where Knative lets pass by mistake or by order, this does not: each policy whose subject fits is tried, and one that is
//! not ready, or that cannot be read, is about what it is about and lets nobody pass. While it cannot be known which
//! policies there are, the answer is 503.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::ListParams;
use kube::core::Selector;
use kube::core::SelectorExt;
use kube::runtime::watcher;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::answer::Refusal;
use crate::api::GROUP;
use crate::api::Job;
use crate::api::TriggerSpec;
use crate::event::Event;
use crate::feed;
use crate::feed::Change;
use crate::feed::Follower;
use crate::filter::Filter;

/// Pause between two looks whether the definition is there, or still is.
const LOOK: Duration = Duration::from_secs(30);
/// The same while the API server does not say.
const PAUSE: Duration = Duration::from_secs(1);

type Labels = BTreeMap<String, String>;

/// The policies, kept current by [`Policies::follow`].
pub(super) struct Policies {
    api: Api<DynamicObject>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// By namespace and name.
    all: BTreeMap<(String, String), Arc<Policy>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    /// Not read yet, or not sure.
    #[default]
    Not,
    /// There is no such definition, so there are none.
    Absent,
    Current,
}

/// What of a policy decides.
struct Policy {
    to: Vec<Target>,
    /// Names of callers; a last `*` stands for anything.
    from: Vec<String>,
    filter: Filter,
}

/// What a policy is about.
#[derive(Debug)]
enum Target {
    Named(String),
    Labelled(Selector),
    /// Of another kind.
    Other,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    to: Vec<To>,
    filters: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    r#ref: Option<Named>,
    selector: Option<Labelled>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(default)]
    api_version: String,
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Labelled {
    #[serde(default)]
    api_version: String,
    kind: String,
    #[serde(flatten)]
    labels: LabelSelector,
}

/// What policies say of a caller.
pub(super) enum Verdict {
    /// None is about it.
    Silent,
    /// He may send what passes one of these.
    Grants(Vec<Grant>),
    /// None names him.
    Refuses,
}

/// One policy that names a caller.
pub(super) struct Grant(Arc<Policy>);

impl Grant {
    /// Whether the event passes.
    pub(super) fn lets(&self, event: &Event) -> bool {
        self.0.filter.matches(event)
    }
}

impl Policies {
    /// Those of that namespace, or of all.
    pub(super) fn new(client: Client, namespace: Option<&str>) -> Self {
        let kind = GroupVersionKind::gvk("eventing.knative.dev", "v1alpha1", "EventPolicy");
        let kind = ApiResource::from_gvk_with_plural(&kind, "eventpolicies");
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        Self { api, state: RwLock::default() }
    }

    /// Whether it is known which there are.
    pub(super) fn is_ready(&self) -> bool {
        self.state.read().known != Known::Not
    }

    /// Follows them until dropped. Knative may be installed, or removed, at any time.
    pub(super) async fn follow(&self) {
        loop {
            match self.is_installed().await {
                Some(true) => {
                    tokio::select! {
                        () = feed::follow(self.api.clone(), watcher::Config::default(), self) => {}
                        () = self.removed() => {}
                    }
                }
                Some(false) => {
                    *self.state.write() = State { known: Known::Absent, ..State::default() };
                    tokio::time::sleep(LOOK).await;
                }
                None => {
                    self.state.write().known = Known::Not;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Returns once the definition is not there any more.
    async fn removed(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.is_installed().await == Some(false) {
                return;
            }
        }
    }

    /// Whether the API server knows what a policy is, if it says.
    async fn is_installed(&self) -> Option<bool> {
        match self.api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => Some(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read EventPolicies");
                None
            }
        }
    }

    /// What the policies of a namespace say of that caller, who wants to send to a Job, or to the namespace's Triggers.
    pub(super) fn ask(&self, namespace: &str, job: Option<&Job>, user: &str) -> Result<Verdict, Refusal> {
        let state = self.state.read();
        if state.known == Known::Not {
            return Err(Refusal::Unavailable("it is not known yet who may send events here".to_owned()));
        }
        let of_here = state.all.iter().filter(|((one, _), _)| one == namespace).map(|(_, policy)| policy);
        let about: Vec<_> = of_here.filter(|policy| policy.is_about(job)).collect();
        if about.is_empty() {
            return Ok(Verdict::Silent);
        }
        let grants = about.into_iter().filter(|policy| policy.names(user));
        let grants: Vec<_> = grants.map(|policy| Grant(Arc::clone(policy))).collect();
        Ok(if grants.is_empty() { Verdict::Refuses } else { Verdict::Grants(grants) })
    }
}

impl Follower<DynamicObject> for Policies {
    fn change(&self, change: Change<DynamicObject>) {
        let key = |object: &DynamicObject| (object.namespace().unwrap_or_default(), object.name_any());
        let mut state = self.state.write();
        match change {
            Change::Replace(all) => {
                state.all = all.iter().map(|one| (key(one), Arc::new(Policy::of(one)))).collect();
                state.known = Known::Current;
            }
            Change::Apply(one) => drop(state.all.insert(key(&one), Arc::new(Policy::of(&one)))),
            Change::Delete(one) => drop(state.all.remove(&key(&one))),
            Change::Broken => state.known = Known::Not,
        }
    }
}

impl Policy {
    fn of(object: &DynamicObject) -> Self {
        let spec = object.data.get("spec").cloned().unwrap_or_else(|| json!({}));
        let read = serde_json::from_value(spec).ok().and_then(|Spec { to, filters }| {
            let to: Option<Vec<Target>> = to.into_iter().map(Target::of).collect();
            Some((to?, filters))
        });
        let Some((to, filters)) = read else {
            // About everything, for nobody.
            return Self { to: Vec::new(), from: Vec::new(), filter: Filter::nothing() };
        };
        let is_ready = object
            .data
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
        let from = object.data.pointer("/status/from").and_then(Value::as_array).filter(|_| is_ready);
        let from = from.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let trigger: Result<TriggerSpec, _> =
            serde_json::from_value(json!({"filters": filters, "job": {"name": ""}}));
        let filter = trigger.ok().and_then(|trigger| Filter::compile(&trigger).ok());
        Self { to, from: from.collect(), filter: filter.unwrap_or_else(Filter::nothing) }
    }

    /// Whether it is about that Job; about a namespace's Triggers, if there is none.
    fn is_about(&self, job: Option<&Job>) -> bool {
        // One that names nothing is about the whole namespace.
        self.to.is_empty() || job.is_some_and(|job| self.to.iter().any(|target| target.is(job)))
    }

    fn names(&self, user: &str) -> bool {
        self.from.iter().any(|one| match one.strip_suffix('*') {
            Some(start) => user.starts_with(start),
            None => one == user,
        })
    }
}

impl Target {
    /// None, if it cannot be read.
    fn of(to: To) -> Option<Self> {
        // Versions do not count, and Knative does not tell large letters from small ones.
        let is_ours = |version: &str, kind: &str| {
            version.split('/').next().is_some_and(|group| group.eq_ignore_ascii_case(GROUP))
                && kind.eq_ignore_ascii_case("Job")
        };
        Some(match to {
            To { r#ref: Some(Named { api_version, kind, name }), .. } if is_ours(&api_version, &kind) => {
                Self::Named(name)
            }
            To { selector: Some(Labelled { api_version, kind, labels }), .. }
                if is_ours(&api_version, &kind) =>
            {
                Self::Labelled(Selector::try_from(labels).ok()?)
            }
            To { .. } => Self::Other,
        })
    }

    fn is(&self, job: &Job) -> bool {
        match self {
            Self::Named(name) => {
                job.metadata.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
            }
            Self::Labelled(selector) => {
                let none = Labels::new();
                selector.matches(job.metadata.labels.as_ref().unwrap_or(&none))
            }
            Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: &Value, status: &Value) -> Policy {
        let object = json!({
            "apiVersion": "eventing.knative.dev/v1alpha1", "kind": "EventPolicy",
            "metadata": {"name": "p", "namespace": "shop"}, "spec": spec, "status": status,
        });
        Policy::of(&serde_json::from_value(object).unwrap())
    }

    fn ready(from: &[&str]) -> Value {
        json!({"from": from, "conditions": [{"type": "Ready", "status": "True"}]})
    }

    fn job(name: &str) -> Job {
        let mut job: Job = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
        }))
        .unwrap();
        job.metadata.labels = Some(Labels::from([("team".to_owned(), "a".to_owned())]));
        job
    }

    #[test]
    fn a_policy_is_about_what_it_names_or_about_everything() {
        let reference = |kind: &str, version: &str| json!([{"ref": {"apiVersion": version, "kind": kind, "name": "resize"}}]);
        let selector = |team: &str| {
            json!([{"selector":
            {"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "matchLabels": {"team": team}}}])
        };
        for (to, jobs, namespace) in [
            (json!([]), [true, true], true),
            (reference("Job", "run.kakehi.dev/v1"), [true, false], false),
            (reference("job", "Run.Kakehi.dev/v1alpha1"), [true, false], false),
            (reference("Job", "batch/v1"), [false, false], false),
            (reference("Broker", "run.kakehi.dev/v1"), [false, false], false),
            (selector("a"), [true, true], false),
            (selector("b"), [false, false], false),
            // What is not readable.
            (json!("resize"), [true, true], true),
        ] {
            let policy = policy(&json!({"to": to}), &ready(&["me"]));
            let found = ["resize", "other"].map(|name| policy.is_about(Some(&job(name))));
            assert_eq!((found, policy.is_about(None)), (jobs, namespace), "{to}");
        }
    }

    #[test]
    fn only_whom_a_ready_policy_names_may_send() {
        let found = policy(
            &json!({}),
            &ready(&["system:serviceaccount:shop:sender", "system:serviceaccount:other:*"]),
        );
        assert!(found.names("system:serviceaccount:shop:sender"));
        assert!(found.names("system:serviceaccount:other:anybody"));
        assert!(!found.names("system:serviceaccount:shop:sender2"));
        let waiting = policy(&json!({}), &json!({"from": ["me"]}));
        assert!(!waiting.names("me"));
    }
}
