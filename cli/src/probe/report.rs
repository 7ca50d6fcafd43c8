//! What a probe found, for people and for programs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_tokio::protocol::endpoint::PeerParameters;
use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::settings::{SettingId, Settings};
use aqueduct_tokio::protocol::webtransport::OpenSessionError as Refusal;
use aqueduct_tokio::protocol::webtransport::dialect::Negotiated;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::certificate::Certificate;
use super::dialects::announced;
use crate::args::Target;
use crate::units;

/// What became of the attempt to open a session.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It was opened, and closed again.
    Opened {
        max_datagram_size: Option<usize>,
        agreed: Option<Negotiated>,
        protocol: Option<String>,
    },
    /// The server answered with this status.
    Rejected(StatusCode),
    /// Nothing was sent, because the server does not announce what it takes.
    Impossible(Refusal, String),
    /// The stream or connection ended.
    Failed(String),
    /// There was no answer in time.
    Unanswered,
}

/// Everything found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    pub(super) handshake: Duration,
    pub(super) rtt: Duration,
    pub(super) alpn: Option<String>,
    pub(super) certificate: Certificate,
    /// Whether the server gave session tickets.
    pub(super) tickets: bool,
    pub(super) parameters: Option<PeerParameters>,
    pub(super) settings: Settings,
    pub(super) attempt: Attempt,
}

impl Attempt {
    fn to_text(&self) -> String {
        match self {
            Self::Opened {
                max_datagram_size,
                agreed,
                protocol,
            } => {
                let mut text = "opened".to_owned();
                if let Some(agreed) = agreed {
                    text += &format!(" in {}", agreed.dialect);
                    if agreed.flow_control {
                        text += " with flow control";
                    }
                }
                if let Some(protocol) = protocol {
                    text += &format!("; protocol {}", escaped(protocol));
                }
                text += &match max_datagram_size {
                    Some(size) => format!("; datagrams of up to {size} bytes"),
                    None => "; no datagrams".to_owned(),
                };
                text
            }
            Self::Rejected(status) => format!("refused: the server answered {status}"),
            Self::Impossible(why, explanation) => format!("refused: {why}: {explanation}"),
            Self::Failed(why) => format!("refused: {why}"),
            Self::Unanswered => "no answer".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let mut fields = json!({
            "opened": matches!(self, Self::Opened { .. }),
            "max_datagram_size": null,
            "dialect": null,
            "flow_control": null,
            "protocol": null,
            "status": null,
            "refusal": null,
        });
        match self {
            Self::Opened {
                max_datagram_size,
                agreed,
                protocol,
            } => {
                fields["max_datagram_size"] = json!(max_datagram_size);
                fields["dialect"] = json!(agreed.map(|it| it.dialect.to_string()));
                fields["flow_control"] = json!(agreed.map(|it| it.flow_control));
                fields["protocol"] = json!(protocol);
            }
            Self::Rejected(status) => {
                fields["status"] = status.as_u16().into();
                fields["refusal"] = self.to_text().into();
            }
            _ => fields["refusal"] = self.to_text().into(),
        }
        fields
    }
}

impl Report {
    /// Lines of a name and a value, some in groups.
    pub(super) fn to_text(&self) -> String {
        let mut out = format!("{} at {}\n", self.target, self.address);
        let mut line = |name: &str, value: &str| {
            // Writing into a `String` cannot fail.
            let _ = writeln!(out, "{name:<13} {value}");
        };
        line("handshake", &units::duration(self.handshake));
        line("round trip", &units::duration(self.rtt));
        line(
            "ALPN",
            &escaped(self.alpn.as_deref().unwrap_or("none")).to_string(),
        );
        for (name, value) in self.certificate.lines() {
            line(name, &value);
        }
        let tickets = if self.tickets {
            "session tickets are given"
        } else {
            "no session tickets"
        };
        line("resumption", tickets);
        line("WebTransport", &self.dialects());
        line("session", &self.attempt.to_text());
        let group = |out: &mut String, title: &str, rows: &[(String, String)]| {
            let _ = writeln!(out, "\n{title}");
            let width = rows
                .iter()
                .map(|(name, _)| name.len())
                .max()
                .unwrap_or_default();
            for (name, value) in rows {
                let _ = writeln!(out, "  {name:<width$}  {value}");
            }
        };
        let parameters: Vec<_> = self.parameters.as_ref().map(parameters).unwrap_or_default();
        let parameters: Vec<_> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), plain(&value)))
            .collect();
        group(&mut out, "QUIC transport parameters", &parameters);
        let settings: Vec<_> = self
            .settings
            .iter()
            .map(|(id, value)| (described(id), value.to_string()))
            .collect();
        group(&mut out, "HTTP/3 SETTINGS", &settings);
        out.truncate(out.trim_end().len());
        out
    }

    fn dialects(&self) -> String {
        let found: Vec<_> = announced(&self.settings)
            .map(|dialect| {
                let ours = if dialect.ours {
                    ""
                } else {
                    " (not spoken by this program)"
                };
                format!("{}{ours}", dialect.drafts)
            })
            .collect();
        if found.is_empty() {
            return "not announced".to_owned();
        }
        format!("drafts {}", found.join(", "))
    }

    /// The same as one object.
    pub(super) fn to_json(&self) -> Value {
        let parameters: Map<_, _> = self
            .parameters
            .as_ref()
            .map(parameters)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let settings: Map<_, _> = self
            .settings
            .iter()
            .map(|(id, value)| (name(id), value.into()))
            .collect();
        let dialects: Vec<_> = announced(&self.settings)
            .map(|dialect| dialect.drafts)
            .collect();
        let prints = self.certificate.fingerprints;
        json!({
            "url": self.target.to_string(),
            "address": self.address.to_string(),
            "handshake_ms": self.handshake.as_secs_f64() * 1e3,
            "rtt_ms": self.rtt.as_secs_f64() * 1e3,
            "alpn": self.alpn,
            "certificates": self.certificate.count,
            "sha256": prints.map(|prints| prints.certificate.to_hex()),
            "spki_sha256_base64": prints.map(|prints| prints.spki.to_base64()),
            "certificate": self.certificate.to_json(),
            "session_tickets": self.tickets,
            "transport_parameters": parameters,
            "settings": settings,
            "webtransport_drafts": dialects,
            "session": self.attempt.to_json(),
        })
    }
}

/// The registered name, or the number.
fn name(id: SettingId) -> String {
    id.name()
        .map_or_else(|| format!("{:#x}", id.0), str::to_owned)
}

fn described(id: SettingId) -> String {
    let grease = if id.is_reserved() {
        " (reserved, for GREASE)"
    } else {
        ""
    };
    name(id) + grease
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

macro_rules! named {
    ($of:ident: $($name:ident),* $(,)?) => { vec![$((stringify!($name), json!($of.$name))),*] };
}

/// The parameters in the order of RFC 9000 section 18.2.
fn parameters(of: &PeerParameters) -> Vec<(&'static str, Value)> {
    named![of:
        max_idle_timeout,
        max_udp_payload_size,
        initial_max_data,
        initial_max_stream_data_bidi_local,
        initial_max_stream_data_bidi_remote,
        initial_max_stream_data_uni,
        initial_max_streams_bidi,
        initial_max_streams_uni,
        ack_delay_exponent,
        max_ack_delay,
        disable_active_migration,
        active_connection_id_limit,
        max_datagram_frame_size,
        reset_stream_at,
    ]
}
