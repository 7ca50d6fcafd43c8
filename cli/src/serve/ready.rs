//! The line that says that the server is ready, and the pages that lead to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{io, iter};

use serde_json::{Value, json};

use crate::identity::Fingerprints;
use crate::output::Output;
use crate::page::Server;

/// Where a demonstration session echoes.
const ECHO: &str = "/echo";

/// What a client must know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) listening: SocketAddr,
    pub(super) page: Option<SocketAddr>,
    pub(super) fingerprints: Fingerprints,
    /// Whether browsers take the certificate by its hash.
    pub(super) by_hash: bool,
}

impl Facts {
    fn url(&self) -> String {
        format!("https://{}/", reachable(self.listening))
    }

    fn page_url(&self) -> Option<String> {
        self.page.map(|page| format!("http://{}/", reachable(page)))
    }

    /// Prints one line: text, or exactly these members as JSON.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        output.object(&self.to_text(), &self.to_json())
    }

    fn to_text(self) -> String {
        let prints = &self.fingerprints;
        let page = self
            .page_url()
            .map(|url| format!(", page {url}"))
            .unwrap_or_default();
        format!(
            "serving {}{page}, certificate SHA-256 {} = {}, SPKI SHA-256 {}",
            self.url(),
            prints.certificate.to_hex(),
            prints.certificate.to_base64(),
            prints.spki.to_base64(),
        )
    }

    fn to_json(self) -> Value {
        let prints = &self.fingerprints;
        json!({
            "ready": true,
            "url": self.url(),
            "address": reachable(self.listening).to_string(),
            "sha256": prints.certificate.to_hex(),
            "sha256_base64": prints.certificate.to_base64(),
            "spki_sha256_base64": prints.spki.to_base64(),
            "page": self.page_url(),
        })
    }

    /// Of the page as sent over plain HTTP, from another port: it names the server.
    pub(super) fn for_http(&self) -> Server {
        let host = match reachable(self.listening).ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        self.server(Some(host))
    }

    /// Of the page as sent over HTTP/3, from the server itself.
    pub(super) fn for_h3(&self) -> Server {
        self.server(None)
    }

    fn server(&self, host: Option<String>) -> Server {
        Server {
            host,
            port: self.listening.port(),
            path: ECHO,
            certificate: self.by_hash.then_some(self.fingerprints.certificate),
        }
    }
}

/// The origins under which a browser on this machine finds the page that is served there.
pub(super) fn page_origins(page: SocketAddr) -> impl Iterator<Item = String> {
    let page = reachable(page);
    let by_name = page.ip().is_loopback();
    let by_name = by_name.then(|| format!("http://localhost:{}", page.port()));
    iter::once(format!("http://{page}")).chain(by_name)
}

/// An address to connect to: loopback when the server listens on every address.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Sha256Digest;

    fn facts(listening: &str) -> Facts {
        let digest = Sha256Digest::of(b"");
        Facts {
            listening: listening.parse().expect("an address"),
            page: None,
            fingerprints: Fingerprints {
                certificate: digest,
                spki: digest,
            },
            by_hash: true,
        }
    }

    #[test]
    fn a_url_can_be_opened_even_when_every_address_is_listened_on() {
        assert_eq!(facts("0.0.0.0:4433").url(), "https://127.0.0.1:4433/");
        assert_eq!(facts("[::]:443").url(), "https://[::1]:443/");
        assert_eq!(facts("[::1]:443").to_json()["address"], "[::1]:443");
    }

    #[test]
    fn the_text_is_one_line_with_every_digest() {
        let text = facts("127.0.0.1:1").to_text();
        assert_eq!(text.lines().count(), 1);
        let digest = Sha256Digest::of(b"");
        assert!(
            text.contains(&digest.to_hex()) && text.contains(&digest.to_base64()),
            "{text}"
        );
    }
}
