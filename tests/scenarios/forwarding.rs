//! What a program sends on of a head that it received: the parts as they are when it
//! sends, and the order of lines when it asks for it.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::FieldSection;
use aqueduct_core::head::{End, RequestHead, ResponseHead, Trailers};
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer, data, headers, join};
use aqueduct_tests::wt::read_raw;
use aqueduct_tests::{fields_on, get};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Lines that no map of headers keeps: names in turns, a cookie in crumbs.
const LINES: [(&str, &str); 6] = [
    ("x", "1"),
    ("cookie", "a=b"),
    ("y", "2"),
    ("x", "3"),
    ("cookie", "c=d"),
    ("z", "4"),
];

const REQUEST: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/a?b"),
    (":authority", "example.com"),
];

/// As one who forwards heads line by line.
fn in_order() -> Config {
    aqueduct_tests::config(|c| c.field_lines = true)
}

fn text(lines: &[(&str, &str)]) -> String {
    lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect()
}

/// Adds, changes and removes one header each.
fn change(headers: &mut HeaderMap) {
    headers.append("via", HeaderValue::from_static("3 proxy"));
    headers.insert("y", HeaderValue::from_static("changed"));
    headers.remove("z");
}

/// What is sent of [`LINES`] then. A request's cookie is joined, for those who look at
/// it as one field; a response and trailers have no crumbs to join.
fn changed(cookies: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let after = [("y", "changed"), ("via", "3 proxy")];
    [&[("x", "1"), ("x", "3")][..], cookies, &after].concat()
}

const JOINED: [(&str, &str); 1] = [("cookie", "a=b; c=d")];
const CRUMBS: [(&str, &str); 2] = [("cookie", "a=b"), ("cookie", "c=d")];

/// A request as a server of ours takes it.
fn received_request() -> RequestHead {
    let mut client = RawPeer::greeted(Side::Server, in_order(), &[]);
    client.request(&headers(&[&REQUEST[..], &LINES].concat()));
    *expect_event!(client, Side::Server, Event::Request { head, .. } => head)
}

/// The lines of a request that a client of ours sends.
fn sent_request(head: &RequestHead) -> String {
    let mut server = RawPeer::greeted(Side::Client, in_order(), &[]);
    let key = server.access().request(head, End::Fin).expect("a request");
    server.drive();
    fields_on(&server, key.id(), 0)
}

/// A response and its trailers as a client of ours takes them.
fn received_response() -> (ResponseHead, Trailers) {
    let mut server = RawPeer::greeted(Side::Client, in_order(), &[]);
    let key = server.access().request(&get(), End::Fin);
    let key = key.expect("a request");
    server.drive();
    let head = headers(&[&[(":status", "200")], &LINES[..]].concat());
    server.write(key.id(), &join(&[&head, &data(b"."), &headers(&LINES)]));
    server.finish(key.id());
    let head = expect_event!(server, Side::Client, Event::Response { head, .. } => head);
    assert_eq!(read_raw(&mut server, key).0, b".");
    let trailers =
        expect_event!(server, Side::Client, Event::Trailers { trailers, .. } => trailers);
    (*head, *trailers)
}

/// The lines of a response and its trailers that a server of ours sends.
fn sent_response(head: &ResponseHead, trailers: &HeaderMap) -> (String, String) {
    let mut client = RawPeer::greeted(Side::Server, in_order(), &[]);
    let id = client.request(&raw::get());
    let key = expect_event!(client, Side::Server, Event::Request { stream, .. } => stream);
    let mut access = client.access();
    access.respond(key, head, End::More).expect("a response");
    access.trailers(key, trailers).expect("trailers");
    client.drive();
    (fields_on(&client, id, 0), fields_on(&client, id, 1))
}

/// The lines of `fields` with one more.
fn with_via(mut fields: FieldSection) -> FieldSection {
    fields.push(b"via", b"3 proxy");
    fields
}

#[test]
fn a_request_goes_out_as_it_was_changed() {
    let mut head = received_request();
    change(&mut head.headers);
    head.uri = "https://inner.example/c".parse().expect("an address");
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "inner.example"),
        (":path", "/c"),
    ];
    assert_eq!(
        sent_request(&head),
        text(&[&pseudo[..], &changed(&JOINED)].concat())
    );
}

#[test]
fn a_response_and_its_trailers_go_out_as_they_were_changed() {
    let (mut head, mut trailers) = received_response();
    change(&mut head.headers);
    change(&mut trailers.headers);
    head.status = StatusCode::ACCEPTED;
    let (sent, after) = sent_response(&head, &trailers.headers);
    let lines = changed(&CRUMBS);
    assert_eq!(sent, text(&[&[(":status", "202")], &lines[..]].concat()));
    assert_eq!(after, text(&lines));
}

#[test]
fn what_is_sent_on_unchanged_says_the_same_with_duplicates_in_order() {
    let lines = |cookies: &[(&'static str, &'static str)]| {
        let (xs, rest) = ([LINES[0], LINES[3]], [LINES[2], LINES[5]]);
        text(&[&xs[..], cookies, &rest].concat())
    };
    let head = RequestHead::from_http(received_request().into_http());
    let sent = sent_request(&head);
    assert!(sent.ends_with(&lines(&JOINED)), "{sent}");
    let (head, trailers) = received_response();
    let (sent, after) = sent_response(&head, &trailers.headers);
    let crumbs = lines(&CRUMBS);
    assert_eq!(sent, format!(":status: 200\n{crumbs}"));
    assert_eq!(after, crumbs);
}

#[test]
fn the_order_of_lines_is_kept_for_those_who_ask() {
    let via = ("via", "3 proxy");
    let head = received_request();
    let kept = RequestHead::from_fields(with_via(head.into_fields())).expect("valid lines");
    let lines = [&REQUEST[..], &LINES, &[via]].concat();
    assert_eq!(sent_request(&kept), text(&lines));
    assert_eq!(kept.headers["via"], "3 proxy");

    let (head, trailers) = received_response();
    let kept = ResponseHead::from_fields(with_via(head.into_fields())).expect("valid lines");
    let (sent, _) = sent_response(&kept, &trailers.headers);
    assert_eq!(
        sent,
        text(&[&[(":status", "200")], &LINES[..], &[via]].concat())
    );
}

#[test]
fn a_change_after_that_goes_out_and_the_order_does_not() {
    let mut head = RequestHead::from_fields(received_request().into_fields()).expect("valid");
    change(&mut head.headers);
    let sent = sent_request(&head);
    assert!(sent.ends_with(&text(&changed(&JOINED))), "{sent}");

    let mut head = RequestHead::from_fields(received_request().into_fields()).expect("valid");
    head.uri = "https://example.com/elsewhere".parse().expect("an address");
    let sent = sent_request(&head);
    assert!(sent.contains(":path: /elsewhere\n"), "{sent}");

    let (head, trailers) = received_response();
    let mut head = ResponseHead::from_fields(head.into_fields()).expect("valid");
    head.status = StatusCode::BAD_GATEWAY;
    let (sent, _) = sent_response(&head, &trailers.headers);
    assert!(sent.starts_with(":status: 502\n"), "{sent}");
}

#[test]
fn lines_that_break_a_rule_make_no_head() {
    let lines = [("x", "1"), (":method", "GET")].into_iter().collect();
    assert_eq!(
        RequestHead::from_fields(lines).map_err(|wrong| wrong.field),
        Err(":method")
    );
    let lines = [(":status", "200"), ("connection", "close")]
        .into_iter()
        .collect();
    assert_eq!(
        ResponseHead::from_fields(lines).map_err(|wrong| wrong.field),
        Err("connection")
    );
}

#[test]
fn lines_are_kept_for_nobody_who_does_not_ask() {
    for (config, kept) in [(Config::default(), 0), (in_order(), REQUEST.len())] {
        let mut client = RawPeer::greeted(Side::Server, config, &[]);
        client.request(&headers(&REQUEST));
        let head = expect_event!(client, Side::Server, Event::Request { head, .. } => head);
        assert_eq!(head.fields().len(), kept);
        assert_eq!(head.method, http::Method::GET);
    }
}
