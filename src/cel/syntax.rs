//! An expression as a tree. Names are resolved: nothing in it can be undefined.

use std::ops::Range;

use regex::Regex;

use super::function::Function;
use crate::event::Attribute;

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where it stands in the source, in bytes.
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Double(f64),
    Text(Box<str>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `event.type`.
    Attribute(Attribute),
    /// `event["type"]`, whose name may be computed.
    AnyAttribute(Box<Node>),
    /// `event.data`.
    Data,
    /// The variable of the comprehension around it; there is one at most.
    Variable,
    Select(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    HasAttribute(Attribute),
    HasData,
    Has(Box<Node>, Box<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<[Node; 2]>),
    /// `&&` of two or more.
    All(Vec<Node>),
    /// `||` of two or more.
    Any(Vec<Node>),
    /// `condition ? one : other`.
    Choice(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Box<Pattern>),
    Comprehension(Box<Comprehension>),
}

/// A regular expression, compiled with the program, so that its size is bounded.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// Length of its source: what reading one byte of text can cost grows with it.
    pub(super) length: usize,
}

/// An iteration over the elements of a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) range: Node,
    pub(super) fold: Fold,
    /// What has to hold of an element; for `map` with three arguments, of those that count.
    pub(super) predicate: Option<Node>,
    /// What `map` makes of an element.
    pub(super) transform: Option<Node>,
}

/// What becomes of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Node {
    /// Calls `visit` with every part directly below.
    pub(super) fn children<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        match &self.kind {
            Kind::Null
            | Kind::Boolean(_)
            | Kind::Integer(_)
            | Kind::Unsigned(_)
            | Kind::Double(_)
            | Kind::Text(_)
            | Kind::Attribute(_)
            | Kind::Data
            | Kind::Variable
            | Kind::HasAttribute(_)
            | Kind::HasData => {}
            Kind::List(nodes) | Kind::All(nodes) | Kind::Any(nodes) | Kind::Call(_, nodes) => {
                nodes.iter().for_each(visit);
            }
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                visit(key);
                visit(value);
            }),
            Kind::AnyAttribute(node)
            | Kind::Select(node, _)
            | Kind::Has(node, _)
            | Kind::Not(node)
            | Kind::Negate(node)
            | Kind::Matches(node, _) => visit(node),
            Kind::Index(nodes) | Kind::Binary(_, nodes) => nodes.iter().for_each(visit),
            Kind::Choice(nodes) => nodes.iter().for_each(visit),
            Kind::Comprehension(comprehension) => {
                let Comprehension { range, fold: _, predicate, transform } = &**comprehension;
                visit(range);
                predicate.iter().chain(transform).for_each(visit);
            }
        }
    }

    /// How deep the tree is.
    pub(super) fn depth(&self) -> usize {
        let mut deepest = 0;
        self.children(&mut |child| deepest = deepest.max(child.depth()));
        deepest + 1
    }

    /// Whether the node or one below it is as `test` says.
    pub(super) fn contains(&self, test: &impl Fn(&Kind) -> bool) -> bool {
        let mut found = test(&self.kind);
        self.children(&mut |child| found = found || child.contains(test));
        found
    }
}
