//! The tree that an expression is. Every node knows where it stands in the text.

use super::cast::Type;
use super::error::Span;
use super::function::Function;
use super::like::Pattern;
use crate::event::Attribute;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a node is. Parentheses leave no trace but the shape of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean(bool),
    Integer(i32),
    Text(Box<str>),
    Attribute(Attribute),
    Exists(Attribute),
    Not(Box<Node>),
    Negate(Box<Node>),
    Like {
        operand: Box<Node>,
        negated: bool,
        pattern: Pattern,
    },
    In {
        operand: Box<Node>,
        negated: bool,
        set: Vec<Node>,
    },
    /// Operators of one level, from left to right. A list and no tree, so that a long one is not a deep one.
    Chain {
        first: Box<Node>,
        rest: Vec<(Operator, Node)>,
    },
    /// A function by its name, upper-cased; none if it does not exist with that many arguments.
    Call {
        name: Box<str>,
        function: Option<Function>,
        arguments: Vec<Node>,
    },
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
}

/// How strongly operators bind (§3.6), the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Logic,
    Comparison,
    Sum,
    Product,
    /// Operands of a product: nothing between two operands binds as strongly.
    Operand,
}

impl Operator {
    pub(super) fn level(self) -> Level {
        match self {
            Operator::Multiply | Operator::Divide | Operator::Remainder => Level::Product,
            Operator::Add | Operator::Subtract => Level::Sum,
            Operator::And | Operator::Or | Operator::Xor => Level::Logic,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => Level::Comparison,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Xor => "XOR",
        }
    }

    /// Type of its result.
    pub(super) fn result_type(self) -> Type {
        match self.level() {
            Level::Logic | Level::Comparison => Type::Boolean,
            Level::Sum | Level::Product | Level::Operand => Type::Integer,
        }
    }
}

impl Level {
    /// The level that operands of this one have.
    pub(super) fn tighter(self) -> Level {
        match self {
            Level::Logic => Level::Comparison,
            Level::Comparison => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product | Level::Operand => Level::Operand,
        }
    }
}

impl Node {
    /// Type of its value; unknown for an attribute.
    pub(super) fn result_type(&self) -> Option<Type> {
        match &self.kind {
            Kind::Attribute(_) => None,
            Kind::Text(_) => Some(Type::String),
            Kind::Integer(_) | Kind::Negate(_) => Some(Type::Integer),
            Kind::Boolean(_) | Kind::Exists(_) | Kind::Not(_) | Kind::Like { .. } | Kind::In { .. } => {
                Some(Type::Boolean)
            }
            Kind::Chain { first, rest } => {
                rest.last().map_or_else(|| first.result_type(), |(operator, _)| Some(operator.result_type()))
            }
            Kind::Call { function, .. } => Some(function.map_or(Type::Boolean, Function::result_type)),
        }
    }

    /// The texts of which the attribute must be one, if it is text, for this to be true; none if it may be another.
    pub(super) fn necessary(&self, attribute: &Attribute) -> Option<Vec<&str>> {
        let is_it = |node: &Node| matches!(&node.kind, Kind::Attribute(found) if found == attribute);
        match &self.kind {
            Kind::In { operand, negated: false, set } if is_it(operand) => {
                set.iter().map(Node::as_text).collect()
            }
            Kind::Chain { first, rest } => match rest.as_slice() {
                [(Operator::Equal, second)] if is_it(first) => Some(vec![second.as_text()?]),
                [(Operator::Equal, second)] if is_it(second) => Some(vec![first.as_text()?]),
                rest if rest.iter().all(|(operator, _)| *operator == Operator::Or) => {
                    let mut all = first.necessary(attribute)?;
                    for (_, operand) in rest {
                        all.extend(operand.necessary(attribute)?);
                    }
                    Some(all)
                }
                // Whatever stands before the last `AND`s, each of their operands must be true.
                rest => {
                    let last = rest.iter().rev().take_while(|(operator, _)| *operator == Operator::And);
                    let number = last.clone().count();
                    let first = (number == rest.len()).then_some(first.as_ref());
                    let operands = last.map(|(_, operand)| operand).chain(first);
                    operands.filter_map(|operand| operand.necessary(attribute)).min_by_key(Vec::len)
                }
            },
            _ => None,
        }
    }

    fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// The first call of a function that does not exist: its name, the number of its arguments, and its place.
    pub(super) fn unknown_function(&self) -> Option<(&str, usize, Span)> {
        match &self.kind {
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Text(_) | Kind::Attribute(_) | Kind::Exists(_) => {
                None
            }
            Kind::Not(operand) | Kind::Negate(operand) | Kind::Like { operand, .. } => {
                operand.unknown_function()
            }
            Kind::In { operand, set, negated: _ } => {
                operand.unknown_function().or_else(|| set.iter().find_map(Node::unknown_function))
            }
            Kind::Chain { first, rest } => first
                .unknown_function()
                .or_else(|| rest.iter().find_map(|(_, operand)| operand.unknown_function())),
            Kind::Call { name, function: None, arguments } => Some((name, arguments.len(), self.span)),
            Kind::Call { arguments, .. } => arguments.iter().find_map(Node::unknown_function),
        }
    }
}
