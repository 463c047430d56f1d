//! Where `dev` and `try` keep their files, and the kubeconfig that leads kubectl to them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::Error;
use crate::cli::connect::SINK_EXTENSION;
use crate::cli::output::yaml;

/// Name of the context, the cluster and the user in the kubeconfig.
const CONTEXT: &str = "kakehi-dev";
/// Name of the kubeconfig in the directory.
const KUBECONFIG: &str = "kubeconfig";

/// The directory of `dev` when nothing else is said: `kakehi/dev` where the XDG rules put data.
pub(crate) fn default_directory() -> Result<PathBuf, Error> {
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local").join("share"));
    let base = data.or_else(home).ok_or_else(|| {
        Error::usage(
            "there is no home directory to keep state in; say where with --data-dir, or use --memory",
        )
    })?;
    Ok(base.join("kakehi").join("dev"))
}

/// Variables of this process that tasks start from: what programs need to be found and to speak the user's language.
/// Everything else stays here; a shell may hold secrets.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// The lowest layer of every task's environment.
pub(crate) fn inherited() -> BTreeMap<String, OsString> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), env::var_os(name)?))).collect()
}

/// A directory that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A new, empty one.
    pub(crate) fn new() -> Result<Self, Error> {
        let path = env::temp_dir().join(format!("kakehi-{}", Uuid::new_v4()));
        create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left behind is in the system's place for such things.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Makes a directory that only its owner can look into: events and logs are nobody else's business.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    let made = builder.create(path).with_context(|| format!("create the directory {}", path.display()));
    made.map_err(Error::Usage)
}

/// Writes the kubeconfig and returns its path. A reader never sees half of it.
pub(crate) fn write_kubeconfig(
    directory: &Path,
    api: SocketAddr,
    sink: SocketAddr,
) -> Result<PathBuf, Error> {
    let path = directory.join(KUBECONFIG);
    let text = yaml(&kubeconfig(api, sink))?;
    let draft = directory.join(format!("{KUBECONFIG}.new"));
    let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// A kubeconfig for the local server. The extension tells `kakehi send` where events go.
fn kubeconfig(api: SocketAddr, sink: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {
            "server": format!("http://{api}"),
            "extensions": [{"name": SINK_EXTENSION, "extension": {"url": format!("http://{sink}")}}],
        }}],
        "users": [{"name": CONTEXT, "user": {}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
        "current-context": CONTEXT,
    })
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    #[test]
    fn a_temporary_directory_goes_with_its_owner() {
        let temporary = Temporary::new().unwrap();
        let path = temporary.path().to_owned();
        fs::write(path.join("x"), "x").unwrap();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());
    }

    #[test]
    fn the_kubeconfig_is_one_that_clients_read() {
        let temporary = Temporary::new().unwrap();
        let (api, sink) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let path = write_kubeconfig(temporary.path(), api, sink).unwrap();
        let read = Kubeconfig::read_from(&path).unwrap();
        assert_eq!(read.current_context.as_deref(), Some(CONTEXT));
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(cluster.extensions.as_ref().unwrap()[0].extension, json!({"url": "http://127.0.0.1:2"}));
        assert!(!temporary.path().join("kubeconfig.new").exists());
    }

    #[test]
    fn tasks_inherit_what_is_on_the_list_and_nothing_else() {
        let inherited = inherited();
        assert!(inherited.contains_key("PATH"));
        assert!(!inherited.contains_key("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn only_the_owner_sees_the_state() {
        use std::os::unix::fs::PermissionsExt as _;
        let temporary = Temporary::new().unwrap();
        let mode = fs::metadata(temporary.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
