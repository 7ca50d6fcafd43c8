//! Whose pages may open sessions.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer, headers};
use aqueduct_core::webtransport::{Origins, SessionEvent};
use aqueduct_tests::{config, fields_on};

/// What a session request with this origin is answered with; `None` when the application
/// is asked, and nothing answered.
fn asked(config: Config, origin: Option<&str>) -> Option<String> {
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    let mut fields = vec![
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
    ];
    fields.extend(origin.map(|origin| ("origin", origin)));
    let id = peer.request(&headers(&fields));
    let events = peer.events();
    let requested = events.iter().find_map(|event| match event {
        Event::WebTransport(_, SessionEvent::Requested(request)) => Some(request),
        _ => None,
    });
    let forbidden = events.iter().filter_map(|event| match event {
        Event::WebTransport(_, SessionEvent::Forbidden(request)) => Some(request.uri.path()),
        _ => None,
    });
    let told: Vec<_> = forbidden.collect();
    assert_eq!(peer.access().stats().origins_refused, told.len() as u64);
    if let Some(request) = requested {
        assert_eq!(request.origin(), origin);
        assert!(peer.seen(id).bytes.is_empty() && told.is_empty());
        return None;
    }
    assert_eq!(told, ["/wt"], "{origin:?}");
    assert!(peer.seen(id).fin && peer.closed().is_none());
    Some(fields_on(&peer, id, 0))
}

/// Row B5: by default a page of the server's own may, and what is no browser.
#[test]
fn a_page_of_another_origin_is_forbidden() {
    for own in ["https://example.com", "https://EXAMPLE.com:443"] {
        assert_eq!(asked(Config::default(), Some(own)), None, "{own}");
    }
    assert_eq!(asked(Config::default(), None), None);
    for stranger in [
        "https://elsewhere.example",
        "https://example.com:444",
        "http://example.com",
        "null",
        "\u{e9}",
    ] {
        let answer = asked(Config::default(), Some(stranger)).expect("an answer");
        assert!(answer.starts_with(":status: 403"), "{stranger}: {answer}");
    }
}

#[test]
fn other_pages_may_where_the_configuration_says_so() {
    let listed = config(|c| c.webtransport.origins = Origins::listed(["https://friend.test"]));
    for one in ["https://friend.test", "https://example.com"] {
        assert_eq!(asked(listed.clone(), Some(one)), None, "{one}");
    }
    assert!(asked(listed, Some("https://elsewhere.example")).is_some());
    let any = config(|c| c.webtransport.origins = Origins::any());
    assert_eq!(asked(any, Some("null")), None);
}
