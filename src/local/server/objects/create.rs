//! Creation.

use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use crate::local::server::apply;
use crate::local::server::apply::Manager;
use crate::local::server::apply::Operation;
use crate::local::server::codec;
use crate::local::server::metadata;
use crate::local::server::namespaces;
use crate::local::server::objects::Call;
use crate::local::server::objects::Written;
use crate::local::server::refusal::Refusal;
use crate::local::server::schema::FieldError;
use crate::local::server::strategy;
use crate::local::store;
use crate::local::store::Expect;
use crate::local::store::Row;

/// How many generated names are tried. Five characters out of 27 make 14 million; the API server tries as often.
const TRIES: usize = 8;

/// What Kubernetes makes random suffixes of: no vowels, so no words; nothing that looks like something else.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The longest `generateName` that is used whole: 63, the limit of many names, without the suffix.
const LONGEST_BASE: usize = 58;

/// `POST` of an object.
pub(in crate::local::server) async fn create(call: &mut Call, mut object: Value) -> Result<Written, Refusal> {
    call.claim(&mut object, None)?;
    call.prune(&mut object)?;
    if metadata::text(&object, "resourceVersion").is_some_and(|version| version != "0") {
        return Err(Refusal::BadRequest(
            "resourceVersion should not be set on objects to be created".to_owned(),
        ));
    }
    let generate = metadata::text(&object, "generateName").map(str::to_owned);
    match (metadata::text(&object, "name"), generate) {
        (Some(_), _) => create_named(call, object, false).await,
        (None, Some(base)) => {
            let base: String = base.chars().take(LONGEST_BASE).collect();
            for _ in 1..TRIES {
                let mut named = object.clone();
                named["metadata"]["name"] = Value::String(format!("{base}{}", suffix()));
                match create_named(call, named, false).await {
                    Err(Refusal::AlreadyExists(_)) => {}
                    other => return other,
                }
            }
            object["metadata"]["name"] = Value::String(format!("{base}{}", suffix()));
            create_named(call, object, false).await
        }
        (None, None) => Err(Refusal::Invalid {
            subject: call.subject(""),
            errors: vec![FieldError {
                field: "metadata.name".to_owned(),
                reason: "FieldValueRequired",
                message: "Required value: name or generateName is required".to_owned(),
            }],
        }),
    }
}

/// Creates an object that has its name. `applied`: its managers are known already (server-side apply).
pub(super) async fn create_named(
    call: &mut Call,
    mut object: Value,
    applied: bool,
) -> Result<Written, Refusal> {
    let name = metadata::name(&object).to_owned();
    if let Some(namespace) = call.namespace.as_deref() {
        namespaces::admit(call, namespace, &name)?;
    }
    let now = metadata::time(jiff::Timestamp::now());
    metadata::set(&mut object, "uid", Some(json!(Uuid::new_v4().to_string())));
    metadata::set(&mut object, "creationTimestamp", Some(json!(now)));
    for given in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        metadata::set(&mut object, given, None);
    }
    metadata::omit_empty(&mut object);
    call.kind.schema.default(&mut object);
    strategy::create(&call.kind, &mut object);
    if !applied {
        metadata::set(&mut object, "managedFields", None);
        let manager = call.manager();
        let api_version = call.kind.api_version();
        let manager = Manager {
            name: &manager,
            operation: Operation::Update,
            api_version: &api_version,
            subresource: None,
            now: &now,
        };
        apply::track(None, &mut object, &manager, &call.kind.schema);
    }
    let mut errors = call.kind.schema.validate(&object, None);
    errors.extend(strategy::validate(&call.kind, &object, None));
    if !errors.is_empty() {
        return Err(Refusal::Invalid { subject: call.subject(&name), errors });
    }
    let key = call.key(&name);
    if call.query.dry_run()? {
        return match call.server.store.get(&key)? {
            Some(_) => Err(Refusal::AlreadyExists(call.subject(&name))),
            None => Ok(Written::Object(object)),
        };
    }
    call.kind.to_stored(&mut object);
    let value = codec::encode(&mut object);
    match call.server.store.put(&key, Expect::Absent, value.clone()).await {
        Ok(revision) => Ok(Written::Row(Row { key: key.into(), revision, value })),
        Err(store::Error::Exists) => Err(Refusal::AlreadyExists(call.subject(&name))),
        Err(error) => Err(error.into()),
    }
}

/// Five random characters, from the system's source of random numbers.
fn suffix() -> String {
    let random = Uuid::new_v4();
    // The first bytes of a version 4 identifier are all random. 256 is not a multiple of 27; nobody guesses these names.
    random
        .as_bytes()
        .iter()
        .take(5)
        .map(|byte| char::from(SUFFIX[usize::from(*byte) % SUFFIX.len()]))
        .collect()
}
