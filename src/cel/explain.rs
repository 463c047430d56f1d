//! A program told part by part: each operand of its logic with its own verdict, and what it read in the event.
//!
//! Whoever may write a filter must not be able to make its explanation dear: all parts together have the budget of one
//! evaluation. Each of them is evaluated once, and what they come to together follows from them. About the whole
//! [`Program::holds`] alone decides.

use super::error::{Error, Failure};
use super::evaluate::Evaluation;
use super::input::Input;
use super::program::Program;
use super::syntax::{Comprehension, Kind, Node};
use super::value::Value;
use crate::term::{Dialect, MAX_LEVELS, MAX_VALUES, Reading, Term, decided, shortened};

/// Longest text of a value that is written out before it is shortened.
const MAX_JSON: usize = 4096;
/// Most characters of a string that are quoted.
const MAX_STRING: usize = 100;

impl Program {
    /// What becomes of it for an event, part by part. The whole has the verdict that [`Self::holds`] gives.
    pub fn explain(&self, input: &Input<'_>) -> Term {
        let mut evaluation = Evaluation::new(input, self.iterates());
        let whole = self.part(self.root(), &mut evaluation, 0);
        let text = Term::new(Dialect::Cel, self.source(), None).text;
        Term { text, holds: self.holds(input), ..whole }
    }

    fn part<'a>(&'a self, node: &'a Node, evaluation: &mut Evaluation<'a, '_>, level: usize) -> Term {
        let text = self.source().get(node.span.clone()).unwrap_or_default();
        let operands = match &node.kind {
            Kind::All(operands) | Kind::Any(operands) if level < MAX_LEVELS => operands.as_slice(),
            Kind::Not(operand) if level < MAX_LEVELS => std::slice::from_ref(&**operand),
            _ => return self.leaf(node, evaluation, Term::new(Dialect::Cel, text, None)),
        };
        let terms: Vec<Term> =
            operands.iter().map(|operand| self.part(operand, evaluation, level + 1)).collect();
        let verdicts = terms.iter().map(|term| term.holds);
        let holds = match &node.kind {
            Kind::All(_) => decided(verdicts, false),
            Kind::Any(_) => decided(verdicts, true),
            _ => terms.first().and_then(|term| term.holds).map(|holds| !holds),
        };
        Term::new(Dialect::Cel, text, holds).over(terms)
    }

    fn leaf<'a>(&'a self, node: &'a Node, evaluation: &mut Evaluation<'a, '_>, term: Term) -> Term {
        let (holds, error) = match evaluation.value(node) {
            Ok(Value::Boolean(holds)) => (Some(holds), None),
            Ok(other) => (None, Some(format!("`{}` is {}, not a boolean", term.text, other.kind()))),
            Err(failure) => (None, Some(self.told(failure))),
        };
        let mut paths = Vec::new();
        node.reads(&mut paths);
        let reading = |path: &&'a Node| {
            let name = self.source().get(path.span.clone()).unwrap_or_default();
            let value = evaluation.value(path).ok().map(|value| written(&value));
            Reading::new(name, value.as_deref())
        };
        let mut values: Vec<Reading> = paths.iter().map(reading).collect();
        let all = values.clone();
        let mut place = 0;
        values.retain(|reading| {
            place += 1;
            all.iter().take(place - 1).all(|earlier| earlier.name != reading.name)
        });
        Term { holds, values, error, ..term }
    }

    fn told(&self, Failure { span, problem }: Failure) -> String {
        let character = self.source().char_indices().take_while(|(at, _)| *at < span.start).count() + 1;
        let path = self.source().get(span).unwrap_or_default().to_owned();
        format!("character {character}: {}", Error { path, problem })
    }
}

impl Node {
    /// The parts of the event that are read in it, as many as are told. What depends on the element of an iteration is no
    /// single value.
    fn reads<'a>(&'a self, into: &mut Vec<&'a Node>) {
        if into.len() >= MAX_VALUES {
            return;
        }
        match &self.kind {
            _ if self.is_path() => into.push(self),
            // That it is there or not is the verdict.
            Kind::Has(..) => {}
            Kind::Comprehension(comprehension) => {
                let Comprehension { range, fold: _, predicate: _, transform: _ } = &**comprehension;
                range.reads(into);
            }
            _ => self.children(&mut |child| child.reads(into)),
        }
    }

    fn is_path(&self) -> bool {
        let is_fixed = |node: &Node| !node.contains(&|kind| matches!(kind, Kind::Variable));
        match &self.kind {
            Kind::Attribute(_) | Kind::Data => true,
            Kind::AnyAttribute(name) => is_fixed(name),
            Kind::Select(operand, _) => operand.is_path(),
            Kind::Index(nodes) => {
                let [operand, index] = &**nodes;
                operand.is_path() && is_fixed(index)
            }
            _ => false,
        }
    }
}

/// A value as JSON, if it is short.
fn written(value: &Value<'_>) -> String {
    let json = match value {
        Value::Text(text) => Value::text(shortened(text, MAX_STRING)).to_json(MAX_JSON),
        other => other.to_json(MAX_JSON),
    };
    json.unwrap_or_else(|_| value.kind().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn told(source: &str) -> Term {
        let event = Event::builder()
            .required("1", "/shop", "order")
            .data(r#"{"total": 12.50, "items": [{"sku": "a"}], "note": null}"#)
            .build()
            .unwrap();
        Program::compile(source).unwrap().explain(&Input::new(&event))
    }

    fn parts(term: &Term) -> Vec<(&str, Option<bool>)> {
        term.terms.iter().map(|part| (part.text.as_str(), part.holds)).collect()
    }

    fn values(term: &Term) -> Vec<(&str, Option<&str>)> {
        term.values.iter().map(|reading| (reading.name.as_str(), reading.value.as_deref())).collect()
    }

    #[test]
    fn each_operand_of_the_logic_has_its_own_verdict_and_values() {
        let term = told("event.type == 'order' && (event.data.total > 100 || !has(event.data.total))");
        assert_eq!(term.holds, Some(false));
        assert_eq!(parts(&term)[0], ("event.type == 'order'", Some(true)));
        assert_eq!(values(&term.terms[0]), [("event.type", Some("\"order\""))]);
        let inner = &term.terms[1];
        assert_eq!(inner.holds, Some(false));
        assert_eq!(
            parts(inner),
            [("event.data.total > 100", Some(false)), ("!has(event.data.total)", Some(false))]
        );
        assert_eq!(values(&inner.terms[0]), [("event.data.total", Some("12.50"))]);
        assert_eq!(parts(&inner.terms[1]), [("has(event.data.total)", Some(true))]);
    }

    #[test]
    fn what_has_no_verdict_says_why_and_where() {
        let term = told("event.type == 'x' || event.data.order.id == 7");
        assert_eq!((term.holds, term.error.as_deref()), (None, None));
        let expected = "character 22: `event.data.order` is missing";
        assert_eq!(term.terms[1].error.as_deref(), Some(expected));
        assert_eq!(values(&term.terms[1]), [("event.data.order.id", None)]);
        assert_eq!(told("event.id").error.as_deref(), Some("`event.id` is a string, not a boolean"));
    }

    #[test]
    fn an_iteration_tells_what_it_goes_over() {
        let term = told("event.data.items.exists(i, i.sku == event.id)");
        assert_eq!(
            (term.holds, values(&term)),
            (Some(false), vec![("event.data.items", Some(r#"[{"sku":"a"}]"#))])
        );
    }

    #[test]
    fn all_parts_together_have_one_budget() {
        let list = format!("[{}]", vec!["1"; 30_000].join(","));
        let event = Event::builder().required("1", "/s", "t").data(list).build().unwrap();
        let one = "event.data.all(i, i * i * i * i == 1)";
        let source = [one; 20].join(" && ");
        let term = Program::compile(&source).unwrap().explain(&Input::new(&event));
        assert!(term.terms[0].holds == Some(true) && term.terms[19].holds.is_none());
        assert!(term.terms[19].error.as_deref().unwrap().contains("takes more than"));
        assert_eq!(term.holds, None);
    }
}
