//! The compatibility kit of CESQL: the cases of the specification's own repository (`cesql/cesql_tck/*.yaml`). They are not
//! part of this repository; the test reads them where `KAKEHI_TEST_CESQL_KIT` says, and has nothing to do without it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kakehi::cesql::ErrorKind;
use kakehi::cesql::Expression;
use kakehi::cesql::Value;
use kakehi::event::Event;
use serde::Deserialize;

#[derive(Deserialize)]
struct Suite {
    name: String,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    expression: String,
    #[serde(default)]
    result: Option<Literal>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    event: Option<BTreeMap<String, Literal>>,
    #[serde(default)]
    event_overrides: Option<BTreeMap<String, Literal>>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Literal {
    Boolean(bool),
    Integer(i32),
    Text(String),
}

/// Cases that contradict the specification, by suite and name, with our choice: what we come to, and why.
const CONTRADICTIONS: &[(&str, &str, &str)] = &[(
    "Not operator",
    "Invalid int cast",
    // The kit wants true and a cast error of `NOT 10`. §3.7 casts every integer but 0 to true, and so does the kit in
    // `BOOL(100)`.
    "false",
)];

/// Cases that the kit is known to have; fewer means that the directory is not the kit.
const CASES: usize = 275;

#[test]
fn the_compatibility_kit_is_passed() {
    let Some(directory) = std::env::var_os("KAKEHI_TEST_CESQL_KIT") else {
        println!("skipped: KAKEHI_TEST_CESQL_KIT names no directory with the files of the kit");
        return;
    };
    let (mut cases, mut differ, mut wrong) = (0, Vec::new(), Vec::new());
    for suite in suites(Path::new(&directory)) {
        for case in &suite.tests {
            cases += 1;
            let (expected, found) = (expected(case), found(case));
            let known =
                CONTRADICTIONS.iter().find(|(name, test, _)| (*name, *test) == (&suite.name, &case.name));
            match known {
                // The kit may have been mended, or we may have changed our mind: both are to be seen here.
                Some((.., ours)) if expected == found || found != *ours => {
                    wrong.push(format!("{}, {}: {found}, not {ours} any more", suite.name, case.name));
                }
                Some((name, test, _)) => differ.push((*name, *test)),
                None if expected == found => {}
                None => wrong.push(format!(
                    "{}, {}: `{}` is {found}, not {expected}",
                    suite.name, case.name, case.expression
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(differ.len(), CONTRADICTIONS.len(), "{differ:?}");
    assert!(cases >= CASES, "{cases} cases");
    println!("{cases} cases, of which {} are contradicted", differ.len());
}

fn suites(directory: &Path) -> Vec<Suite> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let suite = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().map(suite).collect()
}

fn event(case: &Case) -> Event {
    let mut attributes = BTreeMap::new();
    for (name, value) in [("id", "an-id"), ("source", "/a/source"), ("type", "a.type")] {
        attributes.insert(name.to_owned(), Literal::Text(value.to_owned()));
    }
    if let Some(event) = &case.event {
        attributes.clone_from(event);
    }
    attributes.extend(case.event_overrides.clone().unwrap_or_default());
    let set = |event: kakehi::event::Builder, (name, value): (String, Literal)| match value {
        Literal::Boolean(value) => event.set(&name, value),
        Literal::Integer(value) => event.set(&name, value),
        Literal::Text(value) => event.set(&name, value),
    };
    attributes.into_iter().fold(Event::builder(), set).build().unwrap()
}

/// A value and the kinds of errors, as text. What the kit leaves open is left open by us: it names a result or an error.
fn expected(case: &Case) -> String {
    let value = match &case.result {
        Some(Literal::Boolean(value)) => value.to_string(),
        Some(Literal::Integer(value)) => value.to_string(),
        Some(Literal::Text(value)) => format!("{value:?}"),
        // Only for what does not parse.
        None => "false".to_owned(),
    };
    case.error.as_ref().map_or(value.clone(), |error| format!("{value} with {error}"))
}

fn found(case: &Case) -> String {
    let event = event(case);
    let expression = match Expression::parse(&case.expression) {
        Ok(expression) => expression,
        Err(error) => return format!("false with {}", kind(error.kind)),
    };
    let evaluation = expression.evaluate(&event);
    let value = match evaluation.value {
        Value::String(text) => format!("{text:?}"),
        value => value.to_string(),
    };
    match evaluation.errors.as_slice() {
        [] => value,
        // The kit speaks of one kind.
        errors => {
            let mut kinds: Vec<_> = errors.iter().map(|error| kind(error.kind)).collect();
            kinds.dedup();
            format!("{value} with {}", kinds.join(", "))
        }
    }
}

/// As the kit calls it.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Parse => "parse",
        ErrorKind::Math => "math",
        ErrorKind::Cast => "cast",
        ErrorKind::MissingAttribute => "missingAttribute",
        ErrorKind::MissingFunction => "missingFunction",
        ErrorKind::FunctionEvaluation => "functionEvaluation",
    }
}
