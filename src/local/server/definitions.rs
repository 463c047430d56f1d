//! The definitions of the custom kinds, as objects that can be read.
//!
//! They are handed in by the program, which is their only writer: what is stored follows them at every start.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use crate::local::server::codec;
use crate::local::server::metadata;
use crate::local::server::refusal::Refusal;
use crate::local::store::Expect;
use crate::local::store::Store;

/// Where they are stored; the same prefix as their kind's.
const PREFIX: &str = "apiextensions.k8s.io/customresourcedefinitions/";

/// Names and specs, ready to be stored.
#[derive(Debug)]
pub(super) struct Definitions(Vec<(String, Value)>);

impl Definitions {
    pub(super) fn new(definitions: Vec<CustomResourceDefinition>) -> Result<Self, serde_json::Error> {
        let one = |definition: CustomResourceDefinition| {
            let name = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
            Ok((name, serde_json::to_value(&definition.spec)?))
        };
        definitions.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Brings the stored objects up to date.
    pub(super) async fn store(&self, store: &Store) -> Result<(), Refusal> {
        for (name, spec) in &self.0 {
            let key = format!("{PREFIX}{name}");
            let stored = store.get(&key)?;
            let old = stored.as_ref().map(codec::decode).transpose()?;
            if old.as_ref().is_some_and(|old| old.get("spec") == Some(spec)) {
                continue;
            }
            let expect = stored.map_or(Expect::Absent, |row| Expect::Revision(row.revision));
            let mut object = object(name, spec, old.as_ref());
            store.put(&key, expect, codec::encode(&mut object)).await?;
        }
        Ok(())
    }
}

fn object(name: &str, spec: &Value, old: Option<&Value>) -> Value {
    let now = metadata::time(jiff::Timestamp::now());
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let versions: Vec<&Value> =
        spec["versions"].as_array().into_iter().flatten().map(|version| &version["name"]).collect();
    let mut object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "uid": Uuid::new_v4().to_string(),
            "creationTimestamp": now,
            "generation": old.map_or(0, metadata::generation) + 1,
        },
        "spec": spec,
        "status": {
            "acceptedNames": spec["names"],
            "storedVersions": versions,
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
        },
    });
    if let Some(old) = old {
        for field in ["uid", "creationTimestamp"] {
            metadata::inherit(&mut object, old, field);
        }
    }
    object
}
