//! How expressions are read, what is wrong with those that are none, and what is known before they are asked.

use super::*;

#[test]
fn operators_bind_as_the_specification_says() {
    for (text, tree) in [
        ("1 + 2 * 3 - 4", "(1 + (2 * 3) - 4)"),
        ("a = b + 1 AND c OR d", "((a = (b + 1)) AND c OR d)"),
        ("a = b = c", "(a = b = c)"),
        ("NOT a = b", "(NOT a = b)"),
        ("NOT (a = b)", "NOT (a = b)"),
        ("NOT a LIKE 'x'", "(NOT a LIKE 'x')"),
        ("-a * b", "(- a * b)"),
        ("-a IN (1)", "(- a IN (1))"),
        ("a * b IN (1)", "(a * (b IN (1)))"),
        ("a NOT LIKE 'x' IN (b)", "((a NOT LIKE 'x') IN (b))"),
        ("NOT EXISTS a AND b", "(NOT EXISTS a AND b)"),
        ("EXISTS a IN (TRUE)", "(EXISTS a IN (TRUE))"),
        ("((a))", "a"),
        ("a XOR (b XOR c)", "(a XOR (b XOR c))"),
        ("f(a, b + 1)", "F(a, (b + 1))"),
        ("int (a)", "INT(a)"),
        ("int + left", "(int + left)"),
        ("a<>b", "(a != b)"),
        ("a -1", "(a - 1)"),
        ("a - - 1", "(a - - 1)"),
        ("a\t\r\n=\n'b'", "(a = 'b')"),
        ("ID", "id"),
    ] {
        assert_eq!(understood(text), tree, "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, place, message) in [
        ("", 1, "a value is expected, and here it ends"),
        ("  ", 3, "a value is expected"),
        ("type = ", 8, "a value is expected, and here it ends"),
        ("type == 'a'", 7, "a value is expected, not `=`"),
        ("type = 'a", 8, "no closing quote"),
        (r"type = 'a\'", 8, "no closing quote"),
        ("type = 'a' subject = 'b'", 12, "an operator or the end is expected, not `subject`"),
        ("(a = b", 7, "an operator or `)` is expected"),
        ("a = b)", 6, "closes nothing"),
        ("ABC(", 5, "a value is expected"),
        ("ABC(a", 6, "`,` or `)` is expected"),
        ("ABC(a,)", 7, "a value is expected, not `)`"),
        ("a IN ()", 7, "a value is expected, not `)`"),
        ("a IN b", 6, "`(` after `IN` is expected"),
        ("a NOT = b", 7, "`LIKE` or `IN` after `NOT` is expected, not `=`"),
        ("a LIKE b", 8, "a string as the pattern of `LIKE` is expected, not `b`"),
        ("a LIKE 123", 8, "a string as the pattern"),
        ("a LIKE ('b')", 8, "a string as the pattern"),
        ("EXISTS 'a'", 8, "the name of an attribute is expected"),
        ("EXISTS true", 8, "`true` is a word of the language"),
        ("EXISTS", 7, "the name of an attribute is expected, and here it ends"),
        ("in = 1", 1, "a value is expected, not `in`"),
        ("a = and", 5, "a value is expected, not `and`"),
        ("data = 'x'", 1, "`data` is the event's data"),
        ("my_ext = 'x'", 1, "lower-case ASCII letters and digits"),
        ("f1(a)", 1, "`f1` is no name of a function"),
        ("a & b", 3, "`&` means nothing here"),
        ("a = ü", 5, "`ü` means nothing here"),
        ("'ä' = ü", 7, "`ü` means nothing here"),
        ("a.b = 1", 2, "`.` means nothing here"),
        ("2147483648", 1, "does not fit into an integer of 32 bits"),
        ("1 + -2147483649", 5, "does not fit"),
        ("- 2147483648", 3, "does not fit"),
        ("+ 5", 3, "an integer after `+` is expected"),
        ("+a", 2, "an integer after `+` is expected"),
        ("a b", 3, "an operator or the end"),
        ("TRUE(1)", 5, "an operator or the end"),
    ] {
        let error = mistake(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.character, place, "{text}: {error}");
        assert!(text.get(error.span.start..error.span.end).is_some(), "{text}: {:?}", error.span);
    }
    assert_eq!(mistake("a = ").to_string(), "character 5: a value is expected, and here it ends");
}

#[test]
fn errors_of_an_evaluation_are_told_with_their_place() {
    let event = event();
    for (text, told) in [
        ("id = '1' AND missing = 'a'", "character 14: the event has no attribute `missing`"),
        ("'é' + 1 = 1", "character 1: `é` is no integer of 32 bits"),
        ("'é' = id OR 1 = (2 / 0)", "character 18: a division by zero"),
        ("1 + 2147483647", "character 1: the result does not fit into an integer of 32 bits"),
        ("NOT ('x')", "character 5: `x` is neither true nor false"),
        ("nope(1)", "character 1: there is no function `NOPE`"),
        ("LEFT(id)", "character 1: LEFT takes 2 arguments, not 1"),
        ("SUBSTRING(id)", "character 1: SUBSTRING takes 2 or 3 arguments, not 1"),
        ("CONCAT_WS()", "character 1: CONCAT_WS takes at least 1, not 0"),
        ("ABS()", "character 1: ABS takes one argument, not 0"),
        ("SUBSTRING(id, 9)", "character 1: the text has no character 9"),
        ("LEFT(id, -9)", "character 1: -9 is not a number of characters"),
    ] {
        let expression = Expression::parse(text).unwrap();
        let found = expression.evaluate(&event);
        assert_eq!(found.errors[0].to_string(), told, "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Expression::parse(&nested(MAX_DEPTH - 1)).is_ok());
    for deep in [
        nested(MAX_DEPTH),
        nested(2000),
        "NOT ".repeat(1000) + "TRUE",
        "-".repeat(4000) + "a",
        "f(".repeat(1000) + &")".repeat(1000),
        "1 IN (".repeat(500) + "1" + &")".repeat(500),
        "1".to_owned() + &" IN (1)".repeat(500),
        "1".to_owned() + &" LIKE ''".repeat(500),
    ] {
        assert!(mistake(&deep).message.contains("more than 64"), "{deep}");
    }
    let places = |many: usize| format!("a LIKE '%a_{}%'", "b".repeat(many - 2));
    assert!(Expression::parse(&places(128)).is_ok());
    assert!(mistake(&places(129)).message.contains("at most 128 characters"));
    assert!(Expression::parse(&format!("a LIKE '{0}_%{0}%_{0}'", "b".repeat(500))).is_ok());
    // A long list is not a deep one.
    let long = vec!["id = '1'"; 300].join(" AND ");
    assert!(Expression::parse(&long).unwrap().matches(&event()));
    let terms = vec!["1"; 2000].join("+");
    assert_eq!(Expression::parse(&terms).unwrap().evaluate(&event()).value, Value::Integer(2000));
    assert!(mistake(&" ".repeat(MAX_BYTES + 1)).message.contains("longer than 4096 bytes"));
}

#[test]
fn a_filter_passes_on_the_boolean_true_without_an_error() {
    for (text, passes) in [
        ("type = 'com.example.order'", true),
        ("type = 'other'", false),
        ("missing = 'a' OR id = '1'", false),
        ("id = '1' OR missing = 'a'", true),
        ("NOT (missing = 'a')", false),
        ("'abc' = 0", false),
        ("5", false),
        ("id", false),
        ("TRUE", true),
        // Attributes are text here, so that both modes of an event are treated alike.
        ("num = 5 AND text = 5", true),
        ("num = '5' AND text = '5'", true),
        ("'05' = num OR '05' = text", false),
        ("5 IN (num) AND 5 IN (text)", true),
        ("num IN ('05') OR text IN ('05')", false),
        ("flag", false),
        ("BOOL(flag) AND flag = TRUE AND flag = 'true'", true),
        ("flag AND BOOL(word)", true),
        ("num > 4 AND text > 4", true),
    ] {
        assert_eq!(Expression::parse(text).unwrap().matches(&event()), passes, "{text}");
    }
}

#[test]
fn what_can_never_be_a_predicate_says_why() {
    let why = |text: &str| Expression::parse(text).unwrap().why_no_predicate().map(|error| error.to_string());
    for (text, reason) in [
        ("5", "character 1: a filter is a condition, and this is an Integer"),
        ("'abc'", "this is a String"),
        ("(1 + 2)", "this is an Integer"),
        ("LENGTH(id)", "this is an Integer"),
        ("subject", "this is a String; compare it"),
        ("-TRUE", "this is an Integer"),
        ("id = '1' AND nope(id)", "character 14: there is no function `NOPE`"),
        ("NOT (id IN (LEFT(id)))", "LEFT takes 2 arguments, not 1"),
        ("CONCAT(-nope(1)) LIKE 'a'", "`NOPE`"),
    ] {
        assert!(why(text).is_some_and(|told| told.contains(reason)), "{text}: {:?}", why(text));
    }
    for fine in
        ["TRUE", "flag = TRUE", "BOOL(flag)", "EXISTS id", "NOT id", "id IN ('1')", "id LIKE '1'", "1 < 2"]
    {
        assert_eq!(why(fine), None, "{fine}");
    }
}

#[test]
fn values_that_an_event_must_have_are_found() {
    for (text, expected) in [
        ("type = 'a'", Some(vec!["a"])),
        ("'a' = type", Some(vec!["a"])),
        ("type = 'a' AND id = '1'", Some(vec!["a"])),
        ("EXISTS time AND (type = 'a' AND id = '1')", Some(vec!["a"])),
        ("type IN ('a', 'b') AND type = 'b'", Some(vec!["b"])),
        ("type = 'a' OR type = 'b'", Some(vec!["a", "b"])),
        ("id = '1' OR id = '2' AND type = 'a'", Some(vec!["a"])),
        ("type = 'a' AND id = '1' OR id = '2'", None),
        ("type = 'a' OR id = '1'", None),
        ("type = 'a' XOR type = 'b'", None),
        ("type != 'a'", None),
        ("NOT (type = 'a')", None),
        ("type = 5", None),
        ("type = subject", None),
        ("type NOT IN ('a')", None),
        ("type IN ('a', id)", None),
        ("type = 'a' = TRUE", None),
        ("(type = 'a') = FALSE", None),
        ("type LIKE 'a'", None),
        ("subject = 'a'", None),
    ] {
        assert_eq!(Expression::parse(text).unwrap().necessary(&Attribute::Type), expected, "{text}");
    }
}
