//! Label and field selectors of local mode: two lines are selectors, the others labels of a Pod. A comma is an "and", and
//! what is read of a key and a value is what a map says.

use std::collections::BTreeMap;

use kakehi::local::server::Selectors;
use serde_json::{Value, json};

pub(crate) fn check(input: &[u8]) {
    let Ok(input) = str::from_utf8(input) else { return };
    let mut lines = input.lines();
    let (one, other) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let labels: BTreeMap<&str, &str> = lines.take(10).filter_map(|line| line.split_once('=')).collect();
    let name = labels.values().next().copied().unwrap_or("pod");
    let pod = json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running"}});
    let selectors = Selectors::new();
    commas(one, other, |selector| selectors.by_labels(selector, &pod));
    commas(one, other, |selector| selectors.by_fields(selector, &pod));
    if !one.is_empty() {
        let blank = format!(" {one}\t");
        assert_eq!(selectors.by_labels(&blank, &pod), selectors.by_labels(one, &pod));
    }
    for (key, value) in &labels {
        label(&selectors, (key, value), &labels, &pod);
        label(&selectors, (key, other), &labels, &pod);
    }
    field(&selectors, one, name, &pod);
    field(&selectors, name, name, &pod);
}

/// Both hold together if each does, and what is no selector says why in one line.
fn commas(one: &str, other: &str, select: impl Fn(&str) -> Result<bool, String>) {
    let found = [one, other].map(&select);
    for problem in found.iter().filter_map(|found| found.as_ref().err()) {
        assert!(!problem.is_empty());
    }
    let nothing = one.trim().is_empty() || other.trim().is_empty();
    if let ([Ok(one_holds), Ok(other_holds)], false) = (&found, nothing) {
        assert_eq!(select(&format!("{one},{other}")), Ok(*one_holds && *other_holds));
        assert_eq!(select(&format!("{other},{one}")), Ok(*one_holds && *other_holds));
    }
}

/// Every way to ask for a label says what the map says.
fn label(selectors: &Selectors, (key, value): (&str, &str), labels: &BTreeMap<&str, &str>, pod: &Value) {
    let select = |selector: String| selectors.by_labels(&selector, pod);
    let is_word =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "=!<>,()".contains(c));
    if !is_word(key) {
        return;
    }
    let Ok(exists) = select(key.to_owned()) else {
        assert!(select(format!("!{key}")).is_err(), "{key}");
        return;
    };
    assert_eq!(exists, labels.contains_key(key));
    assert_eq!(select(format!("!{key}")), Ok(!exists));
    if !is_word(value) {
        return;
    }
    let Ok(equal) = select(format!("{key}={value}")) else {
        for selector in
            [format!("{key}!={value}"), format!("{key} in ({value})"), format!("{key} notin (a,{value})")]
        {
            assert!(select(selector).is_err(), "{key} {value}");
        }
        return;
    };
    assert_eq!(equal, labels.get(key) == Some(&value));
    for (selector, expected) in [
        (format!("{key}=={value}"), equal),
        (format!("{key} in ({value})"), equal),
        (format!("{key} in ( {value} , {value} )"), equal),
        (format!("{key}!={value}"), !equal),
        (format!("{key} notin ({value})"), !equal),
        (format!("{key},{key}={value}"), equal),
        (format!("{key} in ({value},)"), equal || labels.get(key) == Some(&"")),
    ] {
        assert_eq!(select(selector.clone()), Ok(expected), "{selector}");
    }
}

/// Any text can be asked for, if it is escaped.
fn field(selectors: &Selectors, wanted: &str, name: &str, pod: &Value) {
    let escaped: String = wanted
        .chars()
        .flat_map(|c| ['\\'].into_iter().filter(move |_| "\\,=".contains(c)).chain([c]))
        .collect();
    for (operator, expected) in [("=", wanted == name), ("==", wanted == name), ("!=", wanted != name)] {
        let selector = format!("status.phase=Running,metadata.name{operator}{escaped}");
        assert_eq!(selectors.by_fields(&selector, pod), Ok(expected), "{selector}");
    }
}
