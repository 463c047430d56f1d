//! Where an event is sent: what a destination says, and which addresses are no destination.

use std::net::IpAddr;

use http::Uri;

use crate::api::{Destination, ObjectReference};

/// How a destination is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// It is this.
    To(Uri),
    /// It is the address of an object, with that added.
    Through(&'a ObjectReference, Option<&'a str>),
}

/// The way to `destination` for a run of that namespace, or why there is none.
pub fn route<'a>(destination: &'a Destination, namespace: &str) -> Result<Route<'a>, String> {
    let Destination { uri, reference } = destination;
    let Some(reference) = reference else {
        return absolute(uri.as_deref().unwrap_or_default()).map(Route::To);
    };
    match reference.namespace.as_deref().filter(|other| !other.is_empty() && *other != namespace) {
        Some(other) => {
            Err(format!("a `ref` reaches its own namespace alone, and {other} is another; use a `uri`"))
        }
        None => Ok(Route::Through(reference, uri.as_deref())),
    }
}

/// The name under which deliveries to `destination` wait for each other.
pub fn lane(destination: &Destination, namespace: &str) -> String {
    match route(destination, namespace) {
        Ok(Route::To(uri)) => uri.authority().map(ToString::to_string).unwrap_or_default(),
        Ok(Route::Through(ObjectReference { api_version, kind, name, namespace: _ }, _)) => {
            format!("{namespace}/{api_version}/{kind}/{name}")
        }
        Err(_) => String::new(),
    }
}

/// Reads an absolute URL.
fn absolute(text: &str) -> Result<Uri, String> {
    let wrong = || format!("{text:?} is no URL of the form http://HOST/PATH");
    let uri: Uri = text.split('#').next().unwrap_or_default().parse().map_err(|_| wrong())?;
    let is_web = uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme));
    if is_web && uri.host().is_some_and(|host| !host.is_empty()) { Ok(uri) } else { Err(wrong()) }
}

/// The address of a core `v1` Service.
pub fn of_service(name: &str, namespace: &str) -> String {
    format!("http://{name}.{namespace}.svc")
}

/// Adds a relative reference to an address (RFC 3986 §5.2): a path from the root replaces its path, another one the last
/// segment of it, and a query its query.
pub fn added(base: &str, relative: Option<&str>) -> Result<Uri, String> {
    let base = absolute(base)?;
    let Some(relative) = relative.filter(|relative| !relative.is_empty()) else { return Ok(base) };
    if relative.starts_with("//") {
        return Err(format!("{relative:?} names another host than that of the `ref`"));
    }
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map(ToString::to_string).unwrap_or_default();
    let (path, query) = match relative.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (relative, None),
    };
    let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = match path {
        "" => base.path().to_owned(),
        rooted if rooted.starts_with('/') => without_dots(rooted),
        other => without_dots(&format!("{directory}/{other}")),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    absolute(&format!("{scheme}://{authority}{path}{query}"))
}

/// A path from the root without `.` and `..` (§5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.into_iter().enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if at == last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Whether it is an address of this machine, or of its link: where what listens expects nobody from outside, and where
/// clouds tell their machines secrets.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Destination {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_destination_is_an_address_or_an_object_that_has_one() {
        let uri = destination("{uri: 'http://r.example:8080/a?b#c'}");
        assert_eq!(route(&uri, "shop"), Ok(Route::To("http://r.example:8080/a?b".parse().unwrap())));
        assert_eq!(lane(&uri, "shop"), "r.example:8080");
        let broker =
            destination("{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}, uri: x}");
        assert!(
            matches!(route(&broker, "shop"), Ok(Route::Through(reference, Some("x"))) if reference.name == "b")
        );
        assert_eq!(lane(&broker, "shop"), "shop/eventing.knative.dev/v1/Broker/b");
        let other = destination("{ref: {apiVersion: v1, kind: Service, name: b, namespace: other}}");
        assert!(route(&other, "other").is_ok());
        assert!(route(&other, "shop").unwrap_err().contains("its own namespace"));
        for wrong in
            ["{}", "{uri: /a}", "{uri: 'ftp://h/'}", "{uri: 'http://'}", "{uri: 'http:///x'}", "{uri: 'a b'}"]
        {
            assert!(route(&destination(wrong), "shop").is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_added_to_an_address_is_resolved_like_a_link() {
        for (base, relative, wanted) in [
            ("http://h", "", "http://h/"),
            ("http://h/a/b", "/c", "http://h/c"),
            ("http://h/a/b", "c", "http://h/a/c"),
            ("http://h/a/b?q", "?x=1", "http://h/a/b?x=1"),
            ("http://h/a/", "c?y", "http://h/a/c?y"),
            ("https://h:1/a/b/c", "../d", "https://h:1/a/d"),
            ("http://h/a", "../../..", "http://h/"),
            ("http://h/a", "./x/./y", "http://h/x/y"),
        ] {
            assert_eq!(added(base, Some(relative)).unwrap().to_string(), wanted, "{base} + {relative}");
        }
        assert!(added("http://h/a", Some("//evil.example/")).is_err());
        assert_eq!(added(&of_service("r", "shop"), None).unwrap().to_string(), "http://r.shop.svc/");
    }

    #[test]
    fn addresses_of_the_machine_and_of_its_link_are_told_from_others() {
        for local in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1"] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
    }
}
