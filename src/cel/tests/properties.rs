//! Laws over random expressions and documents, and what the library that comes with our Kubernetes client says.

use kube::core::cel::cel as library;
use proptest::prelude::*;

use super::*;

/// Expressions that are mostly meaningful.
fn expressions() -> impl Strategy<Value = String> {
    let leaves = prop::sample::select(vec![
        "0",
        "1",
        "-7",
        "2u",
        "1.5",
        "'a'",
        "'筧'",
        "''",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "x",
        "event.id",
        "event.num",
        "event.flag",
        "event.time",
        "event.data",
        "event.data.a",
        "event.data.b.c",
        "event['id']",
        "event.data[0]",
        "has(event.data.a)",
        "9223372036854775807",
        "18446744073709551615u",
    ]);
    leaves.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        let operators = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
        ]);
        let folds = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let functions =
            prop::sample::select(vec!["size", "string", "int", "uint", "double", "bool", "!", "-", ""]);
        let methods = prop::sample::select(vec![
            "contains",
            "startsWith",
            "endsWith",
            "split",
            "indexOf",
            "substring",
            "join",
        ]);
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            (inner.clone(), folds, inner.clone()).prop_map(|(a, f, b)| format!("({a}).{f}(x, {b})")),
            (functions, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), methods, inner.clone()).prop_map(|(a, m, b)| format!("({a}).{m}({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            inner.prop_map(|a| format!("{{'a': {a}}}")),
        ]
    })
}

/// JSON of any shape.
fn documents() -> impl Strategy<Value = serde_json::Value> {
    let numbers = prop_oneof![
        any::<i64>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
    ];
    shaped(numbers, ".{0,6}", 4)
}

/// JSON that the library has nothing of its own to say about: it counts bytes where the language counts characters, has
/// its own way to write large doubles, and objects have no order.
fn plain_documents() -> impl Strategy<Value = serde_json::Value> {
    let halves = (-1_000..1_000_i32).prop_map(|value| json!(f64::from(value) + 0.5));
    let numbers = prop_oneof![any::<i32>().prop_map(|value| json!(value)), halves];
    shaped(numbers, "[ -~]{0,6}", 2)
}

fn shaped(
    numbers: impl Strategy<Value = serde_json::Value> + 'static,
    text: &'static str,
    members: usize,
) -> impl Strategy<Value = serde_json::Value> {
    let leaves = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        numbers,
        text.prop_map(|value| json!(value)),
    ];
    leaves.prop_recursive(4, 30, 4, move |inner| {
        let names = if members > 2 { "[abc]|.{0,3}" } else { "[abc]" };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            prop::collection::hash_map(names, inner, 0..members).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_much_for_the_compiler(source in r#"[ -~é\n]{0,40}|([a-z.()\[\]{}'"0-9!<>=&|?:,+*/%-]|event\.data|\.map\(x,|has\(){0,60}"#) {
        if let Ok(program) = Program::compile(&source) {
            drop(program.evaluate(&Input::new(&event(DATA))));
        }
    }

    #[test]
    fn no_expression_is_too_much_for_any_event(source in expressions(), data in documents()) {
        if let Ok(program) = Program::compile(&source) {
            let event = event(&data.to_string());
            let input = Input::new(&event);
            if let Ok(value) = program.evaluate(&input) {
                // What comes out is JSON, and the same every time.
                let text = value.to_json(1_000_000).unwrap();
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
                prop_assert_eq!(program.evaluate(&input).unwrap().to_json(1_000_000).unwrap(), text);
            }
        }
    }

    #[test]
    fn json_is_read_as_by_everybody_else(text in r#"[\[\]{}:,"a\\u0-9eE.+ \n-]{0,12}|(true|false|null|\[|\]|\{|\}|"a"|"\\u00e9"|"\\ud83d\\ude00"|:|,| |-?[0-9]{1,22}|[0-9]\.[0-9]{1,3}(e-?[0-9]{1,3})?){0,12}"#) {
        let ours = json::parse(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_some(), theirs.is_ok(), "{}", text);
        if let (Some(ours), Ok(theirs)) = (ours, theirs) {
            let back: serde_json::Value = serde_json::from_str(&ours.to_json(10_000).unwrap()).unwrap();
            prop_assert_eq!(back, theirs);
        }
    }

    #[test]
    fn documents_come_out_as_they_went_in(data in documents()) {
        let text = data.to_string();
        let event = event(&text);
        let (program, input) = (compiled("event.data"), Input::new(&event));
        let back: serde_json::Value =
            serde_json::from_str(&program.evaluate(&input).unwrap().to_json(1_000_000).unwrap()).unwrap();
        prop_assert_eq!(back, data);
    }

    /// Where the library and we both have an answer, it is the same. It lets fewer types meet, and `!!` and `--` are one
    /// `!` and one `-` to it; doubles are compared as doubles.
    #[test]
    fn it_is_cel(source in expressions(), data in plain_documents()) {
        let source = source.replace('筧', "k");
        // Its parser takes the stack of a thread for some dozen brackets.
        if source.matches(['(', '[', '{']).count() > 12 {
            return Ok(());
        }
        let (Ok(ours), Ok(theirs)) = (Program::compile(&source), library::Program::compile(&source)) else {
            return Ok(());
        };
        let event = event(&data.to_string());
        let mut context = library::Context::default();
        context.add_variable("event", json!({"id": "42", "num": 5, "flag": true, "data": data})).unwrap();
        let input = Input::new(&event);
        let (Ok(ours), Ok(theirs)) = (ours.evaluate(&input), theirs.execute(&context)) else { return Ok(()) };
        let ours: serde_json::Value = serde_json::from_str(&ours.to_json(1_000_000).unwrap()).unwrap();
        prop_assert!(alike(&ours, &theirs), "{}: ours {}, theirs {:?}", source, ours, theirs);
    }
}

/// Whether the library's value is this one. Its doubles lose their kind in JSON.
fn alike(ours: &serde_json::Value, theirs: &library::Value) -> bool {
    use library::Value;
    match theirs {
        Value::Null => ours.is_null(),
        Value::Bool(value) => ours == &json!(value),
        Value::Int(value) => ours == &json!(value),
        Value::UInt(value) => ours == &json!(value),
        Value::Float(value) => ours.as_f64() == Some(*value),
        Value::String(value) => ours == &json!(&**value),
        Value::List(values) => ours.as_array().is_some_and(|ours| {
            ours.len() == values.len()
                && ours.iter().zip(values.iter()).all(|(ours, theirs)| alike(ours, theirs))
        }),
        Value::Map(members) => ours.as_object().is_some_and(|ours| {
            let theirs = |name: &String| members.get(&library::objects::Key::from(name.as_str()));
            ours.len() == members.map.len()
                && ours.iter().all(|(name, value)| theirs(name).is_some_and(|theirs| alike(value, theirs)))
        }),
        _ => false,
    }
}
