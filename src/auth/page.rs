//! Requests of web pages, told apart from those of programs.
//!
//! A port on loopback that asks nobody who he is, is open to every page that a browser on the same machine shows: a page
//! may send what it likes to any address, as long as the request is "simple" (Fetch standard, "CORS protocol"), and it only
//! cannot read the answer. Browsers say so, though: whatever is not a GET or HEAD carries `Origin`, and what goes to a
//! loopback address also `Sec-Fetch-Site`. None of our clients sends either.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// The request header in which browsers say how page and server are related (Fetch Metadata §2.3).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Why a request is taken for one of a web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Page {
    /// It has the header `Origin`, or says that it comes from another site.
    #[error(
        "requests of web pages are refused, because nobody is asked here who he is; this one has the header Origin or Sec-Fetch-Site"
    )]
    Asks,
    /// Its host is a name that somebody else may have given to a loopback address (DNS rebinding).
    #[error(
        "nobody is asked here who he is, so this address is called localhost, 127.0.0.1 or [::1], and a request for another host is refused"
    )]
    Rebound,
}

/// Whether a page sent this.
pub fn of_page(headers: &HeaderMap) -> Option<Page> {
    let of_ours = |site: &http::HeaderValue| matches!(site.as_bytes(), b"none" | b"same-origin");
    let is_cross = headers.get_all(SEC_FETCH_SITE).iter().any(|site| !of_ours(site));
    (is_cross || headers.contains_key(ORIGIN)).then_some(Page::Asks)
}

/// Whether a page may have sent this to a loopback address under a name of its own: then the browser takes page and server
/// for one, and says nothing of another origin. Only a program can leave the host out.
pub fn of_page_or_rebound(uri: &Uri, headers: &HeaderMap) -> Option<Page> {
    let asked = uri.authority().map(|authority| Some(authority.as_str()));
    let hosts = headers.get_all(HOST).iter().map(|host| host.to_str().ok());
    let is_foreign = asked.into_iter().chain(hosts).any(|host| !host.is_some_and(is_loopback));
    of_page(headers).or_else(|| is_foreign.then_some(Page::Rebound))
}

/// Whether a host, with a port or without, is always this machine.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_browser_says_that_a_page_asks() {
        for lines in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8421")],
        ] {
            assert_eq!(of_page(&headers(lines)), Some(Page::Asks), "{lines:?}");
        }
        for lines in [&[][..], &[("sec-fetch-site", "none")], &[("host", "anything.invalid")]] {
            assert_eq!(of_page(&headers(lines)), None, "{lines:?}");
        }
    }

    #[test]
    fn a_loopback_address_is_asked_for_by_its_own_names() {
        let asked = |uri: &str, host: &'static str| {
            of_page_or_rebound(&uri.parse().unwrap(), &headers(&[("host", host)]))
        };
        for host in ["localhost", "LOCALHOST:8421", "127.0.0.1:8421", "127.9.9.9", "[::1]:8421", "[::1]"] {
            assert_eq!(asked("/api", host), None, "{host}");
        }
        for host in ["evil.example:8421", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert_eq!(asked("/api", host), Some(Page::Rebound), "{host}");
        }
        assert_eq!(asked("http://evil.example/api", "localhost"), Some(Page::Rebound));
        assert_eq!(of_page_or_rebound(&"/api".parse().unwrap(), &HeaderMap::new()), None);
    }
}
