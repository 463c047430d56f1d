//! Expressions in CEL: the first line is one, the rest is the data of an event. The value is always the same, laws of the
//! language hold, and filters over it say what the index over many says.

use kakehi::api::TriggerSpec;
use kakehi::cel::{Error, Input, Problem, Program, Value};
use kakehi::event::Event;
use kakehi::filter::{Filter, Index, Matches};
use serde_json::json;

/// Longest JSON that is made of a value.
const MOST: usize = 1 << 20;

pub(crate) fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (source, data) = input.split_at(end);
    let Ok(source) = str::from_utf8(source) else { return };
    let event = Event::builder()
        .required("id 1", "/source", "t")
        .set("num", 5)
        .set("flag", true)
        .set("subject", "orders/1")
        .data(data.get(1..).unwrap_or_default().to_vec())
        .build()
        .expect("the event is well formed");
    let program = match Program::compile(source) {
        Ok(program) => program,
        Err(error) => {
            assert!(error.line == 1 && (1..=source.chars().count() + 1).contains(&error.column), "{error}");
            assert!(!error.message.is_empty() && error.message.len() < 2000, "{error}");
            return;
        }
    };
    let input = Input::new(&event);
    let value = program.evaluate(&input);
    is_settled(&program, &input, &value);
    laws(source, &event, &value);
    filters(source, &event, &value);
}

/// It is JSON, and the same every time.
fn is_settled(program: &Program, input: &Input<'_>, value: &Result<Value<'_>, Error>) {
    match value {
        Err(error) => {
            assert_eq!(program.evaluate(input).as_ref().err(), Some(error));
            assert!(program.source().contains(&error.path), "{error}");
            assert_eq!(program.holds(input), None);
        }
        Ok(value) => {
            if let Ok(text) = value.to_json(MOST) {
                assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{text}");
                let again = program.evaluate(input).expect("it has a value");
                assert_eq!(again.to_json(MOST).ok(), Some(text));
            }
            let holds = if let Value::Boolean(holds) = value { Some(*holds) } else { None };
            assert_eq!(program.holds(input), holds);
        }
    }
}

/// Values of larger expressions follow from the value of this one. They may be too long, too deep, or cost too much.
fn laws(source: &str, event: &Event, value: &Result<Value<'_>, Error>) {
    let Ok(value) = value else { return };
    let input = Input::new(event);
    let json = |text: &str| -> Option<String> {
        let program = Program::compile(text).ok()?;
        match program.evaluate(&input) {
            Ok(value) => value.to_json(MOST).ok(),
            Err(Error { problem: Problem::Spent | Problem::Exhausted | Problem::TooLarge, .. }) => None,
            Err(error) => panic!("{text}: {error}"),
        }
    };
    let Ok(expected) = value.to_json(MOST) else { return };
    for same in [
        format!("({source})"),
        format!("[{source}][0]"),
        format!("{{'a': {source}}}.a"),
        format!("true ? {source} : {source}"),
    ] {
        // `a ? b : c` is no operand of `?`.
        assert!(json(&same).is_none_or(|found| found == expected), "{same}");
    }
    for equal in [format!("({source}) == ({source})"), format!("({source}) in [{source}]")] {
        assert!(json(&equal).is_none_or(|found| found == "true"), "{equal}");
    }
    if let Value::Boolean(value) = value {
        for (text, expected) in [
            (format!("!({source})"), !value),
            (format!("!!({source})"), *value),
            (format!("({source}) && true"), *value),
            (format!("({source}) || false"), *value),
            (format!("({source}) ? false : true"), !value),
            (format!("true && ({source})"), *value),
            (format!("[{source}].all(x, x)"), *value),
            (format!("[{source}].exists(x, !x)"), !value),
        ] {
            assert!(json(&text).is_none_or(|found| found == expected.to_string()), "{text}");
        }
    }
}

/// A condition without a value lets nothing pass, and neither does its contrary.
fn filters(source: &str, event: &Event, value: &Result<Value<'_>, Error>) {
    if matches!(value, Err(Error { problem: Problem::Spent | Problem::Exhausted, .. })) {
        return;
    }
    let holds = if let Ok(Value::Boolean(value)) = value { Some(*value) } else { None };
    let (cel, hit, miss) =
        (json!({"cel": source}), json!({"exact": {"type": "t"}}), json!({"exact": {"source": "/other"}}));
    let cases = [
        (json!([cel]), holds == Some(true)),
        (json!([{"not": cel}]), holds == Some(false)),
        (json!([{"not": {"not": cel}}]), holds == Some(true)),
        (json!([{"any": [cel, hit]}]), true),
        (json!([{"any": [cel, miss]}]), holds == Some(true)),
        (json!([{"all": [cel, hit]}]), holds == Some(true)),
        (json!([cel, miss]), false),
        (json!([{"not": {"all": [cel, miss]}}]), true),
        (json!([hit, {"not": {"any": [cel, miss]}}]), holds == Some(false)),
        (json!([{"cesql": "type = 't' AND num = 5"}, cel]), holds == Some(true)),
    ];
    let mut index = Index::default();
    for (number, (filters, expected)) in cases.iter().enumerate() {
        let filters = serde_json::from_value(filters.clone()).expect("a list of filters");
        let spec = TriggerSpec { filters, ..TriggerSpec::default() };
        let filter = Filter::compile(&spec).expect("the expression compiles");
        assert_eq!(filter.matches(event), *expected, "{spec:?}");
        index.insert(&format!("{number:02}"), filter, number);
    }
    let Matches { passed, undecided } = index.candidates(event).matching(event);
    let expected = cases.iter().enumerate().filter(|(_, (_, passes))| *passes).map(|(number, _)| number);
    let decided = |number: &usize| undecided.iter().all(|other| **other != *number);
    assert!(passed.iter().map(|number| **number).eq(expected.filter(decided)), "{passed:?}");
}
