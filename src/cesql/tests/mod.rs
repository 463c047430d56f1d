//! What expressions come to: one table per part of the specification. `reading` is about what is no expression and what is
//! understood of one, `properties` about laws over random expressions.

mod properties;
mod reading;

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
