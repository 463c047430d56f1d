//! Label selectors: `a=b, a!=b, a in (x,y), a notin (z), a, !a, n>1, n<9`.

use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;

/// Requirements that an object's labels must all meet. The empty selector matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::local::server) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(BTreeSet<String>),
    /// Matches objects without the label, too.
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// The error is the API server's sentence, without its lead-in `unable to parse requirement: `.
    pub(in crate::local::server) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Tokens { rest: text };
        let mut requirements = Vec::new();
        if tokens.peek().is_none() {
            return Ok(Self::default());
        }
        loop {
            requirements.push(requirement(&mut tokens)?);
            match tokens.next() {
                None => break,
                Some(Token::Comma) => {
                    if !matches!(tokens.peek(), Some(Token::Word(_) | Token::Not)) {
                        let found = tokens.peek().map_or_else(String::new, |token| token.text().to_owned());
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                Some(other) => {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
                }
            }
        }
        Ok(Self { requirements })
    }

    pub(in crate::local::server) fn matches(&self, object: &Value) -> bool {
        if self.requirements.is_empty() {
            return true;
        }
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key)).and_then(Value::as_str);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Above(limit) => number().is_some_and(|number| number > *limit),
            Test::Below(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Not,
    Equals(&'a str),
    NotEquals,
    Above,
    Below,
    Comma,
    Open,
    Close,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Equals(text) => text,
            Self::Not => "!",
            Self::NotEquals => "!=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
        }
    }
}

#[derive(Clone)]
struct Tokens<'a> {
    rest: &'a str,
}

/// Longest first.
const SYMBOLS: &[(&str, Token<'static>)] = &[
    ("==", Token::Equals("==")),
    ("!=", Token::NotEquals),
    ("=", Token::Equals("=")),
    ("!", Token::Not),
    (">", Token::Above),
    ("<", Token::Below),
    (",", Token::Comma),
    ("(", Token::Open),
    (")", Token::Close),
];

impl<'a> Tokens<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return None;
        }
        for (symbol, token) in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(symbol) {
                self.rest = rest;
                return Some(*token);
            }
        }
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "=!<>,()".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Token::Word(word))
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, String> {
    let mut token = tokens.next();
    let missing = token == Some(Token::Not);
    if missing {
        token = tokens.next();
    }
    let key = match token {
        Some(Token::Word(key)) => key,
        Some(other) => {
            return Err(format!("found '{}', expected: !, identifier, or ',' ", other.text())
                .trim_end()
                .to_owned());
        }
        None => return Err("found '', expected: identifier".to_owned()),
    };
    check_key(key)?;
    let test = if missing {
        Test::Missing
    } else {
        match tokens.peek() {
            None | Some(Token::Comma) => Test::Exists,
            Some(_) => operation(tokens)?,
        }
    };
    if let Test::In(values) | Test::NotIn(values) = &test {
        values.iter().try_for_each(|value| check_value(key, value))?;
    }
    Ok(Requirement { key: key.to_owned(), test })
}

fn operation(tokens: &mut Tokens<'_>) -> Result<Test, String> {
    match tokens.next() {
        Some(Token::Equals(_)) => Ok(Test::In(exact(tokens))),
        Some(Token::NotEquals) => Ok(Test::NotIn(exact(tokens))),
        Some(Token::Word("in")) => Ok(Test::In(set(tokens)?)),
        Some(Token::Word("notin")) => Ok(Test::NotIn(set(tokens)?)),
        Some(Token::Above) => Ok(Test::Above(number(tokens, "Gt")?)),
        Some(Token::Below) => Ok(Test::Below(number(tokens, "Lt")?)),
        other => {
            let found = other.map_or("", Token::text);
            Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"))
        }
    }
}

/// The one value after `=`; nothing there is the empty value.
fn exact(tokens: &mut Tokens<'_>) -> BTreeSet<String> {
    match tokens.peek() {
        Some(Token::Word(value)) => {
            tokens.next();
            BTreeSet::from([value.to_owned()])
        }
        _ => BTreeSet::from([String::new()]),
    }
}

fn set(tokens: &mut Tokens<'_>) -> Result<BTreeSet<String>, String> {
    match tokens.next() {
        Some(Token::Open) => {}
        other => return Err(format!("found '{}' expected: '('", other.map_or("", Token::text))),
    }
    let mut values = BTreeSet::new();
    let mut after_comma = true;
    loop {
        match tokens.next() {
            Some(Token::Word(value)) => {
                values.insert(value.to_owned());
                after_comma = false;
            }
            Some(Token::Comma) => {
                if after_comma {
                    values.insert(String::new());
                }
                after_comma = true;
            }
            Some(Token::Close) => {
                if after_comma {
                    values.insert(String::new());
                }
                return Ok(values);
            }
            other => {
                return Err(format!(
                    "found '{}', expected: ',', ')' or identifier",
                    other.map_or("", Token::text)
                ));
            }
        }
    }
}

fn number(tokens: &mut Tokens<'_>, operator: &str) -> Result<i64, String> {
    match tokens.next() {
        Some(Token::Word(word)) => word.parse().map_err(|_| {
            format!(
                "values[0]: Invalid value: {word:?}: for '{operator}' operator, the value must be an integer"
            )
        }),
        other => Err(format!("found '{}', expected: identifier", other.map_or("", Token::text))),
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_ok = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    });
    if prefix_ok && !name.is_empty() && qualified(name) {
        Ok(())
    } else {
        Err(format!(
            "key: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ))
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || qualified(value) {
        return Ok(());
    }
    Err(format!(
        "values[0][{key}]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ))
}

/// At most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn qualified(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn matches(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn every_operator_does_what_kubectl_users_expect() {
        let table = [
            ("", json!({}), true),
            ("a=b", json!({"a": "b"}), true),
            ("a==b", json!({"a": "b"}), true),
            ("a=b", json!({}), false),
            ("a!=b", json!({}), true),
            ("a!=b", json!({"a": "b"}), false),
            ("a", json!({"a": ""}), true),
            ("a", json!({}), false),
            ("!a", json!({}), true),
            ("!a", json!({"a": "x"}), false),
            ("a in (x, y)", json!({"a": "y"}), true),
            ("a in (x,y)", json!({"a": "z"}), false),
            ("a notin (x,y)", json!({"a": "z"}), true),
            ("a notin (x)", json!({}), true),
            ("a=b,c=d", json!({"a": "b", "c": "d"}), true),
            ("a=b, c", json!({"a": "b"}), false),
            ("n>1", json!({"n": "2"}), true),
            ("n>1", json!({"n": "1"}), false),
            ("n<9,n>3", json!({"n": "5"}), true),
            ("n>1", json!({"n": "x"}), false),
            ("a=", json!({"a": ""}), true),
            ("a=", json!({"a": "x"}), false),
            ("a in ()", json!({"a": ""}), true),
            ("example.com/a = b", json!({"example.com/a": "b"}), true),
            ("in=notin", json!({"in": "notin"}), true),
        ];
        for (selector, labels, expected) in table {
            assert_eq!(matches(selector, labels.clone()), expected, "{selector} on {labels}");
        }
    }

    #[test]
    fn an_object_without_labels_has_none() {
        assert!(LabelSelector::parse("!a").unwrap().matches(&json!({"metadata": {}})));
        assert!(!LabelSelector::parse("a").unwrap().matches(&json!({})));
    }

    #[test]
    fn broken_selectors_are_refused() {
        for broken in
            [",", "a=b,", "a in x", "a in (x", "a b", "=b", "a=b=c", "!", "a=-", "a>x", "x/y/z=1", "a b c"]
        {
            assert!(LabelSelector::parse(broken).is_err(), "{broken}");
        }
    }
}
