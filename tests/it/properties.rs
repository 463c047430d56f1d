//! The properties that the fuzz targets check, on the inputs that are kept: a few of each kind, and whatever was found.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/properties/cel.rs"]
mod cel;
#[path = "../fuzz/properties/cesql.rs"]
mod cesql;
#[path = "../fuzz/properties/event.rs"]
mod event;
#[path = "../fuzz/properties/http.rs"]
mod http;
#[path = "../fuzz/properties/json.rs"]
mod json;
#[path = "../fuzz/properties/selectors.rs"]
mod selectors;

/// Panics if the input breaks it.
type Property = fn(&[u8]);

/// Fuzz target and its property.
const PROPERTIES: [(&str, Property); 5] = [
    ("cel", cel::check),
    ("cesql", cesql::check),
    ("http", http::check),
    ("json", json::check),
    ("selectors", selectors::check),
];

fn files(below: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(below);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_found_stays_mended() {
    for (name, check) in PROPERTIES {
        let seeds = files(&format!("seeds/{name}"));
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let input = fs::read(&seed).unwrap();
            let checked = std::panic::catch_unwind(|| check(&input));
            assert!(checked.is_ok(), "{}", seed.display());
        }
    }
}

#[test]
fn every_property_is_a_fuzz_target() {
    let names = |below: &str, extension: &str| -> Vec<String> {
        let name = |path: &PathBuf| {
            path.file_name().unwrap().to_str().unwrap().trim_end_matches(extension).to_owned()
        };
        files(below).iter().map(name).collect()
    };
    let expected = PROPERTIES.map(|(name, _)| name);
    assert_eq!(names("targets", ".rs"), expected);
    assert_eq!(names("seeds", ""), expected);
    let manifest =
        fs::read_to_string(files("").iter().find(|path| path.ends_with("Cargo.toml")).unwrap()).unwrap();
    for name in expected {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not built");
    }
}
