//! The value checks of one schema node: ranges, lengths, patterns, enumerations and the logical combinations.
//!
//! The sentences are those that a client of the real API server sees; see [`super::validate`] for the walk.

use std::sync::Arc;

use regex::Regex;
use serde_json::Number;
use serde_json::Value;

use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::node::Node;
use crate::local::server::schema::node::Parser;
use crate::local::server::schema::path::Path;

/// What a value must satisfy besides its type.
#[derive(Debug, Default)]
pub(in crate::local::server) struct Checks {
    pub(super) required: Vec<String>,
    enumeration: Option<Vec<Value>>,
    pattern: Option<Regex>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<Number>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    pub(super) all_of: Vec<Arc<Node>>,
    pub(super) any_of: Vec<Arc<Node>>,
    pub(super) one_of: Vec<Arc<Node>>,
    pub(super) not: Option<Arc<Node>>,
}

#[derive(Debug)]
struct Bound {
    value: Number,
    exclusive: bool,
}

impl Checks {
    /// `None` if there is nothing to check. A built-in type has no value checks: Kubernetes validates those by hand.
    pub(super) fn parse(
        schema: &Value,
        builtin: bool,
        parser: &mut Parser<'_>,
    ) -> Result<Option<Box<Self>>, String> {
        if builtin {
            return Ok(None);
        }
        let count = |name: &str| schema.get(name).and_then(Value::as_u64);
        let bound = |name: &str, exclusive: &str| match schema.get(name) {
            Some(Value::Number(value)) => {
                let exclusive = schema.get(exclusive).and_then(Value::as_bool) == Some(true);
                Some(Bound { value: whole(value), exclusive })
            }
            _ => None,
        };
        let mut several = |name: &str| -> Result<Vec<Arc<Node>>, String> {
            let branches = schema.get(name).and_then(Value::as_array);
            branches.into_iter().flatten().map(|branch| parser.custom(branch).map(Arc::new)).collect()
        };
        let (all_of, any_of, one_of) = (several("allOf")?, several("anyOf")?, several("oneOf")?);
        let not = schema.get("not").map(|branch| parser.custom(branch).map(Arc::new)).transpose()?;
        let pattern = match schema.get("pattern").and_then(Value::as_str) {
            Some(pattern) => {
                Some(Regex::new(pattern).map_err(|error| format!("pattern {pattern:?}: {error}"))?)
            }
            None => None,
        };
        let required = schema.get("required").and_then(Value::as_array);
        let checks = Self {
            required: required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            enumeration: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern,
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_number).map(whole),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: schema.get("uniqueItems").and_then(Value::as_bool) == Some(true),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of,
            any_of,
            one_of,
            not,
        };
        Ok((!checks.is_empty()).then(|| Box::new(checks)))
    }

    fn is_empty(&self) -> bool {
        let Self {
            required,
            enumeration,
            pattern,
            minimum,
            maximum,
            multiple_of,
            min_length,
            max_length,
            min_items,
            max_items,
            unique_items,
            min_properties,
            max_properties,
            all_of,
            any_of,
            one_of,
            not,
        } = self;
        let counts = [min_length, max_length, min_items, max_items, min_properties, max_properties];
        required.is_empty()
            && enumeration.is_none()
            && pattern.is_none()
            && minimum.is_none()
            && maximum.is_none()
            && multiple_of.is_none()
            && counts.iter().all(|count| count.is_none())
            && !unique_items
            && [all_of, any_of, one_of].iter().all(|branches| branches.is_empty())
            && not.is_none()
    }

    /// Everything but the logical combinations, whose branches are walks of their own.
    pub(super) fn check(&self, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
        match value {
            Value::Object(fields) => self.check_object(fields, path, errors),
            Value::Array(items) => self.check_array(items, value, path, errors),
            Value::String(text) => self.check_string(text, value, path, errors),
            Value::Number(number) => self.check_number(number, value, path, errors),
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(allowed) = &self.enumeration
            && !allowed.iter().any(|one| equal(one, value))
        {
            let supported: Vec<String> = allowed
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect();
            errors.push(FieldError::unsupported(path, value, &supported));
        }
    }

    fn check_object(
        &self,
        fields: &serde_json::Map<String, Value>,
        path: &Path<'_>,
        errors: &mut Vec<FieldError>,
    ) {
        for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
            errors.push(FieldError::required(&path.field(name), ""));
        }
        let count = fields.len() as u64;
        if let Some(limit) = self.max_properties.filter(|limit| count > *limit) {
            errors.push(FieldError::too_many(path, count, limit));
        }
        if let Some(limit) = self.min_properties.filter(|limit| count < *limit) {
            let detail = in_body(path, &format!("should have at least {limit} properties"));
            errors.push(FieldError::invalid(path, &Value::from(count), &detail));
        }
    }

    fn check_array(&self, items: &[Value], value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
        let count = items.len() as u64;
        if let Some(limit) = self.max_items.filter(|limit| count > *limit) {
            errors.push(FieldError::too_many(path, count, limit));
        }
        if let Some(limit) = self.min_items.filter(|limit| count < *limit) {
            let detail = in_body(path, &format!("should have at least {limit} items"));
            errors.push(FieldError::invalid(path, &Value::from(count), &detail));
        }
        let repeated =
            || items.iter().enumerate().any(|(at, item)| items.iter().take(at).any(|one| one == item));
        if self.unique_items && repeated() {
            errors.push(FieldError::invalid(path, value, &in_body(path, "shouldn't contain duplicates")));
        }
    }

    fn check_string(&self, text: &str, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
        if self.max_length.is_some() || self.min_length.is_some() {
            let length = text.chars().count() as u64;
            if let Some(limit) = self.max_length.filter(|limit| length > *limit) {
                errors.push(FieldError::too_long(path, limit));
            }
            if let Some(limit) = self.min_length.filter(|limit| length < *limit) {
                let detail = in_body(path, &format!("should be at least {limit} chars long"));
                errors.push(FieldError::invalid(path, value, &detail));
            }
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let detail = in_body(path, &format!("should match '{}'", pattern.as_str()));
            errors.push(FieldError::invalid(path, value, &detail));
        }
    }

    fn check_number(&self, number: &Number, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
        let mut refuse =
            |detail: String| errors.push(FieldError::invalid(path, value, &in_body(path, &detail)));
        if let Some(Bound { value, exclusive }) = &self.minimum {
            match compare(number, value) {
                std::cmp::Ordering::Less if !exclusive => {
                    refuse(format!("should be greater than or equal to {value}"));
                }
                std::cmp::Ordering::Less | std::cmp::Ordering::Equal if *exclusive => {
                    refuse(format!("should be greater than {value}"));
                }
                _ => {}
            }
        }
        if let Some(Bound { value, exclusive }) = &self.maximum {
            match compare(number, value) {
                std::cmp::Ordering::Greater if !exclusive => {
                    refuse(format!("should be less than or equal to {value}"));
                }
                std::cmp::Ordering::Greater | std::cmp::Ordering::Equal if *exclusive => {
                    refuse(format!("should be less than {value}"));
                }
                _ => {}
            }
        }
        if let Some(factor) = self.multiple_of.as_ref().filter(|factor| !is_multiple(number, factor)) {
            refuse(format!("should be a multiple of {factor}"));
        }
    }
}

/// `spec.x in body …`, as openapi's validation words it.
pub(super) fn in_body(path: &Path<'_>, detail: &str) -> String {
    format!("{path} in body {detail}")
}

/// A bound of 1.0 (definitions hold floating-point numbers) reads as 1.
fn whole(number: &Number) -> Number {
    let text = number.as_f64().filter(|float| float.fract() == 0.0).map(|float| format!("{float:.0}"));
    text.and_then(|text| text.parse::<i64>().ok()).map_or_else(|| number.clone(), Number::from)
}

/// Equality of JSON values with 1 and 1.0 the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare(one, other).is_eq(),
        _ => one == other,
    }
}

fn compare(one: &Number, other: &Number) -> std::cmp::Ordering {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().unwrap_or(f64::NAN).total_cmp(&other.as_f64().unwrap_or(f64::NAN)),
    }
}

fn is_multiple(number: &Number, factor: &Number) -> bool {
    if let (Some(number), Some(factor)) = (number.as_i64(), factor.as_i64()) {
        return factor == 0 || number % factor == 0;
    }
    let quotient = number.as_f64().unwrap_or(f64::NAN) / factor.as_f64().unwrap_or(f64::NAN);
    (quotient - quotient.round()).abs() < 1e-9
}
