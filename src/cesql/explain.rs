//! An expression told part by part: each operand of its logic with its own verdict, and the attributes that it looked at.
//!
//! Every attribute is text here, as it is for [`Expression::matches`], which alone decides about the whole.

use super::Expression;
use super::ast::Kind;
use super::ast::Level;
use super::ast::Node;
use super::error::excerpt;
use super::eval::Evaluator;
use crate::event::Attribute;
use crate::event::Event;
use crate::event::ValueRef;
use crate::term::Dialect;
use crate::term::MAX_LEVELS;
use crate::term::MAX_VALUES;
use crate::term::Reading;
use crate::term::Term;

impl Expression {
    /// What becomes of it for an event, part by part. The whole holds or does not, as [`Self::matches`] says; a part in
    /// which something goes wrong has no verdict of its own.
    pub fn explain(&self, event: &Event) -> Term {
        let whole = Explanation { event, text: &self.text }.part(&self.root, 0);
        Term { holds: Some(self.matches(event)), ..whole.named(&self.text) }
    }
}

impl Term {
    fn named(self, text: &str) -> Self {
        Self { text: Term::new(Dialect::Cesql, text, None).text, ..self }
    }
}

struct Explanation<'a> {
    event: &'a Event,
    /// The whole expression.
    text: &'a str,
}

impl Explanation<'_> {
    fn part(&self, node: &Node, level: usize) -> Term {
        let (value, errors) = Evaluator::textual(self.event, self.text).run(node);
        let holds = if errors.is_empty() { value.to_boolean() } else { None };
        let text = self.text.get(node.span.start..node.span.end).unwrap_or_default();
        let mut term = Term::new(Dialect::Cesql, text, holds);
        let operands = if level < MAX_LEVELS { operands(node) } else { Vec::new() };
        term.terms = operands.into_iter().map(|operand| self.part(operand, level + 1)).collect();
        if term.terms.is_empty() {
            let mut attributes = Vec::new();
            node.attributes(&mut attributes);
            term.values = attributes.iter().map(|attribute| self.reading(attribute)).collect();
        }
        // A part says it where there is one that does.
        if term.terms.iter().all(|part| part.error.is_none()) {
            let no_boolean = || {
                holds.is_none().then(|| format!("{} is neither true nor false", excerpt(&value.to_string())))
            };
            term.error = errors.first().map(ToString::to_string).or_else(no_boolean);
        }
        term
    }

    fn reading(&self, attribute: &Attribute) -> Reading {
        let value = self.event.get(attribute).map(ValueRef::text);
        Reading::new(attribute.as_str(), value.as_deref())
    }
}

/// The operands of `AND`, `OR`, `XOR` and `NOT`; none of anything else.
fn operands(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Not(operand) => vec![operand],
        Kind::Chain { first, rest } if rest.iter().any(|(operator, _)| operator.level() == Level::Logic) => {
            std::iter::once(&**first).chain(rest.iter().map(|(_, operand)| operand)).collect()
        }
        _ => Vec::new(),
    }
}

impl Node {
    /// The attributes in it, each once, as many as are told.
    fn attributes<'a>(&'a self, into: &mut Vec<&'a Attribute>) {
        match &self.kind {
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Text(_) => {}
            Kind::Attribute(attribute) | Kind::Exists(attribute) => {
                if into.len() < MAX_VALUES && !into.contains(&attribute) {
                    into.push(attribute);
                }
            }
            Kind::Not(operand) | Kind::Negate(operand) | Kind::Like { operand, .. } => {
                operand.attributes(into);
            }
            Kind::In { operand, negated: _, set } => {
                for node in std::iter::once(&**operand).chain(set) {
                    node.attributes(into);
                }
            }
            Kind::Chain { first, rest } => {
                for node in std::iter::once(&**first).chain(rest.iter().map(|(_, operand)| operand)) {
                    node.attributes(into);
                }
            }
            Kind::Call { arguments, .. } => {
                for node in arguments {
                    node.attributes(into);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Term {
        let event = Event::builder().required("1", "/shop", "order").set("num", 5).build().unwrap();
        Expression::parse(text).unwrap().explain(&event)
    }

    fn parts(term: &Term) -> Vec<(&str, Option<bool>)> {
        term.terms.iter().map(|part| (part.text.as_str(), part.holds)).collect()
    }

    #[test]
    fn each_operand_of_the_logic_has_its_own_verdict() {
        let term = told("type = 'order' AND num > 7");
        assert_eq!((term.holds, term.error.as_deref()), (Some(false), None));
        assert_eq!(parts(&term), [("type = 'order'", Some(true)), ("num > 7", Some(false))]);
        assert_eq!(term.terms[1].values, [Reading::new("num", Some("5"))]);
        let term = told("NOT (type = 'x' OR source LIKE '/s%')");
        assert_eq!(term.holds, Some(false));
        assert_eq!(term.terms[0].terms.len(), 2);
    }

    #[test]
    fn what_goes_wrong_is_told_with_its_place_where_it_does() {
        let term = told("subject = 'x' OR type = 'order'");
        assert_eq!((term.holds, term.error.as_deref()), (Some(false), None));
        let expected = "character 1: the event has no attribute `subject`";
        assert_eq!(term.terms[0].error.as_deref(), Some(expected));
        assert_eq!((term.terms[0].holds, &term.terms[0].values[0].value), (None, &None));
        let term = told("type AND num = 5");
        assert_eq!(term.terms[0].error.as_deref(), Some("`order` is neither true nor false"));
        // Passed over by the engine, and evaluated here all the same.
        let term = told("EXISTS subject AND subject = 'x'");
        assert_eq!((term.holds, term.terms[1].holds), (Some(false), None));
    }

    #[test]
    fn what_is_nested_deeply_is_told_as_a_whole() {
        let text = format!("{}TRUE{}", "NOT (".repeat(30), ")".repeat(30));
        let (mut term, mut depth) = (&told(&text), 0);
        assert_eq!(term.holds, Some(true));
        while let [inner] = term.terms.as_slice() {
            (term, depth) = (inner, depth + 1);
        }
        assert_eq!((depth, term.holds), (MAX_LEVELS, Some(true)));
    }
}
