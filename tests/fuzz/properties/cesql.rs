//! Conditions in CESQL: the first line is one, the others are extensions of an event. What is read is what is printed,
//! evaluation is total, and a filter is what the evaluation says.

use kakehi::cesql::{Error, ErrorKind, Evaluation, Expression, MAX_BYTES, Value};
use kakehi::event::{Attribute, Event};

pub(crate) fn check(input: &[u8]) {
    let Ok(input) = str::from_utf8(input) else { return };
    let (text, rest) = input.split_once('\n').unwrap_or((input, ""));
    let typed = event(rest);
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return is_placed(&error, text),
    };
    let evaluation = expression.evaluate(&typed);
    evaluation.errors.iter().for_each(|error| is_placed(error, text));
    what_is_printed_is_what_was_read(&expression, &evaluation, &typed);

    let text = untyped(&typed);
    let untyped = expression.evaluate(&text);
    let passes = is_true(&untyped);
    assert_eq!(expression.matches(&text), passes);
    assert_eq!(expression.matches(&typed), passes, "types make no difference to a filter");
    if passes {
        assert_eq!(expression.why_no_predicate(), None);
        for attribute in [Attribute::Type, Attribute::Source] {
            let value = text.get(&attribute).expect("every event has it").text();
            assert!(expression.necessary(&attribute).is_none_or(|values| values.contains(&&*value)));
        }
    }
    budget(&expression, &text, passes);
    contrary(&expression, &untyped, &text);
}

/// The extensions of an event; what can be none is left out.
fn event(lines: &str) -> Event {
    let start = || Event::builder().required("id 1", "/source", "com.example.type");
    let mut event = start();
    for line in lines.lines().take(20) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let set = |event: kakehi::event::Builder| match (value, value.parse::<i32>()) {
            ("true", _) => event.set(name, true),
            ("false", _) => event.set(name, false),
            (_, Ok(number)) => event.set(name, number),
            (text, _) => event.set(name, text),
        };
        // Each on its own: one that cannot be set would spoil the others.
        if set(start()).build().is_ok()
            && !lines.lines().any(|other| !std::ptr::eq(other, line) && other.split('=').next() == Some(name))
        {
            event = set(event);
        }
    }
    event.build().expect("each of them was tried")
}

fn untyped(event: &Event) -> Event {
    let mut text = Event::builder();
    for (name, value) in event.attributes() {
        text = text.set(name, value.text().into_owned());
    }
    text.build().expect("it is the same event")
}

fn is_true(evaluation: &Evaluation<'_>) -> bool {
    evaluation.errors.is_empty() && evaluation.value == Value::Boolean(true)
}

/// An error points to a part of the text.
fn is_placed(error: &Error, text: &str) {
    assert!(text.get(error.span.start..error.span.end).is_some(), "{error:?}");
    assert!((1..=text.chars().count() + 1).contains(&error.character), "{error:?}");
    assert!(!error.message.is_empty() && error.message.len() < 1000, "{error:?}");
}

fn what_is_printed_is_what_was_read(expression: &Expression, evaluation: &Evaluation<'_>, event: &Event) {
    let printed = expression.to_string();
    // It may have become longer: what was left out is written.
    let again = match Expression::parse(&printed) {
        Ok(again) => again,
        Err(error) => {
            assert!(printed.len() > MAX_BYTES, "{printed}: {error}");
            return;
        }
    };
    assert_eq!(again.to_string(), printed);
    let second = again.evaluate(event);
    assert_eq!(second.value, evaluation.value, "{printed}");
    let kinds = |evaluation: &Evaluation<'_>| -> Vec<ErrorKind> {
        evaluation.errors.iter().map(|error| error.kind).collect()
    };
    assert_eq!(kinds(&second), kinds(evaluation), "{printed}");
}

/// With too few steps there is no verdict; with enough of them it is the verdict.
fn budget(expression: &Expression, event: &Event, passes: bool) {
    let (verdict, steps) = expression.ask(event, u32::MAX);
    assert_eq!(verdict, Some(passes));
    assert_eq!(expression.ask(event, steps), (Some(passes), steps));
    assert_eq!(expression.ask(event, steps - 1).0, None);
}

/// `NOT` turns a condition that has a value around.
fn contrary(expression: &Expression, evaluation: &Evaluation<'_>, event: &Event) {
    let (Value::Boolean(value), []) = (&evaluation.value, evaluation.errors.as_slice()) else { return };
    for (text, expected) in [
        (format!("NOT ({expression})"), !value),
        (format!("({expression}) = TRUE"), *value),
        (format!("({expression}) AND TRUE"), *value),
        (format!("({expression}) OR FALSE"), *value),
        (format!("({expression}) XOR TRUE"), !value),
    ] {
        // It may be too long or too deep now.
        if let Ok(other) = Expression::parse(&text) {
            assert_eq!(other.matches(event), expected, "{text}");
        }
    }
}
