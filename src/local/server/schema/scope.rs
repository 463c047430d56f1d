//! What a CEL rule can see: JSON values as CEL values, by the schema, and only the parts that the rule names.
//!
//! Unlike kube-cel's conversion (0.8 writes every underscore twice) field names are escaped as the API server does it:
//! only `__`, `.`, `-`, `/` and the reserved words.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use kube::core::cel::cel::Context;
use kube::core::cel::cel::IdedExpr;
use kube::core::cel::cel::Program;
use kube::core::cel::cel::Value as CelValue;
use kube::core::cel::cel::common::ast::EntryExpr;
use kube::core::cel::cel::common::ast::Expr;
use kube::core::cel::cel::objects::Key;
use kube::core::cel::cel::objects::Map as CelMap;
use serde_json::Map;
use serde_json::Value;

use crate::local::server::schema::node::Node;

/// The parts of a value that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reads {
    Everything,
    /// Only below these (escaped) fields.
    Fields(BTreeMap<String, Reads>),
}

impl Default for Reads {
    fn default() -> Self {
        Self::Fields(BTreeMap::new())
    }
}

impl Reads {
    fn below(&self, escaped: &str) -> Option<&Self> {
        match self {
            Self::Everything => Some(&Self::Everything),
            Self::Fields(fields) => fields.get(escaped),
        }
    }

    fn add(&mut self, path: &[&str]) {
        match (self, path) {
            (Self::Everything, _) => {}
            (all, []) => *all = Self::Everything,
            (Self::Fields(fields), [first, rest @ ..]) => {
                fields.entry((*first).to_owned()).or_default().add(rest);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Everything, _) => {}
            (all, Self::Everything) => *all = Self::Everything,
            (Self::Fields(fields), Self::Fields(others)) => {
                for (name, reads) in others {
                    fields.entry(name).or_default().merge(reads);
                }
            }
        }
    }
}

/// What an expression reads of `self` and of `oldSelf`.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) current: Reads,
    pub(super) old: Reads,
}

impl Needs {
    pub(super) fn of(program: &Program) -> Self {
        let mut needs = Self::default();
        needs.visit(program.expression());
        needs
    }

    pub(super) fn add(&mut self, other: Self) {
        self.current.merge(other.current);
        self.old.merge(other.old);
    }

    fn visit(&mut self, expression: &IdedExpr) {
        let mut fields = Vec::new();
        let mut at = expression;
        while let Expr::Select(select) = &at.expr {
            fields.push(select.field.as_str());
            at = &select.operand;
        }
        if let Expr::Ident(name) = &at.expr {
            fields.reverse();
            match name.as_str() {
                "self" => self.current.add(&fields),
                "oldSelf" => self.old.add(&fields),
                _ => {}
            }
            return;
        }
        match &at.expr {
            Expr::Call(call) => {
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.visit(part);
                }
            }
            Expr::Comprehension(all) => {
                for part in [&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result] {
                    self.visit(part);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|part| self.visit(part)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Struct(all) => all.entries.iter().for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Select(_) => {}
        }
    }

    fn visit_entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }
}

/// Converts what `reads` names (everything without it). At the root, and in embedded resources, only the name and
/// generateName of the metadata are visible, as in Kubernetes.
pub(super) fn to_cel(value: &Value, node: &Node, root: bool, reads: Option<&Reads>) -> CelValue {
    match value {
        Value::Object(fields) => object(fields, node, root, reads),
        Value::Array(items) => {
            let items = items.iter().map(|item| match &node.items {
                Some(schema) => to_cel(item, schema, false, None),
                None => plain(item),
            });
            CelValue::List(Arc::new(items.collect()))
        }
        Value::String(text) => string(text, node.format.as_deref()),
        Value::Number(number) if node.kind == Some(super::node::Type::Number) => {
            CelValue::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        other => plain(other),
    }
}

fn object(fields: &Map<String, Value>, node: &Node, root: bool, reads: Option<&Reads>) -> CelValue {
    let mut map = HashMap::with_capacity(fields.len());
    let identity = root || node.embedded;
    for (name, value) in fields {
        let Some(schema) = node.property(name) else {
            if identity && matches!(name.as_str(), "apiVersion" | "kind") {
                map.insert(key(name), plain(value));
            }
            continue;
        };
        if value.is_null() && !node.is_map() {
            continue;
        }
        let escaped = if node.is_map() { None } else { escape(name) };
        let shown = escaped.as_deref().unwrap_or(name);
        let reads = match reads.map(|reads| reads.below(shown)) {
            None => None,
            Some(None) => continue,
            Some(below) => below,
        };
        let converted = if identity && name == "metadata" {
            metadata(value)
        } else {
            to_cel(value, schema, false, reads)
        };
        map.insert(key(shown), converted);
    }
    CelValue::Map(CelMap { map: Arc::new(map) })
}

fn metadata(value: &Value) -> CelValue {
    let visible =
        ["name", "generateName"].into_iter().filter_map(|name| Some((key(name), plain(value.get(name)?))));
    CelValue::Map(CelMap { map: Arc::new(visible.collect()) })
}

fn plain(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => CelValue::Int(number),
            (None, Some(number)) => CelValue::UInt(number),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (key(name), plain(value)));
            CelValue::Map(CelMap { map: Arc::new(fields.collect()) })
        }
    }
}

/// Times and durations are values of their own in CEL; the text has been checked to be of its format before.
fn string(text: &str, format: Option<&str>) -> CelValue {
    let text = CelValue::String(Arc::new(text.to_owned()));
    let function = match format {
        Some("date-time") => "timestamp(text)",
        Some("duration") => "duration(text)",
        _ => return text,
    };
    let mut context = Context::default();
    context.add_variable_from_value("text", text.clone());
    Program::compile(function).ok().and_then(|program| program.execute(&context).ok()).unwrap_or(text)
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

/// Words that CEL keeps for itself.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
];

/// How a rule spells a field name; `None` if as it is.
fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return None;
    }
    let escaped = name.replace("__", "__underscores__").replace('.', "__dot__");
    Some(escaped.replace('-', "__dash__").replace('/', "__slash__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(rule: &str) -> Needs {
        Needs::of(&Program::compile(rule).unwrap())
    }

    #[test]
    fn an_expression_says_which_fields_it_reads() {
        let found = needs(
            "size(self.metadata.name) <= 46 && has(self.spec.a.b) && self.spec.list.all(x, x > self.min)",
        );
        let text = format!("{:?}", found.current);
        for field in ["metadata", "name", "spec", "a", "b", "list", "min"] {
            assert!(text.contains(&format!("{field:?}")), "{field} in {text}");
        }
        assert!(!text.contains("status"));
        assert_eq!(found.old, Reads::default());
    }

    #[test]
    fn a_bare_self_reads_everything() {
        let found = needs("self == oldSelf");
        assert_eq!(found.current, Reads::Everything);
        assert_eq!(found.old, Reads::Everything);
        assert_eq!(needs("self.a.b == 1 || self.a == {}").current, needs("self.a == {}").current);
    }

    #[test]
    fn names_are_escaped_as_the_api_server_escapes_them() {
        assert_eq!(escape("task_count"), None);
        assert_eq!(escape("a__b").as_deref(), Some("a__underscores__b"));
        assert_eq!(escape("a-b.c/d").as_deref(), Some("a__dash__b__dot__c__slash__d"));
        assert_eq!(escape("namespace").as_deref(), Some("__namespace__"));
    }
}
