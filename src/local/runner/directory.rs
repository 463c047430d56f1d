//! Where the runner keeps what belongs to a Pod: names of files only, no access to them.
//!
//! ```text
//! <root>/pods/<uid>/pod.json                                who it is
//!                   work/                                   the working directory of its processes
//!                   volumes/<volume>/…
//!                   containers/<name>/termination-log
//!                                     mounts/<mountPath>    links to the volumes (KAKEHI_MOUNTS)
//!                                     <attempt>.json        which process runs, then how it ended
//!                                     <attempt>.log[.1]     its output, and what was rotated out of it
//! ```

use std::path::{Path, PathBuf};

/// The directory of one Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodDirectory {
    root: PathBuf,
}

/// The directory that holds one directory per Pod.
pub(super) fn pods(root: &Path) -> PathBuf {
    root.join("pods")
}

impl PodDirectory {
    /// `uid` comes from the API server, which makes it a single path segment.
    pub(super) fn new(root: &Path, uid: &str) -> Self {
        Self { root: pods(root).join(uid) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn identity(&self) -> PathBuf {
        self.root.join("pod.json")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(super) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    pub(super) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(super) fn container(&self, name: &str) -> PathBuf {
        self.containers().join(name)
    }

    pub(super) fn mounts(&self, container: &str) -> PathBuf {
        self.container(container).join("mounts")
    }

    pub(super) fn message(&self, container: &str) -> PathBuf {
        self.container(container).join("termination-log")
    }

    pub(super) fn record(&self, container: &str, attempt: u32) -> PathBuf {
        self.container(container).join(format!("{attempt}.json"))
    }

    pub(super) fn log(&self, container: &str, attempt: u32) -> PathBuf {
        self.container(container).join(format!("{attempt}.log"))
    }
}
