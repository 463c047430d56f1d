//! Knative's `EventPolicy`, before a real API server that knows what one is.

use http::HeaderValue;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kakehi::api::job_audience;
use kakehi::sink::Options;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DeleteParams;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::json;

use super::NAMESPACE;
use super::World;
use super::access::account;
use super::access::token;
use super::access::with;
use super::event;
use super::setup;
use crate::support::cluster;
use crate::support::eventually;

fn kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("eventing.knative.dev", "v1alpha1", "EventPolicy");
    ApiResource::from_gvk_with_plural(&kind, "eventpolicies")
}

/// Makes policies known to the API server, as much of them as matters here. They stay: nothing else minds.
async fn install(client: &Client) {
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "eventpolicies.eventing.knative.dev"},
        "spec": {
            "group": "eventing.knative.dev", "scope": "Namespaced",
            "names": {"kind": "EventPolicy", "plural": "eventpolicies", "singular": "eventpolicy"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    }))
    .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions.create(&PostParams::default(), &definition).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => panic!("{error}"),
    }
    let policies: Api<DynamicObject> = Api::all_with(client.clone(), &kind());
    eventually("policies are known", async || {
        policies.list(&ListParams::default().limit(1)).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

async fn code(world: &World, id: &str, kind: &'static str, token: &HeaderValue) -> u16 {
    let mut request = with(event(&format!("/namespaces/{NAMESPACE}/jobs/resize"), id), token);
    request.headers_mut().insert("ce-type", HeaderValue::from_static(kind));
    world.send(request).await.code()
}

#[tokio::test]
async fn a_policy_says_who_sends_which_events_to_a_job() {
    const ORDER: &str = "com.example.order";
    if !cluster::is_real() {
        return cluster::say("skipped: policies of events; they take a real API server");
    }
    install(&cluster::place().await.client).await;
    let options = Options { require_auth: true, ..Options::default() };
    let world = setup().options(options).job("resize").job("other").start().await;
    let (accounts, namespace) = (world.api::<ServiceAccount>(), world.namespace().to_owned());
    let audience = job_audience(&namespace, "resize");
    let mut tokens = Vec::new();
    for name in ["named", "stranger"] {
        account(&accounts, name).await;
        tokens.push(token(&accounts, name, &audience).await);
    }
    let [named, stranger] = tokens.as_slice() else { unreachable!() };
    // Without a policy, every account of the namespace.
    eventually("it is known that there is no policy", async || {
        let code = code(&world, "1", ORDER, stranger).await;
        if code == 202 { Ok(()) } else { Err(code) }
    })
    .await;
    let policies: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &namespace, &kind());
    let policy: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "eventing.knative.dev/v1alpha1", "kind": "EventPolicy", "metadata": {"name": "orders"},
        "spec": {
            "to": [{"ref": {"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": "resize"}}],
            "from": [{"sub": format!("system:serviceaccount:{namespace}:named")}],
            "filters": [{"exact": {"type": ORDER}}],
        },
        "status": {
            "from": [format!("system:serviceaccount:{namespace}:named")],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
    .unwrap();
    policies.create(&PostParams::default(), &policy).await.unwrap();
    eventually("the policy counts", async || {
        let code = code(&world, "2", ORDER, stranger).await;
        if code == 403 { Ok(()) } else { Err(code) }
    })
    .await;
    assert_eq!(code(&world, "3", ORDER, named).await, 202);
    assert_eq!(code(&world, "4", "com.example.other", named).await, 403);
    let elsewhere = token(&accounts, "stranger", &job_audience(&namespace, "other")).await;
    let answer =
        world.send(with(event(&format!("/namespaces/{NAMESPACE}/jobs/other"), "5"), &elsewhere)).await;
    assert_eq!(answer.code(), 202, "the policy is about another Job");
    policies.delete("orders", &DeleteParams::default()).await.unwrap();
    eventually("the policy is forgotten", async || {
        let code = code(&world, "6", ORDER, stranger).await;
        if code == 202 { Ok(()) } else { Err(code) }
    })
    .await;
}
