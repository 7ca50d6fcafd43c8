//! Both halves together, and vectors of another implementation.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::code::Code;
use crate::wire::fields::{Field, FieldSection};
use crate::wire::testing::code;

/// Bytes of hexadecimal digits; white space does not count.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn encoder(capacity: u64, blocked: u64) -> Encoder {
    let mut encoder = Encoder::new();
    encoder
        .set_peer_limits(capacity, blocked, u64::MAX)
        .unwrap();
    encoder
}

fn encode(encoder: &mut Encoder, stream: u64, section: &FieldSection) -> Vec<u8> {
    let mut out = BytesMut::new();
    encoder.encode(stream, section, &mut out);
    out.to_vec()
}

fn take(take_output: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    take_output(&mut out);
    out.to_vec()
}

/// Names and values; the encoder may have added never-indexed flags.
fn plain(section: &FieldSection) -> Vec<(Vec<u8>, Vec<u8>)> {
    section
        .iter()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

fn request(i: usize) -> FieldSection {
    let rolling = format!("value-{i}-{}", "r".repeat(i % 7));
    let mut section: FieldSection = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.org:4433"),
        (":path", ["/", "/a", "/b"][i % 3]),
        ("user-agent", "aqueduct/0.1"),
        ("accept-language", ["en", "de"][i % 2]),
        ("server", rolling.as_str()),
        ("x-rolling", rolling.as_str()),
    ]
    .into_iter()
    .collect();
    section.push_never_indexed(b"x-secret", rolling.as_bytes());
    section
}

// Row A11
#[test]
fn thirty_requests_with_rolling_headers() {
    let (mut encoder, mut decoder) = (encoder(512, 4), Decoder::new(512, 4));
    let mut sizes = Vec::new();
    for i in 0..30 {
        let stream = 4 * i as u64;
        let section = encode(&mut encoder, stream, &request(i));
        sizes.push(section.len());
        let mut decoded = decoder.decode(stream, &section, 4096).unwrap();
        decoder
            .handle_encoder_stream(&take(|out| encoder.take_output(out)))
            .unwrap();
        if decoded == Decoded::Blocked {
            assert_eq!(decoder.poll_unblocked(), Some(stream));
            decoded = decoder.decode(stream, &section, 4096).unwrap();
        }
        assert_eq!(decoded, Decoded::Section(request(i)), "request {i}");
        encoder
            .handle_decoder_stream(&take(|out| decoder.take_output(out)))
            .unwrap();
    }
    // Compared with what 30 first requests would take.
    let total: usize = sizes.iter().sum();
    let unshared: usize = (0..30)
        .map(|i| encode(&mut Encoder::new(), 0, &request(i)).len())
        .sum();
    assert!(total * 10 < unshared * 7, "{total} of {unshared} bytes");
}

// Row A5
#[test]
fn the_decoder_follows_any_chunking() {
    let instructions = {
        let mut encoder = encoder(4096, 16);
        (0..6).for_each(|i| drop(encode(&mut encoder, i, &request(i as usize % 3))));
        take(|out| encoder.take_output(out))
    };
    let mut whole = Decoder::new(4096, 16);
    whole.handle_encoder_stream(&instructions).unwrap();
    let expected = take(|out| whole.take_output(out));
    for cut in 0..=instructions.len() {
        let mut split = Decoder::new(4096, 16);
        split.handle_encoder_stream(&instructions[..cut]).unwrap();
        split.handle_encoder_stream(&instructions[cut..]).unwrap();
        assert_eq!(take(|out| split.take_output(out)), expected, "cut at {cut}");
    }
    let mut bytewise = Decoder::new(4096, 16);
    instructions
        .iter()
        .for_each(|byte| bytewise.handle_encoder_stream(&[*byte]).unwrap());
    // The tables are equal: they decode the same section to the same lines.
    let mut encoder = encoder(4096, 16);
    let sections: Vec<_> = (0..6)
        .map(|i| encode(&mut encoder, i, &request(i as usize % 3)))
        .collect();
    for section in &sections {
        let decoded = whole.decode(0, section, 4096).unwrap();
        assert!(matches!(decoded, Decoded::Section(_)));
        assert_eq!(bytewise.decode(0, section, 4096), Ok(decoded));
    }
}

// Row A5
#[test]
fn the_encoder_follows_any_chunking() {
    let acks = {
        let mut out = hex("80");
        out.extend(hex("ff8107"));
        out.extend(hex("7fc107"));
        out.extend(hex("01"));
        out
    };
    let prepare = || {
        let mut encoder = encoder(4096, 16);
        for (stream, i) in [(0, 0), (1024, 1), (1024, 2)] {
            encode(&mut encoder, stream, &request(i));
        }
        take(|out| encoder.take_output(out));
        encode(&mut encoder, 0, &request(1));
        take(|out| encoder.take_output(out));
        encoder
    };
    let mut whole = prepare();
    whole.handle_decoder_stream(&acks).unwrap();
    let expected = encode(&mut whole, 2000, &request(2));
    for cut in 0..=acks.len() {
        let mut split = prepare();
        split.handle_decoder_stream(&acks[..cut]).unwrap();
        split.handle_decoder_stream(&acks[cut..]).unwrap();
        assert_eq!(
            encode(&mut split, 2000, &request(2)),
            expected,
            "cut at {cut}"
        );
    }
}

// Row A11: what ls-qpack encodes, with blocked and cancelled streams, is decoded.
#[test]
fn traces_of_another_encoder() {
    let mut decoder = Decoder::new(0, 0);
    let mut kinds = std::collections::BTreeSet::new();
    let trace = include_str!("../../../tests/data/qpack_lsqpack.txt");
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        kinds.insert(words[0]);
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        match words[0] {
            "new" => decoder = Decoder::new(number(1), number(2)),
            "inserts" => decoder.handle_encoder_stream(&hex(words[1])).unwrap(),
            "cancel" => decoder.cancel_stream(number(1)).unwrap(),
            "blocked" => {
                let result = decoder.decode(number(1), &hex(words[2]), 1 << 16);
                assert_eq!(result, Ok(Decoded::Blocked), "{line}");
            }
            "section" => {
                let lines = words[3..]
                    .iter()
                    .map(|field| field.split_once(':').unwrap());
                let expected: Vec<_> = lines.map(|(n, v)| (hex(n), hex(v))).collect();
                let result = decoder.decode(number(1), &hex(words[2]), 1 << 16);
                let Ok(Decoded::Section(section)) = result else {
                    panic!("{line}: {result:?}")
                };
                assert_eq!(plain(&section), expected);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(kinds.len(), 5, "the trace has a line of every kind");
}

/// What may happen between the two ends, in any order.
#[derive(Clone, Debug)]
enum Op {
    /// Encode a section of these lines on one of a few streams.
    Encode { stream: u64, fields: Vec<(u8, u8)> },
    /// Deliver some bytes of the encoder stream.
    Inserts(usize),
    /// Deliver some bytes of the decoder stream.
    Acks(usize),
    /// Deliver the oldest section in flight of the nth stream that has one.
    Section(usize),
    /// The nth stream that has sections in flight is reset: they are lost.
    Reset(usize),
    /// Use another share of the capacity the peer offers.
    Capacity(u64),
    /// Tell the encoder its credit on the encoder stream.
    Credit(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u64..6, proptest::collection::vec((any::<u8>(), any::<u8>()), 0..8))
            .prop_map(|(stream, fields)| Op::Encode { stream, fields }),
        4 => (0usize..100).prop_map(Op::Inserts),
        4 => (0usize..6).prop_map(Op::Acks),
        5 => any::<usize>().prop_map(Op::Section),
        1 => any::<usize>().prop_map(Op::Reset),
        1 => (0u64..=600).prop_map(Op::Capacity),
        1 => (0u64..300).prop_map(Op::Credit),
    ]
}

/// A line out of few enough to repeat, of any policy.
fn line((name, value): (u8, u8)) -> (Vec<u8>, Vec<u8>, bool) {
    let names = [
        "server",
        ":path",
        "x-a",
        "cookie",
        "user-agent",
        "",
        "via",
        "\u{7f}long-name",
    ];
    let name = names[usize::from(name) % names.len()];
    let value_len = usize::from(value >> 3) * 3;
    (name.into(), vec![b'a' + value % 5; value_len], value == 255)
}

/// Both ends and what travels between them.
struct Network {
    encoder: Encoder,
    decoder: Decoder,
    capacity: u64,
    blocked: u64,
    inserts: Vec<u8>,
    acks: Vec<u8>,
    /// Sections in flight by stream, with the lines they stand for.
    sections: std::collections::BTreeMap<u64, std::collections::VecDeque<(Vec<u8>, FieldSection)>>,
}

impl Network {
    fn new(capacity: u64, blocked: u64) -> Self {
        Self {
            encoder: encoder(capacity, blocked),
            decoder: Decoder::new(capacity, blocked),
            capacity,
            blocked,
            inserts: Vec::new(),
            acks: Vec::new(),
            sections: Default::default(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Encode { stream, fields } => {
                let mut section = FieldSection::new();
                for (name, value, never_indexed) in fields.into_iter().map(line) {
                    section.push_field(Field {
                        name: &name,
                        value: &value,
                        never_indexed,
                    });
                }
                let bytes = encode(&mut self.encoder, stream, &section);
                self.sections
                    .entry(stream)
                    .or_default()
                    .push_back((bytes, section));
                self.inserts
                    .extend(take(|out| self.encoder.take_output(out)));
            }
            Op::Inserts(n) => {
                let n = n.min(self.inserts.len());
                let bytes: Vec<_> = self.inserts.drain(..n).collect();
                self.decoder.handle_encoder_stream(&bytes).unwrap();
                self.retry();
            }
            Op::Acks(n) => {
                self.acks.extend(take(|out| self.decoder.take_output(out)));
                let n = n.min(self.acks.len());
                let bytes: Vec<_> = self.acks.drain(..n).collect();
                self.encoder.handle_decoder_stream(&bytes).unwrap();
            }
            Op::Section(n) => {
                if let Some(stream) = self.nth_stream(n) {
                    self.deliver(stream);
                }
            }
            Op::Reset(n) => {
                if let Some(stream) = self.nth_stream(n) {
                    self.sections.remove(&stream);
                    self.decoder.cancel_stream(stream).unwrap();
                    // The number is not used again: acknowledgments of sections
                    // encoded later would be taken for those of the lost ones.
                    self.acks.extend(take(|out| self.decoder.take_output(out)));
                    let acks = std::mem::take(&mut self.acks);
                    self.encoder.handle_decoder_stream(&acks).unwrap();
                }
            }
            Op::Capacity(capacity) => {
                self.encoder
                    .set_peer_limits(self.capacity, self.blocked, capacity)
                    .unwrap();
            }
            Op::Credit(bytes) => self.encoder.set_output_credit(bytes),
        }
    }

    fn nth_stream(&self, n: usize) -> Option<u64> {
        let streams: Vec<_> = self.sections.keys().copied().collect();
        streams.get(n % streams.len().max(1)).copied()
    }

    fn deliver(&mut self, stream: u64) {
        let queue = self.sections.get_mut(&stream).unwrap();
        let (bytes, section) = queue.front().unwrap();
        match self.decoder.decode(stream, bytes, section.size()).unwrap() {
            Decoded::Section(decoded) => {
                assert_eq!(plain(&decoded), plain(section));
                for (sent, received) in section.iter().zip(decoded.iter()) {
                    assert!(received.never_indexed || !sent.never_indexed);
                }
                queue.pop_front();
                if queue.is_empty() {
                    self.sections.remove(&stream);
                }
            }
            Decoded::Blocked => {}
            Decoded::TooLarge => panic!("{section:?} has the size it says"),
        }
    }

    fn retry(&mut self) {
        while let Some(stream) = self.decoder.poll_unblocked() {
            self.deliver(stream);
        }
    }

    fn settle(&mut self) {
        self.step(Op::Inserts(usize::MAX));
        while let Some(stream) = self.nth_stream(0) {
            self.deliver(stream);
        }
        assert_eq!(self.decoder.blocked_streams(), 0);
        self.step(Op::Acks(usize::MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // Row A11: whatever travels when, the lines arrive and no rule is broken.
    #[test]
    fn sections_survive_any_interleaving(
        capacity in prop_oneof![0u64..300, 300u64..5000],
        blocked in 0u64..4,
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let mut network = Network::new(capacity, blocked);
        for op in ops {
            network.step(op);
        }
        network.settle();
        // All is acknowledged: the encoder must be able to give up everything.
        network.step(Op::Credit(u64::MAX));
        network.step(Op::Capacity(0));
        network.step(Op::Encode { stream: 99, fields: vec![] });
        network.settle();
        prop_assert_eq!(network.encoder.table_size(), 0);
    }

    // Row A20
    #[test]
    fn random_bytes_do_no_harm(
        stream in proptest::collection::vec(any::<u8>(), 0..300),
        section in proptest::collection::vec(any::<u8>(), 0..100),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut decoder = Decoder::new(4096, 1);
        // Set Dynamic Table Capacity 4096, so that inserts mean something.
        decoder.handle_encoder_stream(&hex("3fe11f")).unwrap();
        let cut = cut.index(stream.len() + 1);
        let mut whole = decoder.clone();
        let expected = whole.handle_encoder_stream(&stream);
        let result = decoder
            .handle_encoder_stream(&stream[..cut])
            .and_then(|()| decoder.handle_encoder_stream(&stream[cut..]));
        prop_assert_eq!(result, expected);
        if let Ok(Decoded::Section(section)) = decoder.decode(0, &section, 1000) {
            prop_assert!(section.size() <= 1000);
        }
        let mut encoder = encoder(4096, 1);
        encode(&mut encoder, 0, &request(0));
        take(|out| encoder.take_output(out));
        if let Err(error) = encoder.handle_decoder_stream(&stream) {
            prop_assert_eq!(code(error), Code::QPACK_DECODER_STREAM_ERROR);
        }
    }

    // Row A10
    #[test]
    fn the_size_limit_is_exact(fields in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..8)) {
        let mut section = FieldSection::new();
        for (name, value, _) in fields.into_iter().map(line) {
            section.push(&name, &value);
        }
        let bytes = encode(&mut Encoder::new(), 0, &section);
        let mut decoder = Decoder::new(0, 0);
        let decoded = decoder.decode(0, &bytes, section.size()).unwrap();
        prop_assert!(matches!(decoded, Decoded::Section(decoded) if decoded.size() == section.size()));
        prop_assert_eq!(decoder.decode(0, &bytes, section.size() - 1), Ok(Decoded::TooLarge));
    }
}
