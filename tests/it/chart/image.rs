//! The image recipe, as far as it can be judged without a container engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the recipe takes from the repository.
fn copied(recipe: &str) -> BTreeSet<&str> {
    let copies = recipe.lines().filter_map(|line| line.strip_prefix("COPY "));
    let own = copies.filter(|words| !words.starts_with("--from"));
    own.flat_map(|words| words.rsplit_once(' ').expect("a destination").0.split(' ')).collect()
}

/// A file that cargo reads and the recipe forgets shows only where images are built.
#[test]
fn the_image_recipe_takes_what_cargo_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = fs::read_to_string(root.join("charts/kakehi/image/Containerfile")).unwrap();
    let copied = copied(&recipe);
    let sent = fs::read_to_string(root.join("charts/kakehi/image/Containerfile.dockerignore")).unwrap();
    let sent: BTreeSet<&str> = sent.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert_eq!(sent, copied, "what is copied has to be sent to the builder");
    for name in &copied {
        assert!(root.join(name).exists(), "{name} is copied and does not exist");
    }
    for needed in ["Cargo.toml", "Cargo.lock", "build.rs", "README.md", "src", "tests"] {
        assert_eq!(copied.contains(needed), root.join(needed).exists(), "{needed}");
    }
}
