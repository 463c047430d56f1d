//! Whoever names a service account in a Job must be allowed to use it: the chart's admission policy on a real API server.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kakehi::api::{Execution, Job};
use kakehi::ops;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::DEFAULT;
use super::cluster::Installed;
use crate::support::{cluster, eventually};

/// A client that is a new account with those rules.
async fn author(installed: &Installed, name: &str, rules: Value) -> Client {
    let Installed { client, namespace, .. } = installed;
    let parameters = PostParams::default();
    let object = |more: Value| {
        let mut object = json!({"metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts.create(&parameters, &serde_json::from_value(object(json!({}))).unwrap()).await.unwrap();
    let given: Api<Role> = Api::namespaced(client.clone(), namespace);
    given
        .create(&parameters, &serde_json::from_value(object(json!({"rules": rules}))).unwrap())
        .await
        .unwrap();
    let binding = object(json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }));
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings.create(&parameters, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let wanted = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let made = accounts.create_token_request(name, &parameters, &wanted).await.unwrap();
    let mut config = cluster::real().await.unwrap().clone();
    let token = made.status.unwrap().token.unwrap();
    config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    Client::try_from(config).unwrap()
}

fn job(name: &str, account: &str) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"template": {"spec": {
            "serviceAccountName": account, "containers": [{"name": "main", "image": "none"}],
        }}}}},
    }))
    .unwrap()
}

fn refused(error: &kube::Error) -> bool {
    let words = error.to_string();
    words.contains("cannot use resource \"serviceaccounts\"") && words.contains("robot")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gains_the_rights_of_an_account_by_a_job() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    // Who runs a Job makes an Execution that blocks its deletion.
    let resources = ["jobs", "jobs/finalizers", "executions"];
    let ours = json!({"apiGroups": ["run.kakehi.dev"], "resources": resources, "verbs": ["*"]});
    let may = |verb: &str| json!({"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["robot"], "verbs": [verb]});
    let plain = author(&installed, "plain", json!([ours])).await;
    let user = author(&installed, "user", json!([ours, may("use")])).await;
    let editor = author(&installed, "editor", json!([ours, may("impersonate")])).await;
    let jobs = |client: &Client| Api::<Job>::namespaced(client.clone(), &installed.namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    // The API server takes a moment to follow a new policy, and new roles.
    eventually("the policy works", async || match jobs(&plain).create(&dry, &job("robots", "robot")).await {
        Err(error) if refused(&error) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    for client in [&user, &editor] {
        eventually("whoever may use an account may name it", async || {
            jobs(client).create(&dry, &job("robots", "robot")).await.map_err(|error| error.to_string())
        })
        .await;
        let other = jobs(client).create(&dry, &job("others", "other")).await.unwrap_err();
        assert!(other.to_string().contains("\"other\""), "{other}");
    }
    jobs(&plain).create(&dry, &job("defaults", "default")).await.unwrap();

    // Somebody else's Job: what is run as the account is not changed, but the rest may be.
    jobs(&user).create(&PostParams::default(), &job("robots", "robot")).await.unwrap();
    let patch = async |value: Value| {
        jobs(&plain).patch("robots", &PatchParams::default(), &Patch::Merge(&value)).await.map(drop)
    };
    patch(json!({"spec": {"suspend": true}, "metadata": {"labels": {"a": "b"}}})).await.unwrap();
    let taken_over = json!([{"name": "main", "image": "mine"}]);
    let taken_over =
        json!({"spec": {"template": {"spec": {"template": {"spec": {"containers": taken_over}}}}}});
    assert!(refused(&patch(taken_over).await.unwrap_err()));
    let freed = json!({"spec": {"template": {"spec": {"template": {"spec": {"serviceAccountName": null}}}}}});
    patch(freed).await.unwrap();

    // A run is a copy of its Job, so whoever writes one is asked as well; the sink is not.
    jobs(&user).create(&PostParams::default(), &job("again", "robot")).await.unwrap();
    let run = async |client: &Client| ops::run(client, &installed.namespace, "again", None).await;
    let error = run(&plain).await.unwrap_err();
    assert!(error.to_string().contains("cannot use resource \"serviceaccounts\""), "{error}");
    run(&installed.client_of("sink").await).await.unwrap();
    let begun = run(&user).await.unwrap().execution;
    ops::cancel(&plain, &installed.namespace, &begun).await.unwrap();
    let runs: Api<Execution> = Api::namespaced(installed.client.clone(), &installed.namespace);
    assert!(runs.get(&begun).await.unwrap().spec.cancelled);
}
