//! The exact values that an event must have before a filter can pass: what the index finds filters by.

use super::expression::{Expression, Test};
use crate::event::Attribute;

/// Most terms of one filter. One that names more values is asked about every event, which costs less than to keep it in
/// so many places.
const MAX_TERMS: usize = 64;

/// A value of `type` or `source`, the attributes that every event has and nearly every filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Term<'a> {
    Type(&'a str),
    Source(&'a str),
}

/// The terms of which an event must have at least one to pass; none if it may pass without. An empty list: nothing passes.
pub(super) fn terms(expression: &Expression) -> Option<Vec<Term<'_>>> {
    let mut terms = necessary(expression)?;
    terms.sort_unstable();
    terms.dedup();
    Some(terms)
}

fn necessary(expression: &Expression) -> Option<Vec<Term<'_>>> {
    match expression {
        // Each of them is necessary; the fewer values, the better it tells events apart.
        Expression::All(inner) => inner.iter().filter_map(necessary).min_by_key(Vec::len),
        Expression::Any(inner) => {
            let mut union = Vec::new();
            for expression in inner {
                union.extend(necessary(expression)?);
                if union.len() > MAX_TERMS {
                    return None;
                }
            }
            Some(union)
        }
        Expression::Has(Attribute::Type, Test::Exact(value)) => Some(vec![Term::Type(value)]),
        Expression::Has(Attribute::Source, Test::Exact(value)) => Some(vec![Term::Source(value)]),
        Expression::Has(..) | Expression::Not(_) | Expression::Cel(_) => None,
        Expression::Cesql(condition) => {
            let types = condition.necessary(&Attribute::Type);
            let types = types.map(|types| types.into_iter().map(Term::Type).collect::<Vec<_>>());
            let sources = condition.necessary(&Attribute::Source);
            let sources = sources.map(|sources| sources.into_iter().map(Term::Source).collect());
            let fewest = types.into_iter().chain(sources).min_by_key(Vec::len);
            fewest.filter(|terms| terms.len() <= MAX_TERMS)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::TriggerSpec;
    use crate::filter::Filter;

    fn terms_of(filters: Value) -> Option<String> {
        let spec =
            TriggerSpec { filters: serde_json::from_value(filters).unwrap(), ..TriggerSpec::default() };
        let filter = Filter::compile(&spec).unwrap();
        terms(&filter.0).map(|terms| format!("{terms:?}"))
    }

    #[test]
    fn what_every_event_that_passes_has_is_found() {
        for (filters, expected) in [
            (json!([{"exact": {"type": "a"}}]), r#"[Type("a")]"#),
            (json!([{"exact": {"source": "/s"}}]), r#"[Source("/s")]"#),
            (json!([{"prefix": {"type": "a"}}, {"exact": {"source": "/s"}}]), r#"[Source("/s")]"#),
            (
                json!([{"all": [{"not": {"exact": {"type": "a"}}}, {"exact": {"type": "b"}}]}]),
                r#"[Type("b")]"#,
            ),
            (
                json!([{"any": [{"exact": {"type": "b"}}, {"exact": {"type": "a"}}]}]),
                r#"[Type("a"), Type("b")]"#,
            ),
            (
                json!([{"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}, {"exact": {"source": "/s"}}]),
                r#"[Source("/s")]"#,
            ),
        ] {
            assert_eq!(terms_of(filters.clone()).as_deref(), Some(expected), "{filters}");
        }
        for (condition, expected) in [
            ("source = '/s' AND id = '1'", Some(r#"[Source("/s")]"#)),
            ("type IN ('a', 'b') AND source = '/s'", Some(r#"[Source("/s")]"#)),
            ("type = 'a' OR type = 'b'", Some(r#"[Type("a"), Type("b")]"#)),
            ("type = 'a' OR source = '/s'", None),
        ] {
            assert_eq!(terms_of(json!([{"cesql": condition}])).as_deref(), expected, "{condition}");
        }
        assert_eq!(terms(&Filter::nothing().0), Some(Vec::new()));
    }

    #[test]
    fn a_filter_that_may_pass_without_is_asked_always() {
        let many: Vec<Value> = (0..=MAX_TERMS).map(|n| json!({"exact": {"type": n.to_string()}})).collect();
        for filters in [
            json!([]),
            json!([{"prefix": {"type": "a"}}]),
            json!([{"exact": {"subject": "a"}}]),
            json!([{"not": {"exact": {"type": "a"}}}]),
            json!([{"any": [{"exact": {"type": "a"}}, {"prefix": {"type": "b"}}]}]),
            json!([{"any": many}]),
        ] {
            assert_eq!(terms_of(filters.clone()), None, "{filters}");
        }
    }
}
