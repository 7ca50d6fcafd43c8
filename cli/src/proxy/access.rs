//! The access log: a line for each tunnel that begins, ends or is refused.

use std::net::SocketAddr;
use std::time::SystemTime;

use aqueduct_tokio::protocol::head::Protocol;
use aqueduct_tokio::proxy::{
    Dialect, GateConfig, Opened, PathTemplate, Refusal, Report, Target, TunnelKind,
};
use http::{Method, Request};
use serde_json::{Map, Value, json};

use crate::output::Output;
use crate::units;

/// Prints the log.
#[derive(Debug)]
pub(super) struct Access {
    output: Output,
    udp: Option<PathTemplate>,
    tcp: Option<PathTemplate>,
}

/// Who asks for a tunnel, and how.
#[derive(Debug)]
pub(super) struct Asked {
    client: Option<SocketAddr>,
    /// In which words.
    words: Option<Dialect>,
    /// To where, if that can be read.
    target: Option<Target>,
    /// Whether it is only asked about.
    about: bool,
}

impl Asked {
    /// What is to go through the tunnel, and how it is asked for.
    fn told(&self) -> (Option<&'static str>, Option<&'static str>) {
        let kind = self.words.map(|dialect| match dialect.kind() {
            TunnelKind::Udp => "udp",
            TunnelKind::Tcp => "tcp",
            _ => "other",
        });
        let protocol = self
            .words
            .map(|dialect| dialect.token().unwrap_or("connect"));
        (kind, protocol)
    }
}

impl Access {
    pub(super) fn new(gate: &GateConfig, output: Output) -> Self {
        Self {
            output,
            udp: gate.udp.clone(),
            tcp: gate.tcp.clone(),
        }
    }

    /// What a request asks for, to be told of whatever becomes of it.
    pub(super) fn asked(&self, client: Option<SocketAddr>, head: &Request<()>) -> Asked {
        let uri = head.uri();
        let words = match head.extensions().get::<Protocol>() {
            Some(protocol) => Dialect::of(protocol.as_str()),
            None if head.method() == Method::OPTIONS => self.whose(uri.path()),
            None => (head.method() == Method::CONNECT).then_some(Dialect::Classic),
        };
        let template = match words.map(Dialect::kind) {
            Some(TunnelKind::Udp) => self.udp.as_ref(),
            Some(TunnelKind::Tcp) => self.tcp.as_ref(),
            _ => None,
        };
        let target = match words {
            Some(Dialect::Classic) => uri.to_string().parse().ok(),
            _ => template
                .zip(uri.path_and_query())
                .and_then(|(template, path)| template.matches(path.as_str())?.ok()),
        };
        Asked {
            client,
            words,
            target,
            about: head.method() == Method::OPTIONS,
        }
    }

    /// By what tunnels are asked for at a path.
    pub(super) fn whose(&self, path: &str) -> Option<Dialect> {
        let is_at = |template: &Option<PathTemplate>| {
            let template = template.as_ref();
            template.is_some_and(|template| template.matches(path).is_some())
        };
        let udp = is_at(&self.udp).then_some(Dialect::Udp);
        udp.or_else(|| is_at(&self.tcp).then_some(Dialect::Tcp12))
    }

    /// A tunnel has begun.
    pub(super) fn opened(&self, asked: &Asked, tunnel: &Opened) {
        let fields = json!({ "to": tunnel.to.to_string() });
        let text = led(&tunnel.target, tunnel.to);
        self.print("tunnel_opened", asked, Some(&tunnel.target), fields, &text);
    }

    /// There is no tunnel.
    pub(super) fn refused(&self, asked: &Asked, target: Option<Target>, refusal: &Refusal) {
        if asked.about && matches!(refusal, Refusal::TargetProhibited(_)) {
            // A client asks whether it is let in, of a target that it may have made up.
            return tracing::info!(?asked, "a target was asked about, and is not allowed");
        }
        let target = target.as_ref().or(asked.target.as_ref());
        let status = refusal.status().as_u16();
        let (error, reason) = (refusal.proxy_error(), why(refusal));
        let fields = json!({ "status": status, "error": error, "reason": reason });
        let target_text = target.map_or_else(|| "-".to_owned(), ToString::to_string);
        let text = format!("{target_text}, {status}: {reason}");
        self.print("tunnel_refused", asked, target, fields, &text);
    }

    /// The client wanted it no more before it was there.
    pub(super) fn given_up(&self, asked: &Asked, target: &Target) {
        let text = target.to_string();
        self.print("tunnel_given_up", asked, Some(target), Value::Null, &text);
    }

    /// A tunnel is over.
    pub(super) fn ended(&self, asked: &Asked, report: &Report) {
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

    fn print(&self, event: &str, asked: &Asked, target: Option<&Target>, more: Value, text: &str) {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let client = asked.client.map(|client| client.to_string());
        let (kind, protocol) = asked.told();
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
            // Names and texts in it are not longer than they may be: nothing is cut.
            self.output.result(event, "", fields.into())
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
    fn what_is_asked_for_is_read_whatever_becomes_of_it() {
        let access = Access::new(&GateConfig::default(), Output::new(true));
        let asked = |token: Option<&str>, uri: &str| {
            let mut head = Request::new(());
            *head.method_mut() = Method::CONNECT;
            *head.uri_mut() = uri.parse().unwrap();
            if let Some(token) = token {
                head.extensions_mut().insert(Protocol::new(token));
            }
            let asked = access.asked(None, &head);
            let target = asked.target.as_ref().map(ToString::to_string);
            (asked.told(), target)
        };
        let there = Some("10.0.0.1:53".to_owned());
        let udp = "https://p/.well-known/masque/udp/10.0.0.1/53/";
        let tcp = "https://p/.well-known/masque/tcp/10.0.0.1/53/";
        for (token, uri, told, target) in [
            (
                Some("connect-udp"),
                udp,
                (Some("udp"), Some("connect-udp")),
                &there,
            ),
            (
                Some("connect-udp"),
                tcp,
                (Some("udp"), Some("connect-udp")),
                &None,
            ),
            (
                Some("connect-tcp"),
                tcp,
                (Some("tcp"), Some("connect-tcp")),
                &there,
            ),
            (None, "10.0.0.1:53", (Some("tcp"), Some("connect")), &there),
            (Some("\u{1b}[2J"), udp, (None, None), &None),
        ] {
            assert_eq!(asked(token, uri), (told, target.clone()), "{uri}");
        }
    }
}
