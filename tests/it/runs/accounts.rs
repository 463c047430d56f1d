//! Runs as an account that somebody has to have allowed them: `--require-account-grant`.

use std::sync::Arc;
use std::sync::Mutex;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kakehi::api::{Job, condition};
use kakehi::plan::Phase;
use kube::Client;
use kube::api::PostParams;
use kube::client::Body;
use serde_json::{Value, json};

use super::{House, assert_completed};
use crate::support::{cluster, eventually};

/// Who says what is allowed: local mode asks nobody, so its answers are made here.
#[derive(Clone, Default)]
struct Authorizer {
    /// Whether the right was given; none answers with an error.
    granted: Arc<Mutex<Option<bool>>>,
}

impl Authorizer {
    /// The same API server, which can be asked who may do what.
    fn before(&self, client: &Client) -> Client {
        let (beyond, granted) = (client.clone(), self.granted.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (beyond, granted) = (beyond.clone(), granted.clone());
            async move {
                let is_question = request.method() == Method::POST
                    && request.uri().path().ends_with("/subjectaccessreviews");
                if !is_question {
                    return beyond.send(request).await;
                }
                let body = request.into_body().collect().await?.to_bytes();
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                let spec = &review["spec"];
                assert_eq!(spec["user"], "kakehi:jobs:default", "{spec}");
                let about = &spec["resourceAttributes"];
                assert_eq!(
                    (&about["resource"], &about["name"]),
                    (&json!("serviceaccounts"), &json!("robot"))
                );
                let is_use = about["verb"] == "use";
                let Some(granted) = *granted.lock().unwrap() else {
                    return Ok(Response::builder().status(503).body(Body::empty()).unwrap());
                };
                review["status"] = json!({"allowed": granted && is_use});
                Ok(Response::new(Body::from(review.to_string().into_bytes())))
            }
        });
        Client::new(service, client.default_namespace())
    }

    fn set(&self, granted: Option<bool>) {
        *self.granted.lock().unwrap() = granted;
    }
}

/// Gives the Jobs of the namespace the right to use the account, as an administrator does.
async fn grant(house: &House) {
    let parameters = PostParams::default();
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "robots"},
        "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["robot"], "verbs": ["use"]}],
    }))
    .unwrap();
    house.api::<Role>().create(&parameters, &role).await.unwrap();
    let user = format!("kakehi:jobs:{}", house.namespace);
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "robots"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robots"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }))
    .unwrap();
    house.api::<RoleBinding>().create(&parameters, &binding).await.unwrap();
}

/// A house whose controllers ask, and whoever answers them on local mode: first with no.
async fn asking() -> (House, Authorizer) {
    let mut house = House::without_controllers().await;
    let authorizer = Authorizer::default();
    authorizer.set(Some(false));
    if cluster::is_real() {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some("robot".to_owned());
        house.api::<ServiceAccount>().create(&PostParams::default(), &account).await.unwrap();
    } else {
        house.client = authorizer.before(&house.client);
    }
    house.require_account_grant = true;
    house.start_controllers();
    (house, authorizer)
}

/// What the condition `Ready` of a Job says: status, reason, message.
async fn ready(house: &House, job: &str) -> Option<(String, String, String)> {
    let job: Job = house.api().get(job).await.unwrap();
    let status = job.status?;
    let ready = condition(&status.conditions, "Ready")?.clone();
    Some((ready.status, ready.reason, ready.message))
}

#[tokio::test]
async fn a_run_waits_until_its_account_is_allowed() {
    let (house, authorizer) = asking().await;
    let robot = house.job_of("robots", "true", "{}", "{serviceAccountName: robot}").await;
    let plain = house.job_of("plain", "true", "{}", "{serviceAccountName: default}").await;
    let (run, other) = (house.send(&robot, "1").await.execution, house.send(&plain, "1").await.execution);
    assert_completed(&house.ended(&other).await, "Succeeded", "1 task succeeded");
    let held = house.reaches(&run, Phase::Queued).await;
    let status = held.status.unwrap();
    let words = "cannot use resource \"serviceaccounts\"";
    assert!(status.conditions.iter().all(|one| one.message.contains(words)), "{:?}", status.conditions);
    eventually("the Job says it", async || match ready(&house, "robots").await {
        Some((status, reason, message)) if status == "False" && reason == "AccountNotAllowed" => {
            if message.contains(words) { Ok(()) } else { Err(message) }
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(house.wire.writes(&format!("/batch/v1/namespaces/{}/jobs/{run}", house.namespace)), [""; 0]);
    if cluster::is_real() {
        grant(&house).await;
    } else {
        authorizer.set(Some(true));
    }
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test]
async fn nothing_starts_while_nobody_can_say() {
    // A real API server that does not answer this answers nothing else.
    if cluster::differs("runs::accounts::nothing_starts_while_nobody_can_say") {
        return;
    }
    let (house, authorizer) = asking().await;
    authorizer.set(None);
    let robot = house.job_of("robots", "true", "{}", "{serviceAccountName: robot}").await;
    let run = house.send(&robot, "1").await.execution;
    let asked = || house.wire.asked("subjectaccessreviews").len();
    eventually("it is asked again", async || if asked() >= 3 { Ok(()) } else { Err(asked()) }).await;
    assert!(house.execution(&run).await.status.is_none());
    authorizer.set(Some(true));
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}
