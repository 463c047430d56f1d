//! Senders that have to say who they are. Tokens and rights are a real API server's; without one these are skipped.

use axum::body::Body;
use axum::extract::Request;
use futures::stream;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authentication::v1::TokenRequestSpec;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::rbac::v1::RoleRef;
use k8s_openapi::api::rbac::v1::Subject;
use kakehi::api::job_audience;
use kakehi::api::namespace_audience;
use kakehi::sink::Options;
use kube::Api;
use kube::ResourceExt;
use kube::api::PostParams;

use super::NAMESPACE;
use super::World;
use super::event;
use super::setup;
use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;

async fn world() -> Option<World> {
    if !cluster::is_real() {
        cluster::say("skipped: senders that have to say who they are; it takes a real API server");
        return None;
    }
    let options = Options { require_auth: true, ..Options::default() };
    let all =
        serde_json::json!({"job": {"name": "resize"}, "filters": [{"exact": {"type": "com.example.order"}}]});
    Some(setup().options(options).job("resize").trigger("all", all).start().await)
}

/// A new account of that namespace.
pub(super) async fn account(accounts: &Api<ServiceAccount>, name: &str) {
    let mut account = ServiceAccount::default();
    account.metadata.name = Some(name.to_owned());
    accounts.create(&PostParams::default(), &account).await.unwrap();
}

pub(super) async fn token(accounts: &Api<ServiceAccount>, name: &str, audience: &str) -> HeaderValue {
    let spec = TokenRequestSpec { audiences: Some(vec![audience.to_owned()]), ..TokenRequestSpec::default() };
    let wanted = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(name, &PostParams::default(), &wanted).await.unwrap();
    HeaderValue::try_from(format!("Bearer {}", made.status.unwrap().token.unwrap())).unwrap()
}

pub(super) fn with(mut request: Request, token: &HeaderValue) -> Request {
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    request
}

fn to_job(id: &str, token: &HeaderValue) -> Request {
    with(event(&format!("/namespaces/{NAMESPACE}/jobs/resize"), id), token)
}

#[tokio::test]
async fn a_token_is_for_one_job_or_for_the_triggers_of_a_namespace() {
    let Some(world) = world().await else { return };
    let (accounts, namespace) = (world.api::<ServiceAccount>(), world.namespace().to_owned());
    account(&accounts, "sender").await;
    let ours = token(&accounts, "sender", &job_audience(&namespace, "resize")).await;
    let other = token(&accounts, "sender", &job_audience(&namespace, "other")).await;
    let publisher = token(&accounts, "sender", &namespace_audience(&namespace)).await;

    let answer = world.send(to_job("1", &ours)).await;
    assert_eq!(answer.code(), 202, "{answer:?}");
    let location = answer.header("location").unwrap().to_owned();
    for wrong in [&other, &publisher, &HeaderValue::from_static("Bearer garbage")] {
        let answer = world.send(to_job("2", wrong)).await;
        assert_eq!(answer.code(), 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"kakehi\""));
        assert!(answer.detail().contains("not accepted"));
    }
    let answer = world.post_event("2").await;
    assert_eq!((answer.code(), answer.detail().contains("Authorization: Bearer")), (401, true));
    let publish = || event(&format!("/namespaces/{NAMESPACE}"), "3");
    assert_eq!(world.send(with(publish(), &ours)).await.code(), 401);
    assert_eq!(world.send(with(publish(), &publisher)).await.code(), 202);
    assert_eq!(world.executions().await.len(), 2);

    let look = || Request::get(&location).body(Body::empty()).unwrap();
    assert_eq!(world.send(look()).await.code(), 401);
    assert_eq!(world.send(with(look(), &other)).await.code(), 401);
    for right in [&ours, &publisher] {
        assert_eq!(world.send(with(look(), right)).await.code(), 200);
    }
}

#[tokio::test]
async fn nothing_is_read_of_a_body_that_nobody_vouches_for() {
    let Some(world) = world().await else { return };
    let mut request = event(&format!("/namespaces/{NAMESPACE}/jobs/resize"), "1");
    // It never comes: an answer that waited for it would not come either.
    *request.body_mut() = Body::from_stream(stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    assert_eq!(world.send(request).await.code(), 401);
}

#[tokio::test]
async fn whoever_is_from_elsewhere_takes_the_right_to_create_executions() {
    let Some(world) = world().await else { return };
    let elsewhere: Place = cluster::place().await;
    let accounts = elsewhere.api::<ServiceAccount>();
    account(&accounts, "stranger").await;
    let stranger = token(&accounts, "stranger", &job_audience(world.namespace(), "resize")).await;
    let answer = world.send(to_job("1", &stranger)).await;
    assert_eq!(answer.code(), 403);
    let words = answer.detail();
    assert!(words.contains("cannot create resource \"executions\""), "{words}");
    assert!(words.contains(&format!("system:serviceaccount:{}:stranger", elsewhere.namespace)), "{words}");
    assert_eq!(world.executions().await.len(), 0);

    let mut role = ClusterRole::default();
    role.metadata.name = Some(elsewhere.unique("sends"));
    let of = |words: &str| vec![words.to_owned()];
    role.rules = Some(vec![PolicyRule {
        api_groups: Some(of("run.kakehi.dev")),
        resources: Some(of("executions")),
        verbs: of("create"),
        ..PolicyRule::default()
    }]);
    // A place without cluster-wide objects: the binding is enough to give the right in one namespace.
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let role = roles.create(&PostParams::default(), &role).await.unwrap();
    let mut binding = RoleBinding {
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: role.name_any(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: "stranger".to_owned(),
            namespace: Some(elsewhere.namespace.clone()),
            ..Subject::default()
        }]),
        ..RoleBinding::default()
    };
    binding.metadata.name = Some("sends".to_owned());
    world.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
    // The refusal is remembered for some seconds.
    eventually("the right has come", async || {
        let answer = world.send(to_job("1", &stranger)).await;
        if answer.code() == 202 { Ok(()) } else { Err(answer.detail()) }
    })
    .await;
    roles.delete(&role.name_any(), &kube::api::DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_costs_no_event() {
    let Some(world) = world().await else { return };
    let accounts = world.api::<ServiceAccount>();
    account(&accounts, "sender").await;
    let ours = token(&accounts, "sender", &job_audience(world.namespace(), "resize")).await;
    world.faults.set(|head| {
        head.uri().path().contains("tokenreviews").then_some(crate::support::faults::Fault::Answer(500))
    });
    let answer = world.send(to_job("1", &ours)).await;
    assert_eq!(answer.code(), 503);
    assert!(answer.detail().contains("found out"), "{answer:?}");
    world.faults.clear();
    assert_eq!(world.send(to_job("1", &ours)).await.code(), 202);
}
