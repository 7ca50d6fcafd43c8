use http::{HeaderValue, StatusCode};

use super::*;
use crate::masque::Refusal;

fn said(values: &[&str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(PROXY_STATUS, value.parse().expect("a value"));
    }
    proxy_error(&headers)
}

/// RFC 9209 section 2: each proxy on the way back adds itself; the last one is nearest.
#[test]
fn the_nearest_proxy_tells() {
    let dns = Some("dns_error".to_owned());
    assert_eq!(said(&["proxy; error=dns_error"]), dns);
    assert_eq!(
        said(&["far; error=proxy_internal_error, near; error=dns_error"]),
        dns
    );
    assert_eq!(
        said(&[
            "far; error=connection_refused",
            "near; error=dns_error; rcode=\"X\""
        ]),
        dns
    );
    assert_eq!(said(&["far; error=dns_error, near"]), None);
    assert_eq!(said(&["\"a proxy\"; details=\"no\"; error=dns_error"]), dns);
}

#[test]
fn what_is_no_proxy_status_tells_nothing() {
    for value in [
        "",
        "error=dns_error;",
        "proxy; error=\"dns_error\"",
        "proxy; error",
        "(a b); error=x",
        "p; error=é",
    ] {
        assert_eq!(said(&[value]), None, "{value}");
    }
    assert_eq!(said(&[]), None);
    assert_eq!(said(&["proxy; error=dns_error", "("]), None);
}

#[test]
fn a_refusal_is_told_to_people() {
    let head = Refusal::TooManyTunnels.head("proxy");
    let words = "503 Service Unavailable (connection_limit_reached)";
    assert_eq!(refusal_in_words(&head), words);
    // What its error does not say.
    let head = Refusal::Draining.head("proxy");
    let words =
        "503 Service Unavailable (proxy_internal_response: this proxy takes no new tunnels)";
    assert_eq!(refusal_in_words(&head), words);
    let mut head = ResponseHead::new(StatusCode::BAD_GATEWAY);
    let value = HeaderValue::from_static("p; details=\"a \\\"b\\\"\"");
    head.headers.insert(PROXY_STATUS, value);
    assert_eq!(refusal_in_words(&head), "502 Bad Gateway (a \"b\")");
    let head = ResponseHead::new(StatusCode::NOT_FOUND);
    assert_eq!(refusal_in_words(&head), "404 Not Found");
}
