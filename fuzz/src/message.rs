//! Field sections through a connection: whatever the lines are, the message is
//! told or its stream alone is refused, and what is told obeys RFC 9114
//! section 4 by a check written apart from the core's.

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::wire::fields::{Field, FieldSection};
use aqueduct_core::wire::qpack::Encoder;
use bytes::BytesMut;
use http::{Method, Uri};

use crate::input::Input;

const NAMES: &[&str] = &[
    ":method",
    ":scheme",
    ":authority",
    ":path",
    ":protocol",
    ":status",
    "host",
    "content-length",
    "te",
    "connection",
    "transfer-encoding",
    "cookie",
    "Upper",
    "x-a",
];
const VALUES: &[&str] = &[
    "GET",
    "CONNECT",
    "OPTIONS",
    "https",
    "http",
    "example.com",
    "user@example.com",
    "/",
    "*",
    "webtransport",
    "200",
    "103",
    "101",
    "0",
    "4",
    "trailers",
    "chunked",
    "",
];

/// Sends one message to a server or a client.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let ours = if input.byte() & 1 == 0 {
        Side::Server
    } else {
        Side::Client
    };
    aqueduct_tests::replayed::replay_all();
    let config = aqueduct_tests::config(|c| c.field_lines = true);
    let mut peer = RawPeer::greeted(ours, config, raw::WEBTRANSPORT);
    let head = section(&mut input);
    let id = if ours == Side::Server {
        peer.request(&frame(&head))
    } else {
        let request = RequestHead::new(Method::GET, Uri::from_static("https://example.com/"));
        let key = peer
            .access()
            .request(&request, End::Fin)
            .expect("a request");
        peer.drive();
        peer.write(key.id(), &frame(&head));
        key.id()
    };
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
    // A malformed message is an error of its stream alone.
    assert_eq!(peer.closed(), None, "{}", peer.story());
    let mut told = Vec::new();
    for event in peer.events() {
        match event {
            Event::Request { head, .. } => told.push(head.into_fields()),
            Event::Response { head, .. } | Event::Interim { head, .. } => {
                told.push(head.into_fields());
            }
            Event::WebTransport(..) => told.push(head.clone()),
            _ => {}
        }
    }
    assert!(told.len() <= 1);
    match told.first() {
        Some(fields) => {
            assert_eq!(*fields, head, "no line is lost or changed");
            check(fields, ours);
        }
        None => {
            let seen = peer.seen(id);
            let refused = [seen.reset, seen.stop].into_iter().flatten().next();
            let answered = seen.fin && !seen.bytes.is_empty();
            let known = [
                Code::H3_MESSAGE_ERROR,
                Code::H3_REQUEST_REJECTED,
                Code::H3_NO_ERROR,
            ];
            assert!(
                answered || refused.is_some_and(|code| known.contains(&code)),
                "{seen:?}"
            );
        }
    }
    if input.byte() & 1 == 0 {
        peer.write(id, &raw::data(input.chunk()));
    }
    if !input.is_empty() {
        peer.write(id, &frame(&section(&mut input)));
    }
    peer.finish(id);
}

fn section(input: &mut Input<'_>) -> FieldSection {
    let mut fields = FieldSection::new();
    for _ in 0..input.below(10) {
        let name = NAMES
            .get(usize::from(input.byte()))
            .map(|name| name.as_bytes());
        let name = name.unwrap_or_else(|| input.chunk());
        let value = VALUES
            .get(usize::from(input.byte()))
            .map(|value| value.as_bytes());
        fields.push(name, value.unwrap_or_else(|| input.chunk()));
    }
    fields
}

fn frame(fields: &FieldSection) -> Vec<u8> {
    let mut section = BytesMut::new();
    Encoder::new().encode(0, fields, &mut section);
    raw::frame(0x01, &section)
}

fn check(fields: &FieldSection, ours: Side) {
    let lines: Vec<Field<'_>> = fields.iter().collect();
    let regular = lines.iter().position(|line| !line.name.starts_with(b":"));
    let (pseudo, regular) = lines.split_at(regular.unwrap_or(lines.len()));
    for (at, line) in pseudo.iter().enumerate() {
        assert!(
            pseudo[..at].iter().all(|other| other.name != line.name),
            "{line:?} twice"
        );
        let known: &[&[u8]] = match ours {
            Side::Server => &[
                b":method",
                b":scheme",
                b":authority",
                b":path",
                b":protocol",
            ],
            Side::Client => &[b":status"],
        };
        assert!(known.contains(&line.name), "{line:?}");
    }
    let first: &[u8] = if ours == Side::Server {
        b":method"
    } else {
        b":status"
    };
    assert!(
        pseudo.iter().any(|line| line.name == first),
        "nothing but {lines:?}"
    );
    let forbidden: &[&[u8]] = &[
        b"connection",
        b"transfer-encoding",
        b"keep-alive",
        b"upgrade",
    ];
    for line in regular {
        assert!(
            !line.name.is_empty() && !line.name.contains(&b':'),
            "{line:?}"
        );
        assert!(!line.name.iter().any(u8::is_ascii_uppercase), "{line:?}");
        assert!(!forbidden.contains(&line.name), "{line:?}");
        assert!(
            !line
                .value
                .iter()
                .any(|byte| matches!(byte, 0 | b'\r' | b'\n')),
            "{line:?}"
        );
        assert!(line.name != b"te" || line.value == b"trailers", "{line:?}");
    }
}
