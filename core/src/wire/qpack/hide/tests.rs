use proptest::prelude::*;

use super::super::tests::hex;
use super::super::{Decoded, Decoder, Encoder};
use super::*;
use crate::record::mask::Mask;
use crate::wire::fields::FieldSection;

const CAPACITY: u64 = 400;

fn hidden(name: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
    Mask::new([1, 2]).field(name, value)
}

/// An encoder and the section of each request, with all that it sends.
struct Peer {
    encoder: Encoder,
    stream: u64,
}

impl Peer {
    fn new() -> Self {
        let mut encoder = Encoder::new();
        encoder.set_peer_limits(CAPACITY, 16, CAPACITY).unwrap();
        Self { encoder, stream: 0 }
    }

    /// Bytes of the encoder stream, and the encoded section.
    fn encode(&mut self, section: &FieldSection) -> (Vec<u8>, Vec<u8>) {
        let (mut inserts, mut encoded) = (BytesMut::new(), BytesMut::new());
        self.encoder.encode(self.stream, section, &mut encoded);
        self.encoder.take_output(&mut inserts);
        self.stream += 4;
        (inserts.to_vec(), encoded.to_vec())
    }
}

fn section(lines: &[(&str, &str)]) -> FieldSection {
    lines.iter().copied().collect()
}

fn rewritten(hider: &mut Hider, inserts: &[u8], encoded: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stream, mut out) = (Vec::new(), Vec::new());
    hider.encoder_stream(inserts, &mut stream, &hidden);
    hider.section(encoded, hider.inserted(), &mut out, &hidden);
    (stream, out)
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    let mut coded = BytesMut::new();
    huffman::encode(secret.as_bytes(), &mut coded);
    let plain = bytes
        .windows(secret.len())
        .any(|part| part == secret.as_bytes());
    // The last coded byte may be shared with what follows.
    let coded = &coded[..coded.len() - 1];
    plain || bytes.windows(coded.len()).any(|part| part == coded)
}

#[test]
fn requests_keep_their_shape_and_lose_their_secrets() {
    let (mut peer, mut hider) = (Peer::new(), Hider::new(CAPACITY));
    let mut decoder = Decoder::new(CAPACITY, 16);
    let mut masks = std::collections::BTreeMap::new();
    for i in 0..30 {
        let secret = format!(
            "s3cr3t-of-{}-{}",
            ["anna", "berta"][i % 2],
            "x".repeat(i % 5)
        );
        let mut request = section(&[
            (":method", "GET"),
            (":authority", "example.org"),
            (":path", &format!("/private/{secret}")),
            ("user-agent", "agent-smith/1.0"),
            ("content-length", "1234"),
            ("x-token", &secret),
            ("server", &secret),
            ("x-binary", "\u{1}\u{2}qzj~\u{7f}"),
        ]);
        request.push_never_indexed(b"authorization", format!("Bearer {secret}").as_bytes());
        let (inserts, encoded) = peer.encode(&request);
        let (new_inserts, new_encoded) = rewritten(&mut hider, &inserts, &encoded);
        assert_eq!(
            (new_inserts.len(), new_encoded.len()),
            (inserts.len(), encoded.len())
        );
        for secret in [
            &secret, "s3cr3t", "anna", "berta", "private", "Bearer", "smith",
        ] {
            assert!(!contains(&new_inserts, secret) && !contains(&new_encoded, secret));
        }
        decoder.handle_encoder_stream(&new_inserts).unwrap();
        let decoded = decoder.decode(4 * i as u64, &new_encoded, 4096).unwrap();
        let Decoded::Section(decoded) = decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!(decoded.len(), request.len());
        for (line, masked) in request.iter().zip(&decoded) {
            assert_eq!(
                (line.name, line.value.len()),
                (masked.name, masked.value.len())
            );
            let kept = [&b":method"[..], b":authority", b"content-length"].contains(&line.name);
            assert_eq!(kept, line.value == masked.value, "{line:?} {masked:?}");
            // Equal values stay equal and others different, over all requests.
            let before = masks.insert(masked.value.to_vec(), line.value.to_vec());
            assert!(before.is_none_or(|before| before == line.value));
        }
    }
    assert!(hider.inserted() > 4, "the dynamic table was in use");
}

#[test]
fn a_section_says_what_it_waits_for() {
    let (mut peer, mut hider) = (Peer::new(), Hider::new(CAPACITY));
    let (inserts, encoded) = peer.encode(&section(&[("user-agent", "one"), ("server", "two")]));
    assert_eq!(hider.required(&encoded), Some(2));
    let mut out = Vec::new();
    hider.encoder_stream(&inserts, &mut out, &hidden);
    assert_eq!(hider.inserted(), 2);
    assert_eq!(hider.required(&[0, 0]), Some(0));
    assert_eq!(hider.required(&[0xff]), None);
    // Whoever reads this still waits, with nothing to read.
    let waiting = Hider::new(CAPACITY);
    out.clear();
    waiting.waiting_section(&encoded, 0, &mut out);
    assert_eq!(out.len(), encoded.len());
    assert_eq!(waiting.required(&out), Some(2));
    assert_eq!(out[2..], vec![0; out.len() - 2]);
}

#[test]
fn lengths_are_copied_however_they_are_written() {
    // A capacity of 100; x-a: "secret", the value's length 6 in five bytes.
    let inserts = hex("3f45 43782d61 7f 87808000");
    let inserts = [&inserts[..], b"s".repeat(134).as_slice()].concat();
    let mut hider = Hider::new(1000);
    let mut out = Vec::new();
    hider.encoder_stream(&hex("3fc906"), &mut out, &hidden);
    out.clear();
    hider.encoder_stream(&inserts[2..], &mut out, &hidden);
    assert_eq!(hider.inserted(), 1);
    assert_eq!(out[..9], inserts[2..11]);
    assert!(out[9..].iter().all(u8::is_ascii_alphanumeric));
    assert_ne!(out, inserts[2..]);
}

#[test]
fn what_follows_an_error_is_zeros_and_the_error_stays() {
    for (bytes, kept, why) in [
        ("3fe9ffff01 616263", 5, "a capacity above the maximum"),
        (
            "3f45 ff ffffffffffffffffff7f 616263",
            12,
            "an index of 63 bits and more",
        ),
        (
            "3f45 c1 7fffff03 616263",
            7,
            "a value longer than the table",
        ),
        (
            "3f45 ff5f 03616263 616263",
            5,
            "a static name that does not exist",
        ),
        (
            "3f45 80 03616263 616263",
            4,
            "a dynamic name that does not exist",
        ),
        (
            "3f45 c1 82 ffff 616263",
            6,
            "a value that is no Huffman code",
        ),
        ("3f45 00 616263", 3, "a duplicate of nothing"),
    ] {
        let (mut hider, mut out) = (Hider::new(CAPACITY), Vec::new());
        let bytes = hex(bytes);
        hider.encoder_stream(&bytes, &mut out, &hidden);
        assert_eq!(out.len(), bytes.len(), "{why}");
        assert_eq!(out[..kept], bytes[..kept], "{why}");
        assert!(out.ends_with(&[0, 0, 0]), "{why}");
        let error = Decoder::new(CAPACITY, 0).handle_encoder_stream(&bytes);
        assert!(error.is_err(), "{why}");
        assert_eq!(
            Decoder::new(CAPACITY, 0).handle_encoder_stream(&out),
            error,
            "{why}"
        );
        hider.encoder_stream(b"secret", &mut out, &hidden);
        assert!(out.ends_with(&[0; 6]), "{why}");
    }
}

#[test]
fn an_unfinished_instruction_stays_unfinished() {
    for (bytes, filled) in [
        ("3f45 c1 05 616263", "3f45 c1 05 000000"),
        ("3f45 43 6162", "3f45 43 0000"),
        ("3f45 43 616263 7f", "3f45 43 616263 7f"),
        ("3f45 c1 7f80", "3f45 c1 7f80"),
        ("3f45 ff", "3f45 ff"),
        ("3f45", "3f45"),
    ] {
        let (mut hider, mut out) = (Hider::new(CAPACITY), Vec::new());
        hider.encoder_stream(&hex(bytes), &mut out, &hidden);
        hider.finish(&mut out);
        assert_eq!(out, hex(filled));
    }
}

proptest! {
    #[test]
    fn any_bytes_keep_their_number_and_their_outcome(
        inserts in prop::collection::vec(prop_oneof![any::<u8>(), 0x20..0x70_u8], 0..80),
        encoded in prop::collection::vec(prop_oneof![any::<u8>(), 0..4_u8], 0..80),
        cut in 0..80_usize,
    ) {
        let inserts = [&hex("3f45")[..], &inserts].concat();
        let (mut hider, mut stream, mut out) = (Hider::new(CAPACITY), Vec::new(), Vec::new());
        let (one, two) = inserts.split_at(cut.min(inserts.len()));
        hider.encoder_stream(one, &mut stream, &hidden);
        hider.encoder_stream(two, &mut stream, &hidden);
        hider.section(&encoded, hider.inserted(), &mut out, &hidden);
        hider.finish(&mut stream);
        prop_assert_eq!(stream.len(), inserts.len());
        prop_assert_eq!(out.len(), encoded.len());

        let (mut before, mut after) = (Decoder::new(CAPACITY, 4), Decoder::new(CAPACITY, 4));
        let outcome = before.handle_encoder_stream(&inserts);
        prop_assert_eq!(after.handle_encoder_stream(&stream), outcome);
        if outcome.is_ok() {
            let shape = |decoded| match decoded {
                Ok(Decoded::Section(fields)) => {
                    let line = |field: crate::wire::fields::Field<'_>| {
                        (field.name.to_vec(), field.value.len(), field.never_indexed)
                    };
                    Ok(Some(fields.iter().map(line).collect::<Vec<_>>()))
                }
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            prop_assert_eq!(
                shape(after.decode(0, &out, 4096)),
                shape(before.decode(0, &encoded, 4096))
            );
        }
    }

    #[test]
    fn chunking_of_the_encoder_stream_does_not_matter(cuts in prop::collection::vec(1..9_usize, 1..9)) {
        let (mut peer, mut inserts) = (Peer::new(), Vec::new());
        for i in 0..8 {
            let value = format!("value {i}");
            inserts.extend(peer.encode(&section(&[("user-agent", &value), ("x-y", "again")])).0);
        }
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        Hider::new(CAPACITY).encoder_stream(&inserts, &mut whole, &hidden);
        let mut hider = Hider::new(CAPACITY);
        for chunk in crate::wire::testing::chunks(&inserts, &cuts) {
            hider.encoder_stream(&chunk, &mut pieces, &hidden);
        }
        prop_assert_eq!(whole, pieces);
    }
}
