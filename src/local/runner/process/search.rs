//! Finding a command on the `PATH` of the container.
//!
//! Done here and not by the system, because what is given as a path is started without a fork of this process, which may be large.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where commands are looked for when a container has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file that `program` names; a name with a slash is a path already.
pub(super) fn find(program: &OsStr, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if program.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the command is empty"));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut refused = false;
    for directory in path.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty()) {
        let candidate = Path::new(OsStr::from_bytes(directory)).join(program);
        match candidate.metadata() {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(found) => refused |= found.is_file(),
            Err(_) => {}
        }
    }
    Err(if refused {
        io::Error::new(io::ErrorKind::PermissionDenied, "the file found on PATH is not executable")
    } else {
        let path = path.to_string_lossy();
        io::Error::new(io::ErrorKind::NotFound, format!("no such command on this machine (PATH is {path})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_executable_on_the_path_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            let file = dir.path().join(name).join("tool");
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let path = format!("/nowhere::{}:{}:{}", at("a"), at("b"), at("c"));
        assert_eq!(find(OsStr::new("tool"), Some(OsStr::new(&path))).unwrap(), dir.path().join("b/tool"));
        let only = find(OsStr::new("tool"), Some(OsStr::new(&at("a")))).unwrap_err();
        assert_eq!(only.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(find(OsStr::new("./run.sh"), None).unwrap(), Path::new("./run.sh"));
        assert_eq!(find(OsStr::new("/no/such/file"), None).unwrap(), Path::new("/no/such/file"));
    }

    #[test]
    fn without_a_path_the_usual_places_are_searched() {
        assert!(find(OsStr::new("sh"), None).is_ok());
        let error = find(OsStr::new("no-such-command-anywhere"), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/usr/bin"), "{error}");
        assert!(find(OsStr::new(""), None).is_err());
    }
}
