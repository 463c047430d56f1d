//! Writes the directories and files of a Pod before its processes start.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::local::runner::directory::PodDirectory;
use crate::local::runner::launch::{ContainerLaunch, FilePlan, Launch, VolumePlan};

/// Writes everything that `launch` needs. Blocks. Can be repeated: what a former try left is replaced.
pub(super) fn materialise(launch: &Launch, directory: &PodDirectory) -> io::Result<()> {
    let Launch { volumes, init, main } = launch;
    // Volumes hold Secrets: the Pod's directory is its owner's alone.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.root())?;
    fs::create_dir_all(directory.work())?;
    for volume in volumes {
        write_volume(volume, directory)?;
    }
    init.iter().chain(main).try_for_each(|container| prepare(container, directory))
}

fn write_volume(volume: &VolumePlan, directory: &PodDirectory) -> io::Result<()> {
    let root = directory.volume(&volume.name);
    fs::create_dir_all(&root)?;
    volume.files.iter().try_for_each(|file| write_file(&root, file))
}

fn write_file(root: &Path, file: &FilePlan) -> io::Result<()> {
    let FilePlan { path, mode, data } = file;
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    written.write_all(data)?;
    // Set at last: the file may be unwritable for its owner, and the umask must not narrow it.
    written.set_permissions(fs::Permissions::from_mode(*mode))
}

fn prepare(container: &ContainerLaunch, directory: &PodDirectory) -> io::Result<()> {
    fs::create_dir_all(directory.container(&container.name))?;
    for place in &container.places {
        // The subPath of a file is there already; of an empty directory it is made, as the kubelet does.
        if !place.exists() {
            fs::create_dir_all(place)?;
        }
    }
    for (link, target) in &container.links {
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes a Pod's directory; one that is not there is fine. Blocks.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A process may have taken the write permission from a directory of its own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock(path);
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn unlock(path: &Path) {
    // Best effort: what stays locked fails the removal, which is reported.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).ok();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn launch(directory: &PodDirectory) -> Launch {
        let file = |path: &str, mode, data: &[u8]| FilePlan { path: path.into(), mode, data: data.to_vec() };
        let volumes = vec![
            VolumePlan {
                name: "config".to_owned(),
                files: vec![file("a/b", 0o444, b"text"), file("raw", 0o400, b"\xff")],
            },
            VolumePlan { name: "scratch".to_owned(), files: Vec::new() },
        ];
        let container = ContainerLaunch {
            name: "main".to_owned(),
            program: "true".into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            working_directory: None,
            places: vec![directory.volume("scratch").join("sub"), directory.volume("config").join("a/b")],
            links: vec![(directory.mounts("main").join("etc/config"), directory.volume("config"))],
            message_from_logs: false,
        };
        Launch { volumes, init: Vec::new(), main: vec![container] }
    }

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn volumes_are_files_with_their_modes() {
        let root = tempfile::tempdir().unwrap();
        let directory = PodDirectory::new(root.path(), "u");
        materialise(&launch(&directory), &directory).unwrap();
        assert_eq!(fs::read(directory.volume("config").join("a/b")).unwrap(), b"text");
        assert_eq!(mode(directory.volume("config").join("a/b")), 0o444);
        assert_eq!(mode(directory.volume("config").join("raw")), 0o400);
        assert_eq!(mode(directory.root().to_owned()), 0o700, "nobody else reads the Secrets");
        assert!(directory.volume("scratch").join("sub").is_dir());
        assert!(directory.work().is_dir());
        let link = directory.mounts("main").join("etc/config");
        assert_eq!(fs::read(link.join("raw")).unwrap(), b"\xff");
    }

    #[test]
    fn a_second_try_replaces_what_the_first_left() {
        let root = tempfile::tempdir().unwrap();
        let directory = PodDirectory::new(root.path(), "u");
        let mut launch = launch(&directory);
        materialise(&launch, &directory).unwrap();
        launch.volumes[0].files[0].data = b"new".to_vec();
        materialise(&launch, &directory).unwrap();
        assert_eq!(fs::read(directory.volume("config").join("a/b")).unwrap(), b"new");
    }

    #[test]
    fn a_directory_is_removed_even_if_a_process_locked_it() {
        let root = tempfile::tempdir().unwrap();
        let directory = PodDirectory::new(root.path(), "u");
        materialise(&launch(&directory), &directory).unwrap();
        let locked = directory.work().join("locked/inner");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "x").unwrap();
        for path in [&locked, &directory.work().join("locked")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o500)).unwrap();
        }
        remove(directory.root()).unwrap();
        assert!(!directory.root().exists());
        remove(directory.root()).unwrap();
    }

    #[test]
    fn removing_never_follows_a_link() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let directory = PodDirectory::new(root.path(), "u");
        materialise(&launch(&directory), &directory).unwrap();
        std::os::unix::fs::symlink(&outside, directory.work().join("link")).unwrap();
        remove(directory.root()).unwrap();
        assert!(outside.join("kept").exists());
    }
}
