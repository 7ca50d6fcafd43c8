//! What a connection agreed on, in words and for programs.

use std::fmt;

use aqueduct_tokio::QuicConnection;
use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::quic::About;
use serde_json::{Value, json};

use crate::certificate::{Claims, date};
use crate::identity::Sha256Digest;
use crate::units;

/// Who the other end is.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    remote: Option<std::net::SocketAddr>,
    alpn: String,
    server_name: Option<String>,
}

impl Peer {
    pub(super) fn of(about: Option<&About>) -> Self {
        let Some(about) = about else {
            return Self::default();
        };
        Self {
            remote: Some(about.remote),
            alpn: String::from_utf8_lossy(&about.alpn).into_owned(),
            server_name: about.server_name.clone(),
        }
    }

    pub(super) fn remote(&self) -> Option<String> {
        self.remote.map(|remote| remote.to_string())
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "remote": self.remote(),
            "alpn": self.alpn,
            "server_name": self.server_name,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remote {
            Some(remote) => write!(f, "{remote}")?,
            None => f.write_str("a client")?,
        }
        if !self.alpn.is_empty() {
            write!(f, " ({})", escaped(&self.alpn))?;
        }
        Ok(())
    }
}

/// A connection that has just been opened, as `--show` has it: lines, and the same for programs.
pub(super) fn connection(connection: &QuicConnection, about: Option<&About>) -> (String, Value) {
    let peer = Peer::of(about);
    let resumed = about.is_some_and(|about| about.resumed);
    let mut lines = vec![
        format!("protocol     {}", escaped(&peer.alpn)),
        format!("peer         {}", peer.remote().unwrap_or_default()),
        format!("session      {}", if resumed { "resumed" } else { "new" }),
    ];
    let mut fields = peer.to_json();
    fields["resumed"] = resumed.into();
    let mut certificates = Vec::new();
    for certificate in connection.peer_certificates() {
        let digest = Sha256Digest::of(&certificate).to_hex();
        let Some(claims) = Claims::of(&certificate) else {
            lines.push(format!("certificate  SHA-256 {digest}"));
            certificates.push(json!({ "sha256": digest }));
            continue;
        };
        let until = date(claims.not_after).to_string();
        lines.push(format!(
            "certificate  for {}, of {}, until {until}, SHA-256 {digest}",
            claims.names(),
            claims.issuer
        ));
        certificates.push(json!({
            "sha256": digest,
            "names": claims.names(),
            "issuer": claims.issuer,
            "not_after": until,
        }));
    }
    fields["certificates"] = certificates.into();
    if let Some(path) = connection.path() {
        lines.push(format!("round trip   {}", units::duration(path.rtt)));
        fields["rtt_ms"] = (path.rtt.as_secs_f64() * 1e3).into();
        fields["mtu"] = path.mtu.into();
    }
    if let Some(limits) = connection.peer_parameters() {
        let all = [
            ("max_idle_timeout", limits.max_idle_timeout),
            ("max_udp_payload_size", limits.max_udp_payload_size),
            ("initial_max_data", limits.initial_max_data),
            (
                "initial_max_stream_data_bidi_local",
                limits.initial_max_stream_data_bidi_local,
            ),
            (
                "initial_max_stream_data_bidi_remote",
                limits.initial_max_stream_data_bidi_remote,
            ),
            (
                "initial_max_stream_data_uni",
                limits.initial_max_stream_data_uni,
            ),
            ("initial_max_streams_bidi", limits.initial_max_streams_bidi),
            ("initial_max_streams_uni", limits.initial_max_streams_uni),
            ("ack_delay_exponent", limits.ack_delay_exponent),
            ("max_ack_delay", limits.max_ack_delay),
            (
                "active_connection_id_limit",
                limits.active_connection_id_limit,
            ),
        ];
        let mut object = serde_json::Map::new();
        for (name, value) in all {
            lines.push(format!("{name} = {value}"));
            object.insert(name.to_owned(), value.into());
        }
        let datagrams = limits.max_datagram_frame_size;
        let shown = datagrams.map_or_else(|| "none".to_owned(), |size| size.to_string());
        lines.push(format!("max_datagram_frame_size = {shown}"));
        object.insert("max_datagram_frame_size".to_owned(), datagrams.into());
        fields["parameters"] = object.into();
    }
    (lines.join("\n"), fields)
}
