//! The access log: a line for each tunnel that begins, ends or is refused.

use std::net::SocketAddr;
use std::time::SystemTime;

use aqueduct_tokio::protocol::head::Protocol;
use aqueduct_tokio::proxy::{Dialect, Opened, Refusal, Report, Target, TunnelKind};
use http::{Method, Request};
use serde_json::{Map, Value, json};

use crate::output::Output;
use crate::units;

/// Prints the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    output: Output,
}

/// In which words something is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken(Option<Dialect>);

impl Spoken {
    pub(super) fn of(head: &Request<()>) -> Self {
        Self(match head.extensions().get::<Protocol>() {
            Some(protocol) => Dialect::of(protocol.as_str()),
            None => (head.method() == Method::CONNECT).then_some(Dialect::Classic),
        })
    }

    /// What is to go through the tunnel, and how it is asked for.
    fn told(self) -> (Option<&'static str>, Option<&'static str>) {
        let kind = self.0.map(|dialect| match dialect.kind() {
            TunnelKind::Udp => "udp",
            TunnelKind::Tcp => "tcp",
        });
        let protocol = self.0.map(|dialect| dialect.token().unwrap_or("connect"));
        (kind, protocol)
    }
}

/// Who asks for a tunnel, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) client: Option<SocketAddr>,
    pub(super) words: Spoken,
}

impl Access {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// A tunnel has begun.
    pub(super) fn opened(self, asked: &Asked, tunnel: &Opened) {
        let fields = json!({ "to": tunnel.to.to_string() });
        let text = led(&tunnel.target, tunnel.to);
        self.print("tunnel_opened", asked, Some(&tunnel.target), fields, &text);
    }

    /// There is no tunnel.
    pub(super) fn refused(self, asked: &Asked, target: Option<&Target>, refusal: &Refusal) {
        let status = refusal.status().as_u16();
        let (error, reason) = (refusal.proxy_error(), why(refusal));
        let fields = json!({ "status": status, "error": error, "reason": reason });
        let target_text = target.map_or_else(|| "-".to_owned(), ToString::to_string);
        let text = format!("{target_text}, {status}: {reason}");
        self.print("tunnel_refused", asked, target, fields, &text);
    }

    /// The client wanted it no more before it was there.
    pub(super) fn given_up(self, asked: &Asked, target: &Target) {
        let text = target.to_string();
        self.print("tunnel_given_up", asked, Some(target), Value::Null, &text);
    }

    /// A tunnel is over.
    pub(super) fn ended(self, asked: &Asked, report: &Report) {
        let (traffic, end) = (&report.traffic, report.end.to_string());
        let milliseconds = u64::try_from(report.lasted.as_millis()).unwrap_or(u64::MAX);
        let mut fields = json!({
            "to": report.to.to_string(),
            "bytes_out": traffic.bytes_out,
            "bytes_in": traffic.bytes_in,
        });
        if let (TunnelKind::Udp, Some(fields)) = (report.dialect.kind(), fields.as_object_mut()) {
            for (name, count) in [
                ("packets_out", traffic.packets_out),
                ("packets_in", traffic.packets_in),
                ("too_large", traffic.too_large),
                ("not_sent", traffic.not_sent),
            ] {
                fields.insert(name.to_owned(), count.into());
            }
        }
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("milliseconds".to_owned(), milliseconds.into());
            fields.insert("end".to_owned(), end.clone().into());
        }
        let text = format!(
            "{}, {} out, {} in, {}: {end}",
            led(&report.target, report.to),
            units::bytes(traffic.bytes_out),
            units::bytes(traffic.bytes_in),
            units::duration(report.lasted),
        );
        self.print("tunnel_ended", asked, Some(&report.target), fields, &text);
    }

    fn print(self, event: &str, asked: &Asked, target: Option<&Target>, more: Value, text: &str) {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let client = asked.client.map(|client| client.to_string());
        let (kind, protocol) = asked.words.told();
        let printed = if self.output.is_json() {
            let mut fields = Map::new();
            for (name, value) in [
                ("time", json!(time)),
                ("client", json!(client)),
                ("target", json!(target.map(ToString::to_string))),
                ("kind", json!(kind)),
                ("protocol", json!(protocol)),
            ] {
                fields.insert(name.to_owned(), value);
            }
            if let Value::Object(more) = more {
                fields.extend(more);
            }
            self.output.event(event, fields.into())
        } else {
            let event = event.trim_start_matches("tunnel_");
            let (client, kind) = (client.as_deref().unwrap_or("-"), kind.unwrap_or("-"));
            let line = format!("{time} {event} {client} {kind} {text}");
            self.output.result(event, &line, Value::Null)
        };
        // A reader that has gone away is no reason to stop serving.
        if let Err(error) = printed {
            tracing::debug!(%error, "cannot print a line of the access log");
        }
    }
}

/// A target, and where its name led.
fn led(target: &Target, to: SocketAddr) -> String {
    match target.host.ip() {
        Some(_) => target.to_string(),
        None => format!("{target} ({to})"),
    }
}

/// Why there is no tunnel, for who may know: more than a client is told.
fn why(refusal: &Refusal) -> String {
    match refusal {
        Refusal::TargetProhibited(denied) => denied.to_string(),
        refusal => refusal.reason().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_tokio::proxy::{Denied, SpecialRange};

    use super::*;

    #[test]
    fn a_refusal_tells_the_log_what_it_does_not_tell_the_client() {
        let refusal = Refusal::TargetProhibited(Denied::Special(SpecialRange::Private));
        assert_eq!(refusal.reason(), "this target is not allowed");
        assert!(why(&refusal).contains("private"), "{}", why(&refusal));
    }

    #[test]
    fn a_tunnel_is_told_by_what_goes_through() {
        let asked = |token: Option<&str>| {
            let mut head = Request::new(());
            *head.method_mut() = Method::CONNECT;
            if let Some(token) = token {
                head.extensions_mut().insert(Protocol::new(token));
            }
            Spoken::of(&head).told()
        };
        assert_eq!(
            asked(Some("connect-udp")),
            (Some("udp"), Some("connect-udp"))
        );
        assert_eq!(
            asked(Some("connect-tcp")),
            (Some("tcp"), Some("connect-tcp"))
        );
        assert_eq!(asked(None), (Some("tcp"), Some("connect")));
        assert_eq!(asked(Some("\u{1b}[2J")), (None, None));
    }
}
