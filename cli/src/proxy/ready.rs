//! The line that says that the proxy is ready.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::identity::Fingerprints;
use crate::output::Output;
use crate::serve::ready::reachable;

/// What a client must know.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) listening: SocketAddr,
    pub(super) fingerprints: Fingerprints,
    /// Templates of paths.
    pub(super) udp: Option<String>,
    pub(super) tcp: Option<String>,
}

impl Facts {
    /// Prints one line: text, or exactly these members as JSON.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        output.object(&self.to_text(), &self.to_json())
    }

    fn host(&self) -> String {
        format!("https://{}", reachable(self.listening))
    }

    fn to_text(&self) -> String {
        let prints = &self.fingerprints;
        format!(
            "proxy {}/, certificate SHA-256 {} = {}, SPKI SHA-256 {}",
            self.host(),
            prints.certificate.to_hex(),
            prints.certificate.to_base64(),
            prints.spki.to_base64(),
        )
    }

    fn to_json(&self) -> Value {
        let prints = &self.fingerprints;
        let template = |path: &Option<String>| {
            let path = path.as_ref();
            path.map(|path| format!("{}{path}", self.host()))
        };
        json!({
            "ready": true,
            "url": format!("{}/", self.host()),
            "address": reachable(self.listening).to_string(),
            "sha256": prints.certificate.to_hex(),
            "sha256_base64": prints.certificate.to_base64(),
            "spki_sha256_base64": prints.spki.to_base64(),
            "udp": template(&self.udp),
            "tcp": template(&self.tcp),
        })
    }
}
