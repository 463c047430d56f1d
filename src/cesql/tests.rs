//! What expressions come to: one table per part of the specification, and laws over random expressions.

use proptest::prelude::*;

use super::ErrorKind::Cast;
use super::ErrorKind::FunctionEvaluation;
use super::ErrorKind::Math;
use super::ErrorKind::MissingAttribute;
use super::ErrorKind::MissingFunction;
use super::ast::Kind;
use super::ast::Node;
use super::ast::Operator;
use super::like::Item;
use super::like::Pattern;
use super::*;
use crate::event::Attribute;

/// No subject and no time; typed and textual extensions of the same value.
fn event() -> Event {
    Event::builder()
        .required("1", "/orders/eu", "com.example.order")
        .set("num", 5)
        .set("text", "5")
        .set("flag", true)
        .set("word", "True")
        .set("empty", "")
        .set("uni", "ä€😀é")
        .set("least", i32::MIN)
        .set("1st", "first")
        .build()
        .unwrap()
}

fn of<'a>(value: impl Into<Expected<'a>>) -> Value<'a> {
    value.into().0
}

struct Expected<'a>(Value<'a>);

impl<'a> From<&'a str> for Expected<'a> {
    fn from(text: &'a str) -> Self {
        Expected(Value::String(text.into()))
    }
}

impl From<i32> for Expected<'_> {
    fn from(value: i32) -> Self {
        Expected(Value::Integer(value))
    }
}

impl From<bool> for Expected<'_> {
    fn from(value: bool) -> Self {
        Expected(Value::Boolean(value))
    }
}

/// Every expression comes to that value with errors of those kinds.
fn check<'a>(cases: &[(&str, impl Into<Expected<'a>> + Copy, &[ErrorKind])]) {
    let event = event();
    for (text, expected, errors) in cases {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = expression.evaluate(&event);
        let kinds: Vec<_> = found.errors.iter().map(|error| error.kind).collect();
        assert_eq!((&found.value, kinds.as_slice()), (&of(*expected), *errors), "{text}: {:?}", found.errors);
        // What was understood reads back, and comes to the same.
        let printed = expression.to_string();
        let again = Expression::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again.to_string(), printed, "{text}");
        assert_eq!(again.evaluate(&event).value, found.value, "{text}, printed {printed}");
    }
}

fn understood(text: &str) -> String {
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

fn mistake(text: &str) -> Error {
    let error = Expression::parse(text).expect_err(text);
    assert_eq!(error.kind, ErrorKind::Parse, "{text}");
    error
}

#[test]
fn literals() {
    check(&[("TRUE", true, &[]), ("true", true, &[]), ("FaLsE", false, &[])]);
    check(&[
        ("0", 0, &[]),
        ("007", 7, &[]),
        ("+5", 5, &[]),
        ("-5", -5, &[]),
        ("2147483647", i32::MAX, &[]),
        ("-2147483648", i32::MIN, &[]),
    ]);
    check(&[
        ("'abc'", "abc", &[]),
        ("\"abc\"", "abc", &[]),
        ("''", "", &[]),
        ("'aBc €'", "aBc €", &[]),
        (r#"'a"b\'c'"#, "a\"b'c", &[]),
        (r#""a'b\"c""#, "a'b\"c", &[]),
        // A backslash escapes the quote around it and itself, and is a character otherwise.
        (r"'a\\'", r"a\", &[]),
        (r"'a\b\%\_\n'", r"a\b\%\_\n", &[]),
        (r#"'a\"b'"#, r#"a\"b"#, &[]),
        (r"'a\\\'b'", r"a\'b", &[]),
        // A doubled quote is one.
        ("'it''s'", "it's", &[]),
        ("''''", "'", &[]),
        ("'a\nb'", "a\nb", &[]),
    ]);
}

#[test]
fn attributes() {
    check(&[
        ("id", "1", &[]),
        ("SOURCE", "/orders/eu", &[]),
        ("specversion", "1.0", &[]),
        ("text", "5", &[]),
        ("empty", "", &[]),
        ("1st", "first", &[]),
    ]);
    check(&[("num", 5, &[]), ("least", i32::MIN, &[])]);
    check(&[
        ("flag", true, &[]),
        ("subject", false, &[MissingAttribute]),
        ("(missing)", false, &[MissingAttribute]),
        ("EXISTS id AND EXISTS source AND EXISTS type AND EXISTS specversion", true, &[]),
        ("EXISTS empty", true, &[]),
        ("exists NUM", true, &[]),
        ("EXISTS subject", false, &[]),
        ("NOT EXISTS subject", true, &[]),
        ("EXISTS 1st", true, &[]),
    ]);
}

#[test]
fn arithmetic() {
    check(&[
        ("4 * 2 + 4 / 2", 10, &[]),
        ("4 * (2 + 4) / 2", 12, &[]),
        ("10 - 3 - 2", 5, &[]),
        ("100 / 10 / 5", 2, &[]),
        ("2 - 3 * 4 % 5", 0, &[]),
        ("4-1", 3, &[]),
        ("4 -1", 3, &[]),
        ("4 - -1", 5, &[]),
        ("4--1", 5, &[]),
        ("4+1", 5, &[]),
        ("--10", 10, &[]),
        ("- 10", -10, &[]),
        ("-(-10)", 10, &[]),
        ("5 / 3", 1, &[]),
        ("-5 / 3", -1, &[]),
        ("-5 % 3", -2, &[]),
        ("5 % -3", 2, &[]),
        ("'5' + '+3'", 8, &[]),
        ("5 + TRUE", 6, &[]),
        ("-'10'", -10, &[]),
        ("-TRUE", -1, &[]),
        ("text * num", 25, &[]),
        ("5 / 0", 0, &[Math]),
        ("5 % 0", 0, &[Math]),
        ("1 + 5 / 0", 0, &[Math]),
        ("2147483647 + 1 + 7", 0, &[Math]),
        ("2147483647 + 1", 0, &[Math]),
        ("-2147483648 - 1", 0, &[Math]),
        ("65536 * 65536", 0, &[Math]),
        ("-2147483648 / -1", 0, &[Math]),
        ("-2147483648 % -1", 0, &[]),
        ("-(-2147483648)", 0, &[Math]),
        ("-least", 0, &[Math]),
        ("'a' + 1", 0, &[Cast]),
        ("'' + ' 1'", 0, &[Cast, Cast]),
        ("'2147483648' + 1", 0, &[Cast]),
        ("-'x'", 0, &[Cast]),
    ]);
}

#[test]
fn comparisons() {
    check(&[
        ("TRUE = TRUE", true, &[]),
        ("1 = 2", false, &[]),
        ("1 != 2", true, &[]),
        ("1 <> 2", true, &[]),
        ("'abc' = 'abc'", true, &[]),
        ("'abc' = 'ABC'", false, &[]),
        ("2 <= 2 AND 2 >= 2", true, &[]),
        ("2 < 2 OR 2 > 2", false, &[]),
        ("3 > 2", true, &[]),
        ("'10' > '9'", true, &[]),
        ("TRUE < 2", true, &[]),
        ("1 + 1 = 2", true, &[]),
        ("1 < 2 = TRUE", true, &[]),
        // The right side decides in which type.
        ("TRUE = 'TRUE'", false, &[]),
        ("'TRUE' = TRUE", true, &[]),
        ("word = TRUE", true, &[]),
        ("TRUE = word", false, &[]),
        ("'05' = 5", true, &[]),
        ("5 = '05'", false, &[]),
        ("num = text", true, &[]),
        ("text = num", true, &[]),
        ("2 = TRUE", true, &[]),
        ("TRUE = 2", false, &[]),
        ("'abc' = 1", false, &[Cast]),
        ("'abc' = 0", false, &[Cast]),
        ("'abc' != TRUE", false, &[Cast]),
        ("'abc' < 1", false, &[Cast]),
    ]);
}

#[test]
fn logic() {
    check(&[
        ("TRUE AND FALSE", false, &[]),
        ("TRUE AND TRUE", true, &[]),
        ("FALSE OR TRUE", true, &[]),
        ("FALSE or FALSE", false, &[]),
        ("TRUE XOR TRUE", false, &[]),
        ("TRUE XOR FALSE", true, &[]),
        ("NOT TRUE", false, &[]),
        ("NOT 'FALSE'", true, &[]),
        ("NOT 0", true, &[]),
        ("NOT 10", false, &[]),
        ("1 AND 'true'", true, &[]),
        ("NOT NOT TRUE", true, &[]),
        // Short circuit.
        ("FALSE AND (1 = 1 / 0)", false, &[]),
        ("TRUE AND (1 != 1 / 0)", false, &[Math]),
        ("TRUE OR missing", true, &[]),
        ("FALSE OR (1 != 1 / 0)", false, &[Math]),
        ("TRUE XOR (1 = 1 / 0)", false, &[Math]),
        ("(1 = 1 / 0) OR TRUE", false, &[Math]),
        // From left to right, all on one level; see the documentation of the module.
        ("TRUE OR TRUE AND FALSE", false, &[]),
        ("TRUE OR (TRUE AND FALSE)", true, &[]),
        ("FALSE AND FALSE OR TRUE", true, &[]),
        ("TRUE XOR TRUE AND FALSE", false, &[]),
        ("'x' AND TRUE", false, &[Cast]),
        ("TRUE AND 'x'", false, &[Cast]),
        ("NOT 'x'", false, &[Cast]),
    ]);
}

#[test]
fn like_and_in() {
    check(&[
        ("'abc' LIKE 'a%'", true, &[]),
        ("'abc' NOT LIKE 'a%'", false, &[]),
        ("type like 'com.%.order'", true, &[]),
        ("num LIKE '_'", true, &[]),
        ("flag LIKE 'tr%'", true, &[]),
        ("uni LIKE '____'", true, &[]),
        ("'a%b' LIKE 'a\\%b'", true, &[]),
        ("'axb' LIKE 'a\\%b'", false, &[]),
        ("'a_b' LIKE 'a\\_b'", true, &[]),
        (r"'a\bc' LIKE 'a\\%'", true, &[]),
        (r"'a\b' LIKE 'a\b'", true, &[]),
        ("'it''s' LIKE 'it''s'", true, &[]),
        ("'abc' LIKE 'a%' = TRUE", true, &[]),
        ("NOT 'true' LIKE 'f%'", true, &[]),
        ("5 IN (1, 5)", true, &[]),
        ("5 NOT IN (1, 5)", false, &[]),
        ("'a' IN ('b')", false, &[]),
        // The left side decides in which type.
        ("'true' IN (TRUE)", true, &[]),
        ("'TRUE' IN (TRUE)", false, &[]),
        ("TRUE IN ('True')", true, &[]),
        ("'1' IN (1)", true, &[]),
        ("1 IN ('01')", true, &[]),
        ("num IN (text, 7)", true, &[]),
        ("id in (source, '1')", true, &[]),
        ("(1 + 4) IN (5)", true, &[]),
        ("id IN (id, missing)", true, &[]),
        ("1 IN ('x', 1)", false, &[Cast]),
        ("TRUE NOT IN ('x')", false, &[Cast]),
        ("0 IN ('x')", false, &[Cast]),
    ]);
}

#[test]
fn what_is_missing_makes_everything_around_it_zero() {
    check(&[
        ("missing * 5", 0, [MissingAttribute].as_slice()),
        ("1 / missing", 0, &[MissingAttribute]),
        ("missing / 0", 0, &[MissingAttribute]),
        ("-missing", 0, &[MissingAttribute]),
        ("missing + 1 + 2", 0, &[MissingAttribute]),
        ("missing + absent", 0, &[MissingAttribute, MissingAttribute]),
        ("LENGTH(missing)", 0, &[MissingAttribute]),
        ("ABS(missing)", 0, &[MissingAttribute]),
        ("INT(missing)", 0, &[MissingAttribute]),
    ]);
    check(&[
        ("missing = ''", false, [MissingAttribute].as_slice()),
        ("missing != ''", false, &[MissingAttribute]),
        ("'' = missing", false, &[MissingAttribute]),
        ("missing = absent", false, &[MissingAttribute, MissingAttribute]),
        ("missing < 1", false, &[MissingAttribute]),
        ("NOT missing", false, &[MissingAttribute]),
        ("NOT (missing = 1)", false, &[MissingAttribute]),
        ("missing LIKE '%'", false, &[MissingAttribute]),
        ("missing NOT LIKE 'a'", false, &[MissingAttribute]),
        ("missing IN (1)", false, &[MissingAttribute]),
        ("missing NOT IN (1)", false, &[MissingAttribute]),
        ("1 NOT IN (missing)", false, &[MissingAttribute]),
        ("missing AND TRUE", false, &[MissingAttribute]),
        ("missing OR TRUE", false, &[MissingAttribute]),
        ("TRUE AND missing", false, &[MissingAttribute]),
        ("TRUE XOR missing", false, &[MissingAttribute]),
        ("(missing = 'a') OR id = '1'", false, &[MissingAttribute]),
        ("id = '1' OR missing = 'a'", true, &[]),
        ("BOOL(missing)", false, &[MissingAttribute]),
    ]);
    check(&[
        ("STRING(missing)", "", [MissingAttribute].as_slice()),
        ("CONCAT('a', missing, absent)", "", &[MissingAttribute, MissingAttribute]),
        ("CONCAT_WS(missing, 'a')", "", &[MissingAttribute]),
        ("LEFT(missing, 1)", "", &[MissingAttribute]),
        ("LEFT('a', missing)", "", &[MissingAttribute]),
        ("RIGHT(missing, absent)", "", &[MissingAttribute, MissingAttribute]),
        ("SUBSTRING('abc', 1, missing)", "", &[MissingAttribute]),
        ("UPPER(missing)", "", &[MissingAttribute]),
    ]);
}

#[test]
fn functions_of_text() {
    check(&[
        ("LENGTH('')", 0, [].as_slice()),
        ("length(uni)", 4, &[]),
        ("LENGTH(TRUE)", 4, &[]),
        ("LENGTH(-5)", 2, &[]),
    ]);
    check(&[
        ("CONCAT()", "", [].as_slice()),
        ("CONCAT('a')", "a", &[]),
        ("CONCAT('a', 1, TRUE)", "a1true", &[]),
        ("CONCAT_WS(',')", "", &[]),
        ("concat_ws(', ', 'a', '', 'b')", "a, , b", &[]),
        ("LOWER('AbÉ')", "abé", &[]),
        ("UPPER('straße')", "STRASSE", &[]),
        ("LOWER('abc')", "abc", &[]),
        ("TRIM('\t\u{a0}\u{3000}a b\r\n ')", "a b", &[]),
        ("TRIM('\u{0}a\u{0}')", "\u{0}a\u{0}", &[]),
        ("LEFT(uni, 2)", "ä€", &[]),
        ("LEFT(uni, 10)", "ä€😀é", &[]),
        ("LEFT(uni, 0)", "", &[]),
        ("LEFT('abc', -1)", "abc", &[FunctionEvaluation]),
        ("RIGHT(uni, 2)", "😀é", &[]),
        ("RIGHT(uni, 10)", "ä€😀é", &[]),
        ("RIGHT(uni, 0)", "", &[]),
        ("RIGHT('abc', -1)", "abc", &[FunctionEvaluation]),
        ("RIGHT(CONCAT('ab', 'cd'), 3)", "bcd", &[]),
        ("LEFT('abc', 'x')", "", &[Cast]),
        ("SUBSTRING(uni, 1)", "ä€😀é", &[]),
        ("SUBSTRING(uni, 3)", "😀é", &[]),
        ("SUBSTRING(uni, 4)", "é", &[]),
        ("SUBSTRING(uni, -1)", "é", &[]),
        ("SUBSTRING(uni, -4)", "ä€😀é", &[]),
        ("SUBSTRING(uni, 2, 2)", "€😀", &[]),
        ("SUBSTRING(uni, -2, 1)", "😀", &[]),
        ("SUBSTRING(uni, 2, 100)", "€😀é", &[]),
        ("SUBSTRING(uni, 2, 0)", "", &[]),
        ("SUBSTRING('', 0)", "", &[]),
        ("SUBSTRING(uni, 0, 5)", "", &[]),
        ("SUBSTRING(uni, 5)", "", &[FunctionEvaluation]),
        ("SUBSTRING(uni, -5)", "", &[FunctionEvaluation]),
        ("SUBSTRING(uni, least)", "", &[FunctionEvaluation]),
        ("SUBSTRING('', 1)", "", &[FunctionEvaluation]),
        ("SUBSTRING(uni, 1, -1)", "", &[FunctionEvaluation]),
        ("SUBSTRING(uni, 0, -1)", "", &[FunctionEvaluation]),
        ("STRING(-5)", "-5", &[]),
        ("STRING(FALSE)", "false", &[]),
        ("STRING('x')", "x", &[]),
    ]);
}

#[test]
fn functions_of_numbers_and_casts() {
    check(&[
        ("ABS(-10)", 10, [].as_slice()),
        ("ABS('10')", 10, &[]),
        ("ABS(-2147483648)", i32::MAX, &[Math]),
        ("INT('-1')", -1, &[]),
        ("INT('+1')", 1, &[]),
        ("INT(TRUE)", 1, &[]),
        ("INT(FALSE)", 0, &[]),
        ("INT(7)", 7, &[]),
        ("INT('-2147483648')", i32::MIN, &[]),
        ("INT('2147483648')", 0, &[Cast]),
        ("INT('1.0')", 0, &[Cast]),
        ("INT('')", 0, &[Cast]),
        ("INT('+')", 0, &[Cast]),
        ("INT('٣')", 0, &[Cast]),
    ]);
    check(&[
        ("BOOL('tRuE')", true, [].as_slice()),
        ("BOOL('FALSE')", false, &[]),
        ("BOOL(-1)", true, &[]),
        ("BOOL(0)", false, &[]),
        ("BOOL(TRUE)", true, &[]),
        ("BOOL('1')", false, &[Cast]),
        ("BOOL(' true')", false, &[Cast]),
        ("NOPE('a')", false, &[MissingFunction]),
        ("LENGTH()", false, &[MissingFunction]),
        ("LENGTH('a', 'b')", false, &[MissingFunction]),
        ("CONCAT_WS()", false, &[MissingFunction]),
        ("SUBSTRING('a')", false, &[MissingFunction]),
        ("NOPE(missing) OR TRUE", false, &[MissingFunction]),
    ]);
}

#[test]
fn a_text_that_is_put_together_is_bounded() {
    let event = Event::builder().required("1", "/s", "t").set("x", "x".repeat(60_000)).build().unwrap();
    let many = format!("LENGTH(CONCAT({}))", vec!["x"; 1000].join(","));
    let many = Expression::parse(&many).unwrap();
    let found = many.evaluate(&event);
    assert_eq!(found.value, Value::Integer(0));
    assert_eq!(found.errors[0].kind, FunctionEvaluation);
    let two = Expression::parse("LENGTH(CONCAT(x, x))").unwrap();
    assert_eq!(two.evaluate(&event).value, Value::Integer(120_000));
}

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
