//! The paths of a document: every route with its verbs, the kind it is about, and the query parameters that matter.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::local::server::kinds::Kind;
use crate::local::server::kinds::REFERENCE;
use crate::local::server::openapi::identity;

/// The routes of these kinds below `prefix`.
pub(super) fn of(kinds: &[&Kind], prefix: &str) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let collection = format!("/{prefix}/{}", kind.plural);
        let namespaced = format!("/{prefix}/namespaces/{{namespace}}/{}", kind.plural);
        let at = if kind.namespaced {
            paths.insert(collection, json!({"get": operation(kind, "list", &LIST)}));
            namespaced
        } else {
            collection
        };
        paths.insert(at.clone(), many(kind));
        paths.insert(format!("{at}/{{name}}"), one(kind));
        if kind.has_status {
            paths.insert(format!("{at}/{{name}}/status"), one_status(kind));
        }
    }
    Value::Object(paths)
}

/// (name, type, description) of a query parameter.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "\"All\": the request is processed, nothing is persisted.");
const FIELD_MANAGER: Parameter = ("fieldManager", "string", "The name of the actor that makes the change.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What happens to unknown fields: \"Ignore\" drops them, \"Warn\" drops them with a warning, \"Strict\" refuses the request.",
);
const FORCE: Parameter = ("force", "boolean", "Apply takes over fields that others own.");
const LABEL_SELECTOR: Parameter = ("labelSelector", "string", "Restricts the objects by their labels.");
const FIELD_SELECTOR: Parameter = ("fieldSelector", "string", "Restricts the objects by their fields.");
const LIMIT: Parameter = ("limit", "integer", "How many objects one answer may hold.");
const CONTINUE: Parameter = ("continue", "string", "Where the previous answer ended.");
const WATCH: Parameter = ("watch", "boolean", "Answer with a stream of changes.");
const RESOURCE_VERSION: Parameter =
    ("resourceVersion", "string", "The revision to read at, or to watch from.");
const TIMEOUT: Parameter = ("timeoutSeconds", "integer", "How long a watch lasts.");
const BOOKMARKS: Parameter = ("allowWatchBookmarks", "boolean", "A watch may tell how far it is.");
const INITIAL: Parameter = ("sendInitialEvents", "boolean", "A watch begins with the present objects.");
const PROPAGATION: Parameter =
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground.");
const GRACE: Parameter = ("gracePeriodSeconds", "integer", "How long the end may take.");

const LIST: [Parameter; 9] =
    [LABEL_SELECTOR, FIELD_SELECTOR, LIMIT, CONTINUE, WATCH, RESOURCE_VERSION, TIMEOUT, BOOKMARKS, INITIAL];
const WRITE: [Parameter; 3] = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH: [Parameter; 4] = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
const DELETE: [Parameter; 3] = [DRY_RUN, GRACE, PROPAGATION];

fn many(kind: &Kind) -> Value {
    let mut path = json!({"get": operation(kind, "list", &LIST)});
    if !kind.read_only {
        path["post"] = operation(kind, "post", &WRITE);
        path["delete"] =
            operation(kind, "deletecollection", &[&DELETE[..], &[LABEL_SELECTOR, FIELD_SELECTOR]].concat());
    }
    path
}

fn one(kind: &Kind) -> Value {
    let mut path = json!({"get": operation(kind, "get", &[])});
    if !kind.read_only {
        path["put"] = operation(kind, "put", &WRITE);
        path["patch"] = operation(kind, "patch", &PATCH);
        path["delete"] = operation(kind, "delete", &DELETE);
    }
    path
}

fn one_status(kind: &Kind) -> Value {
    let mut path = json!({"get": operation(kind, "get", &[])});
    if !kind.read_only {
        path["put"] = operation(kind, "put", &WRITE);
        path["patch"] = operation(kind, "patch", &PATCH);
    }
    path
}

fn operation(kind: &Kind, action: &str, parameters: &[Parameter]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(name, kind, description)| {
            json!({
                "name": name,
                "in": "query",
                "description": description,
                "schema": {"type": kind, "uniqueItems": true},
            })
        })
        .collect();
    let schema = json!({"$ref": format!("{REFERENCE}{}", kind.definition)});
    let content = json!({"application/json": {"schema": schema}});
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity(kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content}},
    });
    match action {
        "post" | "put" => operation["requestBody"] = json!({"required": true, "content": content}),
        "patch" => {
            let any = json!({"schema": {"type": "object"}});
            let mut content = json!({
                "application/apply-patch+yaml": any,
                "application/json-patch+json": any,
                "application/merge-patch+json": any,
            });
            if !kind.custom {
                content["application/strategic-merge-patch+json"] = any;
            }
            operation["requestBody"] = json!({"required": true, "content": content});
        }
        _ => {}
    }
    operation
}
