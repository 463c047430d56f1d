//! Values from an event reach the container as they are, and do nothing on the way.

use kakehi::plan::Prepared;
use serde_json::json;

use super::*;

/// Values that mean something to whoever is between the event and the container: shells, Kubernetes, YAML, templates.
const VALUES: [&str; 12] = [
    "plain",
    "",
    " two  blanks ",
    "it's \"quoted\"; exit 1 #",
    "$(SECRET) $$(SECRET) $SECRET ${SECRET}",
    "`exit 1` $(exit 1)",
    "- name: LD_PRELOAD",
    "{\"name\": \"SECRET\"}",
    "{{ .Values.secret }} %s \\n",
    "null",
    "0x10",
    "筧 é",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_value_reaches_the_container_as_it_is_and_expands_nothing() {
    let house = House::start().await;
    let names: Vec<String> = (0..VALUES.len()).map(|n| format!("P{n}")).collect();
    let parameters: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| json!({"name": name, "value": format!("event.data[{n}]")}))
        .collect();
    // Each value between bars, so that blanks at its ends are seen.
    let shown: Vec<_> = names.iter().map(|name| format!("printf '%s|' \"${name}\"; ")).collect();
    let shown = shown.concat();
    let script = format!("{{ {shown} }} > \"$TERMINATION_LOG_PATH\"");
    let spec = json!({"parameters": parameters, "template": {"spec": {"template": {"spec": {
        "maxRetries": 0,
        "containers": [{"name": "main", "image": "local", "command": ["/bin/sh", "-c", script],
            "env": [{"name": "SECRET", "value": "hunter2"}, {"name": "P0", "value": "the author's own"}]}],
    }}}}});
    let job: Job = serde_json::from_value(json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "values"}, "spec": spec,
    }))
    .unwrap();
    let job = house.api::<Job>().create(&PostParams::default(), &job).await.unwrap();
    let event = Event::builder().required("1", "/s", "t").data(json!(VALUES).to_string()).build().unwrap();
    let planned = Prepared::new(job).for_event(&event, None).unwrap();
    let run = ops::accept(&house.client, &planned).await.unwrap().execution;
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Succeeded", "1 task succeeded");
    let seen = ended.status.unwrap().result.unwrap();
    let mut expected = VALUES.to_vec();
    expected[0] = "the author's own";
    assert_eq!(seen.split_terminator('|').collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_has_the_defaults() {
    let house = House::start().await;
    let script = "printf '%s|%s' \"$A\" \"${B-unset}\" > \"$TERMINATION_LOG_PATH\"";
    house.job("defaults", script, "{}").await;
    let parameters = json!([
        {"name": "A", "value": "event.id", "default": "$(HOME)"},
        {"name": "B", "value": "event.id"},
    ]);
    house.patch_job("defaults", json!({"spec": {"parameters": parameters}})).await;
    let run = ops::run(&house.client, &house.namespace, "defaults", None).await.unwrap().execution;
    assert_eq!(house.ended(&run).await.status.unwrap().result.as_deref(), Some("$(HOME)|unset"));
}
