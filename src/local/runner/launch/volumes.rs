//! Which files every volume of a Pod consists of. Writing them is `materialise`'s work.
//!
//! Offered: `configMap`, `secret`, `downwardAPI`, `projected` of these, and `emptyDir`. The first four are read-only in Kubernetes, which a
//! process without mounts can only be told by the files' mode: write permission is taken away.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection,
};

use crate::local::runner::launch::Refusal;
use crate::local::runner::launch::fields;
use crate::local::runner::launch::sources::{SourceKind, Sources};
use crate::local::runner::node::NodeFacts;

/// Mode of a file for which nothing else is said.
const DEFAULT_MODE: i32 = 0o644;

/// Name prefix of the volume that the API server adds to every Pod for its token.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// A volume to be written below the Pod's directory.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::local::runner) struct VolumePlan {
    pub(in crate::local::runner) name: String,
    pub(in crate::local::runner) files: Vec<FilePlan>,
}

/// One file of a volume; `path` is relative and stays below the volume.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::local::runner) struct FilePlan {
    pub(in crate::local::runner) path: PathBuf,
    pub(in crate::local::runner) mode: u32,
    pub(in crate::local::runner) data: Vec<u8>,
}

/// All volumes of the Pod.
pub(super) fn plan(pod: &Pod, sources: &Sources, node: &NodeFacts) -> Result<Vec<VolumePlan>, Refusal> {
    let planner = Planner { pod, sources, node };
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.map(|volume| planner.volume(volume)).collect()
}

struct Planner<'a> {
    pod: &'a Pod,
    sources: &'a Sources,
    node: &'a NodeFacts,
}

impl Planner<'_> {
    fn volume(&self, volume: &Volume) -> Result<VolumePlan, Refusal> {
        let mut files = BTreeMap::new();
        if let Some(source) = &volume.config_map {
            let from = Keys {
                kind: SourceKind::ConfigMap,
                name: &source.name,
                items: source.items.as_deref(),
                optional: source.optional == Some(true),
            };
            self.keys(&from, source.default_mode, &mut files)?;
        } else if let Some(source) = &volume.secret {
            let from = Keys {
                kind: SourceKind::Secret,
                name: source.secret_name.as_deref().unwrap_or_default(),
                items: source.items.as_deref(),
                optional: source.optional == Some(true),
            };
            self.keys(&from, source.default_mode, &mut files)?;
        } else if let Some(source) = &volume.downward_api {
            self.downward(source.items.as_deref(), source.default_mode, &mut files)?;
        } else if let Some(source) = &volume.projected {
            for projection in source.sources.iter().flatten() {
                let injected = volume.name.starts_with(TOKEN_VOLUME);
                self.projection(projection, source.default_mode, injected, &mut files)?;
            }
        } else {
            empty_directory(volume)?;
        }
        Ok(VolumePlan { name: volume.name.clone(), files: files.into_values().collect() })
    }

    /// `injected`: the API server added this volume by itself, so what local mode lacks is left out instead of refused.
    fn projection(
        &self,
        projection: &VolumeProjection,
        mode: Option<i32>,
        injected: bool,
        files: &mut BTreeMap<PathBuf, FilePlan>,
    ) -> Result<(), Refusal> {
        if let Some(source) = &projection.config_map {
            let from = Keys {
                kind: SourceKind::ConfigMap,
                name: &source.name,
                items: source.items.as_deref(),
                optional: injected || source.optional == Some(true),
            };
            self.keys(&from, mode, files)
        } else if let Some(source) = &projection.secret {
            let from = Keys {
                kind: SourceKind::Secret,
                name: &source.name,
                items: source.items.as_deref(),
                optional: source.optional == Some(true),
            };
            self.keys(&from, mode, files)
        } else if let Some(source) = &projection.downward_api {
            self.downward(source.items.as_deref(), mode, files)
        } else if injected {
            Ok(())
        } else {
            Err(Refusal::unsupported("projected volumes of service account tokens and certificates"))
        }
    }

    fn keys(
        &self,
        from: &Keys<'_>,
        default_mode: Option<i32>,
        files: &mut BTreeMap<PathBuf, FilePlan>,
    ) -> Result<(), Refusal> {
        let Some(keys) = self.sources.get(from.kind, from.name) else {
            return if from.optional { Ok(()) } else { Err(Refusal::missing(from.kind, from.name)) };
        };
        let Some(items) = from.items.filter(|items| !items.is_empty()) else {
            for (key, data) in keys {
                add(files, key, default_mode, data.clone())?;
            }
            return Ok(());
        };
        // `user`: all processes of local mode are one user's.
        for KeyToPath { key, mode, path, user: _ } in items {
            match keys.get(key) {
                Some(data) => add(files, path, mode.or(default_mode), data.clone())?,
                None if from.optional => {}
                None => return Err(Refusal::missing_key(from.kind, from.name, key)),
            }
        }
        Ok(())
    }

    fn downward(
        &self,
        items: Option<&[DownwardAPIVolumeFile]>,
        default_mode: Option<i32>,
        files: &mut BTreeMap<PathBuf, FilePlan>,
    ) -> Result<(), Refusal> {
        for DownwardAPIVolumeFile { field_ref, mode, path, resource_field_ref, user: _ } in
            items.unwrap_or_default()
        {
            let text = if let Some(selector) = field_ref {
                fields::field(self.pod, self.node, &selector.field_path)?
            } else if let Some(selector) = resource_field_ref {
                let container = self.container(selector.container_name.as_deref().unwrap_or_default())?;
                fields::resource(container, self.node, selector)?
            } else {
                String::new()
            };
            add(files, path, mode.or(default_mode), text.into_bytes())?;
        }
        Ok(())
    }

    fn container(&self, name: &str) -> Result<&Container, Refusal> {
        let spec = self.pod.spec.as_ref();
        let mut all =
            spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        all.find(|container| container.name == name)
            .ok_or_else(|| Refusal::config(format!("container {name} not found")))
    }
}

/// A ConfigMap or Secret and what is wanted of it.
struct Keys<'a> {
    kind: SourceKind,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: bool,
}

fn add(
    files: &mut BTreeMap<PathBuf, FilePlan>,
    path: &str,
    mode: Option<i32>,
    data: Vec<u8>,
) -> Result<(), Refusal> {
    let path = below(path)?;
    // Sources of one projected volume may overlap: the later wins, as in the kubelet.
    let mode = u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or_default() & 0o555;
    files.insert(path.clone(), FilePlan { path, mode, data });
    Ok(())
}

/// A relative path that cannot leave its directory.
pub(super) fn below(path: &str) -> Result<PathBuf, Refusal> {
    let plain =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain && !path.is_empty() && !path.contains('\0') {
        Ok(Path::new(path).components().filter(|part| *part != Component::CurDir).collect())
    } else {
        Err(Refusal::invalid("InvalidPath", format!("{path:?} is not a path below its volume")))
    }
}

/// What is left is an empty directory, or a kind of volume that a process cannot have.
fn empty_directory(volume: &Volume) -> Result<(), Refusal> {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let kind = fields
        .as_object()
        .and_then(|fields| fields.keys().find(|key| !matches!(key.as_str(), "name" | "emptyDir")));
    match kind {
        None => Ok(()),
        Some(kind) => Err(Refusal::unsupported(&format!(
            "volumes of kind {kind} (volume {:?}); it offers configMap, secret, downwardAPI, projected and emptyDir",
            volume.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::{node, pod, sources};

    /// Plans one volume given as YAML: its files as (path, mode, text).
    fn planned(volume: &str) -> Result<Vec<(String, u32, String)>, Refusal> {
        let pod = pod(&format!(
            "{{metadata: {{name: p, labels: {{app: web}}}}, spec: {{containers: [{{name: main}}], volumes: [{volume}]}}}}"
        ));
        let mut volumes = plan(&pod, &sources(), &node())?;
        assert_eq!(volumes.len(), 1);
        let files = volumes.remove(0).files.into_iter();
        Ok(files
            .map(|file| {
                let text = String::from_utf8_lossy(&file.data).into_owned();
                (file.path.to_str().unwrap().to_owned(), file.mode, text)
            })
            .collect())
    }

    fn paths(volume: &str) -> Vec<String> {
        planned(volume).unwrap().into_iter().map(|(path, ..)| path).collect()
    }

    #[test]
    fn a_config_map_is_one_file_per_key() {
        let files = planned("{name: v, configMap: {name: cm}}").unwrap();
        assert_eq!(paths("{name: v, configMap: {name: cm}}"), ["binary", "both", "key", "reference"]);
        assert_eq!(files[2], ("key".to_owned(), 0o444, "value".to_owned()));
    }

    #[test]
    fn items_choose_keys_paths_and_modes() {
        let volume = "{name: v, configMap: {name: cm, defaultMode: 0o400, items: [{key: key, path: a/b.txt}, {key: both, path: run, mode: 0o755}]}}";
        assert_eq!(
            planned(volume).unwrap(),
            [
                ("a/b.txt".to_owned(), 0o400, "value".to_owned()),
                ("run".to_owned(), 0o555, "from-config".to_owned())
            ]
        );
    }

    #[test]
    fn a_secret_is_written_as_bytes() {
        let pod = pod(
            "spec: {containers: [], volumes: [{name: v, secret: {secretName: sec, items: [{key: raw, path: raw}]}}]}",
        );
        let volumes = plan(&pod, &sources(), &node()).unwrap();
        assert_eq!(volumes[0].files[0].data, b"\xff\xfe");
    }

    #[test]
    fn the_downward_api_tells_of_the_pod() {
        let volume = "{name: v, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu}}]}}";
        assert_eq!(
            planned(volume).unwrap(),
            [
                ("cpu".to_owned(), 0o444, "8".to_owned()),
                ("labels".to_owned(), 0o444, "app=\"web\"".to_owned())
            ]
        );
    }

    #[test]
    fn projections_share_one_directory_and_the_later_wins() {
        let volume = "{name: v, projected: {sources: [
            {configMap: {name: cm, items: [{key: both, path: both}]}}, {secret: {name: sec, items: [{key: both, path: both}]}},
            {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}}";
        assert_eq!(
            planned(volume).unwrap(),
            [
                ("both".to_owned(), 0o444, "from-secret".to_owned()),
                ("name".to_owned(), 0o444, "p".to_owned())
            ]
        );
    }

    #[test]
    fn an_empty_directory_has_no_files() {
        assert_eq!(paths("{name: v, emptyDir: {sizeLimit: 1Gi}}"), [""; 0]);
        assert_eq!(paths("{name: v}"), [""; 0]);
    }

    #[test]
    fn what_is_missing_waits_unless_it_is_optional() {
        for source in [
            "configMap: {name: gone}",
            "secret: {secretName: gone}",
            "configMap: {name: cm, items: [{key: gone, path: x}]}",
            "projected: {sources: [{secret: {name: gone}}]}",
        ] {
            let refusal = planned(&format!("{{name: v, {source}}}")).unwrap_err();
            assert!(matches!(refusal, Refusal::Config(_)), "{source}: {refusal}");
        }
        assert_eq!(paths("{name: v, configMap: {name: gone, optional: true}}"), [""; 0]);
        assert_eq!(
            paths("{name: v, secret: {secretName: sec, optional: true, items: [{key: gone, path: x}]}}"),
            [""; 0]
        );
    }

    #[test]
    fn a_path_never_leaves_its_volume() {
        for path in ["../x", "/etc/passwd", "a/../../x", ""] {
            let volume =
                format!("{{name: v, configMap: {{name: cm, items: [{{key: key, path: '{path}'}}]}}}}");
            assert!(matches!(planned(&volume), Err(Refusal::Invalid { .. })), "{path}");
        }
        assert_eq!(below("./a/./b").unwrap(), Path::new("a/b"));
    }

    #[test]
    fn other_kinds_of_volumes_are_refused_by_name() {
        for (volume, kind) in [
            ("{name: v, hostPath: {path: /tmp}}", "hostPath"),
            ("{name: v, persistentVolumeClaim: {claimName: c}}", "persistentVolumeClaim"),
            ("{name: v, nfs: {server: s, path: /}}", "nfs"),
        ] {
            let refusal = planned(volume).unwrap_err();
            assert!(refusal.to_string().contains(kind), "{refusal}");
            assert!(matches!(refusal, Refusal::Invalid { .. }));
        }
        let token = "{name: v, projected: {sources: [{serviceAccountToken: {path: token}}]}}";
        assert!(planned(token).unwrap_err().to_string().contains("service account tokens"));
    }

    #[test]
    fn the_token_volume_that_an_api_server_adds_does_no_harm() {
        let volume = "{name: kube-api-access-x7, projected: {sources: [{serviceAccountToken: {path: token}}, {configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}}, {downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.name}}]}}]}}";
        assert_eq!(paths(volume), ["namespace"]);
    }
}
