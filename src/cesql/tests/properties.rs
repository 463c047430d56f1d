//! Laws over random expressions.

use proptest::prelude::*;

use super::*;

/// Expressions of any shape.
fn node() -> impl Strategy<Value = Node> {
    let attribute = || {
        let names = ["id", "type", "num", "text", "flag", "word", "empty", "uni", "missing", "1st", "int"];
        prop::sample::select(names.to_vec()).prop_map(|name| Attribute::parse(name).unwrap())
    };
    let item = prop_oneof![
        Just(Item::AnyText),
        Just(Item::AnyCharacter),
        any::<char>().prop_map(Item::Character),
        prop::sample::select(vec!['\\', '%', '_', '\'', '"', 'a']).prop_map(Item::Character),
    ];
    let pattern = prop::collection::vec(item, 0..6).prop_map(|items| Pattern::new(items).unwrap());
    let leaf = prop_oneof![
        any::<bool>().prop_map(Kind::Boolean),
        any::<i32>().prop_map(Kind::Integer),
        (-3..10).prop_map(Kind::Integer),
        prop_oneof![".{0,4}", "[\\\\'\"a]{0,5}", "true|FALSE|-?[0-9]{1,3}"]
            .prop_map(|text| Kind::Text(text.into())),
        attribute().prop_map(Kind::Attribute),
        attribute().prop_map(Kind::Exists),
    ];
    let boxed = |kind: Kind| Node { span: Span { start: 0, end: 0 }, kind };
    leaf.prop_map(boxed).prop_recursive(5, 40, 4, move |inner| {
        let one = || inner.clone().prop_map(Box::new);
        let some = |least: usize| prop::collection::vec(inner.clone(), least..4);
        let level = |operators: &[Operator]| {
            let operator = prop::sample::select(operators.to_vec());
            (one(), prop::collection::vec((operator, inner.clone()), 1..4))
                .prop_map(|(first, rest)| Kind::Chain { first, rest })
        };
        let names = ["LENGTH", "CONCAT", "CONCAT_WS", "LOWER", "UPPER", "TRIM", "LEFT", "RIGHT", "SUBSTRING"]
            .into_iter()
            .chain(["ABS", "INT", "BOOL", "STRING", "NOPE"]);
        let name = prop::sample::select(names.collect::<Vec<_>>());
        prop_oneof![
            one().prop_map(Kind::Not),
            one().prop_map(Kind::Negate),
            (one(), any::<bool>(), pattern.clone()).prop_map(|(operand, negated, pattern)| Kind::Like {
                operand,
                negated,
                pattern
            }),
            (one(), any::<bool>(), some(1)).prop_map(|(operand, negated, set)| Kind::In {
                operand,
                negated,
                set
            }),
            level(&[Operator::Multiply, Operator::Divide, Operator::Remainder]),
            level(&[Operator::Add, Operator::Subtract]),
            level(&[Operator::Equal, Operator::NotEqual, Operator::Less, Operator::LessOrEqual]),
            level(&[Operator::Greater, Operator::GreaterOrEqual]),
            level(&[Operator::And, Operator::Or, Operator::Xor]),
            (name, some(0)).prop_map(|(name, arguments)| {
                let function = function::Function::find(name, arguments.len());
                Kind::Call { name: name.into(), function, arguments }
            }),
        ]
        .prop_map(boxed)
    })
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Not(operand) | Kind::Negate(operand) | Kind::Like { operand, .. } => vec![operand],
        Kind::In { operand, set, .. } => std::iter::once(operand.as_ref()).chain(set).collect(),
        Kind::Chain { first, rest } => {
            std::iter::once(first.as_ref()).chain(rest.iter().map(|(_, operand)| operand)).collect()
        }
        Kind::Call { arguments, .. } => arguments.iter().collect(),
        _ => Vec::new(),
    }
}

/// The same event with every extension as text: what binary mode makes of it.
fn untyped(event: &Event) -> Event {
    let mut text = Event::builder().required(event.id(), event.source(), event.kind());
    for (name, value) in event.extensions() {
        text = text.set(name, value.as_ref().text().into_owned());
    }
    text.build().unwrap()
}

/// `LIKE` by its definition, trying everything.
fn naive(pattern: &[Item], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([Item::AnyText, rest @ ..], text) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
        ([Item::AnyCharacter, rest @ ..], [_, text @ ..]) => naive(rest, text),
        ([Item::Character(wanted), rest @ ..], [first, text @ ..]) => wanted == first && naive(rest, text),
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(node in node()) {
        let printed = node.to_string();
        if printed.len() <= MAX_BYTES {
            let again = Expression::parse(&printed).unwrap();
            prop_assert_eq!(again.to_string(), printed.clone());
            // Every node stands where it says.
            let mut nodes = vec![&again.root];
            while let Some(node) = nodes.pop() {
                let part = printed.get(node.span.start..node.span.end).unwrap();
                prop_assert_eq!(Expression::parse(part).unwrap().to_string(), node.to_string());
                nodes.extend(children(node));
            }
        }
    }

    #[test]
    fn evaluation_is_total_and_filters_agree_with_it(node in node()) {
        let expression = Expression { text: "".into(), root: node };
        let event = event();
        let _ = expression.evaluate(&event);
        let text = untyped(&event);
        let found = expression.evaluate(&text);
        if let Some(kind) = expression.root.result_type() {
            prop_assert_eq!(found.value.kind(), kind);
        }
        let passes = found.errors.is_empty() && found.value == Value::Boolean(true);
        prop_assert_eq!(expression.matches(&text), passes);
        // What an attribute's type was makes no difference to a filter.
        prop_assert_eq!(expression.matches(&event), passes);
        if passes {
            for attribute in [Attribute::Type, Attribute::Id, Attribute::Extension("num".into())] {
                let value = event.get(&attribute).unwrap().text();
                prop_assert!(expression.necessary(&attribute).is_none_or(|values| values.contains(&&*value)));
            }
            prop_assert_eq!(expression.why_no_predicate().filter(|error| error.kind == Cast), None);
        }
    }

    #[test]
    fn the_laws_of_not_hold(left in node(), right in node()) {
        let event = event();
        let (left, right) = (format!("BOOL({left})"), format!("BOOL({right})"));
        let value = |text: String| -> Result<Option<bool>, TestCaseError> {
            let Ok(expression) = Expression::parse(&text) else { return Ok(None) };
            let found = expression.evaluate(&event);
            prop_assert_eq!(found.value.kind(), Type::Boolean);
            Ok(found.errors.is_empty().then_some(found.value == Value::Boolean(true)))
        };
        if let (Some(first), Some(second)) = (value(left.clone())?, value(right.clone())?) {
            for (text, expected) in [
                (format!("NOT {left}"), !first),
                (format!("NOT NOT {left}"), first),
                (format!("NOT ({left} AND {right})"), !first || !second),
                (format!("(NOT {left}) OR (NOT {right})"), !(first && second)),
                (format!("NOT ({left} = {right})"), first != second),
                (format!("{left} != {right}"), first != second),
                (format!("{left} XOR {right}"), first != second),
                (format!("NOT {left} IN ({right})"), first != second),
                (format!("{left} NOT IN ({right})"), first != second),
            ] {
                // The text may have become too long.
                prop_assert!(value(text.clone())?.is_none_or(|found| found == expected), "{}", text);
            }
        }
    }

    #[test]
    fn any_text_is_parsed_without_harm(text in "(\\PC|[ '\"\\\\()=<>+*/%,-]|NOT |IN|LIKE|EXISTS|a|1){0,40}") {
        if let Err(error) = Expression::parse(&text) {
            prop_assert!(text.get(error.span.start..error.span.end).is_some());
            prop_assert!(error.character <= text.chars().count() + 1);
        }
    }

    #[test]
    fn like_agrees_with_its_definition(
        items in prop::collection::vec(prop_oneof![
            2 => Just(Item::AnyText),
            2 => Just(Item::AnyCharacter),
            5 => prop::sample::select(vec!['a', 'b', 'é']).prop_map(Item::Character),
        ], 0..9),
        text in "[abé]{0,14}",
    ) {
        let characters: Vec<char> = text.chars().collect();
        let pattern = Pattern::new(items.iter().copied()).unwrap();
        prop_assert_eq!(pattern.matches(&text), naive(&items, &characters), "{}", pattern);
        prop_assert!(pattern.items().eq(items), "{}", pattern);
    }
}

#[test]
fn a_pattern_made_to_be_slow_is_not() {
    // Whoever tries everything needs more steps than there are atoms in the universe.
    let text = "a".repeat(60_000);
    let event = Event::builder().required("1", "/s", "t").set("x", text).build().unwrap();
    let long = "a_".repeat(64);
    let patterns = [
        "%a".repeat(1000) + "b",
        "%a_".repeat(500) + "%b",
        "a%".repeat(1000) + "b%",
        format!("%{}b%", long.strip_prefix('a').unwrap()),
        format!("%{}{long}b", "a_".repeat(1000)),
    ];
    for pattern in patterns {
        let expression = Expression::parse(&format!("x LIKE '{pattern}'")).unwrap();
        assert!(!expression.matches(&event));
    }
}
