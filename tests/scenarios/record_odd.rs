//! Heads as no ordinary peer sends them: a masked recording behaves as they did.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::testing::raw::{self, RawPeer, frame};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_core::wire::qpack::encode_huffman;
use aqueduct_record::Recording;
use aqueduct_tests::{get, seeds};
use bytes::{Bytes, BytesMut};
use http::StatusCode;

const SECRET: &[u8] = b"Sup3rSecretText";

/// Values at the edges of what is valid somewhere.
const VALUES: [&[u8]; 40] = [
    b"/",
    b"*",
    b"",
    b"//",
    b"/a b",
    b"/\xc3\xa9",
    b"/\xff",
    b"/\x7f",
    b"/%zz",
    b"/a#b",
    b"http://x/",
    b"/?\xc3\xa9",
    b"/{}|\\^`\"<>",
    b"GET",
    b"CONNECT",
    b"OPTIONS",
    b"F B",
    b"https",
    b"http",
    b"a:b",
    b"h:99999",
    b"h:",
    b"u@h",
    b"[::1]:1",
    b"[",
    b"\xc3\xa9",
    b"\xff",
    b"\0",
    b" a",
    b"a ",
    b"a\tb",
    b"webtransport",
    b"websocket",
    b"1",
    b"12",
    b"?1",
    b"\"a\", \"b\"",
    b"200",
    b"103",
    b"trailers",
];

const NAMES: [&[u8]; 36] = [
    b":method",
    b":scheme",
    b":authority",
    b":path",
    b":protocol",
    b":status",
    b":odd",
    b":",
    b"",
    b"host",
    b"cookie",
    b"content-length",
    b"priority",
    b"te",
    b"connection",
    b"upgrade",
    b"date",
    b"capsule-protocol",
    b"wt-protocol",
    b"wt-available-protocols",
    b"origin",
    b"location",
    b"expect",
    b"X-Upper",
    b"x-\xc3\xa9",
    b"x-\xff",
    b"x y",
    b"x:y",
    b"sec-webtransport-http3-draft02",
    b"sec-webtransport-http3-draft",
    b"transfer-encoding",
    b"content-type",
    b"authorization",
    b"keep-alive",
    b"proxy-connection",
    b"referer",
];

/// Fields whose values are kept.
const OPEN: [&[u8]; 19] = [
    b":method",
    b":scheme",
    b":authority",
    b":protocol",
    b":status",
    b"host",
    b"content-length",
    b"priority",
    b"te",
    b"connection",
    b"upgrade",
    b"capsule-protocol",
    b"wt-protocol",
    b"wt-available-protocols",
    b"sec-webtransport-http3-draft02",
    b"sec-webtransport-http3-draft",
    b"transfer-encoding",
    b"keep-alive",
    b"proxy-connection",
];

fn int(out: &mut Vec<u8>, first: u8, bits: u32, mut value: usize) {
    let max = (1 << bits) - 1;
    if value < max {
        return out.push(first | value as u8);
    }
    out.push(first | max as u8);
    value -= max;
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, first: u8, bits: u32, text: &[u8], huffman: bool) {
    if huffman {
        let mut coded = BytesMut::new();
        encode_huffman(text, &mut coded);
        int(out, first | (1 << bits), bits, coded.len());
        out.extend_from_slice(&coded);
    } else {
        int(out, first, bits, text.len());
        out.extend_from_slice(text);
    }
}

fn section(rng: &mut Rng, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0, 0];
    for (name, value) in fields {
        text(&mut out, 0x20, 3, name, rng.below(2) == 0);
        text(&mut out, 0, 7, value, rng.below(2) == 0);
    }
    out
}

fn odd(rng: &mut Rng, base: &[(&[u8], &[u8])]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields: Vec<_> = base.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    let value = |rng: &mut Rng| {
        let one = VALUES[rng.below(VALUES.len() as u64) as usize];
        match rng.below(4) {
            0 => [one, SECRET].concat(),
            1 => [one, VALUES[rng.below(VALUES.len() as u64) as usize]].concat(),
            2 => (0..rng.below(5)).map(|_| rng.below(256) as u8).collect(),
            _ => one.to_vec(),
        }
    };
    for _ in 0..=rng.below(2) {
        let at = rng.below(fields.len() as u64 + 1) as usize;
        match rng.below(5) {
            0 if at < fields.len() => drop(fields.remove(at)),
            1 | 2 if at < fields.len() => fields[at].1 = value(rng),
            _ => {
                let name = NAMES[rng.below(NAMES.len() as u64) as usize].to_vec();
                let value = value(rng);
                fields.insert(at, (name, value));
            }
        }
    }
    fields
}

fn answer(peer: &mut RawPeer) {
    for _ in 0..3 {
        for event in peer.events() {
            match event {
                Event::Request { stream, head, .. } => {
                    drop(head.clone());
                    let mut access = peer.access();
                    let _ = access.enable_datagrams(stream);
                    if let Ok(mut half) = access.recv(stream) {
                        let _ = half.read(10_000, &mut [const { Bytes::new() }; 4]);
                    }
                    let _ = access.respond(stream, &ResponseHead::new(StatusCode::OK), End::Fin);
                }
                Event::Response { stream, .. } => {
                    if let Ok(mut half) = peer.access().recv(stream) {
                        let _ = half.read(10_000, &mut [const { Bytes::new() }; 4]);
                    }
                }
                Event::WebTransport(session, SessionEvent::Requested(_)) => {
                    let _ = peer
                        .access()
                        .webtransport(session)
                        .accept(&ConnectAnswer::new());
                }
                _ => {}
            }
        }
        peer.drive();
    }
}

fn replay(seed: u64, peer: &mut RawPeer, sent: &[(Vec<u8>, Vec<u8>)]) {
    answer(peer);
    let text = peer.recording();
    let is_secret = |(name, value): &(Vec<u8>, Vec<u8>)| {
        value.windows(SECRET.len()).any(|part| part == SECRET) && !OPEN.contains(&&name[..])
    };
    let open = |(name, value): &(Vec<u8>, Vec<u8>)| {
        value.windows(SECRET.len()).any(|part| part == SECRET) && OPEN.contains(&&name[..])
    };
    if sent.iter().any(is_secret) && !sent.iter().any(open) {
        let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        for part in [&hex[4..12], "3rSecr"] {
            assert!(!text.contains(part), "SEED={seed} {sent:?}\n{text}");
        }
    }
    let recording = Recording::read(&text).expect("a recording");
    for connection in recording.connections() {
        let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
        let sent: Vec<_> = sent
            .iter()
            .map(|(n, v)| format!("{}: {}", n.escape_ascii(), v.escape_ascii()))
            .collect();
        assert!(
            replayed.is_ok(),
            "SEED={seed} {sent:#?}: {}\n{text}",
            replayed.unwrap_err()
        );
    }
}

#[test]
fn odd_requests() {
    for seed in seeds(1_000) {
        let mut rng = Rng::new(seed);
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        let get: &[(&[u8], &[u8])] = &[
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"example.com"),
            (b":path", b"/"),
        ];
        let connect: &[(&[u8], &[u8])] = &[
            (b":method", b"CONNECT"),
            (b":protocol", b"webtransport"),
            (b":scheme", b"https"),
            (b":authority", b"example.com"),
            (b":path", b"/"),
        ];
        let tunnel: &[(&[u8], &[u8])] =
            &[(b":method", b"CONNECT"), (b":authority", b"example.com:1")];
        let base = [get, connect, tunnel][rng.below(3) as usize];
        let fields = odd(&mut rng, base);
        let mut all = fields.clone();
        let mut bytes = frame(1, &section(&mut rng, &fields));
        bytes.extend(raw::data(b"some"));
        if rng.below(2) == 0 {
            let trailers = odd(&mut rng, &[(b"x-t", b"1")]);
            all.extend(trailers.clone());
            bytes.extend(frame(1, &section(&mut rng, &trailers)));
        }
        if rng.below(4) == 0 {
            bytes.truncate(rng.below(bytes.len() as u64) as usize);
        }
        let id = peer.request(&bytes);
        if peer.closed().is_none() && rng.below(2) == 0 {
            peer.finish(id);
        }
        replay(seed, &mut peer, &all);
    }
}

#[test]
fn odd_responses() {
    for seed in seeds(1_000) {
        let mut rng = Rng::new(seed);
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
        let stream = peer.access().request(&get(), End::Fin).expect("a request");
        peer.drive();
        let mut bytes = Vec::new();
        let mut all = Vec::new();
        for status in [&b"103"[..], b"200"] {
            let fields = odd(&mut rng, &[(b":status", status)]);
            bytes.extend(frame(1, &section(&mut rng, &fields)));
            all.extend(fields);
        }
        bytes.extend(raw::data(b"some"));
        peer.write(stream.id(), &bytes);
        replay(seed, &mut peer, &all);
    }
}
