//! Whatever is read: as many bytes come out, and a replay reads the same structure.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::wire::testing::chunks;

/// All streams of a connection, each in chunks, the encoder stream last.
fn connection(cuts: &[usize]) -> Replay {
    let mut recorder = Recorder::new(Side::Server);
    let mut encoder = encoder();
    let mut inserts = vec![0x02];
    let session = id(Side::Client, Dir::Bi, 7);
    let mut sent = vec![(session, session_stream(&[7, 30]).0)];
    for number in 0..3 {
        let stream = id(Side::Client, Dir::Bi, number);
        let (head, table) = headers(&mut encoder, stream, REQUEST);
        let (trailers, more) = headers(
            &mut encoder,
            stream,
            &[("x-sum", "s3cr3t"), ("x-sum", "s3cr3t")],
        );
        inserts.extend(table);
        inserts.extend(more);
        sent.push((
            stream,
            [&head[..], &frame(0x00, b"PASSWORD"), &trailers].concat(),
        ));
    }
    sent.push((id(Side::Client, Dir::Uni, 0), inserts));
    for (stream, bytes) in &sent {
        for chunk in chunks(bytes, cuts) {
            recorder.read(*stream, &chunk);
        }
        if stream.dir() == Dir::Bi {
            recorder.learn(
                *stream,
                if *stream == session {
                    Kind::Session
                } else {
                    Kind::Exchange
                },
            );
            recorder.end(*stream);
        }
    }
    recorder.end_all();
    for (stream, bytes) in &sent {
        assert_eq!(recorder.of(*stream).len(), bytes.len());
        assert!(!has_secret(recorder.of(*stream)));
    }
    recorder.replay
}

/// What the frames of a request stream are, as far as a replay has to agree.
fn shape(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let rules = FrameRules {
        kind: StreamKind::Request,
        receiver: Side::Server,
        max_section: 16 * 1024,
        max_control: 4096,
    };
    let capsule_rules = CapsuleRules {
        max_datagram: 8,
        webtransport: true,
        claimed: &[],
    };
    let mut input = Bytes::copy_from_slice(bytes);
    let (mut reader, mut content) = (FrameReader::new(), BytesMut::new());
    let (mut frames, mut capsules) = (Vec::new(), Vec::new());
    loop {
        match reader.read(&mut input, &rules) {
            Ok(Some(FrameEvent::Data(bytes))) => content.extend(bytes),
            Ok(Some(FrameEvent::Headers(section))) => {
                let decoded = Decoder::new(0, 0).decode(0, &section, 4096);
                frames.push(match decoded {
                    Ok(Decoded::Section(fields)) => {
                        format!("{} lines of {}", fields.len(), fields.size())
                    }
                    other => format!("{other:?}"),
                });
            }
            Ok(Some(other)) => frames.push(format!("{other:?}")),
            Ok(None) => break,
            Err(error) => {
                frames.push(error.to_string());
                break;
            }
        }
    }
    frames.push(format!("{:?}", reader.finish()));
    let (mut reader, mut content) = (CapsuleReader::new(), content.freeze());
    loop {
        match reader.read(&mut content, &capsule_rules) {
            Ok(Some(CapsuleEvent::Capsule(Capsule::Datagram(bytes)))) => {
                capsules.push(format!("datagram of {}", bytes.len()));
            }
            Ok(Some(CapsuleEvent::Capsule(Capsule::CloseSession { code, reason }))) => {
                capsules.push(format!("close {code}, {} bytes", reason.len()));
                // Whatever follows is an error.
                return (frames, capsules);
            }
            Ok(Some(other)) => capsules.push(format!("{other:?}")),
            Ok(None) => break,
            Err(error) => {
                capsules.push(error.to_string());
                break;
            }
        }
    }
    capsules.push(format!("{:?}", reader.finish()));
    (frames, capsules)
}

/// Frames that may be anything, and capsules in them.
fn any_frames() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(prop_oneof![any::<u8>(), 0..0x60_u8], 0..12);
    let capsule_type = prop_oneof![
        Just(0),
        Just(0x2843),
        Just(0x78ae),
        0x190b_4d3d..0x190b_4d45_u64,
        0..99_u64
    ];
    let capsule = (capsule_type, bytes()).prop_map(|(ty, value)| frame(ty, &value));
    let content = (capsule, any::<prop::sample::Index>()).prop_map(|(capsule, cut)| {
        let (one, two) = capsule.split_at(cut.index(capsule.len()));
        [frame(0x00, one), frame(0x00, two)].concat()
    });
    let section = bytes().prop_map(|lines| frame(0x01, &[&[0, 0], &lines[..]].concat()));
    let other = (0..0x20_u64, bytes()).prop_map(|(ty, payload)| frame(ty, &payload));
    let one = prop_oneof![4 => content, 2 => section, 1 => other, 1 => bytes()];
    prop::collection::vec(one, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn a_replay_reads_frames_and_capsules_of_the_same_shape(
        frames in any_frames(),
        session in any::<bool>(),
        cuts in prop::collection::vec(1..30_usize, 1..6),
    ) {
        let mut recorder = Recorder::new(Side::Server);
        // No peer's stream begins with the signal here.
        let sent = [&frame(0x01, &[0, 0, 0xd1])[..], &frames].concat();
        for chunk in chunks(&sent, &cuts) {
            recorder.read(request_stream(), &chunk);
        }
        recorder.learn(request_stream(), if session { Kind::Session } else { Kind::Exchange });
        recorder.end_all();
        let (before, after) = (shape(&sent), shape(recorder.of(request_stream())));
        prop_assert_eq!(before.0, after.0);
        if session {
            prop_assert_eq!(before.1, after.1);
        }
    }

    #[test]
    fn chunking_does_not_matter(cuts in prop::collection::vec(1..40_usize, 1..12)) {
        prop_assert_eq!(connection(&cuts).0, connection(&[usize::MAX]).0);
    }

    #[test]
    fn any_bytes_keep_their_number(
        server in any::<bool>(),
        steps in prop::collection::vec(
            (0..12_u64, 0..5_u8, prop::collection::vec(prop_oneof![any::<u8>(), 0..5_u8, Just(0x41)], 0..60)),
            0..40,
        ),
    ) {
        let mut recorder = Recorder::new(if server { Side::Server } else { Side::Client });
        let mut sent: BTreeMap<StreamId, usize> = BTreeMap::new();
        for (stream, step, bytes) in steps {
            let stream = StreamId::from_wire(stream).unwrap();
            match step {
                0 => recorder.learn(stream, [Kind::Exchange, Kind::Session, Kind::Data][bytes.len() % 3]),
                1 if bytes.len() > 50 => recorder.end(stream),
                _ => {
                    recorder.read(stream, &bytes);
                    *sent.entry(stream).or_default() += bytes.len();
                }
            }
        }
        recorder.end_all();
        for (stream, len) in sent {
            prop_assert_eq!(recorder.of(stream).len(), len);
        }
        prop_assert!(recorder.contents.streams.is_empty());
    }
}
