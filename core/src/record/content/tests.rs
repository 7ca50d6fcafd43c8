use bytes::{Bytes, BytesMut};

use super::*;
use crate::id::Dir;
use crate::wire::capsule::{self, Capsule};
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleReader, CapsuleRules};
use crate::wire::fields::FieldSection;
use crate::wire::frame::StreamKind;
use crate::wire::frame_reader::{FrameEvent, FrameReader, FrameRules};
use crate::wire::qpack::{Decoded, Decoder, Encoder};
use crate::wire::testing::{chunks, hex};
use crate::wire::varint;

mod properties;

const SECRETS: [&str; 4] = ["s3cr3t", "PASSWORD", "anna", "so long"];

/// The bytes of each stream in a replay.
#[derive(Default)]
struct Replay(BTreeMap<StreamId, Vec<u8>>);

impl Replay {
    fn of(&self, id: StreamId) -> &[u8] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Contents, and what came out of them.
struct Recorder {
    contents: Contents,
    replay: Replay,
}

impl Recorder {
    fn new(side: Side) -> Self {
        Self::with(Some(Mask::new([3, 5])), side)
    }

    fn with(mask: Option<Mask>, side: Side) -> Self {
        Self {
            contents: Contents::new(mask, side, &Config::default()),
            replay: Replay::default(),
        }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Contents, Sink<'_>) -> R) -> R {
        let replay = &mut self.replay.0;
        call(&mut self.contents, &mut |id, piece| {
            let bytes = replay.entry(id).or_default();
            match piece {
                Piece::Bytes(more) => bytes.extend_from_slice(more),
                Piece::Filler(len) => bytes.resize(bytes.len() + len as usize, 0),
            }
        })
    }

    fn read(&mut self, id: StreamId, bytes: &[u8]) {
        self.call(|contents, out| contents.read(id, bytes, out));
    }

    fn learn(&mut self, id: StreamId, kind: Kind) {
        self.call(|contents, out| contents.learn(id, kind, out));
    }

    fn end(&mut self, id: StreamId) {
        self.call(|contents, out| contents.end(id, out));
    }

    fn end_all(&mut self) {
        self.call(|contents, out| contents.end_all(out));
    }

    fn of(&self, id: StreamId) -> &[u8] {
        self.replay.of(id)
    }
}

fn id(initiator: Side, dir: Dir, number: u64) -> StreamId {
    StreamId::new(initiator, dir, number)
}

fn request_stream() -> StreamId {
    id(Side::Client, Dir::Bi, 0)
}

fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, ty).unwrap();
    varint::put(&mut out, payload.len() as u64).unwrap();
    out.extend_from_slice(payload);
    out
}

fn encoder() -> Encoder {
    let mut encoder = Encoder::new();
    encoder.set_peer_limits(4096, 16, 4096).unwrap();
    encoder
}

/// A HEADERS frame, and the encoder stream's bytes that it needs.
fn headers(encoder: &mut Encoder, stream: StreamId, lines: &[(&str, &str)]) -> (Vec<u8>, Vec<u8>) {
    let section: FieldSection = lines.iter().copied().collect();
    let (mut encoded, mut inserts) = (BytesMut::new(), BytesMut::new());
    encoder.encode(stream.wire(), &section, &mut encoded);
    encoder.take_output(&mut inserts);
    (frame(0x01, &encoded), inserts.to_vec())
}

const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "example.org"),
    (":path", "/of/anna?key=s3cr3t"),
    ("user-agent", "s3cr3t-agent"),
    ("cookie", "id=PASSWORD; more=PASSWORD"),
];

fn has_secret(bytes: &[u8]) -> bool {
    SECRETS.iter().any(|secret| {
        bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    })
}

fn frames(bytes: &[u8]) -> Vec<FrameEvent> {
    let rules = FrameRules {
        kind: StreamKind::Request,
        receiver: Side::Server,
        max_section: 16 * 1024,
        max_control: 4096,
    };
    let mut input = Bytes::copy_from_slice(bytes);
    let mut reader = FrameReader::new();
    std::iter::from_fn(|| reader.read(&mut input, &rules).unwrap()).collect()
}

fn content(bytes: &[u8]) -> Vec<u8> {
    let data = |event| match event {
        FrameEvent::Data(bytes) => Some(bytes),
        _ => None,
    };
    frames(bytes)
        .into_iter()
        .filter_map(data)
        .flatten()
        .collect()
}

#[test]
fn a_request_waits_for_its_insertions_and_its_kind() {
    let mut recorder = Recorder::new(Side::Server);
    let (stream, inserts) = (request_stream(), id(Side::Client, Dir::Uni, 0));
    let (head, table) = headers(&mut encoder(), stream, REQUEST);
    let body = frame(0x00, b"my PASSWORD");
    let sent = [&head[..], &body].concat();
    recorder.read(stream, &sent);
    assert_eq!(recorder.of(stream), &head[..2], "the section waits");
    recorder.end(stream);
    let table = [&[0x02], &table[..]].concat();
    let (most, last) = table.split_at(table.len() - 1);
    recorder.read(inserts, most);
    assert_eq!(
        recorder.of(stream).len(),
        2,
        "the last insertion is not there"
    );
    recorder.read(inserts, last);
    assert_eq!(
        recorder.of(stream).len(),
        head.len() + 2,
        "the content waits"
    );
    recorder.learn(stream, Kind::Exchange);

    assert_eq!(recorder.of(inserts).len(), table.len());
    assert_eq!(recorder.of(stream).len(), sent.len());
    assert_eq!(content(recorder.of(stream)), [0; 11]);
    assert!(!has_secret(recorder.of(stream)) && !has_secret(recorder.of(inserts)));
    let mut decoder = Decoder::new(4096, 16);
    decoder
        .handle_encoder_stream(&recorder.of(inserts)[1..])
        .unwrap();
    let FrameEvent::Headers(section) = frames(recorder.of(stream)).remove(0) else {
        panic!("no section")
    };
    let Decoded::Section(fields) = decoder.decode(0, &section, 4096).unwrap() else {
        panic!("blocked")
    };
    for (line, (name, value)) in fields.iter().zip(REQUEST) {
        assert_eq!(
            (line.name, line.value.len()),
            (name.as_bytes(), value.len())
        );
        let kept = [":method", ":scheme", ":authority"].contains(name);
        assert_eq!(line.value == value.as_bytes(), kept, "{name}");
    }
    assert!(
        recorder.contents.streams.len() == 1,
        "only the encoder stream is left"
    );
}

fn session_stream(cuts: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let mut capsules = Vec::new();
    capsules.extend(frame(0x00, b"PASSWORD of anna"));
    capsule::put_max_data(&mut capsules, varint::VarInt::from_u32(70_000));
    capsules.extend(frame(0x1234, b"s3cr3t extension"));
    capsule::put_drain_session(&mut capsules);
    capsule::put_close_session(&mut capsules, 77, "so long, anna").unwrap();
    let mut sent = headers(&mut Encoder::new(), request_stream(), REQUEST).0;
    for (number, chunk) in chunks(&capsules, cuts).iter().enumerate() {
        sent.extend(frame(0x00, chunk));
        if number % 3 == 0 {
            sent.extend(frame(0x21, b"s3cr3t padding"));
        }
    }
    (sent, capsules)
}

fn read_capsules(bytes: &[u8]) -> Vec<CapsuleEvent> {
    let rules = CapsuleRules {
        max_datagram: 1024,
        webtransport: true,
        claimed: &[],
    };
    let (mut reader, mut input) = (CapsuleReader::new(), Bytes::copy_from_slice(bytes));
    std::iter::from_fn(|| reader.read(&mut input, &rules).unwrap()).collect()
}

#[test]
fn a_session_keeps_its_capsules_and_not_what_they_carry() {
    for cuts in [&[1000][..], &[1], &[3, 5, 2]] {
        let mut recorder = Recorder::new(Side::Server);
        let (stream, (sent, capsules)) = (request_stream(), session_stream(cuts));
        recorder.read(stream, &sent);
        recorder.learn(stream, Kind::Session);
        assert_eq!(recorder.of(stream).len(), sent.len());
        let (before, after) = (frames(&sent), frames(recorder.of(stream)));
        assert_eq!(before.len(), after.len());
        let events = read_capsules(&content(recorder.of(stream)));
        let mut expected = read_capsules(&capsules);
        let reason = Mask::new([3, 5]).text(b"so long, anna");
        expected[0] = CapsuleEvent::Capsule(Capsule::Datagram(vec![0; 16].into()));
        expected[4] = CapsuleEvent::Capsule(Capsule::CloseSession {
            code: 77,
            reason: reason.into(),
        });
        assert_eq!(events, expected);
        assert!(!has_secret(&content(recorder.of(stream))));
    }
}

#[test]
fn what_stands_between_a_messages_parts_is_bounded() {
    let mut recorder = Recorder::new(Side::Server);
    let stream = request_stream();
    let mut close = Vec::new();
    capsule::put_close_session(&mut close, 1, "so long").unwrap();
    let mut sent = headers(&mut Encoder::new(), stream, REQUEST).0;
    recorder.learn(stream, Kind::Session);
    sent.extend(frame(0x00, &close[..10]));
    for _ in 0..20_000 {
        sent.extend(frame(0x00, b""));
    }
    recorder.read(stream, &sent);
    recorder.learn(stream, Kind::Session);
    assert_eq!(recorder.of(stream).len(), sent.len(), "given up");
    recorder.read(stream, &frame(0x00, &close[10..]));
    let events = read_capsules(&content(recorder.of(stream)));
    let closed = Capsule::CloseSession {
        code: 1,
        reason: vec![0; 7].into(),
    };
    assert_eq!(events, [CapsuleEvent::Capsule(closed)]);
}

#[test]
fn a_refusal_is_not_read_as_capsules() {
    let text = frame(0x00, b"00000000 PASSWORD");
    for (status, kept) in [("404", false), ("200", true)] {
        let mut recorder = Recorder::new(Side::Client);
        let stream = request_stream();
        recorder.learn(stream, Kind::Session);
        let early = headers(&mut Encoder::new(), stream, &[(":status", "103")]).0;
        let head = headers(&mut Encoder::new(), stream, &[(":status", status)]).0;
        recorder.read(stream, &[&early[..], &head, &text].concat());
        let content = content(recorder.of(stream));
        assert_eq!(content.starts_with(b"00"), kept);
        assert!(!has_secret(&content));
    }
}

#[test]
fn control_frames_are_kept_and_unknown_ones_are_not() {
    let mut recorder = Recorder::new(Side::Server);
    let stream = id(Side::Client, Dir::Uni, 0);
    let known = [
        frame(0x04, &hex("0100 3301 4a4bdeadbeef")),
        frame(0xf0700, b"\x00u=3, i"),
        // Integers may be longer than they need to be.
        hex("4007 800000 01 04"),
    ];
    let sent = [&[0x00], &known.concat()[..], &frame(0x21, b"s3cr3t")].concat();
    recorder.read(stream, &sent);
    let expected = [&[0x00], &known.concat()[..], &frame(0x21, &[0; 6])].concat();
    assert_eq!(recorder.of(stream), expected);
    recorder.read(stream, &frame(0x04, &[b'x'; 5000]));
    assert!(
        recorder.of(stream).ends_with(&[0; 5000]),
        "longer than we take"
    );
}

#[test]
fn data_streams_keep_their_session_only() {
    let mut recorder = Recorder::new(Side::Server);
    let opened = id(Side::Server, Dir::Bi, 0);
    for (stream, sent, kept) in [
        (
            id(Side::Client, Dir::Bi, 1),
            "4041 4004 616263",
            "4041 4004 000000",
        ),
        (
            id(Side::Client, Dir::Uni, 1),
            "4054 04 616263",
            "4054 04 000000",
        ),
        (id(Side::Client, Dir::Uni, 2), "21 616263", "21 000000"),
        (id(Side::Client, Dir::Uni, 3), "03 8184", "03 8184"),
        (id(Side::Client, Dir::Uni, 4), "c0000000", "c0000000"),
        (opened, "010203", "000000"),
    ] {
        recorder.read(stream, &hex(sent));
        if stream == opened {
            assert_eq!(recorder.of(stream), []);
            recorder.learn(stream, Kind::Data);
        }
        assert_eq!(recorder.of(stream), hex(kept));
        recorder.end(stream);
    }
    assert!(recorder.contents.streams.is_empty());
    let config = Config {
        webtransport: false,
        ..Config::default()
    };
    recorder.contents = Contents::new(Some(Mask::new([0, 0])), Side::Server, &config);
    let stream = id(Side::Client, Dir::Bi, 9);
    recorder.read(stream, &hex("4041 04 61626364"));
    assert_eq!(
        recorder.of(stream),
        hex("4041 00 00000000"),
        "nothing is read behind it"
    );
}

#[test]
fn the_end_counts_what_never_became_whole() {
    let mut recorder = Recorder::new(Side::Server);
    let (one, two, three) = (
        request_stream(),
        id(Side::Client, Dir::Bi, 1),
        id(Side::Client, Dir::Bi, 2),
    );
    recorder.read(one, &hex("01 4010 616263"));
    assert_eq!(recorder.of(one), hex("01 4010"));
    recorder.end(one);
    assert_eq!(recorder.of(one), hex("01 4010 000000"));
    // Its content is of a kind that nobody tells.
    recorder.read(two, &hex("01 02 0000 00 03 616263"));
    recorder.end(two);
    // Its section waits for ever, and so does what stands for it.
    let (head, _) = headers(&mut encoder(), three, REQUEST);
    recorder.read(three, &head);
    recorder.end_all();
    assert_eq!(recorder.of(two), hex("01 02 0000 00 03 000000"));
    assert_eq!(recorder.of(three).len(), head.len());
    assert_eq!(recorder.of(three)[..4], head[..4]);
    assert_eq!(recorder.of(three)[4..], vec![0; head.len() - 4]);
}

#[test]
fn too_much_that_waits_is_given_up() {
    let mut recorder = Recorder::new(Side::Server);
    let stream = request_stream();
    recorder.read(stream, &hex("01 02 0000"));
    recorder.read(stream, &frame(0x00, &[b'x'; 60_000]));
    let waiting = recorder.of(stream).len();
    recorder.read(stream, &frame(0x00, &[b'x'; 10_000]));
    assert!(recorder.of(stream).len() > waiting + 70_000);
    // That it is a session comes too late for its capsules.
    recorder.learn(stream, Kind::Session);
    recorder.read(stream, &frame(0x00, b"00 PASSWORD"));
    assert!(content(recorder.of(stream)).iter().all(|byte| *byte == 0));
    // So many streams may be over without being told what they were.
    for number in 1..40 {
        let stream = id(Side::Client, Dir::Bi, number);
        recorder.read(stream, &hex("01 02 0000 00 01 61"));
        recorder.end(stream);
    }
    assert_eq!(recorder.contents.streams.len(), 1 + MAX_ENDED);
}

#[test]
fn without_a_mask_everything_passes() {
    let mut recorder = Recorder::with(None, Side::Server);
    let (sent, _) = session_stream(&[4]);
    recorder.read(request_stream(), &sent);
    recorder.learn(request_stream(), Kind::Session);
    recorder.end(request_stream());
    recorder.end_all();
    assert_eq!(recorder.of(request_stream()), sent);
}
