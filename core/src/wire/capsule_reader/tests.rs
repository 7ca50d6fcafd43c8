use proptest::prelude::*;

use super::*;
use crate::{
    code::Code,
    id::Dir,
    wire::{
        capsule, grease,
        testing::{chunks, hex},
        varint::{self, Head, VarInt},
    },
};

const CLAIMED: CapsuleType = CapsuleType(0x02);
const RULES: CapsuleRules<'_> = CapsuleRules {
    max_datagram: 20,
    webtransport: true,
    claimed: &[(CLAIMED, 30)],
};

fn read_cut(wire: &[u8], cuts: &[usize]) -> (Vec<CapsuleEvent>, Result<(), CapsuleError>) {
    let mut reader = CapsuleReader::new();
    let mut events = Vec::new();
    for mut chunk in chunks(wire, cuts) {
        loop {
            match reader.read(&mut chunk, &RULES) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.read(&mut chunk, &RULES), Err(error), "errors repeat");
                    return (events, Err(error));
                }
            }
        }
        assert!(chunk.is_empty(), "None means the input is used up");
    }
    (events, reader.finish())
}

fn read(wire: &str) -> (Vec<CapsuleEvent>, Result<(), CapsuleError>) {
    read_cut(&hex(wire), &[usize::MAX])
}

// Test-vectors 6.2.
#[test]
fn published_capsules_decode() {
    let reason = Bytes::from_static(b"bye");
    for (wire, want) in [
        (
            "6843 07 00000011 627965",
            Capsule::CloseSession { code: 17, reason },
        ),
        (
            "6843 04 00000000",
            Capsule::CloseSession {
                code: 0,
                reason: Bytes::new(),
            },
        ),
        ("800078ae00", Capsule::DrainSession),
        ("990b4d3f 02 4064", Capsule::MaxStreams(Dir::Bi, 100)),
        ("990b4d40 01 03", Capsule::MaxStreams(Dir::Uni, 3)),
        ("990b4d3d 04 80010000", Capsule::MaxData(65536)),
        ("990b4d41 04 80010000", Capsule::DataBlocked(65536)),
        ("990b4d43 01 03", Capsule::StreamsBlocked(Dir::Bi, 3)),
        ("990b4d44 01 03", Capsule::StreamsBlocked(Dir::Uni, 3)),
        (
            "990b4d3e 02 0409",
            Capsule::MaxStreamData {
                stream: 4,
                limit: 9,
            },
        ),
        (
            "990b4d42 02 0409",
            Capsule::StreamDataBlocked {
                stream: 4,
                limit: 9,
            },
        ),
        ("00 02 6869", Capsule::Datagram(Bytes::from_static(b"hi"))),
        ("00 00", Capsule::Datagram(Bytes::new())),
        (
            "02 01 aa",
            Capsule::Other(CLAIMED, Bytes::from_static(&[0xaa])),
        ),
    ] {
        assert_eq!(
            read(wire),
            (vec![CapsuleEvent::Capsule(want)], Ok(())),
            "{wire}"
        );
    }
}

// Row A17: values that do not match their fields.
#[test]
fn malformed_values_are_message_errors() {
    for wire in [
        "6843 03 000000",
        "800078ae 01 00",
        "990b4d3d 00",
        "990b4d3d 02 0000",
        "990b4d3d 01 40",
        "990b4d3d 09",
        "990b4d3e 01",
        "990b4d3e 03 040900",
        "990b4d3e 02 4000",
    ] {
        let (events, end) = read(wire);
        assert!(events.is_empty());
        assert!(
            matches!(end, Err(CapsuleError::Malformed(_))),
            "{wire}: {end:?}"
        );
        assert_eq!(end.unwrap_err().code(), Code::H3_MESSAGE_ERROR);
    }
}

// Row B16: the message of a close, exactly at the limit and one above.
#[test]
fn close_messages_are_checked() {
    let close = |len: usize, fill: u8| {
        let mut wire = capsule::header(VarInt::from_u32(0x2843), 4 + len).to_vec();
        wire.extend([0, 0, 0, 1]);
        wire.extend(vec![fill; len]);
        wire
    };
    assert_eq!(read_cut(&close(1024, b'x'), &[100]).1, Ok(()));
    let too_long = close(1025, b'x');
    let header_only = &too_long[..4];
    assert_eq!(
        read_cut(header_only, &[1]).1,
        Err(CapsuleError::ReasonTooLong)
    );
    assert_eq!(
        read_cut(&close(3, 0xff), &[2]).1,
        Err(CapsuleError::ReasonNotUtf8)
    );
    for error in [CapsuleError::ReasonTooLong, CapsuleError::ReasonNotUtf8] {
        assert_eq!(error.code(), Code::H3_MESSAGE_ERROR);
    }
}

// Row A17: caps by type.
#[test]
fn oversized_values_are_dropped_or_refused_unseen() {
    let zeros = "00".repeat(21);
    let (events, end) = read(&format!("0015 {zeros} 00 00"));
    let datagram = CapsuleEvent::Capsule(Capsule::Datagram(Bytes::new()));
    assert_eq!(
        events,
        [CapsuleEvent::DatagramDropped { len: 21 }, datagram]
    );
    assert_eq!(end, Ok(()));
    let (events, _) = read(&format!("0014 {}", "00".repeat(20)));
    assert!(matches!(
        events[..],
        [CapsuleEvent::Capsule(Capsule::Datagram(_))]
    ));
    let error = read("02 1f").1.unwrap_err();
    assert_eq!(error, CapsuleError::TooLarge(CLAIMED));
    assert_eq!(error.code(), Code::H3_EXCESSIVE_LOAD);
    assert_eq!(read(&format!("02 1e {}", "00".repeat(30))).1, Ok(()));
}

// Row A5, A17: what nobody defines is counted, whatever its length.
#[test]
fn unknown_capsules_are_skipped_without_a_buffer() {
    let ty = grease::reserved_capsule(12);
    let mut reader = CapsuleReader::new();
    let mut input = Bytes::copy_from_slice(&Head::two(ty, VarInt::MAX));
    let event = reader.read(&mut input, &RULES).unwrap();
    let ty = CapsuleType(ty.get());
    assert_eq!(
        event,
        Some(CapsuleEvent::Skipped {
            ty,
            len: varint::MAX
        })
    );
    assert_eq!(
        reader.read(&mut Bytes::from(vec![0; 5000]), &RULES),
        Ok(None)
    );
    assert!(reader.value.is_none());
    assert_eq!(reader.finish(), Err(CapsuleError::Truncated));
}

#[test]
fn webtransport_capsules_mean_nothing_to_other_protocols() {
    let rules = CapsuleRules {
        webtransport: false,
        ..RULES
    };
    let mut input = Bytes::from(hex("6843 01 00"));
    let event = CapsuleReader::new().read(&mut input, &rules).unwrap();
    let ty = CapsuleType::WT_CLOSE_SESSION;
    assert_eq!(event, Some(CapsuleEvent::Skipped { ty, len: 1 }));
}

fn any_capsule() -> impl Strategy<Value = Vec<u8>> {
    let number = (0..=varint::MAX, 0..62_u32).prop_map(|(n, s)| VarInt::new(n >> s).unwrap());
    prop_oneof![
        ("\\PC{0,100}", any::<u32>()).prop_map(|(reason, code)| {
            let mut out = Vec::new();
            capsule::put_close_session(&mut out, code, &reason).unwrap();
            out
        }),
        (number, 0..6).prop_map(|(number, which)| {
            let mut out = Vec::new();
            match which {
                0 => capsule::put_max_data(&mut out, number),
                1 => capsule::put_data_blocked(&mut out, number),
                2 => capsule::put_max_streams(&mut out, Dir::Bi, number),
                3 => capsule::put_max_streams(&mut out, Dir::Uni, number),
                4 => capsule::put_streams_blocked(&mut out, Dir::Uni, number),
                _ => capsule::put_drain_session(&mut out),
            }
            out
        }),
        (
            prop::sample::select(&[0_u32, 2, 0x17, 0x40, 0x9999][..]),
            0..30_usize
        )
            .prop_map(|(ty, len)| {
                let mut out = capsule::header(VarInt::from_u32(ty), len).to_vec();
                out.resize(out.len() + len, 7);
                out
            }),
    ]
}

proptest! {
    // Row A17: the events do not depend on the chunking.
    #[test]
    fn chunking_does_not_matter(
        capsules in prop::collection::vec(any_capsule(), 0..10),
        cuts in prop::collection::vec(1..40_usize, 1..10),
    ) {
        let wire = capsules.concat();
        let whole = read_cut(&wire, &[usize::MAX]);
        prop_assert_eq!(whole.1, Ok(()));
        prop_assert_eq!(whole.0.len(), capsules.len());
        prop_assert_eq!(&read_cut(&wire, &cuts), &whole);
        prop_assert_eq!(&read_cut(&wire, &[1]), &whole);
    }

    #[test]
    fn a_truncated_capsule_is_never_reported(
        capsule in any_capsule(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(capsule.len());
        let (events, end) = read_cut(&capsule[..at], &[3]);
        prop_assert!(!events.iter().any(|event| matches!(event, CapsuleEvent::Capsule(_))));
        prop_assert_eq!(end, if at == 0 { Ok(()) } else { Err(CapsuleError::Truncated) });
    }

    // Row A20.
    #[test]
    fn random_bytes_give_one_outcome(
        wire in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1..9_usize, 1..10),
        close in any::<bool>(),
    ) {
        let start = if close { hex("6843") } else { Vec::new() };
        let wire = [start, wire].concat();
        prop_assert_eq!(read_cut(&wire, &cuts), read_cut(&wire, &[usize::MAX]));
    }
}
