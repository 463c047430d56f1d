//! Evaluating a tree over an event (§3). An operation of which an operand failed is the zero value of its own type.

use std::borrow::Cow;

use super::ast::Kind;
use super::ast::Level;
use super::ast::Node;
use super::ast::Operator;
use super::cast::Type;
use super::cast::Value;
use super::error::Error;
use super::error::ErrorKind;
use super::error::Span;
use super::error::excerpt;
use super::function;
use super::function::Function;
use crate::event::Attribute;
use crate::event::Event;

/// Longest text that functions put together, in bytes: the attributes of an event fit twice. Without it, an expression of
/// nothing but `CONCAT(x, x, …)` would make a hundred megabytes of a large attribute.
const MAX_TEXT: usize = 128 * 1024;

/// Bytes of text that are read for one step.
const STEP_READ: usize = 64;

/// What stands before an operator, and where; none if it failed.
type Left<'a> = (Option<Value<'a>>, Span);

/// One evaluation.
pub(super) struct Evaluator<'a> {
    event: &'a Event,
    /// The expression as it was written, for messages.
    text: &'a str,
    /// Whether attributes have the types that they were sent with; all are text otherwise.
    typed: bool,
    /// Collected errors; none if nobody will read them, and then the first one ends the evaluation.
    errors: Option<Vec<Error>>,
    failures: usize,
    /// What it has cost: a step for each part of the expression, and one for so many bytes of a text.
    steps: u32,
    /// Most that it may cost.
    limit: u32,
}

impl<'a> Evaluator<'a> {
    /// Evaluates everything and tells every error.
    pub(super) fn complete(event: &'a Event, text: &'a str) -> Self {
        Self { event, text, typed: true, errors: Some(Vec::new()), failures: 0, steps: 0, limit: u32::MAX }
    }

    /// Evaluates everything and tells every error, and takes every attribute for text.
    pub(super) fn textual(event: &'a Event, text: &'a str) -> Self {
        Self { typed: false, ..Self::complete(event, text) }
    }

    /// Ends at the first error, or after so many steps, and takes every attribute for text.
    pub(super) fn fail_fast(event: &'a Event, text: &'a str, limit: u32) -> Self {
        Self { event, text, typed: false, errors: None, failures: 0, steps: 0, limit }
    }

    pub(super) fn run(mut self, root: &'a Node) -> (Value<'a>, Vec<Error>) {
        let value = self.evaluate(root);
        (value, self.errors.unwrap_or_default())
    }

    /// Whether the event passes, unless that takes too many steps; and how many it took.
    pub(super) fn passes(mut self, root: &'a Node) -> (Option<bool>, u32) {
        let value = self.evaluate(root);
        let passes = self.failures == 0 && value == Value::Boolean(true);
        ((self.steps <= self.limit).then_some(passes), self.steps)
    }

    /// Takes steps for a text of that length, which whoever gets it reads once. Too many are an error like any other.
    fn spend(&mut self, length: usize) {
        let steps = u32::try_from(1 + length / STEP_READ).unwrap_or(u32::MAX);
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limit {
            self.failures += 1;
        }
    }

    fn fail(&mut self, kind: ErrorKind, span: Span, message: impl FnOnce() -> String) {
        self.failures += 1;
        if let Some(errors) = &mut self.errors {
            errors.push(Error::new(kind, span, self.text, message()));
        }
    }

    fn attribute(&self, attribute: &Attribute) -> Option<Value<'a>> {
        if self.typed {
            self.event.get(attribute).map(Value::typed)
        } else {
            self.event.text(attribute).map(|text| Value::String(Cow::Borrowed(text)))
        }
    }

    /// The value of an operand; none if it failed, which is then told.
    fn operand(&mut self, node: &'a Node) -> Option<Value<'a>> {
        // Nobody asks for more once a filter has failed.
        if self.failures > 0 && self.errors.is_none() {
            return None;
        }
        let failures = self.failures;
        let value = self.evaluate(node);
        (self.failures == failures).then_some(value)
    }

    fn evaluate(&mut self, node: &'a Node) -> Value<'a> {
        let value = self.value(node);
        self.spend(if let Value::String(text) = &value { text.len() } else { 0 });
        value
    }

    fn value(&mut self, node: &'a Node) -> Value<'a> {
        match &node.kind {
            Kind::Text(text) => Value::String(Cow::Borrowed(text)),
            Kind::Boolean(value) => Value::Boolean(*value),
            Kind::Integer(value) => Value::Integer(*value),
            Kind::Attribute(attribute) => self.attribute(attribute).unwrap_or_else(|| {
                self.fail(ErrorKind::MissingAttribute, node.span, || {
                    format!("the event has no attribute `{attribute}`")
                });
                // Of what type it would be cannot be known (§3.2).
                Type::Boolean.zero()
            }),
            Kind::Exists(attribute) => Value::Boolean(self.event.get(attribute).is_some()),
            Kind::Not(operand) => Value::Boolean(self.boolean_of(operand).is_some_and(|value| !value)),
            Kind::Negate(operand) => {
                let value = self.integer_of(operand);
                value.map_or(Type::Integer.zero(), |value| self.fitting(value.checked_neg(), node.span))
            }
            Kind::Like { operand, negated, pattern } => {
                let text = self.text_of(operand);
                Value::Boolean(text.is_some_and(|text| pattern.matches(&text) != *negated))
            }
            Kind::In { operand, negated, set } => {
                Value::Boolean(self.is_in(operand, set).is_some_and(|found| found != *negated))
            }
            Kind::Chain { first, rest } => self.chain(first, rest),
            Kind::Call { name: _, function: Some(function), arguments } => {
                let value = self.call(*function, arguments, node.span);
                value.unwrap_or(function.result_type().zero())
            }
            Kind::Call { name, function: None, arguments } => {
                let message = || function::unknown(name, arguments.len());
                self.fail(ErrorKind::MissingFunction, node.span, message);
                Type::Boolean.zero()
            }
        }
    }

    /// `IN` (§3.4.5): the type of the left side is the one that everything is compared in.
    fn is_in(&mut self, operand: &'a Node, set: &'a [Node]) -> Option<bool> {
        let wanted = self.operand(operand)?;
        for node in set {
            let element = self.operand(node)?;
            let equal = match &wanted {
                Value::String(text) => element.into_text() == *text,
                Value::Integer(value) => self.integer(&element, node.span)? == *value,
                Value::Boolean(value) => self.boolean(&element, node.span)? == *value,
            };
            if equal {
                return Some(true);
            }
        }
        Some(false)
    }

    fn chain(&mut self, first: &'a Node, rest: &'a [(Operator, Node)]) -> Value<'a> {
        let mut span = first.span;
        let mut left = self.operand(first);
        let mut value = Type::Boolean.zero();
        for (operator, right) in rest {
            let failures = self.failures;
            let failed = left.is_none();
            let whole = span.to(right.span);
            value = match operator.level() {
                Level::Logic => Value::Boolean(self.logic(*operator, (left, span), right).unwrap_or(false)),
                Level::Comparison => {
                    Value::Boolean(self.comparison(*operator, (left, span), right).unwrap_or(false))
                }
                Level::Sum | Level::Product | Level::Operand => {
                    let numbers = self.numbers((left, span), right);
                    self.calculate(*operator, numbers, whole)
                }
            };
            left = (!failed && self.failures == failures).then(|| value.clone());
            span = whole;
        }
        value
    }

    /// `AND`, `OR` and `XOR`. What cannot change the result is not evaluated (§3.4.2).
    fn logic(&mut self, operator: Operator, left: Left<'a>, right: &'a Node) -> Option<bool> {
        let (left, span) = left;
        let left = self.boolean(&left?, span)?;
        match operator {
            Operator::And if !left => Some(false),
            Operator::Or if left => Some(true),
            Operator::Xor => Some(self.boolean_of(right)? != left),
            _ => self.boolean_of(right),
        }
    }

    fn comparison(&mut self, operator: Operator, left: Left<'a>, right: &'a Node) -> Option<bool> {
        let wanted = match operator {
            Operator::Equal => true,
            Operator::NotEqual => false,
            _ => {
                let (left, right) = self.numbers(left, right)?;
                return Some(match operator {
                    Operator::Less => left < right,
                    Operator::LessOrEqual => left <= right,
                    Operator::Greater => left > right,
                    _ => left >= right,
                });
            }
        };
        let (left, span) = left;
        // Both are looked at, so that both are told if they are missing.
        let (left, right) = left.zip(self.operand(right))?;
        // The right side decides in which type (§3.7).
        let are_equal = match right {
            Value::String(right) => left.into_text() == right,
            Value::Integer(right) => self.integer(&left, span)? == right,
            Value::Boolean(right) => self.boolean(&left, span)? == right,
        };
        Some(are_equal == wanted)
    }

    fn numbers(&mut self, left: Left<'a>, right: &'a Node) -> Option<(i32, i32)> {
        let (left, span) = left;
        let left = left.and_then(|left| self.integer(&left, span));
        let right = self.integer_of(right);
        left.zip(right)
    }

    fn calculate(&mut self, operator: Operator, numbers: Option<(i32, i32)>, span: Span) -> Value<'a> {
        let Some((left, right)) = numbers else { return Type::Integer.zero() };
        if right == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
            self.fail(ErrorKind::Math, span, || "a division by zero".to_owned());
            return Type::Integer.zero();
        }
        let result = match operator {
            Operator::Multiply => left.checked_mul(right),
            Operator::Divide => left.checked_div(right),
            // The one case that overflows, the least integer by -1, has the remainder 0.
            Operator::Remainder => Some(left.wrapping_rem(right)),
            Operator::Subtract => left.checked_sub(right),
            _ => left.checked_add(right),
        };
        self.fitting(result, span)
    }

    /// The result of a calculation; none if it does not fit.
    fn fitting(&mut self, result: Option<i32>, span: Span) -> Value<'a> {
        if result.is_none() {
            self.fail(ErrorKind::Math, span, || {
                "the result does not fit into an integer of 32 bits".to_owned()
            });
        }
        result.map_or(Type::Integer.zero(), Value::Integer)
    }

    /// A function (§3.5); none if an argument failed.
    fn call(&mut self, function: Function, arguments: &'a [Node], span: Span) -> Option<Value<'a>> {
        let value = match (function, arguments) {
            (Function::Concat, parts) => Value::String(self.concatenate("", parts, span)?),
            (Function::ConcatWs, [delimiter, parts @ ..]) => {
                let delimiter = self.text_of(delimiter)?;
                Value::String(self.concatenate(&delimiter, parts, span)?)
            }
            (Function::Length, [text]) => {
                let length = self.text_of(text)?.chars().count();
                Value::Integer(i32::try_from(length).unwrap_or(i32::MAX))
            }
            (Function::Lower, [text]) => Value::String(function::fold(self.text_of(text)?, true)),
            (Function::Upper, [text]) => Value::String(function::fold(self.text_of(text)?, false)),
            (Function::Trim, [text]) => Value::String(function::trim(self.text_of(text)?)),
            (Function::Left | Function::Right, [text, count]) => {
                let (text, count) = (self.text_of(text), self.integer_of(count));
                let (text, count) = text.zip(count)?;
                Value::String(match usize::try_from(count) {
                    Ok(count) if function == Function::Left => function::left(text, count),
                    Ok(count) => function::right(text, count),
                    Err(_) => {
                        self.fail(ErrorKind::FunctionEvaluation, span, || {
                            format!("{count} is not a number of characters")
                        });
                        text
                    }
                })
            }
            (Function::Substring, [text, position, length @ ..]) => {
                let (text, position) = (self.text_of(text), self.integer_of(position));
                let length = length.first().map_or(Some(i32::MAX), |length| self.integer_of(length));
                let (text, position) = text.zip(position)?;
                Value::String(self.substring(text, position, length?, span))
            }
            (Function::Abs, [number]) => {
                let number = self.integer_of(number)?;
                if number == i32::MIN {
                    self.fail(ErrorKind::Math, span, || {
                        format!("the absolute value of {number} does not fit into an integer of 32 bits")
                    });
                }
                Value::Integer(number.saturating_abs())
            }
            (Function::Int, [value]) => Value::Integer(self.integer_of(value)?),
            (Function::Bool, [value]) => Value::Boolean(self.boolean_of(value)?),
            (Function::String, [value]) => Value::String(self.text_of(value)?),
            // The parser has counted the arguments.
            _ => return None,
        };
        Some(value)
    }

    fn concatenate(&mut self, delimiter: &str, parts: &'a [Node], span: Span) -> Option<Cow<'a, str>> {
        let (mut whole, mut missing, mut fits) = (String::new(), false, true);
        for (index, part) in parts.iter().enumerate() {
            let Some(part) = self.text_of(part) else {
                missing = true;
                continue;
            };
            let delimiter = if index == 0 { "" } else { delimiter };
            fits = fits && whole.len() + delimiter.len() + part.len() <= MAX_TEXT;
            if fits {
                whole.push_str(delimiter);
                whole.push_str(&part);
            }
        }
        if !fits {
            self.fail(ErrorKind::FunctionEvaluation, span, || {
                format!("the text is longer than {MAX_TEXT} bytes")
            });
            whole.clear();
        }
        (!missing).then_some(Cow::Owned(whole))
    }

    fn substring(&mut self, text: Cow<'a, str>, position: i32, length: i32, span: Span) -> Cow<'a, str> {
        let Ok(length) = usize::try_from(length) else {
            self.fail(ErrorKind::FunctionEvaluation, span, || {
                format!("{length} is not a number of characters")
            });
            return Cow::Borrowed("");
        };
        function::substring(text, position, length).unwrap_or_else(|| {
            self.fail(ErrorKind::FunctionEvaluation, span, || {
                format!("the text has no character {position}")
            });
            Cow::Borrowed("")
        })
    }

    fn text_of(&mut self, node: &'a Node) -> Option<Cow<'a, str>> {
        Some(self.operand(node)?.into_text())
    }

    fn integer_of(&mut self, node: &'a Node) -> Option<i32> {
        let value = self.operand(node)?;
        self.integer(&value, node.span)
    }

    fn boolean_of(&mut self, node: &'a Node) -> Option<bool> {
        let value = self.operand(node)?;
        self.boolean(&value, node.span)
    }

    /// Cast to Integer.
    fn integer(&mut self, value: &Value<'a>, span: Span) -> Option<i32> {
        let cast = value.to_integer();
        if cast.is_none() {
            self.fail(ErrorKind::Cast, span, || {
                format!("{} is no integer of 32 bits", excerpt(&value.to_string()))
            });
        }
        cast
    }

    /// Cast to Boolean.
    fn boolean(&mut self, value: &Value<'a>, span: Span) -> Option<bool> {
        let cast = value.to_boolean();
        if cast.is_none() {
            self.fail(ErrorKind::Cast, span, || {
                format!("{} is neither true nor false", excerpt(&value.to_string()))
            });
        }
        cast
    }
}
