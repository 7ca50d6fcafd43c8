use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::code::Code;
use crate::wire::{
    grease,
    testing::{chunks, code, hex},
    varint::VarInt,
};

const REQUEST: FrameRules = FrameRules {
    kind: StreamKind::Request,
    receiver: Side::Server,
    max_section: 100,
    max_control: 50,
};
const CONTROL: FrameRules = FrameRules {
    kind: StreamKind::Control,
    ..REQUEST
};
const AT_CLIENT: FrameRules = FrameRules {
    receiver: Side::Client,
    ..REQUEST
};

/// Reads all of `wire`, cut up; content in a row is joined, so that equal
/// meaning compares equal. Then the stream ends.
fn read_cut(
    wire: &[u8],
    cuts: &[usize],
    rules: &FrameRules,
) -> (Vec<FrameEvent>, Result<(), FrameError>) {
    let mut reader = FrameReader::new();
    let mut events = Vec::new();
    for mut chunk in chunks(wire, cuts) {
        loop {
            match reader.read(&mut chunk, rules) {
                Ok(Some(FrameEvent::Data(more))) => {
                    assert!(!more.is_empty());
                    if let Some(FrameEvent::Data(joined)) = events.last_mut() {
                        *joined = [&joined[..], &more].concat().into();
                    } else {
                        events.push(FrameEvent::Data(more));
                    }
                }
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.read(&mut chunk, rules), Err(error), "errors repeat");
                    assert_eq!(reader.finish(), Err(error));
                    return (events, Err(error));
                }
            }
        }
        assert!(chunk.is_empty(), "None means the input is used up");
    }
    (events, reader.finish())
}

fn read(wire: &str, rules: &FrameRules) -> (Vec<FrameEvent>, Result<(), FrameError>) {
    read_cut(&hex(wire), &[usize::MAX], rules)
}

fn bytes(text: &str) -> Bytes {
    hex(text).into()
}

// Test-vectors 5: what a server's control stream reads, in one go.
#[test]
fn a_control_stream_yields_its_frames() {
    let wire = "0400 070100 0708ffffffffffffffff 800f0700 04 00 753d30 0d0103 030102 21 03 616263";
    let (events, end) = read(wire, &CONTROL);
    let value = Bytes::from_static(b"u=0");
    let want = [
        FrameEvent::Settings(Bytes::new()),
        FrameEvent::Goaway(0),
        FrameEvent::Goaway(varint::MAX),
        FrameEvent::PriorityUpdate {
            push: false,
            id: 0,
            value,
        },
        FrameEvent::MaxPushId(3),
        FrameEvent::CancelPush(2),
        FrameEvent::UnknownStart { ty: 0x21, len: 3 },
    ];
    assert_eq!(events, want);
    assert_eq!(end, Ok(()));
    let client = FrameRules {
        receiver: Side::Client,
        ..CONTROL
    };
    let origin = "001368747470733a2f2f6578616d706c652e636f6d";
    let (events, _) = read(&format!("0400 0708fffffffffffffffc 0c15 {origin}"), &client);
    assert_eq!(
        events[1..],
        [
            FrameEvent::Goaway(varint::MAX - 3),
            FrameEvent::Origin(bytes(origin))
        ]
    );
}

#[test]
fn a_request_stream_yields_head_content_and_trailers() {
    let (events, end) = read("01020000 0003616263 0000 407e0178 01010f", &REQUEST);
    let want = [
        FrameEvent::Headers(bytes("0000")),
        FrameEvent::DataStart { len: 3 },
        FrameEvent::Data(bytes("616263")),
        FrameEvent::DataStart { len: 0 },
        FrameEvent::UnknownStart { ty: 0x7e, len: 1 },
        FrameEvent::Headers(bytes("0f")),
    ];
    assert_eq!(events, want);
    assert_eq!(end, Ok(()));
    let (events, _) = read("0503 05 0000", &AT_CLIENT);
    assert_eq!(
        events,
        [FrameEvent::PushPromise {
            id: 5,
            section: bytes("0000")
        }]
    );
}

#[test]
fn content_and_whole_sections_are_slices_of_the_input() {
    let wire = Bytes::from(hex("010300d1d7 0004aabbccdd"));
    let range = wire.as_ptr_range();
    let mut input = wire.clone();
    let mut reader = FrameReader::new();
    let mut slices = 0;
    while let Some(event) = reader.read(&mut input, &REQUEST).unwrap() {
        if let FrameEvent::Headers(slice) | FrameEvent::Data(slice) = event {
            assert!(range.contains(&slice.as_ptr()));
            slices += 1;
        }
    }
    assert_eq!(slices, 2);
}

#[test]
fn a_type_in_the_wrong_place_is_refused_before_its_length() {
    for (ty, rules) in [
        ("02", &REQUEST),
        ("06", &REQUEST),
        ("08", &REQUEST),
        ("09", &REQUEST),
        ("04", &REQUEST),
        ("05", &REQUEST),
        ("07", &REQUEST),
        ("800f0700", &REQUEST),
        ("0400 00", &CONTROL),
        ("0400 01", &CONTROL),
        ("0400 04", &CONTROL),
        ("0400 06", &CONTROL),
        ("0400 0c", &CONTROL),
        (
            "0400 0d",
            &FrameRules {
                receiver: Side::Client,
                ..CONTROL
            },
        ),
        (
            "05",
            &FrameRules {
                kind: StreamKind::Push,
                ..AT_CLIENT
            },
        ),
    ] {
        let (_, end) = read(ty, rules);
        assert!(
            matches!(end, Err(FrameError::Unexpected(_))),
            "{ty}: {end:?}"
        );
        assert_eq!(code(end.unwrap_err()), Code::H3_FRAME_UNEXPECTED);
    }
}

// Row A3.
#[test]
fn a_control_stream_without_settings_first_is_refused() {
    for ty in ["07", "21", "01", "4041"] {
        let error = read(ty, &CONTROL).1.unwrap_err();
        assert!(matches!(error, FrameError::MissingSettings(_)));
        assert_eq!(code(error), Code::H3_MISSING_SETTINGS);
    }
}

#[test]
fn the_webtransport_signal_inside_a_stream_is_a_frame_error() {
    for (wire, rules) in [("0000 4041", &REQUEST), ("0400 4041", &CONTROL)] {
        assert_eq!(read(wire, rules).1, Err(FrameError::Signal));
    }
    assert_eq!(code(FrameError::Signal), Code::H3_FRAME_ERROR);
}

#[test]
fn payloads_must_match_their_fields() {
    for wire in [
        "0700",
        "07020000",
        "0702 40",
        "0709",
        "0300",
        "0d020101",
        "800f0700 00",
    ] {
        let wire = format!("0400 {wire}");
        let (events, end) = read(&wire, &CONTROL);
        if wire.ends_with("0702 40") {
            assert_eq!(end, Err(FrameError::Truncated));
        } else {
            assert!(
                matches!(end, Err(FrameError::Malformed(_))),
                "{wire}: {end:?}"
            );
        }
        assert_eq!(events.len(), 1);
        assert_eq!(code(end.unwrap_err()), Code::H3_FRAME_ERROR);
    }
    assert!(matches!(
        read("0400 0701 40", &CONTROL).1,
        Err(FrameError::Malformed(_))
    ));
    assert!(matches!(
        read("0501 40", &AT_CLIENT).1,
        Err(FrameError::Malformed(_))
    ));
}

// Row A10: exactly at the cap passes, one more is refused on its length alone,
// with nothing of the payload present.
#[test]
fn caps_trip_at_the_first_byte_above() {
    for (ty, cap, rules) in [
        (0x01, 100, &REQUEST),
        (0x05, 108, &AT_CLIENT),
        (0x04, 50, &CONTROL),
    ] {
        let header = |len: u32| {
            let mut wire = Vec::new();
            VarInt::from_u32(ty).put(&mut wire);
            VarInt::from_u32(len).put(&mut wire);
            wire
        };
        let mut whole = header(cap);
        whole.put_bytes(0, cap as usize);
        let (events, end) = read_cut(&whole, &[7], rules);
        assert_eq!((events.len(), end), (1, Ok(())));
        let (events, end) = read_cut(&header(cap + 1), &[1], rules);
        assert!(events.is_empty());
        let ty = FrameType(u64::from(ty));
        assert_eq!(
            end,
            Err(FrameError::TooLarge {
                ty,
                len: u64::from(cap + 1)
            })
        );
        assert_eq!(code(end.unwrap_err()), Code::H3_EXCESSIVE_LOAD);
    }
}

// Row A10, row A20: a cap far above what arrives does not allocate the
// declared length.
#[test]
fn the_declared_length_is_never_allocated() {
    let rules = FrameRules {
        max_section: 1 << 40,
        ..REQUEST
    };
    let mut wire = hex("01");
    VarInt::new(1 << 39).unwrap().put(&mut wire);
    wire.extend([0; 100]);
    let mut reader = FrameReader::new();
    for mut chunk in chunks(&wire, &[10]) {
        assert_eq!(reader.read(&mut chunk, &rules), Ok(None));
    }
    let State::Gather { gather, .. } = &reader.state else {
        panic!("{reader:?}")
    };
    let (len, capacity) = gather.held();
    assert_eq!(len, 100);
    assert!(capacity <= 256, "{capacity}");
}

// Row A5: unknown frames of any length are counted, not kept.
#[test]
fn a_huge_unknown_frame_is_skipped_in_place() {
    let mut wire = Vec::new();
    grease::reserved(99).put(&mut wire);
    VarInt::MAX.put(&mut wire);
    let mut reader = FrameReader::new();
    let mut input = Bytes::from(wire);
    let ty = grease::reserved(99).get();
    let start = FrameEvent::UnknownStart {
        ty,
        len: varint::MAX,
    };
    assert_eq!(reader.read(&mut input, &REQUEST), Ok(Some(start)));
    let mut more = Bytes::from(vec![0; 10_000]);
    assert_eq!(reader.read(&mut more, &REQUEST), Ok(None));
    assert!(more.is_empty());
    assert_eq!(reader.finish(), Err(FrameError::Truncated));
}

#[test]
fn an_empty_frame_ends_where_it_begins() {
    for wire in ["2100", "0000"] {
        let mut reader = FrameReader::new();
        let mut input = bytes(wire);
        let start = reader.read(&mut input, &REQUEST);
        assert!(matches!(start, Ok(Some(_))), "{start:?}");
        assert!(reader.at_boundary(), "{wire}");
        assert_eq!(reader.finish(), Ok(()), "{wire}");
    }
}

// Row A15.
#[test]
fn a_type_read_ahead_joins_in() {
    let mut reader = FrameReader::after_type(0x01, &REQUEST).unwrap();
    assert!(!reader.at_boundary());
    let event = reader
        .read(&mut Bytes::from_static(&[1, 9]), &REQUEST)
        .unwrap();
    assert_eq!(event, Some(FrameEvent::Headers(Bytes::from_static(&[9]))));
    assert!(reader.at_boundary());
    let refused = FrameReader::after_type(0x04, &REQUEST).unwrap_err();
    assert_eq!(refused, FrameError::Unexpected(FrameType::SETTINGS));
}

#[test]
fn the_reader_is_small() {
    assert!(
        size_of::<FrameReader>() <= 64,
        "{}",
        size_of::<FrameReader>()
    );
}

/// A well-formed frame for a request stream.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let ty = prop_oneof![
        Just(0_u64),
        Just(1),
        (0..9_u64).prop_map(|n| grease::reserved(n).get())
    ];
    (ty, prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(ty, payload)| {
        let mut wire = Vec::new();
        VarInt::new(ty).unwrap().put(&mut wire);
        VarInt::of_len(payload.len()).put(&mut wire);
        wire.extend(payload);
        wire
    })
}

proptest! {
    // Row A5: the events do not depend on the chunking.
    #[test]
    fn chunking_does_not_matter(
        frames in prop::collection::vec(any_frame(), 0..8),
        cuts in prop::collection::vec(1..40_usize, 1..10),
    ) {
        let wire = frames.concat();
        let whole = read_cut(&wire, &[usize::MAX], &REQUEST);
        prop_assert_eq!(whole.1, Ok(()));
        prop_assert_eq!(&read_cut(&wire, &cuts, &REQUEST), &whole);
        prop_assert_eq!(&read_cut(&wire, &[1], &REQUEST), &whole);
    }

    // Row A20: a cut frame never completes, and its end is an error.
    #[test]
    fn a_truncated_frame_is_never_reported(frame in any_frame(), at in any::<prop::sample::Index>()) {
        let at = at.index(frame.len());
        let (events, end) = read_cut(&frame[..at], &[3], &REQUEST);
        prop_assert!(!events.iter().any(|event| matches!(event, FrameEvent::Headers(_))));
        let want = if at == 0 { Ok(()) } else { Err(FrameError::Truncated) };
        prop_assert_eq!(end, want);
    }

    // Row A20: random bytes, any rules, any chunking: same outcome, no panic.
    #[test]
    fn random_bytes_give_one_outcome(
        wire in prop::collection::vec(prop_oneof![0..16_u8, any::<u8>()], 0..200),
        cuts in prop::collection::vec(1..9_usize, 1..10),
        kind in prop::sample::select(&[StreamKind::Control, StreamKind::Request, StreamKind::Push][..]),
        receiver in prop::sample::select(&[Side::Client, Side::Server][..]),
    ) {
        let rules = FrameRules { kind, receiver, ..REQUEST };
        let whole = read_cut(&wire, &[usize::MAX], &rules);
        prop_assert_eq!(read_cut(&wire, &cuts, &rules), whole);
    }
}
