//! The identity of an event at a Job, and the names that follow from it.
//!
//! Two deliveries are the same event when source and id are equal (`CloudEvents` §3.1.1) and when they reach the same
//! Job, told apart by uid: a Job that was deleted and made anew has seen nothing yet. The fields are hashed with their
//! lengths in front, so that (`/s`, `11`) and (`/s1`, `1`) differ. A Job may have a key of its own in place of the two.

use ring::digest;

/// Characters of a name that come from the digest: 50 bits.
const WINDOW: usize = 10;
/// The same for a run that somebody asked for by hand, whose name people type: 25 bits.
const SHORT_WINDOW: usize = 5;
/// RFC 4648 §6, in the lower case that a Kubernetes name asks for.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What tells a repeated event from a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    digest: String,
}

impl Identity {
    /// The identity of the event (`source`, `id`) at the Job with that uid.
    pub fn of(job_uid: &str, source: &str, id: &str) -> Self {
        Self::hashed(&[job_uid, source, id])
    }

    /// The identity of an event that the Job with that uid tells from others by a key of its own. There is one field less,
    /// so no key is taken for a source and an id.
    pub fn keyed(job_uid: &str, key: &str) -> Self {
        Self::hashed(&[job_uid, key])
    }

    /// The identity of a request to repeat the run with that uid, or one task of it.
    pub(super) fn rerun(run_uid: &str, nonce: &str, task: &str) -> Self {
        Self::hashed(&[run_uid, "", nonce, task])
    }

    fn hashed(fields: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field.as_bytes());
        }
        Self { digest: base32(context.finish().as_ref()) }
    }

    /// The whole digest in base32: 52 characters. Kept in an annotation and compared when names meet.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names for a run of that Job, in the order in which they are to be tried: the digest's successive windows.
    /// The second is needed only when another event's digest shares the first 50 bits.
    pub fn names(&self, job: &str) -> impl Iterator<Item = String> {
        self.windows(job, WINDOW)
    }

    /// The same in the five characters that Cloud Run gives to a run.
    pub fn short_names(&self, job: &str) -> impl Iterator<Item = String> {
        self.windows(job, SHORT_WINDOW)
    }

    fn windows(&self, job: &str, width: usize) -> impl Iterator<Item = String> {
        self.digest.as_bytes().chunks_exact(width).map(move |window| {
            let suffix = std::str::from_utf8(window).expect("base32 is ASCII");
            format!("{job}-{suffix}")
        })
    }
}

/// Base32 without padding.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(buffer >> bits));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(digit(buffer << (5 - bits)));
    }
    text
}

fn digit(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn an_identity_never_changes_between_versions_of_the_program() {
        let identity = Identity::of("7a1f", "/orders", "42");
        assert_eq!(identity.digest(), "ckv424vq4iepeoai32ixy2vqb5y5hgd25kkfylqvf2bi2dnojvkq");
        let names: Vec<_> = identity.names("resize").collect();
        assert_eq!(names.len(), 5);
        assert_eq!(names[..2], ["resize-ckv424vq4i", "resize-epeoai32ix"]);
        assert_eq!(identity.short_names("resize").next().as_deref(), Some("resize-ckv42"));
    }

    #[test]
    fn a_boundary_moved_between_source_and_id_makes_another_event() {
        assert_ne!(Identity::of("u", "/s", "11"), Identity::of("u", "/s1", "1"));
        assert_ne!(Identity::of("u/", "s", "1"), Identity::of("u", "/s", "1"));
    }

    #[test]
    fn a_key_is_no_source_with_an_id() {
        let field = |text: &str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
        let both = String::from_utf8([field("/s"), field("1")].concat()).unwrap();
        for key in ["/s1", "1", both.as_str(), both.get(8..).unwrap()] {
            assert_ne!(Identity::keyed("u", key), Identity::of("u", "/s", "1"));
        }
        assert_eq!(Identity::keyed("u", "k"), Identity::keyed("u", "k"));
        assert_ne!(Identity::keyed("u", "k"), Identity::keyed("v", "k"));
    }

    #[test]
    fn a_job_made_anew_has_seen_nothing() {
        assert_ne!(Identity::of("first", "/s", "1"), Identity::of("second", "/s", "1"));
    }

    proptest! {
        #[test]
        fn names_are_labels_of_dns(uid in ".*", source in ".*", id in ".*") {
            for name in Identity::of(&uid, &source, &id).names("j") {
                prop_assert!(name.len() == 12);
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }

        #[test]
        fn different_fields_give_different_digests(a in prop::array::uniform3(".{0,8}"), b in prop::array::uniform3(".{0,8}")) {
            let of = |x: &[String; 3]| Identity::of(&x[0], &x[1], &x[2]);
            prop_assert_eq!(a == b, of(&a) == of(&b));
        }
    }
}
