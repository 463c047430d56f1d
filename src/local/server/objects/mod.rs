//! The verbs on objects. Each is a function of a [`Call`]: what is asked, by whom, of which kind.
//!
//! Reads work on stored bytes and parse only what they must. Writes go the way of the API server: decode, prune,
//! default, the kind's own rules ([`strategy`](super::strategy)), track managers, validate, compare-and-swap.

mod create;
mod delete;
mod patch;
mod read;
mod update;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use http::header;
use serde_json::Value;

use crate::local::server::Inner;
use crate::local::server::codec;
use crate::local::server::kinds::Kind;
use crate::local::server::metadata;
use crate::local::server::negotiate::Accept;
use crate::local::server::query::FieldValidation;
use crate::local::server::query::Query;
use crate::local::server::refusal::Refusal;
use crate::local::server::refusal::Subject;
use crate::local::store::Row;

pub(super) use self::create::create;
pub(super) use self::delete::Deletion;
pub(super) use self::delete::delete;
pub(super) use self::delete::delete_collection;
pub(super) use self::patch::patch;
pub(super) use self::read::Listed;
pub(super) use self::read::Selection;
pub(super) use self::read::get;
pub(super) use self::read::list;
pub(super) use self::update::bind;
pub(super) use self::update::replace;

/// One request about one kind.
#[derive(Debug)]
pub(super) struct Call {
    pub server: Arc<Inner>,
    pub kind: Arc<Kind>,
    /// `None` means all namespaces, or a kind without any.
    pub namespace: Option<String>,
    pub subresource: Option<String>,
    pub query: Query,
    pub accept: Accept,
    /// The part of `User-Agent` before the first slash: who manages fields if the client does not say.
    pub agent: String,
    /// Sentences for the client's `Warning` headers.
    pub warnings: Vec<String>,
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// Stored, or already there as it is.
    Row(Row),
    /// Not stored: a dry run, or the last state of an object that is gone now.
    Object(Value),
}

impl Call {
    /// The same call, about one namespace.
    fn within(&self, namespace: Option<&str>) -> Self {
        Self {
            server: Arc::clone(&self.server),
            kind: Arc::clone(&self.kind),
            namespace: namespace.map(str::to_owned),
            subresource: None,
            query: Query::default(),
            accept: self.accept,
            agent: self.agent.clone(),
            warnings: Vec::new(),
        }
    }

    /// The storage key of an object of this kind.
    pub(super) fn key(&self, name: &str) -> String {
        key(&self.kind, self.namespace.as_deref(), name)
    }

    /// The prefix of all keys that the request is about.
    pub(super) fn prefix(&self) -> String {
        prefix(&self.kind, self.namespace.as_deref())
    }

    /// The prefix of all keys that the selection can match: it may name one object.
    pub(super) fn scope(&self, selection: &Selection) -> String {
        match selection.name() {
            Some(name) if self.namespace.is_some() || !self.kind.namespaced => self.key(name),
            _ => self.prefix(),
        }
    }

    pub(super) fn subject(&self, name: &str) -> Subject {
        Subject::new(&self.kind, name)
    }

    /// The stored object with its row.
    pub(super) fn find(&self, name: &str) -> Result<(Row, Value), Refusal> {
        let row = self.row(name)?;
        let object = self.served(&row)?;
        Ok((row, object))
    }

    pub(super) fn row(&self, name: &str) -> Result<Row, Refusal> {
        self.server.store.get(&self.key(name))?.ok_or_else(|| Refusal::NotFound(self.subject(name)))
    }

    /// The object of a row in this kind's form.
    pub(super) fn served(&self, row: &Row) -> Result<Value, Refusal> {
        let mut object = codec::decode(row)?;
        self.kind.to_served(&mut object);
        Ok(object)
    }

    /// Who writes, for `managedFields`.
    pub(super) fn manager(&self) -> Cow<'_, str> {
        match self.query.get("fieldManager") {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Borrowed(&self.agent),
        }
    }

    pub(super) fn conflict(&self, name: &str) -> Refusal {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::Conflict { subject: self.subject(name), why: why.to_owned() }
    }

    /// Checks that the object is of this kind and belongs where the path says, and fills in what it leaves out.
    fn claim(&self, object: &mut Value, name: Option<&str>) -> Result<(), Refusal> {
        self.claim_type(object)?;
        metadata::ensure(object);
        match (metadata::text(object, "namespace"), self.namespace.as_deref()) {
            (Some(own), Some(asked)) if own != asked => {
                return Err(Refusal::BadRequest(
                    "the namespace of the provided object does not match the namespace sent on the request"
                        .to_owned(),
                ));
            }
            (_, Some(asked)) => object["metadata"]["namespace"] = Value::String(asked.to_owned()),
            (_, None) => metadata::set(object, "namespace", None),
        }
        match (metadata::text(object, "name"), name) {
            (Some(own), Some(asked)) if own != asked => Err(Refusal::BadRequest(format!(
                "the name of the object ({own}) does not match the name on the URL ({asked})"
            ))),
            (None, Some(asked)) => {
                object["metadata"]["name"] = Value::String(asked.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn claim_type(&self, object: &mut Value) -> Result<(), Refusal> {
        let expected = self.kind.api_version();
        let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(version) = text("apiVersion").filter(|version| *version != expected) {
            return Err(Refusal::BadRequest(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        if let Some(kind) = text("kind").filter(|kind| *kind != self.kind.kind) {
            return Err(Refusal::BadRequest(format!(
                "the kind in the data ({kind}) does not match the expected kind ({})",
                self.kind.kind
            )));
        }
        object["apiVersion"] = Value::String(expected);
        object["kind"] = Value::String(self.kind.kind.clone());
        Ok(())
    }

    /// Takes away what the kind does not have, and says so as the client wishes. What is left can be decoded.
    fn prune(&mut self, object: &mut Value) -> Result<(), Refusal> {
        metadata::keep_reset(object);
        let mut unknown = self.kind.schema.prune(object);
        self.kind.schema.decode(object, &self.kind.kind).map_err(|why| {
            Refusal::BadRequest(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}",
                kind = self.kind.kind,
                version = self.kind.version,
            ))
        })?;
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort();
        let sentences = unknown.iter().map(|path| format!("unknown field {path:?}"));
        match self.query.field_validation()? {
            FieldValidation::Ignore => Ok(()),
            FieldValidation::Warn => {
                self.warnings.extend(sentences);
                Ok(())
            }
            FieldValidation::Strict => Err(Refusal::BadRequest(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {what}",
                kind = self.kind.kind,
                version = self.kind.version,
                what = sentences.collect::<Vec<_>>().join(", "),
            ))),
        }
    }
}

/// `group/resource/namespace/name`; names cannot hold a slash.
pub(super) fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> String {
    format!("{}{name}", prefix(kind, namespace))
}

pub(super) fn prefix(kind: &Kind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if kind.namespaced => format!("{}/{namespace}/", kind.storage_prefix()),
        _ => format!("{}/", kind.storage_prefix()),
    }
}

/// Who is calling, as far as the client says.
pub(super) fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match agent.split('/').next().map(str::trim) {
        // A manager's name has at most 128 characters.
        Some(name) if !name.is_empty() => name.chars().take(128).collect(),
        _ => "unknown".to_owned(),
    }
}
