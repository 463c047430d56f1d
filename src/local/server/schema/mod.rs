//! Structural schemas: what the API server does with an object between reading and storing it.
//!
//! The order for a write is: [`Schema::prune`] (decode: unknown fields and nulls go), [`Schema::default`], the kind's
//! strategy (a sibling of this folder), [`Schema::validate`]. Custom kinds are ruled by their schema; built-in kinds by
//! hand-written rules, as in Kubernetes, where the schema says no more than the types. Everything is pure: no clock, no
//! store, no HTTP.

mod checks;
mod defaults;
mod error;
mod formats;
mod listing;
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
    custom: bool,
    has_status: bool,
    functions: Arc<Context<'static>>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schema").field("custom", &self.custom).finish_non_exhaustive()
    }
}

impl Schema {
    pub(super) fn builtin(root: Arc<Node>, has_status: bool) -> Self {
        // Built-in kinds have no CEL rules: the context stays empty.
        Self { root, custom: false, has_status, functions: Arc::new(Context::empty()) }
    }

    /// A CRD version's `openAPIV3Schema`; the error says what in it is unusable.
    pub(super) fn custom(schema: &Value, has_status: bool, parser: &mut Parser<'_>) -> Result<Self, String> {
        let mut root = parser.custom(schema)?;
        root.properties.insert("metadata".to_owned(), parser.builtin(OBJECT_META));
        let functions = Arc::new(Context::default().with_all());
        Ok(Self { root: Arc::new(root), custom: true, has_status, functions })
    }

    /// Whether `/status` is a subresource, so that the main resource does not write it.
    pub(super) fn has_status(&self) -> bool {
        self.has_status
    }

    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Removes what the schema does not know and returns its paths (`spec.containers[0].foo`). Nulls in built-in types
    /// are absent fields, and go without a word.
    pub(super) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        prune::prune(object, &self.root, &Path::ROOT, &mut unknown);
        if !self.custom {
            prune::drop_nulls(object, &self.root);
        } else if let (Some(metadata), Some(node)) =
            (object.get_mut("metadata"), self.root.property("metadata"))
        {
            prune::drop_nulls(metadata, node);
        }
        unknown
    }

    /// Sets defaults.
    pub(super) fn default(&self, object: &mut Value) {
        if self.custom {
            defaults::apply(object, &self.root);
        }
    }

    /// What is wrong with `object`; `old` is the object that it replaces.
    pub(super) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
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
