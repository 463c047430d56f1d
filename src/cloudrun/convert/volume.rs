//! Volumes: secrets, scratch space and NFS. Cloud Run's others need Google's own services.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, KeyToPath, NFSVolumeSource, SecretVolumeSource, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Refusals;
use super::container::{read_secret, read_version};
use super::text::some;
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::empty_dir_volume_source::Medium;
use crate::cloudrun::messages::v2::volume::VolumeType;

/// How Kubernetes calls scratch space that is memory.
const MEMORY: &str = "Memory";

/// The volume that a client sees. One that Cloud Run has no words for has a name only.
pub(super) fn volume(volume: &Volume) -> v2::Volume {
    let secret = volume.secret.as_ref().map(|source| VolumeType::Secret(secret(source)));
    let scratch = || volume.empty_dir.as_ref().map(|source| VolumeType::EmptyDir(scratch(source)));
    let nfs = || {
        let NFSVolumeSource { path, read_only, server } = volume.nfs.clone()?;
        let read_only = read_only.unwrap_or(false);
        Some(VolumeType::Nfs(v2::NfsVolumeSource { server, path, read_only }))
    };
    v2::Volume { name: volume.name.clone(), volume_type: secret.or_else(scratch).or_else(nfs) }
}

fn secret(source: &SecretVolumeSource) -> v2::SecretVolumeSource {
    let SecretVolumeSource { default_mode, default_user: _, items, optional: _, secret_name } = source;
    let item = |item: &KeyToPath| {
        let KeyToPath { key, mode, path, user: _ } = item;
        v2::VersionToPath { path: path.clone(), version: key.clone(), mode: mode.unwrap_or(0) }
    };
    v2::SecretVolumeSource {
        secret: secret_name.clone().unwrap_or_default(),
        items: items.iter().flatten().map(item).collect(),
        default_mode: default_mode.unwrap_or(0),
    }
}

fn scratch(source: &EmptyDirVolumeSource) -> v2::EmptyDirVolumeSource {
    let EmptyDirVolumeSource { medium, mode: _, size_limit } = source;
    let medium = if medium.as_deref() == Some(MEMORY) { Medium::Memory } else { Medium::Unspecified };
    v2::EmptyDirVolumeSource {
        medium: medium.into(),
        size_limit: size_limit.as_ref().map(|limit| limit.0.clone()).unwrap_or_default(),
    }
}

/// The volumes that a client sent. One that is shown as the same is the same.
pub(super) fn read_volumes(sent: Vec<v2::Volume>, old: &[Volume], refusals: &mut Refusals) -> Vec<Volume> {
    let mut all = Vec::with_capacity(sent.len());
    for (at, message) in sent.into_iter().enumerate() {
        let same = old.iter().find(|one| volume(one) == message);
        let field = format!("template.template.volumes[{at}]");
        all.push(same.cloned().unwrap_or_else(|| read_volume(&field, message, refusals)));
    }
    all
}

fn read_volume(field: &str, message: v2::Volume, refusals: &mut Refusals) -> Volume {
    let v2::Volume { name, volume_type } = message;
    let mut volume = Volume { name, ..Volume::default() };
    match volume_type {
        Some(VolumeType::Secret(source)) => {
            volume.secret = Some(read_secret_source(&format!("{field}.secret"), source, refusals));
        }
        Some(VolumeType::EmptyDir(v2::EmptyDirVolumeSource { medium, size_limit })) => {
            let medium = (medium == i32::from(Medium::Memory)).then(|| MEMORY.to_owned());
            let size_limit = some(size_limit).map(Quantity);
            volume.empty_dir = Some(EmptyDirVolumeSource { medium, mode: None, size_limit });
        }
        Some(VolumeType::Nfs(v2::NfsVolumeSource { server, path, read_only })) => {
            volume.nfs = Some(NFSVolumeSource { path, read_only: read_only.then_some(true), server });
        }
        Some(VolumeType::CloudSqlInstance(_)) => {
            refusals.add(format!("{field}.cloud_sql_instance"), "there is no Cloud SQL here");
        }
        Some(VolumeType::Gcs(_)) => refusals.add(format!("{field}.gcs"), "there is no Cloud Storage here"),
        None => refusals.add(field, "a volume needs a source"),
    }
    volume
}

fn read_secret_source(
    field: &str,
    message: v2::SecretVolumeSource,
    refusals: &mut Refusals,
) -> SecretVolumeSource {
    let v2::SecretVolumeSource { secret, items, default_mode } = message;
    let mut paths = Vec::with_capacity(items.len());
    for (at, v2::VersionToPath { path, version, mode }) in items.into_iter().enumerate() {
        let key = read_version(&format!("{field}.items[{at}].version"), version, refusals);
        paths.push(KeyToPath { key, mode: (mode != 0).then_some(mode), path, user: None });
    }
    SecretVolumeSource {
        default_mode: (default_mode != 0).then_some(default_mode),
        default_user: None,
        items: Some(paths).filter(|paths| !paths.is_empty()),
        optional: None,
        secret_name: Some(read_secret(&format!("{field}.secret"), secret, refusals)),
    }
}
