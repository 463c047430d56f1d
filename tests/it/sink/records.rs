//! Executions that somebody else writes: what is admitted can be read as an event.

use kakehi::api::Execution;
use kakehi::event::Event;
use kube::Api;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use super::World;
use super::setup;

/// Creates an Execution whose event has the extension `tenant`, the way kubectl would.
async fn create(world: &World, name: &str, tenant: Value) -> Result<DynamicObject, kube::Error> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), world.namespace(), &ApiResource::erase::<Execution>(&()));
    let execution = serde_json::from_value(json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution", "metadata": {"name": name},
        "spec": {
            "job": {"name": "j", "uid": "u", "generation": 1}, "cause": {"type": "Manual"},
            "events": [{"id": "1", "source": "/s", "type": "t", "extensions": {"tenant": tenant}}],
            "template": {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}},
        },
    }))
    .unwrap();
    api.create(&PostParams::default(), &execution).await
}

#[tokio::test]
async fn an_extension_that_no_event_can_have_is_not_admitted() {
    let world = setup().start().await;
    for tenant in [json!({}), json!({"a": 1}), json!([]), json!([1]), json!(2.5), json!(1_u64 << 31)] {
        match create(&world, "bad", tenant.clone()).await {
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, 422, "{tenant}");
                assert!(status.message.contains("tenant"), "{}", status.message);
            }
            other => panic!("{tenant}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn extensions_of_every_type_are_admitted_and_read() {
    let world = setup().start().await;
    let tenants = [json!("red"), json!(""), json!(7), json!(i32::MIN), json!(i32::MAX), json!(true)];
    for (number, tenant) in tenants.iter().enumerate() {
        create(&world, &format!("good-{number}"), tenant.clone()).await.unwrap();
    }
    let executions = world.executions().await;
    assert_eq!(executions.len(), tenants.len());
    for (execution, tenant) in executions.iter().zip(&tenants) {
        let record = &execution.spec.events[0];
        assert_eq!(&serde_json::to_value(&record.extensions["tenant"]).unwrap(), tenant);
        Event::try_from(record).unwrap();
    }
}
