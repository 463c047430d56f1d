//! Flags that say who is let in at the API of Cloud Run, and with which certificate it is served.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Error;
use crate::app::{Access, TlsFiles};

/// Who is let in, and the certificate.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct AccessFlags {
    /// Let whoever sends the token in this file do everything in the API of Cloud Run; read again when it changes
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let everybody who reaches a port do everything there, wherever it is
    #[arg(long, conflicts_with = "token_file")]
    insecure_without_authentication: bool,
    /// Certificate of the API of Cloud Run, with its chain, as PEM; read again when it changes [default: no TLS]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl AccessFlags {
    /// In a cluster Kubernetes is asked, unless it is said otherwise.
    pub(super) fn in_cluster(&self, audiences: &[String]) -> Access {
        match &self.token_file {
            Some(path) => Access::Token(path.clone()),
            None if self.insecure_without_authentication => Access::Open,
            None => Access::Reviews(audiences.to_vec()),
        }
    }

    /// On a machine of one's own everybody on it is let in, and nobody from elsewhere unless that is said in words. A
    /// token keeps strangers from the API of Cloud Run only: Kubernetes' own has none here, and neither has the sink.
    pub(super) fn on_machine(
        &self,
        kubernetes: SocketAddr,
        cloud_run: SocketAddr,
        sink: SocketAddr,
    ) -> Result<Access, Error> {
        let is_open =
            |address: SocketAddr| !address.ip().is_loopback() && !self.insecure_without_authentication;
        let unguarded = [
            ("--api", kubernetes, "whoever reaches it runs what he likes here"),
            ("--sink", sink, "whoever reaches it starts runs here by sending events"),
        ];
        for (flag, address, what) in unguarded {
            if is_open(address) {
                return Err(Error::usage(format!(
                    "{flag} {address} can be reached from other machines, and {what}; use a loopback address, or say --insecure-without-authentication"
                )));
            }
        }
        match &self.token_file {
            Some(path) => Ok(Access::Token(path.clone())),
            None if is_open(cloud_run) => Err(Error::usage(format!(
                "--cloud-run {cloud_run} can be reached from other machines; name a --token-file, or say --insecure-without-authentication"
            ))),
            None => Ok(Access::Open),
        }
    }

    /// The certificate, if there is one.
    pub(super) fn tls(&self) -> Option<TlsFiles> {
        let (Some(certificate), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) else {
            return None;
        };
        Some(TlsFiles { certificate, key })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: AccessFlags,
    }

    fn flags(line: &str) -> Result<AccessFlags, clap::Error> {
        let words = ["kakehi"].into_iter().chain(line.split_whitespace());
        Ok(Line::try_parse_from(words)?.flags)
    }

    #[test]
    fn strangers_are_let_in_only_if_that_is_said_in_words() {
        let access = |line: &str, api: &str, cloud_run: &str| {
            let sink = "127.0.0.1:0".parse().unwrap();
            flags(line).unwrap().on_machine(api.parse().unwrap(), cloud_run.parse().unwrap(), sink).ok()
        };
        let (here, everywhere) = ("127.0.0.1:0", "0.0.0.0:0");
        let token = || Some(Access::Token(PathBuf::from("t")));
        assert_eq!(access("", here, here), Some(Access::Open));
        assert_eq!(access("", "[::1]:0", "[::1]:0"), Some(Access::Open));
        assert_eq!(access("--token-file t", here, here), token());
        assert_eq!(access("", here, everywhere), None);
        assert_eq!(access("--token-file t", here, everywhere), token());
        assert_eq!(access("--token-file t", everywhere, here), None);
        let said = "--insecure-without-authentication";
        assert_eq!(access(said, everywhere, everywhere), Some(Access::Open));
        assert!(flags(&format!("{said} --token-file t")).is_err());
    }

    #[test]
    fn strangers_send_events_only_if_that_is_said_in_words() {
        let (here, everywhere) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let access = |line: &str| flags(line).unwrap().on_machine(here, here, everywhere);
        for line in ["", "--token-file t"] {
            let words = access(line).unwrap_err().to_string();
            assert!(words.starts_with("--sink 0.0.0.0:0 can be reached from other machines"), "{words}");
        }
        assert_eq!(access("--insecure-without-authentication").ok(), Some(Access::Open));
    }

    #[test]
    fn a_cluster_is_asked_unless_it_is_said_otherwise() {
        let access = |line: &str| flags(line).unwrap().in_cluster(&["kakehi".to_owned()]);
        assert_eq!(access(""), Access::Reviews(vec!["kakehi".to_owned()]));
        assert_eq!(access("--token-file t"), Access::Token(PathBuf::from("t")));
        assert_eq!(access("--insecure-without-authentication"), Access::Open);
    }

    #[test]
    fn a_certificate_has_a_key() {
        assert!(flags("--tls-cert c").is_err() && flags("--tls-key k").is_err());
        assert!(flags("--tls-cert c --tls-key k").unwrap().tls().is_some());
        assert_eq!(flags("").unwrap().tls(), None);
    }
}
