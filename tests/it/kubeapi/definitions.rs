//! The definitions of custom kinds can be read, and say that they are served.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::runtime::conditions;
use kube::runtime::wait::Condition;

use crate::kubeapi::place;

#[tokio::test]
async fn our_definitions_are_established() {
    let place = place().await;
    let api: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    for definition in kakehi::api::crds() {
        let name = definition.metadata.name.unwrap();
        let found = api.get(&name).await.unwrap();
        assert!(conditions::is_crd_established().matches_object(Some(&found)), "{name}");
        assert_eq!(found.spec.names.kind, definition.spec.names.kind);
    }
}
