//! One node of a structural schema, parsed from its JSON form into what the walks need.
//!
//! Parsing happens once, when the server starts; descriptions and everything else that no walk reads is dropped. Types
//! that several kinds share (`PodSpec`, `ObjectMeta`) are one node behind an `Arc`.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::local::server::kinds::Definitions;
use crate::local::server::kinds::name_of;
use crate::local::server::schema::checks::Checks;
use crate::local::server::schema::listing;
use crate::local::server::schema::rules::Rule;

/// JSON types as a schema names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::local::server) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            other => return Err(format!("type {other:?} is not known")),
        })
    }
}

/// How the items of a list are told apart (`x-kubernetes-list-type`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::local::server) enum List {
    /// One value, replaced as a whole.
    #[default]
    Atomic,
    /// Each scalar occurs once.
    Set,
    /// Items are objects, told apart by the values of these fields.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a list (`x-kubernetes-patch-strategy`); without it the list is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local::server) struct Merge {
    /// The field that tells objects apart; `None` for a list of scalars.
    pub key: Option<String>,
    /// Whether a patched item keeps only the fields that `$retainKeys` names.
    pub retain_keys: bool,
}

/// What keys outside of `properties` may hold.
#[derive(Debug, Clone)]
pub(in crate::local::server) enum Additional {
    /// There are none: they are pruned.
    Nothing,
    /// Anything.
    Anything,
    /// Values of one schema: the object is a map.
    Values(Arc<Node>),
}

/// A place in a schema. See the module for what is kept.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one per keyword")]
pub(in crate::local::server) struct Node {
    /// `None`: any type.
    pub kind: Option<Type>,
    pub int_or_string: bool,
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve: bool,
    /// `x-kubernetes-embedded-resource`: apiVersion, kind and metadata are implied.
    pub embedded: bool,
    pub properties: BTreeMap<String, Arc<Node>>,
    pub additional: Additional,
    pub items: Option<Arc<Node>>,
    pub default: Option<Value>,
    pub list: List,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic_map: bool,
    pub merge: Option<Merge>,
    pub format: Option<String>,
    pub checks: Option<Box<Checks>>,
    pub rules: Vec<Rule>,
    /// A field of a built-in type that Go writes even when it is empty: nobody adds it.
    pub always_there: bool,
    /// Whether this node or one below has a default.
    pub defaults_below: bool,
    /// Whether this node or one below has a CEL rule.
    pub rules_below: bool,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            kind: None,
            int_or_string: false,
            nullable: false,
            preserve: false,
            embedded: false,
            properties: BTreeMap::new(),
            additional: Additional::Nothing,
            items: None,
            default: None,
            list: List::Atomic,
            atomic_map: false,
            merge: None,
            format: None,
            checks: None,
            rules: Vec::new(),
            always_there: false,
            defaults_below: false,
            rules_below: false,
        }
    }
}

impl Node {
    /// A place that may hold anything.
    pub(super) fn anything() -> Self {
        Self { preserve: true, nullable: true, additional: Additional::Anything, ..Self::default() }
    }

    /// The schema of one key of an object.
    pub(in crate::local::server) fn property(&self, key: &str) -> Option<&Arc<Node>> {
        self.properties.get(key).or(match &self.additional {
            Additional::Values(values) => Some(values),
            Additional::Nothing | Additional::Anything => None,
        })
    }

    fn children(&self) -> impl Iterator<Item = &Arc<Node>> {
        let values = match &self.additional {
            Additional::Values(values) => Some(values),
            Additional::Nothing | Additional::Anything => None,
        };
        self.properties.values().chain(&self.items).chain(values)
    }

    /// Whether the object is a map from user-chosen keys.
    pub(in crate::local::server) fn is_map(&self) -> bool {
        !matches!(self.additional, Additional::Nothing)
    }
}

/// Parses schemas; remembers the definitions that it has parsed.
pub(in crate::local::server) struct Parser<'a> {
    definitions: &'a Definitions,
    /// Built-in definitions have no `x-kubernetes` extensions: a table of ours says what they lack.
    parsed: HashMap<String, Arc<Node>>,
    /// Names on the way from the root: a definition that reaches itself is not walked into again.
    open: Vec<String>,
}

/// Where a schema stands: inside of a built-in type, or in a CRD.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// (definition, property) of a built-in type.
    builtin: Option<(&'a str, &'a str)>,
}

impl<'a> Parser<'a> {
    pub(in crate::local::server) fn new(definitions: &'a Definitions) -> Self {
        Self { definitions, parsed: HashMap::new(), open: Vec::new() }
    }

    /// A built-in type by its definition name.
    pub(in crate::local::server) fn builtin(&mut self, name: &str) -> Arc<Node> {
        if let Some(node) = self.parsed.get(name) {
            return Arc::clone(node);
        }
        let schema = self.definitions.get(name);
        let (Some(schema), false) = (schema, self.open.iter().any(|open| open == name)) else {
            return Arc::new(Node::anything());
        };
        self.open.push(name.to_owned());
        // The definitions are generated from Rust types: what they hold always parses.
        let node =
            self.node(schema, Place { builtin: Some((name, "")) }).unwrap_or_else(|_| Node::anything());
        self.open.pop();
        let node = Arc::new(node);
        self.parsed.insert(name.to_owned(), Arc::clone(&node));
        node
    }

    /// The `openAPIV3Schema` of a CRD version.
    pub(in crate::local::server) fn custom(&mut self, schema: &Value) -> Result<Node, String> {
        self.node(schema, Place { builtin: None })
    }

    fn child(&mut self, schema: &Value, place: Place<'_>) -> Result<Arc<Node>, String> {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => Ok(self.builtin(name_of(reference))),
            None => Ok(Arc::new(self.node(schema, place)?)),
        }
    }

    fn node(&mut self, schema: &Value, place: Place<'_>) -> Result<Node, String> {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let text = |name: &str| schema.get(name).and_then(Value::as_str);
        let mut node = Node {
            kind: text("type").map(Type::parse).transpose()?,
            int_or_string: flag("x-kubernetes-int-or-string"),
            nullable: flag("nullable"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            default: schema.get("default").cloned(),
            list: list_type(schema)?,
            atomic_map: text("x-kubernetes-map-type") == Some("atomic"),
            format: text("format").map(str::to_owned),
            ..Node::default()
        };
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let place = Place { builtin: place.builtin.map(|(definition, _)| (definition, name.as_str())) };
            node.properties.insert(name.clone(), self.child(property, place)?);
        }
        node.additional = match schema.get("additionalProperties") {
            None | Some(Value::Bool(false)) => Additional::Nothing,
            Some(Value::Bool(true)) => Additional::Anything,
            Some(values) => Additional::Values(self.child(values, Place { builtin: None })?),
        };
        if let Some(items) = schema.get("items") {
            node.items = Some(self.child(items, Place { builtin: None })?);
        }
        if let Some((definition, property)) = place.builtin {
            listing::describe(definition, property, &mut node);
            // Go decodes null as absent.
            node.nullable = true;
            if property.is_empty() && node.properties.is_empty() && node.kind == Some(Type::Object) {
                node.additional = Additional::Anything;
            }
        } else {
            node.rules = Rule::compile_all(schema)?;
        }
        node.checks = Checks::parse(schema, place.builtin.is_some(), self)?;
        node.defaults_below = node.default.is_some() || node.children().any(|child| child.defaults_below);
        node.rules_below = !node.rules.is_empty() || node.children().any(|child| child.rules_below);
        Ok(node)
    }
}

fn list_type(schema: &Value) -> Result<List, String> {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        None | Some("atomic") => Ok(List::Atomic),
        Some("set") => Ok(List::Set),
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys: Vec<String> =
                keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            if keys.is_empty() {
                Err("a list of type map needs keys".to_owned())
            } else {
                Ok(List::Map(keys))
            }
        }
        Some(other) => Err(format!("list type {other:?} is not known")),
    }
}
