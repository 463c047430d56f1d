//! CEL rules (`x-kubernetes-validations`): compiled once, evaluated where they stand.
//!
//! Only the part of the object that a rule can see is turned into CEL values, and only at nodes that have rules:
//! most of an object is never converted.

use std::fmt;
use std::sync::Arc;

use kube::core::cel::cel::Context;
use kube::core::cel::cel::Program;
use kube::core::cel::cel::Value as CelValue;
use kube::core::cel::cel::objects::OptionalValue;
use serde_json::Value;

use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::node::Node;
use crate::local::server::schema::path::Path;
use crate::local::server::schema::scope;
use crate::local::server::schema::scope::Needs;
use crate::local::server::schema::validate::old_item;

/// One compiled rule.
pub(in crate::local::server) struct Rule {
    source: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: Option<String>,
    /// `.spec.x`, relative to where the rule stands.
    field_path: Option<String>,
    /// Whether it compares with the old object.
    transition: bool,
    optional_old_self: bool,
    needs: Needs,
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rule").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Rule {
    /// The rules of one schema node.
    pub(super) fn compile_all(schema: &Value) -> Result<Vec<Self>, String> {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        rules.into_iter().flatten().map(Self::compile).collect()
    }

    fn compile(rule: &Value) -> Result<Self, String> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).map(str::to_owned);
        let source = text("rule").ok_or("a rule without an expression")?;
        let compile =
            |source: &str| Program::compile(source).map_err(|error| format!("rule {source:?}: {error}"));
        let program = compile(&source)?;
        let message_program = text("messageExpression").map(|source| compile(&source)).transpose()?;
        let mut needs = Needs::of(&program);
        if let Some(message) = &message_program {
            needs.add(Needs::of(message));
        }
        Ok(Self {
            transition: program.references().has_variable("oldSelf"),
            source,
            program,
            message: text("message"),
            message_program,
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old_self: rule.get("optionalOldSelf").and_then(Value::as_bool) == Some(true),
            needs,
        })
    }
}

/// Evaluates every rule at and below `node`.
pub(super) fn check(
    value: &Value,
    old: Option<&Value>,
    node: &Node,
    path: &Path<'_>,
    evaluator: &mut Evaluator<'_>,
) {
    if !node.rules_below || value.is_null() {
        return;
    }
    if !node.rules.is_empty() {
        evaluator.evaluate(value, old, node, path);
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let old = old.and_then(|old| old.get(name));
                if let Some(schema) = node.properties.get(name) {
                    check(value, old, schema, &path.field(name), evaluator);
                } else if let Some(schema) = node.property(name) {
                    check(value, old, schema, &path.key(name), evaluator);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                check(item, old_item(item, index, old, node), schema, &path.index(index), evaluator);
            }
        }
        _ => {}
    }
}

/// The functions that rules may call, and the errors found so far.
pub(super) struct Evaluator<'a> {
    pub(super) functions: &'a Context<'static>,
    pub(super) errors: Vec<FieldError>,
}

impl Evaluator<'_> {
    fn evaluate(&mut self, value: &Value, old: Option<&Value>, node: &Node, path: &Path<'_>) {
        for rule in &node.rules {
            if rule.transition && old.is_none() && !rule.optional_old_self {
                continue;
            }
            let mut context = self.functions.new_inner_scope();
            let root = path.is_root();
            context
                .add_variable_from_value("self", scope::to_cel(value, node, root, Some(&rule.needs.current)));
            if rule.transition {
                let before = old.map(|old| scope::to_cel(old, node, root, Some(&rule.needs.old)));
                context.add_variable_from_value("oldSelf", rule.old_self(before));
            }
            match rule.program.execute(&context) {
                Ok(CelValue::Bool(true)) => {}
                // A rule that compares nothing with the past does not judge what was there before.
                _ if !rule.transition && !root && old == Some(value) => {}
                Ok(CelValue::Bool(false)) => self.errors.push(rule.failure(&rule.says(&context), node, path)),
                Ok(_) => self.errors.push(rule.failure("rule does not evaluate to a boolean", node, path)),
                Err(error) => {
                    let detail = format!("{error} evaluating rule: {}", rule.says(&context));
                    self.errors.push(rule.failure(&detail, node, path));
                }
            }
        }
    }
}

impl Rule {
    /// `oldSelf`, which is an optional if the rule says so.
    fn old_self(&self, before: Option<CelValue>) -> CelValue {
        match before {
            Some(before) if !self.optional_old_self => before,
            Some(before) => CelValue::Opaque(Arc::new(OptionalValue::of(before))),
            None => CelValue::Opaque(Arc::new(OptionalValue::none())),
        }
    }

    fn says(&self, context: &Context<'_>) -> String {
        if let Some(Ok(CelValue::String(text))) =
            self.message_program.as_ref().map(|program| program.execute(context))
            && !text.trim().is_empty()
            && !text.contains('\n')
        {
            return text.trim().to_owned();
        }
        self.message
            .as_ref()
            .map_or_else(|| format!("failed rule: {}", self.source), |text| text.trim().to_owned())
    }

    fn failure(&self, detail: &str, node: &Node, path: &Path<'_>) -> FieldError {
        let kind = Value::from(node.kind.map_or("object", super::node::Type::name));
        let error = match self.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
            Some("FieldValueRequired") => FieldError::required(path, detail),
            Some("FieldValueDuplicate") => FieldError::duplicate(path, &kind),
            _ => FieldError::invalid(path, &kind, detail),
        };
        let mut error = error.bracketed(path);
        if let Some(below) = &self.field_path {
            let below = below.trim_start_matches('.');
            error.field = if path.is_root() { below.to_owned() } else { format!("{}.{below}", error.field) };
        }
        error
    }
}
