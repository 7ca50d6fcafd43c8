//! The HTTP resources of the demonstration.

use std::time::Duration;

use http::{Method, StatusCode};

use super::number;

/// `H3_REQUEST_CANCELLED`, what `/reset` uses when no code is asked for (RFC 9114 section 8.1).
pub const DEFAULT_RESET: u64 = 0x10c;
/// The longest wait that `/slow` grants.
pub const MAX_SLOW: Duration = Duration::from_secs(60);

const MAX_VARINT: u64 = (1 << 62) - 1;

/// What a demonstration request asks the server to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HttpAction {
    /// Answer with the demonstration page.
    Page,
    /// Answer with this many bytes of the [`Pattern`](super::pattern::Pattern).
    Bytes(u64),
    /// Stream the request's body back.
    Echo,
    /// Read the whole body, then answer with its SHA-256 in hexadecimal and its size.
    Sha256,
    /// Answer with the request's field list as JSON, in order.
    Headers,
    /// Answer `body`, followed by the trailers `x-trailer-a` and `x-trailer-b`.
    Trailers,
    /// Answer with this status.
    Status(StatusCode),
    /// Send a 103 with a `link` field, then a 200.
    Early,
    /// Say what became of early data on the connection, when its handshake is complete.
    EarlyData,
    /// Answer after this time.
    Slow(Duration),
    /// Answer, and start a graceful shutdown of the connection.
    Goaway,
    /// Reset the response stream with this HTTP/3 error code.
    Reset(u64),
    /// Refuse: the resource exists and takes only the methods named.
    MethodNotAllowed(&'static str),
    /// Refuse: 400 with this explanation.
    BadRequest(String),
    /// Refuse: 404.
    NotFound,
}

/// Finds the action for a request. `path` is the raw path, without the query.
pub fn route(method: &Method, path: &str, query: Option<&str>) -> HttpAction {
    // These take a body with any method; the others are only for reading.
    match path {
        "/echo" => return HttpAction::Echo,
        "/sha256" => return HttpAction::Sha256,
        _ => {}
    }
    let action = read_only(path, query);
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match action {
        HttpAction::NotFound | HttpAction::BadRequest(_) => action,
        _ if !reads => HttpAction::MethodNotAllowed("GET, HEAD"),
        action => action,
    }
}

fn read_only(path: &str, query: Option<&str>) -> HttpAction {
    if let Some(count) = path.strip_prefix("/bytes/") {
        return count.parse().map_or_else(
            |_| HttpAction::BadRequest("/bytes/N needs a whole number of bytes".to_owned()),
            HttpAction::Bytes,
        );
    }
    if let Some(code) = path.strip_prefix("/status/") {
        // 1xx responses are not final: answering with one alone would never end the exchange.
        return match StatusCode::from_bytes(code.as_bytes()) {
            Ok(status) if !status.is_informational() && status.as_u16() < 600 => {
                HttpAction::Status(status)
            }
            _ => HttpAction::BadRequest("/status/N needs a status from 200 to 599".to_owned()),
        };
    }
    match path {
        "/" | "/index.html" => HttpAction::Page,
        "/headers" => HttpAction::Headers,
        "/trailers" => HttpAction::Trailers,
        "/early" => HttpAction::Early,
        "/early-data" => HttpAction::EarlyData,
        "/goaway" => HttpAction::Goaway,
        "/slow" => {
            let max = u64::try_from(MAX_SLOW.as_millis()).unwrap_or(u64::MAX);
            match number(query, "ms", max).unwrap_or(Ok(1000)) {
                Ok(ms) => HttpAction::Slow(Duration::from_millis(ms)),
                Err(why) => HttpAction::BadRequest(why),
            }
        }
        "/reset" => match number(query, "code", MAX_VARINT).unwrap_or(Ok(DEFAULT_RESET)) {
            Ok(code) => HttpAction::Reset(code),
            Err(why) => HttpAction::BadRequest(why),
        },
        _ => HttpAction::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> HttpAction {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(p, q)| (p, Some(q)));
        route(&Method::GET, path, query)
    }

    #[test]
    fn every_resource_has_its_action() {
        for (target, expected) in [
            ("/", HttpAction::Page),
            ("/bytes/0", HttpAction::Bytes(0)),
            ("/bytes/10000000", HttpAction::Bytes(10_000_000)),
            ("/echo", HttpAction::Echo),
            ("/sha256", HttpAction::Sha256),
            ("/headers", HttpAction::Headers),
            ("/trailers", HttpAction::Trailers),
            ("/status/204", HttpAction::Status(StatusCode::NO_CONTENT)),
            (
                "/status/599",
                HttpAction::Status(StatusCode::from_u16(599).unwrap()),
            ),
            ("/early", HttpAction::Early),
            ("/early-data", HttpAction::EarlyData),
            ("/slow", HttpAction::Slow(Duration::from_secs(1))),
            ("/slow?ms=25", HttpAction::Slow(Duration::from_millis(25))),
            ("/goaway", HttpAction::Goaway),
            ("/reset", HttpAction::Reset(0x10c)),
            ("/reset?code=268", HttpAction::Reset(268)),
            ("/reset?code=0x10b", HttpAction::Reset(0x10b)),
            ("/nowhere", HttpAction::NotFound),
            ("/bytes", HttpAction::NotFound),
        ] {
            assert_eq!(get(target), expected, "{target}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_bad_requests() {
        for target in [
            "/bytes/x",
            "/bytes/-1",
            "/bytes/18446744073709551616",
            "/status/100",
            "/status/600",
            "/status/abc",
            "/slow?ms=60001",
            "/slow?ms=",
            "/reset?code=4611686018427387904",
        ] {
            assert!(matches!(get(target), HttpAction::BadRequest(_)), "{target}");
        }
    }

    #[test]
    fn bodies_are_taken_with_any_method_and_reading_only_with_get_and_head() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(route(&method, "/echo", None), HttpAction::Echo);
            assert_eq!(route(&method, "/sha256", None), HttpAction::Sha256);
            assert_eq!(
                route(&method, "/headers", None),
                HttpAction::MethodNotAllowed("GET, HEAD")
            );
            assert_eq!(route(&method, "/nowhere", None), HttpAction::NotFound);
        }
        assert_eq!(route(&Method::HEAD, "/bytes/5", None), HttpAction::Bytes(5));
    }
}
