//! Generated files are committed; this compares them with what the program generates today.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[test]
fn the_committed_definitions_are_those_of_the_program() {
    for kind in ["job", "execution", "trigger"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kakehi")).args(["crd", kind]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("charts/kakehi/crds/{kind}.yaml"));
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == output.stdout,
            "{} is not what the program generates; write it again: kakehi crd {kind} > charts/kakehi/crds/{kind}.yaml",
            path.display()
        );
    }
}
