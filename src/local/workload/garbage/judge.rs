//! What becomes of an object whose owners changed, and of one that waits for its dependents. Pure.

use crate::local::workload::garbage::graph::Leaving;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What is known of one owner that an object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It exists.
    Solid,
    /// It exists, and is being deleted in the foreground: it waits for its dependents.
    Waiting,
    /// It does not exist.
    Absent,
    /// Nobody can say: its kind is not served, or it could not be looked up. It counts as existing.
    Unknown,
}

/// How to delete an object's own dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// What to do with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Delete(Policy),
    /// Remove the references to these owners (places in the list); others keep the object.
    Free(Vec<usize>),
    /// It no longer holds up its owners: they and its dependents own each other in a circle.
    Unblock,
}

/// The dependents of the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependents {
    None,
    Some,
    /// One of them is itself being deleted in the foreground.
    Waiting,
}

/// Judges an object by its owners, in the order it names them.
pub(super) fn judge(
    object: &ObjectMeta,
    owners: &[OwnerState],
    leaving: Leaving,
    dependents: Dependents,
) -> Verdict {
    // What is being deleted already goes its way; only one that waits for its dependents is of interest, and not here.
    if leaving != Leaving::No || owners.is_empty() {
        return Verdict::Keep;
    }
    let places = |wanted: &[OwnerState]| -> Vec<usize> {
        owners
            .iter()
            .enumerate()
            .filter(|(_, state)| wanted.contains(state))
            .map(|(place, _)| place)
            .collect()
    };
    let lost = places(&[OwnerState::Absent, OwnerState::Waiting]);
    if lost.len() < owners.len() {
        // A reference to an owner that is gone says nothing any more; one to an owner that waits would hold it up.
        let unsure = owners.contains(&OwnerState::Unknown);
        return if lost.is_empty() || unsure { Verdict::Keep } else { Verdict::Free(lost) };
    }
    let has = |name: &str| object.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    if owners.contains(&OwnerState::Waiting) {
        match dependents {
            Dependents::None => {}
            Dependents::Some => return Verdict::Delete(Policy::Foreground),
            Dependents::Waiting => return Verdict::Unblock,
        }
    }
    Verdict::Delete(if has("orphan") {
        Policy::Orphan
    } else if has("foregroundDeletion") {
        Policy::Foreground
    } else {
        Policy::Background
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use OwnerState::Absent;
    use OwnerState::Solid;
    use OwnerState::Unknown;
    use OwnerState::Waiting;

    #[test]
    fn an_object_lives_as_long_as_one_of_its_owners() {
        let plain = ObjectMeta::default();
        let (none, some) = (Dependents::None, Dependents::Some);
        for (owners, dependents, verdict) in [
            (&[][..], some, Verdict::Keep),
            (&[Solid], none, Verdict::Keep),
            (&[Absent], none, Verdict::Delete(Policy::Background)),
            (&[Absent, Absent], some, Verdict::Delete(Policy::Background)),
            (&[Absent, Solid], none, Verdict::Free(vec![0])),
            (&[Solid, Waiting, Absent], none, Verdict::Free(vec![1, 2])),
            (&[Unknown], none, Verdict::Keep),
            (&[Absent, Unknown], none, Verdict::Keep),
            (&[Solid, Unknown, Absent], none, Verdict::Keep),
            (&[Waiting], none, Verdict::Delete(Policy::Background)),
            (&[Waiting], some, Verdict::Delete(Policy::Foreground)),
            (&[Waiting, Absent], some, Verdict::Delete(Policy::Foreground)),
            (&[Waiting], Dependents::Waiting, Verdict::Unblock),
            (&[Absent], Dependents::Waiting, Verdict::Delete(Policy::Background)),
            (&[Solid, Waiting], Dependents::Waiting, Verdict::Free(vec![1])),
        ] {
            assert_eq!(judge(&plain, owners, Leaving::No, dependents), verdict, "{owners:?} {dependents:?}");
        }
    }

    #[test]
    fn an_object_that_is_being_deleted_is_left_to_it() {
        for leaving in [Leaving::Plain, Leaving::Foreground, Leaving::Orphan] {
            assert_eq!(judge(&ObjectMeta::default(), &[Absent], leaving, Dependents::None), Verdict::Keep);
        }
    }

    #[test]
    fn the_finalizers_of_an_object_say_what_becomes_of_its_dependents() {
        for (finalizers, policy) in [
            ("[]", Policy::Background),
            ("[orphan]", Policy::Orphan),
            ("[x, foregroundDeletion]", Policy::Foreground),
        ] {
            let object = serde_saphyr::from_str(&format!("{{finalizers: {finalizers}}}")).expect("metadata");
            assert_eq!(
                judge(&object, &[Absent], Leaving::No, Dependents::None),
                Verdict::Delete(policy),
                "{finalizers}"
            );
        }
    }
}
