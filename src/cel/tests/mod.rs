//! What the language is, by example; `properties` says what it can never do, and that it is CEL, by comparison.

mod properties;

use bytes::Bytes;
use serde_json::json;

use super::json;
use super::{Input, Problem, Program};
use crate::event::Event;

const DATA: &str = r#"{"order": {"id": "o-7", "total": 12.50, "count": 3, "big": 9007199254740993, "paid": true,
  "note": null, "tags": ["a", "b"], "items": [{"sku": "x", "price": 2}, {"sku": "y", "price": 30.5}]},
  "huge": 18446744073709551616, "max": 18446744073709551615, "exp": 1e3, "text": "Grüße aus 筧", "if": 1}"#;

fn event(data: &str) -> Event {
    Event::builder()
        .required("42", "/orders/eu", "com.example.order")
        .set("subject", "shop/cat.png")
        .set("num", 5)
        .set("flag", true)
        .set("text", "5")
        .set("datacontenttype", "application/json")
        .data(Bytes::copy_from_slice(data.as_bytes()))
        .build()
        .unwrap()
}

fn compiled(source: &str) -> Program {
    Program::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// The value as text, or the error.
fn told(source: &str) -> String {
    told_of(source, &event(DATA))
}

fn told_of(source: &str, event: &Event) -> String {
    let (program, input) = (compiled(source), Input::new(event));
    match program.evaluate(&input) {
        Ok(value) => value.to_json(10_000).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_event_is_attributes_and_data() {
    for (source, expected) in [
        ("event.type", r#""com.example.order""#),
        ("event['source']", r#""/orders/eu""#),
        ("event[event.type == 'x' ? 'id' : 'subject']", r#""shop/cat.png""#),
        ("event.specversion + '/' + event.id", r#""1.0/42""#),
        // Typed extensions keep their types; everything else is a string.
        ("event.num + 1", "6"),
        ("event.flag && event.num == 5", "true"),
        ("event.text == 5", "false"),
        (
            "[has(event.subject), has(event.time), has(event.data), has(event.other)]",
            "[true,false,true,false]",
        ),
        ("event.data.order.id", r#""o-7""#),
        ("event.data['order']['id']", r#""o-7""#),
        ("event['data'].order.tags[1]", r#""b""#),
        ("event.data.if", "1"),
        (
            "[has(event.data.order.id), has(event.data.order.other), has(event.data.order.note)]",
            "[true,false,true]",
        ),
    ] {
        assert_eq!(told(source), expected, "{source}");
    }
}

#[test]
fn numbers_stay_as_they_were_written() {
    for (source, expected) in [
        ("event.data.order.total", "12.50"),
        ("event.data.order.big", "9007199254740993"),
        ("event.data.huge", "18446744073709551616"),
        ("event.data.max", "18446744073709551615"),
        ("event.data.exp", "1e3"),
        ("string(event.data.order.total)", r#""12.50""#),
        // They are compared for what they are worth, without rounding.
        ("event.data.order.total == 12.5", "true"),
        ("event.data.exp == 1000", "true"),
        ("event.data.order.big == 9007199254740992.0", "false"),
        ("event.data.order.big > 9007199254740992.0", "true"),
        ("event.data.max < event.data.huge", "true"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1 == 1.0 && 1u == 1", "true"),
        // Calculated ones have 64 bits.
        ("event.data.order.total * 2", "25"),
        ("event.data.order.count * 2", "6"),
        ("7 / 2 + 7 % 2", "4"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("1e300 * 10", "1e301"),
        ("1.5e-9 * 1", "1.5e-9"),
    ] {
        assert_eq!(told(source), expected, "{source}");
    }
}

#[test]
fn the_language_is_there() {
    for (source, expected) in [
        ("1 + 2 * 3 - 4 / 2", "5"),
        ("(1 + 2) * 3", "9"),
        ("!true || !!true", "true"),
        ("--1 - -1", "2"),
        ("1 < 2 && 'a' < 'b' && false < true && 1.5 >= 1", "true"),
        ("true ? 'yes' : 'no'", r#""yes""#),
        ("false ? 1 : true ? 2 : 3", "2"),
        ("2 in [1, 2] && 'a' in {'a': 1} && !('b' in {'a': 1})", "true"),
        ("[1, 2] + [3] == [1, 2, 3,]", "true"),
        ("{'a': 1, 'b': [null]} == {'b': [null], 'a': 1.0}", "true"),
        ("{'a': [1, 'x'], 'b': null}", r#"{"a":[1,"x"],"b":null}"#),
        ("event.data.order.items.map(i, i.sku)", r#"["x","y"]"#),
        ("event.data.order.items.map(i, i.price > 3, i.sku)", r#"["y"]"#),
        ("event.data.order.items.filter(i, i.price > 3)", r#"[{"sku":"y","price":30.5}]"#),
        ("event.data.order.items.all(i, i.price > 1)", "true"),
        ("event.data.order.items.exists(i, i.sku == 'y')", "true"),
        ("event.data.order.items.exists_one(i, has(i.sku))", "false"),
        ("event.data.order.items.filter(i, i.price > 3).map(i, i.sku)[0]", r#""y""#),
        ("{'b': 1, 'a': 2}.map(k, k)", r#"["b","a"]"#),
        ("size('筧') + size([1]) + 'ab'.size() + size({})", "4"),
        (
            "event.data.text.contains('aus') && event.type.startsWith('com.') && event.type.endsWith('order')",
            "true",
        ),
        ("event.subject.matches('^shop/[a-z]+[.]png$')", "true"),
        ("event.subject.split('/')[1].upperAscii().lowerAscii()", r#""cat.png""#),
        ("event.subject.replace('/', '-') + ' x '.trim()", r#""shop-cat.pngx""#),
        ("event.data.text.substring(0, 5) + event.data.text.substring(9)", r#""Grüße 筧""#),
        ("[event.data.text.indexOf('aus'), event.data.text.indexOf('z')]", "[6,-1]"),
        ("['a', 'b'].join('-') + ['c'].join()", r#""a-bc""#),
        ("string(1) + string(true) + string(1.5) + string(2u)", r#""1true1.52""#),
        ("[int('7'), int(7.9), int(2u), uint(7), uint('7')]", "[7,7,2,7,7]"),
        ("[double('1.5'), double(2), double(event.data.exp)]", "[1.5,2,1000]"),
        ("bool('true') && !bool('f') && dyn(true)", "true"),
        (r#""\x41\u00e9\101\n" + r'\n' + '''it's'''"#, r#""AéA\n\\nit's""#),
        ("0x1F + 010 // comment", "41"),
    ] {
        assert_eq!(told(source), expected, "{source}");
    }
}

#[test]
fn an_error_that_does_not_decide_is_passed_over() {
    for (source, expected) in [
        ("event.missing == 1 || true", "true"),
        ("true || event.missing == 1", "true"),
        ("event.missing == 1 && false", "false"),
        ("[1, 'a'].exists(x, x > 0)", "true"),
        ("[0, 'a'].all(x, x > 0)", "false"),
        ("event.missing == 1 && true", "`event.missing` is missing"),
        ("['a', 1].all(x, x > 0)", "`x > 0` does not go with a string and an integer"),
    ] {
        assert_eq!(told(source), expected, "{source}");
    }
}

#[test]
fn what_has_no_value_is_named() {
    for (source, expected) in [
        ("event.time", "`event.time` is missing"),
        ("event.data.order.other.id", "`event.data.order.other` is missing"),
        ("'x' + event.data.order.tags[7]", "`event.data.order.tags[7]` is missing"),
        ("event.data.order.note.id", "`event.data.order.note.id` is missing"),
        ("event.data.order.id.id", "`event.data.order.id.id` is a string, not an object, and has no members"),
        ("event.data.order + 1", "`event.data.order + 1` does not go with an object and an integer"),
        ("event.id && true", "`event.id` is a string, not a boolean"),
        ("1 / 0", "`1 / 0` divides by zero"),
        ("9223372036854775807 + 1", "`9223372036854775807 + 1` has a result that is no 64-bit number"),
        ("1e308 * 10", "`1e308 * 10` has a result that is no 64-bit number"),
        ("int('x')", "`int('x')` cannot be made an integer"),
        ("double('NaN')", "`double('NaN')` cannot be made a number"),
        ("{'a': 1, 'a': 2}", "`'a'` cannot be made a second member of the same name"),
        ("'a'.substring(2)", "`'a'.substring(2)` is missing"),
    ] {
        assert_eq!(told(source), expected, "{source}");
    }
    let missing =
        |source, event: &Event| compiled(source).evaluate(&Input::new(event)).unwrap_err().is_missing();
    assert!(missing("event.time", &event(DATA)) && missing("event.data", &event("{")));
    assert!(!missing("event.id && true", &event(DATA)));
}

#[test]
fn data_that_is_not_json_is_missing_with_the_reason() {
    let without = Event::builder().required("1", "/s", "t").build().unwrap();
    let text = Event::builder()
        .required("1", "/s", "t")
        .set("datacontenttype", "text/plain")
        .data(Bytes::from_static(b"{}"))
        .build()
        .unwrap();
    let bytes = Event::builder().required("1", "/s", "t").data(Bytes::from_static(b"\xff")).build().unwrap();
    for (event, reason) in [
        (without, "the event has no data"),
        (text, "the data is not JSON by its content type"),
        (bytes, "the data is not JSON: it is not UTF-8"),
        (event("{\"a\": }"), "the data is not JSON"),
    ] {
        assert_eq!(told_of("event.data.a", &event), format!("`event.data` is missing: {reason}"));
        assert_eq!(told_of("has(event.data)", &event), "false");
    }
}

#[test]
fn data_is_parsed_only_when_it_is_mentioned() {
    // It would be refused: it is too large to iterate over, and it is not JSON.
    let event = event(&"x".repeat(100_000));
    assert_eq!(told_of("['a'].exists(x, x == event.id) || event.id == '42'", &event), "true");
}

#[test]
fn mistakes_have_a_position() {
    for (source, expected) in [
        ("", "line 1, column 1: expected a value, found the end"),
        ("event.type ==", "line 1, column 14: expected a value, found the end"),
        ("event.type\n  = 'a'", "line 2, column 3: `=` means nothing here"),
        ("'é' + + 1", "line 1, column 7: expected a value, found `+`"),
        ("1 2", "line 1, column 3: expected an operator or the end, found `2`"),
        ("evnt.type", "line 1, column 1: there is no `evnt`; the event is called `event`"),
        ("event", "line 1, column 6: expected `.` and the name of an attribute, found the end"),
        ("event.Type", "line 1, column 7: `Type` is not the name of an attribute"),
        ("event['my-ext']", "line 1, column 1: `my-ext` is not the name of an attribute"),
        ("x.y", "line 1, column 1: there is no `x`"),
        ("substring('a', 1)", "line 1, column 1: `substring` is called on a value"),
        ("'a'.string()", "line 1, column 5: `string` is not called on a value"),
        ("timestamp('x')", "line 1, column 1: there is no function `timestamp`"),
        ("'a'.replace('b')", "line 1, column 5: `replace` takes 2 arguments, not 1"),
        ("'a'.matches('(')", "line 1, column 13: this is no regular expression"),
        (
            "'a'.matches(event.id)",
            "line 1, column 5: `matches` takes one regular expression, written as a string",
        ),
        ("'a'.matches('(((a{99}){99}){99})')", "line 1, column 13: this regular expression is too large"),
        ("[1].all(x, [2].all(y, x < y))", "line 1, column 16: an iteration inside another one"),
        ("[1].all(1, true)", "line 1, column 9: expected the name of a variable, found `1`"),
        ("[1].all(event, true)", "line 1, column 9: `event` cannot be the name of a variable"),
        ("[1].all(x, true) && x", "line 1, column 21: there is no `x`"),
        ("has(event.data['a'])", "line 1, column 5: `has` takes a path"),
        ("b'a'", "line 1, column 1: there are no bytes here"),
        ("'a", "line 1, column 1: this string has no end"),
        ("'\\q'", "line 1, column 2: there is no escape `\\q`"),
        ("'\\ud800'", "line 1, column 2: this escape names no character"),
        ("99999999999999999999", "line 1, column 1: this is not a whole number of 64 bits"),
        ("9223372036854775808", "line 1, column 1: this is not a whole number of 64 bits with a sign"),
        ("1a", "line 1, column 1: this is not a whole number"),
        ("1e999", "line 1, column 1: this is not a number of 64 bits"),
        ("if", "line 1, column 1: `if` is a word of the language"),
        ("Message{a: 1}", "line 1, column 1: there is no `Message`"),
        ("size(1,)", "line 1, column 8: expected an argument, found `)`"),
    ] {
        let message = Program::compile(source).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{source}: {message}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let refused = |source: &str| Program::compile(source).unwrap_err().to_string();
    assert!(refused(&format!("'{}'", "a".repeat(1023))).contains("at most 1024 bytes"));
    for source in
        ["(", "!(", "!!(", "-(", "[", "{'a':", "size(", "event.data[", "true ? true : (", "1+(", "has("]
    {
        assert!(refused(&source.repeat(1024 / source.len())).contains("brackets nest"), "{source}");
    }
    assert!(refused(&format!("1{}", "+1".repeat(100))).contains("nests more than 64 levels"));
    assert!(refused(&format!("event.data{}", ".a".repeat(100))).contains("nests more than 64 levels"));
    // Long chains of alternatives are flat.
    assert_eq!(told(&format!("false{}", "||true".repeat(150))), "true");
    assert_eq!(told(&format!("{}true", "!".repeat(1001))), "false");
    assert_eq!(told(&format!("{}1", "-".repeat(1001))), "-1");
}

/// Data in which every iteration is as long as it can be.
fn heavy() -> Event {
    let data = json!({"text": "x".repeat(20_000), "list": vec![0; 20_000]});
    event(&data.to_string())
}

#[test]
fn what_takes_too_long_ends_with_an_error() {
    let heavy = heavy();
    for source in [
        "event.data.list.map(i, event.data.text + 'a')",
        "event.data.list.map(i, event.data.text.replace('x', 'yyyyyyyyyyyyyyyyyyyy'))",
        "event.data.list.map(i, event.data.text.split('x'))",
        "event.data.list.map(i, event.data.list + event.data.list)",
        "event.data.list.filter(i, event.data.list == event.data.list)",
        "event.data.list.exists(i, 1 in event.data.list)",
        "event.data.list.all(i, event.data.text.matches('(x+x+)+y') || true)",
        "event.data.list.all(i, event.data.text.upperAscii() != 'a')",
        "event.data.list.map(i, event.data.text).join()",
        "event.data.list.exists(i, event.data.text.contains('y'))",
        // Errors are passed over, but not this one.
        "event.data.list.map(i, event.data.text + 'a') == [] || true",
    ] {
        let program = compiled(source);
        let problem = program.evaluate(&Input::new(&heavy)).unwrap_err().problem;
        assert_eq!(problem, Problem::Spent, "{source}");
    }
    // A simple question about as many elements as there can be is answered.
    assert_eq!(told_of("event.data.list.all(i, i == 0 || i > 5)", &heavy), "true");
}

#[test]
fn large_data_is_not_iterated_over() {
    let large = event(&json!(vec![0; 40_000]).to_string());
    assert_eq!(told_of("event.data[39999]", &large), "0");
    assert_eq!(
        told_of("event.data.all(i, i == 0)", &large),
        "`event.data` is more than 65536 bytes, which is too large for an expression that iterates"
    );
}

#[test]
fn a_small_value_that_holds_a_large_one_many_times_is_not_written_down() {
    let heavy = heavy();
    let (program, input) = (compiled("event.data.list.map(i, event.data.list)"), Input::new(&heavy));
    let value = program.evaluate(&input).unwrap();
    assert!(value.to_json(100_000).is_err() && value.render(100_000).is_err());
}

#[test]
fn values_are_rendered_predictably() {
    let rendered = |source: &str| {
        let (program, event) = (compiled(source), event(DATA));
        let input = Input::new(&event);
        let value = program.evaluate(&input).unwrap();
        value.render(1000).unwrap().map(std::borrow::Cow::into_owned)
    };
    for (source, expected) in [
        ("event.id", "42"),
        ("true", "true"),
        ("12", "12"),
        ("event.data.order.total", "12.50"),
        ("event.data.order.tags", r#"["a","b"]"#),
        // As it was sent, but for blanks.
        ("event.data.order.items[1]", r#"{"sku":"y","price":30.5}"#),
        (r#"["\u0000\u0085\"\\"]"#, r#"["\u0000\u0085\"\\"]"#),
    ] {
        assert_eq!(rendered(source).as_deref(), Some(expected), "{source}");
    }
    assert_eq!(rendered("event.data.order.note"), None);
}

#[test]
fn of_members_with_one_name_the_last_one_counts() {
    let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 20)).collect();
    let many = many.join(",");
    let data = format!("{{\"a\":1,\"b\":2,\"a\":3,\"many\":{{{many},\"z\":0}}}}");
    let event = event(&data);
    assert_eq!(
        told_of("[event.data.a, size(event.data), event.data.many.k3, size(event.data.many)]", &event),
        "[3,3,23,21]"
    );
}
