//! Evaluation of a tree, with a budget. Recursion is as deep as the tree, which the compiler bounds.

use std::cmp::Ordering;
use std::rc::Rc;

use super::arithmetic::{Number, calculated, negated};
use super::error::{Failure, Problem};
use super::input::Input;
use super::program::{MAX_DATA_TO_ITERATE, MAX_STEPS, STEP_BYTES};
use super::syntax::{Comprehension, Fold, Kind, Node, Operator, Pattern};
use super::value::{Text, Value};
use crate::event::Attribute;

/// Bytes of text that can be read for one step.
pub(super) const STEP_READ: usize = 64;

/// One evaluation.
pub(super) struct Evaluation<'a, 'e> {
    input: &'a Input<'e>,
    iterates: bool,
    steps: u32,
    /// Most steps: those of any evaluation, or the fewer that are left for this event.
    limit: u32,
    /// The element of the comprehension that is under way.
    variable: Option<Value<'a>>,
}

pub(super) type Outcome<'a> = Result<Value<'a>, Failure>;

impl<'a, 'e: 'a> Evaluation<'a, 'e> {
    pub(super) fn new(input: &'a Input<'e>, iterates: bool) -> Self {
        Self { input, iterates, steps: 0, limit: MAX_STEPS.min(input.allowed()), variable: None }
    }

    /// The value of the whole expression; what it took is taken from what is left for the event.
    pub(super) fn run(mut self, root: &'a Node) -> Outcome<'a> {
        let outcome = self.value(root);
        self.input.spend(self.steps.min(MAX_STEPS));
        outcome
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Problem> {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        match self.steps > self.limit {
            false => Ok(()),
            true if self.limit == MAX_STEPS => Err(Problem::Spent),
            true => Err(Problem::Exhausted),
        }
    }

    /// Value of a part of the expression.
    pub(super) fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        self.spend(1).map_err(at(node))?;
        match &node.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Boolean(value) => Ok(Value::Boolean(*value)),
            Kind::Integer(value) => Ok(Value::Integer(*value)),
            Kind::Unsigned(value) => Ok(Value::Unsigned(*value)),
            Kind::Double(value) => Ok(Value::Double(*value)),
            Kind::Text(text) => Ok(Value::Text(Text::Borrowed(text))),
            Kind::Variable => self.variable.clone().ok_or(Problem::Missing).map_err(at(node)),
            Kind::Attribute(attribute) => {
                self.input.attribute(attribute).ok_or(Problem::Missing).map_err(at(node))
            }
            Kind::Data => self.data().map_err(at(node)),
            Kind::HasAttribute(attribute) => Ok(Value::Boolean(self.input.attribute(attribute).is_some())),
            Kind::HasData => self.has_data().map(Value::Boolean).map_err(at(node)),
            Kind::AnyAttribute(name) => {
                let name = self.value(name)?;
                self.any_attribute(&name).map_err(at(node))
            }
            Kind::List(nodes) => self.list(nodes),
            Kind::Map(entries) => self.map(entries),
            Kind::Select(operand, field) => {
                let operand = self.value(operand)?;
                self.member(&operand, field).map_err(at(node))
            }
            Kind::Has(operand, field) => {
                let operand = self.value(operand)?;
                match self.member(&operand, field) {
                    Ok(_) => Ok(Value::Boolean(true)),
                    Err(Problem::Missing) => Ok(Value::Boolean(false)),
                    Err(problem) => Err(at(node)(problem)),
                }
            }
            Kind::Index(nodes) => {
                let [operand, index] = &**nodes;
                let (operand, index) = (self.value(operand)?, self.value(index)?);
                self.element(&operand, &index).map_err(at(node))
            }
            Kind::Not(operand) => Ok(Value::Boolean(!self.boolean(operand)?)),
            Kind::Negate(operand) => negated(&self.value(operand)?).map_err(at(node)),
            Kind::Binary(operator, nodes) => {
                let [left, right] = &**nodes;
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, &left, &right).map_err(at(node))
            }
            Kind::All(terms) => self.decided(terms, false),
            Kind::Any(terms) => self.decided(terms, true),
            Kind::Choice(nodes) => {
                let [condition, one, other] = &**nodes;
                let chosen = if self.boolean(condition)? { one } else { other };
                self.value(chosen)
            }
            Kind::Call(function, arguments) => self.call(node, *function, arguments),
            Kind::Matches(operand, pattern) => self.matches(operand, pattern),
            Kind::Comprehension(comprehension) => self.comprehension(node, comprehension),
        }
    }

    fn data(&self) -> Result<Value<'a>, Problem> {
        if self.iterates && self.input.size() > MAX_DATA_TO_ITERATE {
            return Err(Problem::TooLarge);
        }
        self.input.data().map_err(Problem::NoJson)
    }

    fn has_data(&self) -> Result<bool, Problem> {
        Ok(self.input.has_data().map_err(Problem::NoJson)? && self.data().is_ok())
    }

    fn any_attribute(&self, name: &Value<'a>) -> Result<Value<'a>, Problem> {
        match name {
            Value::Text(name) if &**name == "data" => self.data(),
            Value::Text(name) => {
                let attribute = Attribute::parse(name).map_err(|_| Problem::Missing)?;
                self.input.attribute(&attribute).ok_or(Problem::Missing)
            }
            other => Err(Problem::Type { expected: "the name of an attribute", found: other.kind() }),
        }
    }

    fn list(&mut self, nodes: &'a [Node]) -> Outcome<'a> {
        let values: Result<Vec<_>, Failure> = nodes.iter().map(|node| self.value(node)).collect();
        values.map(Value::list)
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Outcome<'a> {
        let mut members: Vec<(Text<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = self.text(key)?;
            if members.iter().any(|(known, _)| **known == *name) {
                return Err(at(key)(Problem::Conversion("a second member of the same name")));
            }
            members.push((name, self.value(value)?));
        }
        Ok(Value::Map(Rc::new(members)))
    }

    /// What cannot be read from null is missing, too: senders write `null` for what they do not have.
    fn member(&mut self, operand: &Value<'a>, name: &str) -> Result<Value<'a>, Problem> {
        match operand {
            Value::Map(members) => {
                self.spend(members.len() / STEP_BYTES)?;
                let found = members.iter().find(|(known, _)| **known == *name);
                found.map(|(_, value)| value.clone()).ok_or(Problem::Missing)
            }
            Value::Null => Err(Problem::Missing),
            other => Err(Problem::Type { expected: "an object, and has no members", found: other.kind() }),
        }
    }

    fn element(&mut self, operand: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>, Problem> {
        match (operand, index) {
            (Value::List(values), Value::Integer(_) | Value::Unsigned(_)) => {
                let index = match index {
                    Value::Integer(index) => usize::try_from(*index).ok(),
                    Value::Unsigned(index) => usize::try_from(*index).ok(),
                    _ => None,
                };
                index.and_then(|index| values.get(index)).cloned().ok_or(Problem::Missing)
            }
            (Value::List(_), other) => {
                Err(Problem::Type { expected: "the number of an element", found: other.kind() })
            }
            (operand, Value::Text(name)) => self.member(operand, name),
            (Value::Map(_), other) => {
                Err(Problem::Type { expected: "the name of a member", found: other.kind() })
            }
            (operand, _) => self.member(operand, ""),
        }
    }

    /// The value of an operand that must be a boolean.
    fn boolean(&mut self, node: &'a Node) -> Result<bool, Failure> {
        match self.value(node)? {
            Value::Boolean(value) => Ok(value),
            other => Err(at(node)(Problem::Type { expected: "a boolean", found: other.kind() })),
        }
    }

    /// The value of an operand that must be a string.
    pub(super) fn text(&mut self, node: &'a Node) -> Result<Text<'a>, Failure> {
        match self.value(node)? {
            Value::Text(text) => Ok(text),
            other => Err(at(node)(Problem::Type { expected: "a string", found: other.kind() })),
        }
    }

    /// `&&` and `||`: one operand that is `decisive` decides, whatever became of the others.
    fn decided(&mut self, terms: &'a [Node], decisive: bool) -> Outcome<'a> {
        let mut failure = None;
        for term in terms {
            match self.boolean(term) {
                Ok(value) if value == decisive => return Ok(Value::Boolean(decisive)),
                Ok(_) => {}
                Err(found) if found.problem.ends_it() => return Err(found),
                Err(found) => failure = failure.or(Some(found)),
            }
        }
        failure.map_or(Ok(Value::Boolean(!decisive)), Err)
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<Value<'a>, Problem> {
        match operator {
            Operator::Equal => self.equal(left, right).map(Value::Boolean),
            Operator::NotEqual => self.equal(left, right).map(|equal| Value::Boolean(!equal)),
            Operator::Less => self.compare(left, right).map(|found| Value::Boolean(found.is_lt())),
            Operator::LessOrEqual => self.compare(left, right).map(|found| Value::Boolean(found.is_le())),
            Operator::Greater => self.compare(left, right).map(|found| Value::Boolean(found.is_gt())),
            Operator::GreaterOrEqual => self.compare(left, right).map(|found| Value::Boolean(found.is_ge())),
            Operator::In => self.is_in(left, right).map(Value::Boolean),
            Operator::Add => self.add(left, right),
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                calculated(operator, left, right).unwrap_or_else(|| Err(operands(left, right)))
            }
        }
    }

    fn add(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Problem> {
        match (left, right) {
            (Value::Text(left), Value::Text(right)) => {
                self.spend((left.len() + right.len()) / STEP_BYTES)?;
                Ok(Value::text([&**left, &**right].concat()))
            }
            (Value::List(left), Value::List(right)) => {
                self.spend(left.len() + right.len())?;
                Ok(Value::list(left.iter().chain(right.iter()).cloned().collect()))
            }
            _ => calculated(Operator::Add, left, right).unwrap_or_else(|| Err(operands(left, right))),
        }
    }

    /// Values of different types are not equal; numbers are by what they are worth.
    fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, Problem> {
        self.spend(1)?;
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Boolean(left), Value::Boolean(right)) => left == right,
            (Value::Decimal(left), Value::Decimal(right)) if left == right => true,
            (Value::Text(left), Value::Text(right)) => {
                self.spend(if left.len() == right.len() { left.len() / STEP_READ } else { 0 })?;
                **left == **right
            }
            (Value::List(left), Value::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(left), Value::Map(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (name, left) in left.iter() {
                    self.spend(right.len() / STEP_BYTES)?;
                    let Some((_, right)) = right.iter().find(|(known, _)| **known == **name) else {
                        return Ok(false);
                    };
                    if !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => match (Number::of(left), Number::of(right)) {
                (Some(left), Some(right)) => left.compare(right) == Some(Ordering::Equal),
                _ => false,
            },
        })
    }

    fn compare(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Ordering, Problem> {
        match (left, right) {
            (Value::Text(left), Value::Text(right)) => {
                self.spend(left.len().min(right.len()) / STEP_READ)?;
                Ok((**left).cmp(&**right))
            }
            (Value::Boolean(left), Value::Boolean(right)) => Ok(left.cmp(right)),
            _ => {
                let numbers = Number::of(left).zip(Number::of(right));
                numbers.and_then(|(left, right)| left.compare(right)).ok_or(operands(left, right))
            }
        }
    }

    fn is_in(&mut self, wanted: &Value<'a>, place: &Value<'a>) -> Result<bool, Problem> {
        match (wanted, place) {
            (wanted, Value::List(values)) => {
                for value in values.iter() {
                    if self.equal(wanted, value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Value::Text(name), Value::Map(members)) => {
                self.spend(members.len() / STEP_BYTES)?;
                Ok(members.iter().any(|(known, _)| **known == **name))
            }
            (wanted, place) => Err(operands(wanted, place)),
        }
    }

    fn matches(&mut self, operand: &'a Node, pattern: &Pattern) -> Outcome<'a> {
        let text = self.text(operand)?;
        // Linear in the text; how much one byte takes grows with the expression.
        let reads = text.len() / STEP_READ * (1 + pattern.length / 4);
        self.spend(reads).map_err(at(operand))?;
        Ok(Value::Boolean(pattern.regex.is_match(&text)))
    }

    fn comprehension(&mut self, node: &'a Node, comprehension: &'a Comprehension) -> Outcome<'a> {
        let Comprehension { range, fold, predicate, transform } = comprehension;
        let elements = match self.value(range)? {
            Value::List(values) => values,
            Value::Map(members) => {
                self.spend(members.len()).map_err(at(range))?;
                Rc::new(members.iter().map(|(name, _)| Value::Text(name.clone())).collect())
            }
            other => {
                let problem = Problem::Type { expected: "a list or an object", found: other.kind() };
                return Err(at(range)(problem));
            }
        };
        let mut kept = Vec::new();
        let mut count = 0_usize;
        let mut failure = None;
        for element in elements.iter() {
            // Somebody else's variable would be lost here, but comprehensions do not nest.
            self.variable = Some(element.clone());
            let holds = match predicate {
                None => Ok(true),
                Some(predicate) => self.boolean(predicate),
            };
            match (fold, holds) {
                (_, Err(found)) if found.problem.ends_it() => return Err(found),
                (Fold::All, Ok(false)) => return Ok(Value::Boolean(false)),
                (Fold::Exists, Ok(true)) => return Ok(Value::Boolean(true)),
                (Fold::All | Fold::Exists, Err(found)) => failure = failure.or(Some(found)),
                (_, Err(found)) => return Err(found),
                (Fold::ExistsOne, Ok(true)) => count += 1,
                (Fold::Filter, Ok(true)) => kept.push(element.clone()),
                (Fold::Map, Ok(true)) => {
                    if let Some(transform) = transform {
                        kept.push(self.value(transform)?);
                    }
                }
                (_, Ok(_)) => {}
            }
        }
        self.variable = None;
        self.spend(kept.len() / STEP_BYTES).map_err(at(node))?;
        match (fold, failure) {
            (_, Some(failure)) => Err(failure),
            (Fold::All, None) => Ok(Value::Boolean(true)),
            (Fold::Exists, None) => Ok(Value::Boolean(false)),
            (Fold::ExistsOne, None) => Ok(Value::Boolean(count == 1)),
            (Fold::Filter | Fold::Map, None) => Ok(Value::list(kept)),
        }
    }
}

/// Puts a problem where it happened.
pub(super) fn at(node: &Node) -> impl Fn(Problem) -> Failure + use<> {
    let span = node.span.clone();
    move |problem| Failure { span: span.clone(), problem }
}

fn operands(left: &Value<'_>, right: &Value<'_>) -> Problem {
    Problem::Operands { left: left.kind(), right: right.kind() }
}
