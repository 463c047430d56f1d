//! Where the volumes of a container really are.
//!
//! A process has no mounts of its own, so nothing appears at a `mountPath`. The process is told the real place in two ways: `K_EVENT_PATH`
//! is rewritten when it names a mounted path (it is a contract with the program), and `KAKEHI_MOUNTS` names a directory in which every
//! `mountPath` exists, so that `"${KAKEHI_MOUNTS}/etc/config"` works here and, the variable being unset, in a cluster as well.
//! A command and a `workingDir` in a mount are looked up there. No other value and no argument is rewritten: guessing at paths in people's
//! text does more harm than good.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::local::runner::directory::PodDirectory;
use crate::local::runner::launch::Refusal;
use crate::local::runner::launch::environment::{Environment, expand_in};
use crate::local::runner::launch::volumes::{VolumePlan, below};

/// A volume, or a part of it, as a container sees it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::local::runner) struct Mount {
    /// The absolute path that the container's spec names, without a trailing slash.
    pub(in crate::local::runner) path: PathBuf,
    /// Where it really is.
    pub(in crate::local::runner) place: PathBuf,
}

/// The mounts of a container in the order of its spec.
pub(super) fn mounts(
    container: &Container,
    volumes: &[VolumePlan],
    directory: &PodDirectory,
    environment: &Environment,
) -> Result<Vec<Mount>, Refusal> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| resolve(mount, volumes, directory, environment)).collect()
}

fn resolve(
    mount: &VolumeMount,
    volumes: &[VolumePlan],
    directory: &PodDirectory,
    environment: &Environment,
) -> Result<Mount, Refusal> {
    if !volumes.iter().any(|volume| volume.name == mount.name) {
        let message = format!("volume {:?} is mounted but not defined", mount.name);
        return Err(Refusal::invalid("InvalidVolumeMount", message));
    }
    let root = directory.volume(&mount.name);
    let expression = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty());
    let sub_path = match (expression, mount.sub_path.as_deref().filter(|text| !text.is_empty())) {
        (Some(expression), _) => {
            let expanded = expand_in(expression, environment);
            let text = String::from_utf8(expanded).ok().filter(|text| !text.contains("$("));
            Some(text.ok_or_else(|| {
                Refusal::config(format!("subPathExpr {expression:?} refers to a variable that is not set"))
            })?)
        }
        (None, sub_path) => sub_path.map(str::to_owned),
    };
    let place = match sub_path {
        Some(sub_path) => root.join(below(&sub_path)?),
        None => root,
    };
    let path: PathBuf = Path::new(&mount.mount_path).components().collect();
    // A path with `..` in it could lay the link of `KAKEHI_MOUNTS` anywhere.
    let relative = path.strip_prefix("/").unwrap_or(&path);
    if relative.as_os_str().is_empty() {
        return Err(Refusal::unsupported("a volume mounted at the root"));
    }
    below(&relative.to_string_lossy())?;
    Ok(Mount { path: Path::new("/").join(relative), place })
}

/// The real place of a path that lies in one of the mounts; the innermost mount decides.
pub(super) fn real_place(path: &Path, mounts: &[Mount]) -> Option<PathBuf> {
    let inside = mounts.iter().filter(|mount| path.starts_with(&mount.path));
    let mount = inside.max_by_key(|mount| mount.path.components().count())?;
    let rest = path.strip_prefix(&mount.path).ok()?;
    Some(if rest.as_os_str().is_empty() { mount.place.clone() } else { mount.place.join(rest) })
}

/// The links that make up the container's `KAKEHI_MOUNTS` directory: (where, to what).
///
/// A mount inside of another mount has none: the link would have to be written into the other volume.
pub(super) fn links(mounts: &[Mount], base: &Path) -> Vec<(PathBuf, PathBuf)> {
    let nested = |mount: &Mount| {
        mounts.iter().any(|other| other.path != mount.path && mount.path.starts_with(&other.path))
    };
    let outer = mounts.iter().filter(|mount| !nested(mount));
    outer
        .map(|mount| {
            let relative = mount.path.strip_prefix("/").unwrap_or(&mount.path);
            (base.join(relative), mount.place.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(list: &str) -> Result<Vec<Mount>, Refusal> {
        let container: Container =
            serde_saphyr::from_str(&format!("{{name: main, volumeMounts: {list}}}")).unwrap();
        let volumes =
            ["event", "scratch"].map(|name| VolumePlan { name: name.to_owned(), files: Vec::new() });
        let directory = PodDirectory::new(Path::new("/data"), "u-1");
        let environment = Environment::from([("POD".to_owned(), b"p-1".to_vec())]);
        mounts(&container, &volumes, &directory, &environment)
    }

    fn mount(path: &str, place: &str) -> Mount {
        Mount { path: path.into(), place: place.into() }
    }

    #[test]
    fn a_mount_is_the_directory_of_its_volume() {
        let list = "[{name: event, mountPath: /etc/kakehi-event/, readOnly: true}, {name: scratch, mountPath: /tmp/s}]";
        let want = [
            mount("/etc/kakehi-event", "/data/pods/u-1/volumes/event"),
            mount("/tmp/s", "/data/pods/u-1/volumes/scratch"),
        ];
        assert_eq!(resolved(list).unwrap(), want);
    }

    #[test]
    fn a_sub_path_is_a_place_below_the_volume() {
        let list = "[{name: scratch, mountPath: /a, subPath: x/y}, {name: scratch, mountPath: /b, subPathExpr: 'logs/$(POD)'}]";
        let want = [
            mount("/a", "/data/pods/u-1/volumes/scratch/x/y"),
            mount("/b", "/data/pods/u-1/volumes/scratch/logs/p-1"),
        ];
        assert_eq!(resolved(list).unwrap(), want);
    }

    #[test]
    fn a_mount_that_cannot_be_is_refused() {
        for list in [
            "[{name: gone, mountPath: /a}]",
            "[{name: scratch, mountPath: /a, subPath: ../x}]",
            "[{name: scratch, mountPath: /a, subPathExpr: '$(GONE)'}]",
            "[{name: scratch, mountPath: /}]",
            "[{name: scratch, mountPath: /a/../..}]",
        ] {
            assert!(resolved(list).is_err(), "{list}");
        }
    }

    #[test]
    fn a_path_is_found_in_the_innermost_mount() {
        let mounts = [mount("/etc", "/v/etc"), mount("/etc/event", "/v/event")];
        for (path, want) in [
            ("/etc/event", Some("/v/event")),
            ("/etc/event/data", Some("/v/event/data")),
            ("/etc/other", Some("/v/etc/other")),
            ("/etcetera", None),
            ("/", None),
            ("etc/event", None),
        ] {
            assert_eq!(real_place(Path::new(path), &mounts), want.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn links_lay_out_the_mounts_below_one_directory() {
        let mounts =
            [mount("/etc/event", "/v/event"), mount("/etc/event/more", "/v/more"), mount("/x", "/v/x")];
        let want = [("/m/etc/event", "/v/event"), ("/m/x", "/v/x")];
        assert_eq!(
            links(&mounts, Path::new("/m")),
            want.map(|(link, place)| (PathBuf::from(link), PathBuf::from(place)))
        );
    }
}
