//! Structural schemas: what the API server does with an object between reading and storing it.
//!
//! The order for a write is: [`Schema::prune`] (unknown fields and nulls go), [`Schema::decode`], [`Schema::default`], the
//! kind's strategy (a sibling of this folder), [`Schema::validate`]. Custom kinds are ruled by their schema; built-in kinds by
//! hand-written rules, as in Kubernetes, where the schema says no more than the types. Everything is pure: no clock, no
//! store, no HTTP.

mod builtin;
mod checks;
mod decode;
mod defaults;
mod error;
mod formats;
mod listing;
mod metadata;
mod names;
mod node;
mod path;
mod prune;
mod rules;
mod scope;
mod validate;

use std::fmt;
use std::sync::Arc;

use kube::core::cel::KubeCelExt;
use kube::core::cel::cel::Context;
use serde_json::Value;

use self::builtin::Rules;
use self::metadata::NameRule;
use self::path::Path;

pub(super) use self::error::FieldError;
pub(super) use self::node::Additional;
pub(super) use self::node::List;
pub(super) use self::node::Merge;
pub(super) use self::node::Node;
pub(super) use self::node::Parser;

/// The schema of one kind, with everything that is done to its objects.
pub(super) struct Schema {
    root: Arc<Node>,
    /// `None`: a CRD, whose schema says everything.
    rules: Option<Rules>,
    has_status: bool,
    functions: Arc<Context<'static>>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schema").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Schema {
    /// A built-in kind. It has no CEL rules: their context stays empty.
    pub(super) fn builtin(root: Arc<Node>, group: &str, kind: &str, has_status: bool) -> Self {
        Self { root, rules: Some(Rules::of(group, kind)), has_status, functions: Arc::new(Context::empty()) }
    }

    /// A CRD version's `openAPIV3Schema`; the error says what in it is unusable.
    pub(super) fn custom(schema: &Value, has_status: bool, parser: &mut Parser<'_>) -> Result<Self, String> {
        let mut root = parser.custom(schema)?;
        root.properties.insert("metadata".to_owned(), parser.builtin(OBJECT_META));
        let functions = Arc::new(Context::default().with_all());
        Ok(Self { root: Arc::new(root), rules: None, has_status, functions })
    }

    /// Whether `/status` is a subresource, so that the main resource does not write it.
    pub(super) fn has_status(&self) -> bool {
        self.has_status
    }

    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Removes what the schema does not know and returns its paths (`spec.containers[0].foo`). Nulls, empty lists and
    /// empty maps of built-in types are absent fields, and go without a word.
    pub(super) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        prune::prune(object, &self.root, &Path::ROOT, &mut unknown);
        if self.rules.is_some() {
            prune::drop_empty(object, &self.root);
        } else if let (Some(metadata), Some(node)) =
            (object.get_mut("metadata"), self.root.property("metadata"))
        {
            prune::drop_empty(metadata, node);
        }
        unknown
    }

    /// Sets defaults.
    pub(super) fn default(&self, object: &mut Value) {
        if self.rules.is_none() {
            defaults::apply(object, &self.root);
        }
    }

    /// Why `object` cannot be read as a `kind`: built-in kinds are decoded into types, and so is the metadata of all.
    /// The error is the decoder's sentence, for a 400.
    pub(super) fn decode(&self, object: &Value, kind: &str) -> Result<(), String> {
        let complaint = if self.rules.is_some() {
            decode::complaint(object, &self.root, &Path::ROOT, kind)
        } else {
            let metadata = object.get("metadata").zip(self.root.property("metadata"));
            metadata
                .and_then(|(value, node)| decode::complaint(value, node, &Path::ROOT.field("metadata"), kind))
        };
        complaint.map_or(Ok(()), Err)
    }

    /// What is wrong with an object that could be decoded; `old` is the object that it replaces.
    pub(super) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        metadata::check(object, old, self.rules.map_or(NameRule::Subdomain, Rules::names), &mut errors);
        if let Some(rules) = self.rules {
            rules.check(object, old, &mut errors);
            return errors;
        }
        validate::structure(object, old, &self.root, &Path::ROOT, &mut errors);
        if errors.is_empty() && self.root.rules_below {
            let mut evaluator = rules::Evaluator { functions: &self.functions, errors };
            rules::check(object, old, &self.root, &Path::ROOT, &mut evaluator);
            errors = evaluator.errors;
        }
        errors
    }
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

#[cfg(test)]
mod tests;
