//! A filter told term by term. It says what [`Expression::matches`] says, and why.

use super::expression::Expression;
use super::expression::Test;
use crate::cel::Input;
use crate::event::Attribute;
use crate::event::ValueRef;
use crate::term::Dialect;
use crate::term::Reading;
use crate::term::Term;
use crate::term::decided;

impl Expression {
    /// What becomes of it for an event. A group of one is told as that one.
    pub(super) fn explain(&self, input: &Input<'_>) -> Term {
        match self {
            Expression::All(inner) | Expression::Any(inner) if inner.len() == 1 => inner[0].explain(input),
            Expression::All(inner) => group(Dialect::All, inner, input),
            Expression::Any(inner) => group(Dialect::Any, inner, input),
            Expression::Not(inner) => {
                let inner = inner.explain(input);
                Term::new(Dialect::Not, "", inner.holds.map(|holds| !holds)).over(vec![inner])
            }
            Expression::Has(attribute, test) => test.explain(attribute, input),
            Expression::Cesql(condition) => condition.explain(input.event()),
            Expression::Cel(program) => program.explain(input),
        }
    }
}

fn group(dialect: Dialect, inner: &[Expression], input: &Input<'_>) -> Term {
    let terms: Vec<Term> = inner.iter().map(|expression| expression.explain(input)).collect();
    let holds = decided(terms.iter().map(|term| term.holds), dialect == Dialect::Any);
    Term::new(dialect, "", holds).over(terms)
}

impl Test {
    fn explain(&self, attribute: &Attribute, input: &Input<'_>) -> Term {
        let name = attribute.as_str();
        let (dialect, text) = match self {
            Test::Exact(wanted) => (Dialect::Exact, format!("{name} = {wanted}")),
            Test::Prefix(wanted) => (Dialect::Prefix, format!("{name} = {wanted}")),
            Test::Suffix(wanted) => (Dialect::Suffix, format!("{name} = {wanted}")),
            Test::NotEmpty => (Dialect::Present, name.to_owned()),
        };
        let value = input.event().get(attribute);
        let holds = value.as_ref().is_some_and(|value| value.is(|text| self.holds(text)));
        let text_of = value.map(ValueRef::text);
        let values = vec![Reading::new(name, text_of.as_deref())];
        Term { values, ..Term::new(dialect, &text, Some(holds)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::api::{LegacyFilter, TriggerSpec};
    use crate::cel::Input;
    use crate::event::Event;
    use crate::filter::Filter;
    use crate::term::Term;

    fn event() -> Event {
        let data = r#"{"total": 12, "sku": "a"}"#;
        let built =
            Event::builder().required("7", "/shop", "com.example.order").set("num", 5).set("empty", "");
        built.data(data).build().unwrap()
    }

    fn compiled(filters: &Value) -> Filter {
        let filters = serde_json::from_value(filters.clone()).unwrap();
        Filter::compile(&TriggerSpec { filters, ..TriggerSpec::default() }).unwrap()
    }

    fn terms(filters: &Value) -> Vec<Term> {
        compiled(filters).explain(&Input::new(&event()))
    }

    /// A term and its parts in one line: `exact type = x: no (type is y)`.
    fn line(term: &Term) -> String {
        let holds = match term.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        let values: Vec<_> = term
            .values
            .iter()
            .map(|reading| format!(" {}={}", reading.name, reading.value.as_deref().unwrap_or("-")))
            .collect();
        let parts: Vec<_> = term.terms.iter().map(line).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" [{}]", parts.join(", ")) };
        let error = term.error.as_ref().map(|error| format!(" !{error}")).unwrap_or_default();
        format!("{} {}: {holds}{}{error}{parts}", term.dialect.as_str(), term.text, values.concat())
    }

    #[test]
    fn every_dialect_says_what_it_looked_at() {
        for (filter, expected) in [
            (
                json!({"exact": {"type": "com.example.order"}}),
                "exact type = com.example.order: yes type=com.example.order",
            ),
            (json!({"exact": {"num": "6"}}), "exact num = 6: no num=5"),
            (json!({"prefix": {"subject": "a"}}), "prefix subject = a: no subject=-"),
            (json!({"suffix": {"source": "op"}}), "suffix source = op: yes source=/shop"),
            (json!({"not": {"exact": {"id": "7"}}}), "not : no [exact id = 7: yes id=7]"),
            (
                json!({"any": [{"exact": {"id": "8"}}, {"cesql": "num = 5"}]}),
                "any : yes [exact id = 8: no id=7, cesql num = 5: yes num=5]",
            ),
            (
                json!({"all": [{"cel": "event.data.total > 100"}, {"exact": {"id": "7", "num": "5"}}]}),
                "all : no [cel event.data.total > 100: no event.data.total=12, all : yes [exact id = 7: yes id=7, exact num = 5: yes num=5]]",
            ),
            (
                json!({"cel": "event.data.none == 1"}),
                "cel event.data.none == 1: ? event.data.none=- !character 1: `event.data.none` is missing",
            ),
            (
                json!({"not": {"cesql": "subject = 'x'"}}),
                "not : yes [cesql subject = 'x': no subject=- !character 1: the event has no attribute `subject`]",
            ),
        ] {
            let [term] = terms(&json!([filter])).try_into().unwrap();
            assert_eq!(line(&term), expected);
        }
    }

    #[test]
    fn the_legacy_form_and_no_filter_explain_themselves() {
        assert!(terms(&json!([])).is_empty());
        let attributes = [("empty", ""), ("id", ""), ("num", "5")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let filter = Some(LegacyFilter { attributes: attributes.into() });
        let filter = Filter::compile(&TriggerSpec { filter, ..TriggerSpec::default() }).unwrap();
        let told: Vec<_> = filter.explain(&Input::new(&event())).iter().map(line).collect();
        assert_eq!(told, ["present empty: no empty=", "present id: yes id=7", "exact num = 5: yes num=5"]);
    }

    #[test]
    fn data_that_was_not_kept_gives_no_verdict() {
        let event = event();
        let input = Input::without_data(&event);
        for source in
            ["event.data.total > 100", "has(event.data)", "has(event.data.total)", "!has(event.data)"]
        {
            let term = &compiled(&json!([{"cel": source}])).explain(&input)[0];
            assert_eq!(term.holds, None, "{source}");
            assert!(format!("{term:?}").contains("was not kept"), "{source}: {term:?}");
        }
    }

    fn filters() -> impl Strategy<Value = Value> {
        let attribute = prop_oneof![Just("type"), Just("id"), Just("subject"), Just("num"), Just("empty")];
        let value = prop_oneof![Just("7"), Just("5"), Just("com.example.order"), Just("x")];
        let dialect = prop_oneof![Just("exact"), Just("prefix"), Just("suffix")];
        let plain =
            (dialect, attribute, value).prop_map(|(dialect, name, value)| json!({dialect: {name: value}}));
        let cesql = prop_oneof![
            Just("num = 5"),
            Just("num > 7 OR subject = 'x'"),
            Just("EXISTS subject AND subject = 'x'"),
            Just("NOT (type = 'y' XOR num / 0 = 1)"),
            Just("type AND TRUE = 'x'"),
        ]
        .prop_map(|text| json!({"cesql": text}));
        let cel = prop_oneof![
            Just("event.data.total > 10"),
            Just("event.data.none == 1 || event.num == 5"),
            Just("!(event.data.none == 1) && event.id == '7'"),
            Just("event.id"),
            Just("!event.id"),
            Just("event.data.total / 0 == 1 || false"),
            Just("(event.num == 5 && event.data.sku == 'b') || !has(event.subject)"),
        ]
        .prop_map(|text| json!({"cel": text}));
        let tree = prop_oneof![plain, cesql, cel].prop_recursive(3, 16, 3, |inner| {
            let list = proptest::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                list.clone().prop_map(|list| json!({"all": list})),
                list.prop_map(|list| json!({"any": list})),
                inner.prop_map(|filter| json!({"not": filter})),
            ]
        });
        proptest::collection::vec(tree, 0..3).prop_map(Value::from)
    }

    proptest! {
        /// The filter passes exactly if all its terms hold, and each group follows from its parts.
        #[test]
        fn an_explanation_agrees_with_the_verdict(filters in filters(), whole in any::<bool>()) {
            let spec = TriggerSpec { filters: serde_json::from_value(filters).unwrap(), ..TriggerSpec::default() };
            let Ok(filter) = Filter::compile(&spec) else { return Ok(()) };
            let event = if whole { event() } else { Event::builder().required("1", "/s", "t").build().unwrap() };
            let terms = filter.explain(&Input::new(&event));
            prop_assert_eq!(terms.iter().all(|term| term.holds == Some(true)), filter.matches(&event), "{:?}", terms);
        }
    }
}
