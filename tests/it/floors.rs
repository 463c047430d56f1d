//! The house rules that a machine can check: imports only go down, pure floors stay pure, files say what they are.

use std::fs;
use std::path::{Path, PathBuf};

/// Module → floor. A module may import modules of a lower floor only; `api` carries `filter`, `feed` carries `triggers`.
const FLOORS: &[(&str, u8)] = &[
    ("event", 0),
    ("term", 0),
    ("schedule", 0),
    ("cel", 3),
    ("cesql", 3),
    ("spans", 5),
    ("manners", 5),
    ("api", 10),
    ("filter", 15),
    ("params", 15),
    ("plan", 20),
    ("explain", 22),
    ("ops", 30),
    ("feed", 25),
    ("triggers", 30),
    ("auth", 30),
    ("sink", 40),
    ("cloudrun", 40),
    ("controllers", 40),
    ("sources", 40),
    ("local", 40),
    ("telemetry", 50),
    ("listen", 50),
    ("app", 55),
    ("cli", 60),
];

/// Modules that must stay free of clients, runtimes and clocks.
const PURE: &[&str] =
    &["event", "term", "schedule", "cel", "cesql", "api", "filter", "params", "plan", "explain"];

/// What a pure module must not name. `kube` types are fine above floor 0; a client, a runtime or the clock is not.
const IMPURE: &[&str] = &[
    "tokio::",
    "kube::Client",
    "kube::client",
    "kube::Api",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "std::env::",
];

fn sources(root: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root), &mut found);
    found.sort();
    assert!(!found.is_empty(), "no sources below {root}");
    found
}

/// The top-level module that a file below `src/` belongs to.
fn module(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Every `crate::x` that a file names, with its line number.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for rest in line.split("crate::").skip(1) {
            found.push((number + 1, rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()));
        }
    }
    found
}

#[test]
fn imports_only_go_down() {
    let mut broken = Vec::new();
    for path in sources("src") {
        let own = module(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let here = floor(&own)
            .unwrap_or_else(|| panic!("module {own} has no floor; give it one in tests/it/floors.rs"));
        for (line, name) in imports(&fs::read_to_string(&path).unwrap()) {
            let Some(there) = floor(&name) else { continue };
            if name != own && (there >= here || own == "local") {
                broken.push(format!("{}:{line}: {own} imports {name}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn grouped_imports_of_the_crate_are_not_used() {
    // `use crate::{a, b}` would hide `b` from the check above.
    for path in sources("src") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("crate::{"), "{}: write one `use crate::…` per module", path.display());
    }
}

/// A file of tests or in a folder of them: it may name what it compares with, and is as long as its table.
fn is_of_tests(path: &Path) -> bool {
    path.components().any(|part| ["tests", "tests.rs"].contains(&part.as_os_str().to_str().unwrap()))
}

#[test]
fn pure_floors_stay_pure() {
    let mut broken = Vec::new();
    for path in sources("src").iter().filter(|path| PURE.contains(&module(path).as_str())) {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in IMPURE.iter().filter(|word| code.contains(**word)) {
            broken.push(format!("{}: names {word}", path.display()));
        }
        let knows = code.contains("kube::") || code.contains("k8s_openapi");
        if floor(&module(path)) < floor("api") && knows && !is_of_tests(path) {
            broken.push(format!("{}: floor 0 knows no Kubernetes", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources("src").into_iter().chain(sources("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} opens without //!", path.display());
    }
}

#[test]
fn files_stay_readable() {
    for path in sources("src").into_iter().filter(|path| !is_of_tests(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 500, "{}: {lines} lines before its tests", path.display());
    }
}

#[test]
fn only_the_command_line_prints_and_reads_the_environment() {
    for path in sources("src").iter().filter(|path| module(path) != "cli" && module(path) != "main") {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["println!", "eprintln!", "std::env::var"] {
            assert!(!code.contains(word), "{} uses {word}", path.display());
        }
    }
}
