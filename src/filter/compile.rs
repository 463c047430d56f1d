//! From the filters of a Trigger's spec to an expression. Every mistake is found, not only the first one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{Error, Problem};
use super::expression::{Expression, Test};
use crate::api::Filter;
use crate::api::LegacyFilter;
use crate::api::TriggerSpec;
use crate::cel::Program;
use crate::cesql;
use crate::event::Attribute;

/// How deep filters nest. Admission stops at four; this one holds for objects that no admission saw.
const MAX_DEPTH: usize = 16;

/// Most problems that are told: they end up in a condition's message.
const MAX_PROBLEMS: usize = 8;

pub(super) fn compile(spec: &TriggerSpec) -> Result<Expression, Error> {
    let TriggerSpec { filter, filters, job: _, parameters: _ } = spec;
    let mut compiler = Compiler { problems: Vec::new() };
    // A non-empty list overrides the legacy form.
    let expression = match filter {
        Some(legacy) if filters.is_empty() => compiler.legacy(legacy),
        _ => Expression::All(compiler.list(filters, "filters", 0)),
    };
    let Compiler { mut problems } = compiler;
    if problems.is_empty() {
        Ok(expression)
    } else {
        problems.truncate(MAX_PROBLEMS);
        Err(Error { problems })
    }
}

struct Compiler {
    problems: Vec<Problem>,
}

impl Compiler {
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), message: message.into() });
    }

    fn legacy(&mut self, filter: &LegacyFilter) -> Expression {
        let LegacyFilter { attributes } = filter;
        let test = |wanted: &str| match wanted {
            "" => Test::NotEmpty,
            wanted => Test::Exact(wanted.into()),
        };
        Expression::All(self.attributes(attributes, "filter.attributes", test))
    }

    fn list(&mut self, filters: &[Filter], path: &str, depth: usize) -> Vec<Expression> {
        filters
            .iter()
            .enumerate()
            .map(|(index, filter)| self.filter(filter, &format!("{path}[{index}]"), depth))
            .collect()
    }

    /// One filter object. After a problem its expression is used by nobody.
    fn filter(&mut self, filter: &Filter, path: &str, depth: usize) -> Expression {
        let Filter { exact, prefix, suffix, all, any, not, cesql, cel } = filter;
        let dialects = [
            ("exact", exact.is_some()),
            ("prefix", prefix.is_some()),
            ("suffix", suffix.is_some()),
            ("cel", cel.is_some()),
            ("all", all.is_some()),
            ("any", any.is_some()),
            ("not", not.is_some()),
            ("cesql", cesql.is_some()),
        ];
        let held: Vec<_> = dialects.into_iter().filter(|(_, held)| *held).map(|(name, _)| name).collect();
        if held.len() > 1 {
            let message = format!("holds {}; write one list item per dialect", held.join(" and "));
            self.problem(path, message);
        }
        if depth >= MAX_DEPTH {
            self.problem(path, format!("nests more than {MAX_DEPTH} levels"));
            return Expression::Any(Vec::new());
        }
        let mut inner = |list: &[Filter], name: &str| {
            let path = format!("{path}.{name}");
            if list.is_empty() {
                self.problem(&path, "holds no filter");
            }
            self.list(list, &path, depth + 1)
        };
        if let Some(list) = all {
            return Expression::All(inner(list, "all"));
        }
        if let Some(list) = any {
            return Expression::Any(inner(list, "any"));
        }
        if let Some(filter) = not {
            return Expression::Not(Box::new(self.filter(filter, &format!("{path}.not"), depth + 1)));
        }
        if let Some(wanted) = exact {
            return self.values(wanted, &format!("{path}.exact"), Test::Exact);
        }
        if let Some(wanted) = prefix {
            return self.values(wanted, &format!("{path}.prefix"), Test::Prefix);
        }
        if let Some(wanted) = suffix {
            return self.values(wanted, &format!("{path}.suffix"), Test::Suffix);
        }
        if let Some(text) = cesql {
            return self.cesql(text, &format!("{path}.cesql"));
        }
        if let Some(source) = cel {
            return self.cel(source, &format!("{path}.cel"));
        }
        self.problem(
            path,
            "holds no dialect; write one of exact, prefix, suffix, all, any, not, cesql and cel",
        );
        Expression::Any(Vec::new())
    }

    fn cesql(&mut self, text: &str, path: &str) -> Expression {
        let condition = cesql::Expression::parse(text).and_then(|condition| {
            // What can never be true is a mistake, and inside a `not` it would let everything pass.
            condition.why_no_predicate().map_or(Ok(condition), Err)
        });
        match condition {
            Ok(condition) => Expression::Cesql(Box::new(condition)),
            Err(error) => {
                self.problem(path, error.to_string());
                Expression::Any(Vec::new())
            }
        }
    }

    fn cel(&mut self, source: &str, path: &str) -> Expression {
        match Program::compile(source) {
            Ok(program) => Expression::Cel(Arc::new(program)),
            Err(error) => {
                self.problem(path, error.to_string());
                Expression::Any(Vec::new())
            }
        }
    }

    /// The attributes of `exact`, `prefix` or `suffix`; each must satisfy its test.
    fn values(
        &mut self,
        wanted: &BTreeMap<String, String>,
        path: &str,
        test: impl Fn(Box<str>) -> Test,
    ) -> Expression {
        if wanted.is_empty() {
            self.problem(path, "holds no attribute");
        }
        for (name, _) in wanted.iter().filter(|(_, value)| value.is_empty()) {
            // Subscriptions API §3.2.4.1: values are non-empty.
            self.problem(&format!("{path}.{name}"), "the value is empty");
        }
        Expression::All(self.attributes(wanted, path, |value| test(value.into())))
    }

    fn attributes(
        &mut self,
        wanted: &BTreeMap<String, String>,
        path: &str,
        test: impl Fn(&str) -> Test,
    ) -> Vec<Expression> {
        let mut tests = Vec::with_capacity(wanted.len());
        for (name, value) in wanted {
            match attribute(name) {
                Some(attribute) => tests.push(Expression::Has(attribute, test(value))),
                None => self.problem(
                    path,
                    format!("`{name}` is not the name of an attribute: a lower-case letter, then letters and digits"),
                ),
            }
        }
        tests
    }
}

/// Knative's rule: `^[a-z][a-z0-9]*$`, and something that an event can have.
fn attribute(name: &str) -> Option<Attribute> {
    name.starts_with(|first: char| first.is_ascii_lowercase()).then(|| Attribute::parse(name).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::cel::Input;
    use crate::event::Event;

    fn spec(filters: Value) -> TriggerSpec {
        TriggerSpec { filters: serde_json::from_value(filters).unwrap(), ..TriggerSpec::default() }
    }

    fn legacy(attributes: Value) -> TriggerSpec {
        let attributes = serde_json::from_value(attributes).unwrap();
        TriggerSpec { filter: Some(LegacyFilter { attributes }), ..TriggerSpec::default() }
    }

    /// No subject and no time; typed and textual extensions of the same value; some data.
    fn event() -> Event {
        Event::builder()
            .required("1", "/orders/eu", "com.example.order")
            .set("num", 5)
            .set("text", "5")
            .set("flag", true)
            .set("empty", "")
            .data(r#"{"total": 120.50, "items": [{"sku": "a"}, {"sku": "b"}]}"#)
            .build()
            .unwrap()
    }

    fn passes(spec: &TriggerSpec) -> bool {
        compile(spec).map_err(|error| error.to_string()).unwrap().matches(&Input::new(&event()))
    }

    fn mistakes(spec: &TriggerSpec) -> String {
        compile(spec).unwrap_err().to_string()
    }

    #[test]
    fn no_filter_lets_everything_pass() {
        assert!(passes(&TriggerSpec::default()));
        assert!(passes(&spec(json!([]))));
        assert!(passes(&legacy(json!({}))));
    }

    #[test]
    fn exact_prefix_and_suffix_compare_to_the_letter() {
        for (filter, expected) in [
            (json!({"exact": {"type": "com.example.order"}}), true),
            (json!({"exact": {"type": "com.example.Order"}}), false),
            (json!({"exact": {"type": "com.example"}}), false),
            (json!({"prefix": {"type": "com.example"}}), true),
            (json!({"prefix": {"type": "Com"}}), false),
            (json!({"suffix": {"source": "/eu"}}), true),
            (json!({"suffix": {"source": "/EU"}}), false),
            (json!({"exact": {"specversion": "1.0"}}), true),
            // Several attributes of one object must all hold.
            (json!({"exact": {"type": "com.example.order", "id": "1"}}), true),
            (json!({"exact": {"type": "com.example.order", "id": "2"}}), false),
        ] {
            assert_eq!(passes(&spec(json!([filter]))), expected, "{filter}");
        }
    }

    #[test]
    fn every_filter_of_the_list_must_pass() {
        let hit = json!({"exact": {"id": "1"}});
        let miss = json!({"exact": {"id": "2"}});
        assert!(passes(&spec(json!([hit, hit]))));
        assert!(!passes(&spec(json!([hit, miss]))));
    }

    #[test]
    fn all_any_and_not_nest() {
        let hit = json!({"exact": {"id": "1"}});
        let miss = json!({"exact": {"id": "2"}});
        for (filter, expected) in [
            (json!({"all": [hit, hit]}), true),
            (json!({"all": [hit, miss]}), false),
            (json!({"any": [miss, hit]}), true),
            (json!({"any": [miss, miss]}), false),
            (json!({"not": miss}), true),
            (json!({"not": hit}), false),
            (json!({"not": {"any": [miss, {"not": {"all": [hit]}}]}}), true),
        ] {
            assert_eq!(passes(&spec(json!([filter]))), expected, "{filter}");
        }
    }

    #[test]
    fn data_can_be_filtered_by() {
        for (source, expected) in [
            ("event.type == 'com.example.order' && event.num == 5", true),
            ("event.data.total > 100", true),
            ("event.data.total > 200", false),
            ("event.data.items.exists(i, i.sku == 'b')", true),
            ("has(event.data.note)", false),
        ] {
            assert_eq!(passes(&spec(json!([{"cel": source}]))), expected, "{source}");
            assert_eq!(passes(&spec(json!([{"not": {"cel": source}}]))), !expected, "{source}");
        }
    }

    /// Neither the expression nor its contrary is known to hold, so neither passes. Knative's `not` lets an error pass.
    #[test]
    fn an_expression_without_an_answer_lets_nothing_pass() {
        let (hit, miss) = (json!({"exact": {"id": "1"}}), json!({"exact": {"id": "2"}}));
        for source in ["event.data.missing == 1", "event.id", "5", "event.data.total", "null"] {
            let cel = json!({"cel": source});
            for (filter, expected) in [
                (cel.clone(), false),
                (json!({"not": cel}), false),
                (json!({"not": {"not": cel}}), false),
                (json!({"any": [cel, miss]}), false),
                (json!({"not": {"all": [cel, hit]}}), false),
                // Where the others decide, it does not matter.
                (json!({"any": [cel, hit]}), true),
                (json!({"not": {"all": [cel, miss]}}), true),
            ] {
                assert_eq!(passes(&spec(json!([filter]))), expected, "{filter}");
            }
        }
    }

    /// Where Knative lets everything pass, drops a part or crashes, the filter does not compile here.
    #[test]
    fn what_knative_lets_pass_by_mistake_does_not_compile() {
        for (filter, expected) in [
            (json!({"exact": {"subject": ""}}), "filters[0].exact.subject: the value is empty"),
            (json!({"prefix": {"type": ""}}), "filters[0].prefix.type: the value is empty"),
            (json!({"suffix": {"type": ""}}), "filters[0].suffix.type: the value is empty"),
            (json!({}), "filters[0]: holds no dialect"),
            (json!({"all": []}), "filters[0].all: holds no filter"),
            (json!({"any": []}), "filters[0].any: holds no filter"),
            (json!({"not": {}}), "filters[0].not: holds no dialect"),
            (json!({"exact": {}}), "filters[0].exact: holds no attribute"),
            (json!({"any": [{"exact": {"id": "2"}}, {}]}), "filters[0].any[1]: holds no dialect"),
            (json!({"not": {"exact": {"type": ""}}}), "filters[0].not.exact.type: the value is empty"),
            (
                json!({"exact": {"id": "1"}, "not": {"exact": {"id": "2"}}}),
                "filters[0]: holds exact and not;",
            ),
            (
                json!({"cel": "event.data.total >"}),
                "filters[0].cel: line 1, column 19: expected a value, found the end",
            ),
            (json!({"not": {"cel": ""}}), "filters[0].not.cel: line 1, column 1: expected a value"),
            (json!({"cel": "true", "exact": {"id": "1"}}), "filters[0]: holds exact and cel;"),
            (json!({"exact": {"Type": "a"}}), "filters[0].exact: `Type` is not the name of an attribute"),
            (json!({"exact": {"1st": "a"}}), "filters[0].exact: `1st` is not"),
            (json!({"exact": {"data": "a"}}), "filters[0].exact: `data` is not"),
            (json!({"exact": {"my-ext": "a"}}), "filters[0].exact: `my-ext` is not"),
            (json!({"exact": {"": "a"}}), "filters[0].exact: `` is not"),
            (json!({"cesql": ""}), "filters[0].cesql: character 1: a value is expected, and here it ends"),
            (json!({"not": {"cesql": "type = "}}), "filters[0].not.cesql: character 8: a value is expected"),
            (json!({"cesql": "LENGTH(id)"}), "filters[0].cesql: character 1: a filter is a condition"),
            (
                json!({"cesql": "id = '1' OR LEN(id) = 1"}),
                "filters[0].cesql: character 13: there is no function `LEN`",
            ),
            (json!({"cesql": "TRUE", "not": {}}), "filters[0]: holds not and cesql;"),
        ] {
            let message = mistakes(&spec(json!([filter])));
            assert!(message.starts_with(expected), "{filter}: {message}");
        }
        let message = mistakes(&legacy(json!({"Type": ""})));
        assert!(message.starts_with("filter.attributes: `Type` is not"), "{message}");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let good = json!({"exact": {"id": "1"}});
        let error = compile(&spec(json!([
            good,
            {"all": [{"exact": {"Bad": "x"}}, {"any": [good, {}]}]},
            {},
        ])))
        .unwrap_err();
        let places: Vec<_> = error.problems().iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(places, ["filters[1].all[0].exact", "filters[1].all[1].any[1]", "filters[2]"]);
    }

    #[test]
    fn depth_and_messages_are_bounded() {
        let mut deep = json!({"exact": {"id": "1"}});
        for _ in 0..40 {
            deep = json!({"not": deep});
        }
        assert!(mistakes(&spec(json!([deep]))).contains("nests more than 16 levels"));
        let many: Vec<_> = (0..60).map(|_| json!({})).collect();
        assert_eq!(compile(&spec(json!(many))).unwrap_err().problems().len(), MAX_PROBLEMS);
    }
}
