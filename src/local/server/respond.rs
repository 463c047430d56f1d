//! Answers: from stored rows or values to the form and the encoding that the client accepts.

use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use serde_json::Value;
use serde_json::json;

use crate::local::server::codec;
use crate::local::server::metadata;
use crate::local::server::negotiate::Form;
use crate::local::server::objects::Call;
use crate::local::server::objects::Listed;
use crate::local::server::objects::Written;
use crate::local::server::refusal::Refusal;
use crate::local::server::table;
use crate::local::server::table::IncludeObject;
use crate::local::store::Row;

/// Whether stored bytes can go out as they are, but for their revision.
pub(super) fn as_stored(call: &Call) -> bool {
    call.accept.form == Form::Whole && !call.accept.yaml && call.kind.stored_as_served()
}

/// One object of a write.
pub(super) fn written(call: &Call, written: Written, code: StatusCode) -> Result<Response, Refusal> {
    match written {
        Written::Row(found) => row(call, &found, code),
        Written::Object(object) => value(call, object, code),
    }
}

/// One stored object.
pub(super) fn row(call: &Call, row: &Row, code: StatusCode) -> Result<Response, Refusal> {
    if as_stored(call) {
        let mut bytes = Vec::new();
        codec::splice(row, &mut bytes);
        return Ok(finish(call, code, bytes, "application/json"));
    }
    value(call, call.served(row)?, code)
}

/// One object that is not stored (any more).
pub(super) fn value(call: &Call, object: Value, code: StatusCode) -> Result<Response, Refusal> {
    encoded(call, &formed(call, object)?, code)
}

/// Anything, in the encoding that the client accepts.
pub(super) fn encoded(call: &Call, value: &Value, code: StatusCode) -> Result<Response, Refusal> {
    if call.accept.yaml {
        let text = serde_saphyr::to_string(value).map_err(|error| Refusal::Internal(error.to_string()))?;
        return Ok(finish(call, code, text.into_bytes(), "application/yaml"));
    }
    Ok(finish(call, code, value.to_string().into_bytes(), "application/json"))
}

/// A list.
pub(super) fn list(call: &Call, listed: Listed) -> Result<Response, Refusal> {
    let Listed { rows, revision, next, remaining } = listed;
    let mut list_metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(next) = next {
        list_metadata["continue"] = json!(next);
    }
    if let Some(remaining) = remaining.filter(|remaining| *remaining > 0) {
        list_metadata["remainingItemCount"] = json!(remaining);
    }
    if as_stored(call) {
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{list_metadata},\"items\":[",
            json!(call.kind.list_kind),
            json!(call.kind.api_version())
        );
        let mut bytes = head.into_bytes();
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            codec::splice(row, &mut bytes);
        }
        bytes.extend_from_slice(b"]}");
        return Ok(finish(call, StatusCode::OK, bytes, "application/json"));
    }
    let mut objects = rows.iter().map(|row| call.served(row)).collect::<Result<Vec<_>, _>>()?;
    let (kind, api_version) = match call.accept.form {
        Form::Table => {
            let mut table = tabled(call, &objects)?;
            table["metadata"] = list_metadata;
            return encoded(call, &table, StatusCode::OK);
        }
        Form::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        Form::Whole => (call.kind.list_kind.clone(), call.kind.api_version()),
    };
    if call.accept.form == Form::Metadata {
        for object in &mut objects {
            *object = metadata::partial(object);
        }
    }
    let list = json!({"kind": kind, "apiVersion": api_version, "metadata": list_metadata, "items": objects});
    encoded(call, &list, StatusCode::OK)
}

/// An object in the wanted form.
pub(super) fn formed(call: &Call, mut object: Value) -> Result<Value, Refusal> {
    // A Status is never anything else than itself.
    if object.get("kind").and_then(Value::as_str) == Some("Status") {
        return Ok(object);
    }
    match call.accept.form {
        Form::Whole => Ok(object),
        Form::Metadata => Ok(metadata::partial(&mut object)),
        Form::Table => {
            let revision = object.pointer("/metadata/resourceVersion").cloned();
            let mut table = tabled(call, &[object])?;
            table["metadata"] = json!({"resourceVersion": revision});
            Ok(table)
        }
    }
}

fn tabled(call: &Call, objects: &[Value]) -> Result<Value, Refusal> {
    let include = call.query.get("includeObject").unwrap_or_default();
    let include = IncludeObject::parse(include).map_err(Refusal::BadRequest)?;
    Ok(table::table(&call.kind, objects, include, jiff::Timestamp::now()))
}

/// Gives a bookmark the type of the objects around it.
pub(super) fn bookmark(call: &Call, object: &mut Value) {
    match call.accept.form {
        Form::Whole => {}
        Form::Metadata => {
            object["kind"] = json!("PartialObjectMetadata");
            object["apiVersion"] = json!("meta.k8s.io/v1");
        }
        Form::Table => {
            let mut table = table::table(&call.kind, &[], IncludeObject::Metadata, jiff::Timestamp::now());
            table["metadata"] = object["metadata"].take();
            *object = table;
        }
    }
}

/// A plain JSON document that is about no object.
pub(super) fn document(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn finish(call: &Call, code: StatusCode, bytes: Vec<u8>, content_type: &'static str) -> Response {
    let mut response = (code, bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for warning in &call.warnings {
        // RFC 9111, 5.5: code, agent, quoted text. 299 is "miscellaneous, persistent".
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}
