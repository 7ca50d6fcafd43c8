use super::super::decoder::{Decoded, Decoder};
use super::super::tests::hex;
use super::*;
use crate::code::Code;
use crate::wire::fields::FieldSection;
use crate::wire::testing::code;

impl Encoder {
    /// Bytes that entries take, for tests of both halves.
    pub(in super::super) fn table_size(&self) -> u64 {
        self.table.size()
    }
}

/// An encoder and the peer's decoder; the test decides what travels when.
struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new(capacity: u64, blocked: u64) -> Self {
        let mut encoder = Encoder::new();
        encoder
            .set_peer_limits(capacity, blocked, u64::MAX)
            .unwrap();
        Self {
            encoder,
            decoder: Decoder::new(capacity, blocked),
        }
    }

    fn encode(&mut self, stream: u64, lines: &[(&str, &str)]) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.encoder
            .encode(stream, lines.iter().copied().map(Field::from), &mut out);
        out.to_vec()
    }

    /// Carries the encoder stream over.
    fn inserts(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.encoder.take_output(&mut out);
        self.decoder.handle_encoder_stream(&out).unwrap();
        out.to_vec()
    }

    fn decode(&mut self, stream: u64, section: &[u8]) -> FieldSection {
        match self.decoder.decode(stream, section, u64::MAX) {
            Ok(Decoded::Section(section)) => section,
            other => panic!("{other:?}"),
        }
    }

    /// Carries the decoder stream over.
    fn acks(&mut self) {
        let mut out = BytesMut::new();
        self.decoder.take_output(&mut out);
        self.encoder.handle_decoder_stream(&out).unwrap();
    }

    /// All of it; returns the length of the section.
    fn exchange(&mut self, stream: u64, lines: &[(&str, &str)]) -> usize {
        let section = self.encode(stream, lines);
        self.inserts();
        let decoded = self.decode(stream, &section);
        let decoded = decoded.iter().map(|field| (field.name, field.value));
        assert!(
            decoded.eq(lines
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())))
        );
        self.acks();
        section.len()
    }
}

const AGENT: (&str, &str) = ("user-agent", "aqueduct/0.1 (test)");

#[test]
fn without_limits_only_the_static_table_is_used() {
    let mut encoder = Encoder::new();
    let mut out = BytesMut::new();
    let lines = [(":method", "GET"), (":path", "/\u{1}"), ("\u{1}", "\u{2}")];
    encoder.encode(0, lines.map(Field::from), &mut out);
    assert_eq!(out, &hex("0000 d1 51 02 2f01 21 01 01 02")[..]);
    assert!(!encoder.has_output());
}

// RFC 9204 section 3.2.3
#[test]
fn a_peer_without_a_table_gets_no_instruction() {
    for (peer, ours) in [(0, 4096), (4096, 0), (31, 4096)] {
        let mut encoder = Encoder::new();
        encoder.set_peer_limits(peer, 16, ours).unwrap();
        let mut out = BytesMut::new();
        encoder.encode(0, [Field::from(AGENT)], &mut out);
        assert_eq!(out[..2], [0, 0]);
        assert!(!encoder.has_output());
    }
}

// Row A11
#[test]
fn a_new_entry_is_referenced_post_base_and_then_relative() {
    let mut pair = Pair::new(220, 1);
    let section = pair.encode(0, &[AGENT]);
    assert_eq!(section, hex("02 80 10"));
    assert_eq!(
        pair.inserts()[..3],
        hex("3fbd01 "),
        "the capacity comes first"
    );
    assert_eq!(
        pair.decode(0, &section).get(b"user-agent"),
        Some(AGENT.1.as_bytes())
    );
    pair.acks();
    assert_eq!(pair.encode(4, &[AGENT]), hex("02 00 80"));
    assert!(pair.inserts().is_empty());
}

// Row A11
#[test]
fn no_more_streams_may_block_than_the_peer_allows() {
    let mut pair = Pair::new(4096, 2);
    for (stream, server, blocks) in [
        (0, "s0", true),
        (4, "s1", true),
        (8, "s2", false),
        (4, "s3", true),
        (8, "s0", false),
    ] {
        let section = pair.encode(stream, &[("server", server)]);
        assert_eq!(section[0] != 0, blocks, "stream {stream}");
    }
    // Once the inserts are known to have arrived, all of them can be used.
    pair.inserts();
    pair.acks();
    assert_eq!(
        pair.encode(8, &[("server", "s2"), ("server", "s3")]).len(),
        4
    );
}

#[test]
fn cancelled_sections_free_their_entries_but_confirm_nothing() {
    let mut pair = Pair::new(100, 1);
    pair.encode(0, &[("server", "1")]);
    pair.inserts();
    assert_eq!(pair.encoder.references.first_held(), 0);
    pair.decoder.cancel_stream(0).unwrap();
    let mut acks = BytesMut::new();
    pair.decoder.take_output(&mut acks);
    assert_eq!(acks, &hex("40 01")[..]);
    pair.encoder.handle_decoder_stream(&acks[..1]).unwrap();
    assert_eq!(pair.encoder.references.known_received(), 0);
    pair.encoder.handle_decoder_stream(&acks[1..]).unwrap();
    assert_eq!(pair.encoder.references.first_held(), 1);
}

#[test]
fn entries_in_use_are_not_evicted() {
    let mut pair = Pair::new(100, 4);
    for (stream, value) in [(0, "1"), (4, "2")] {
        pair.encode(stream, &[("server", value)]);
    }
    pair.inserts();
    // Two entries of 39 bytes: a third does not fit, and none may go.
    let section = pair.encode(8, &[("server", "3")]);
    assert_eq!(section[0], 0);
    assert!(pair.inserts().is_empty());
    // Acknowledged as inserted, still referenced.
    pair.acks();
    assert_eq!(pair.encode(8, &[("server", "3")])[0], 0);
    // The older one is free once its section is.
    pair.decode(0, &hex("02 80 10"));
    pair.acks();
    assert_eq!(pair.encode(8, &[("server", "3")])[0], 4);
    pair.inserts();
    assert_eq!(pair.encoder.table.evicted(), 1);
}

#[test]
fn an_entry_about_to_go_is_duplicated_when_used() {
    let mut pair = Pair::new(220, 4);
    for (stream, value) in (0..).step_by(4).zip(["1", "2", "3", "4", "5"]) {
        pair.exchange(stream, &[("server", value)]);
    }
    assert_eq!(
        (pair.encoder.table.size(), pair.encoder.table.evicted()),
        (195, 0)
    );
    // Only the oldest is in the quarter that goes next.
    assert_eq!(pair.encode(20, &[("server", "2")]), hex("03 03 83"));
    assert!(pair.inserts().is_empty());
    let section = pair.encode(24, &[("server", "1")]);
    assert_eq!(section, hex("07 80 10"));
    assert_eq!(pair.inserts(), hex("04"), "Duplicate of relative index 4");
    assert_eq!(pair.decode(24, &section).get(b"server"), Some(&b"1"[..]));
    // The copy is the one found from then on.
    pair.acks();
    assert_eq!(pair.encode(28, &[("server", "1")]), hex("07 00 80"));
    assert!(pair.inserts().is_empty());
}

#[test]
fn a_copy_that_cannot_be_used_yet_may_replace_the_original() {
    let mut pair = Pair::new(220, 0);
    for (stream, value) in (0..).step_by(4).zip(["1", "2", "3", "4", "5"]) {
        pair.exchange(stream, &[("server", value)]);
    }
    let section = pair.encode(20, &[("server", "1")]);
    assert_eq!(pair.inserts(), hex("04"));
    assert_eq!(pair.encoder.table.evicted(), 1);
    assert_eq!(
        section,
        hex("00 00 5f 4d 01 31"),
        "a literal, for no stream may block"
    );
    pair.acks();
    assert_eq!(pair.encode(24, &[("server", "1")]), hex("07 00 80"));
}

#[test]
fn a_name_about_to_go_is_spelled_out() {
    let mut pair = Pair::new(100, 1);
    for stream in [0, 4] {
        pair.exchange(stream, &[("x-a", "1")]);
    }
    pair.exchange(8, &[("server", "2")]);
    // Both entries take 75 bytes: three quarters of 100, and more than that of 90.
    assert_eq!(pair.encode(12, &[("x-a", "\u{1}")])[..2], hex("02 01"));
    pair.encoder.set_peer_limits(100, 1, 90).unwrap();
    assert_eq!(pair.encode(16, &[("x-a", "\u{1}")])[..2], hex("00 00"));
}

#[test]
fn secrets_and_one_time_values_stay_out_of_the_table() {
    let mut pair = Pair::new(4096, 16);
    let lines = [
        ("authorization", "Bearer 0123456789"),
        ("cookie", "short"),
        ("set-cookie", "id=0123456789012345678901234567890"),
        ("etag", "\"1\""),
        (":path", "/once"),
    ];
    let section = pair.encode(0, &lines);
    assert!(pair.inserts().is_empty());
    let flags: Vec<_> = pair
        .decode(0, &section)
        .iter()
        .map(|f| f.never_indexed)
        .collect();
    assert_eq!(flags, [true, true, true, false, false]);
    // A path that comes again is not for one time; a secret stays one.
    let first = section.len();
    pair.exchange(4, &lines);
    assert!(pair.exchange(8, &lines) < first);
    assert!(
        pair.encoder
            .table
            .iter()
            .all(|entry| !entry.name().ends_with(b"cookie"))
    );
    assert_eq!(pair.encoder.table.insert_count(), 2);
}

#[test]
fn a_new_value_borrows_a_custom_name() {
    let mut pair = Pair::new(4096, 16);
    for stream in [0, 4] {
        pair.exchange(stream, &[("x-long-custom-name", "1")]);
    }
    let section = pair.encode(8, &[("x-long-custom-name", "\u{1}")]);
    assert_eq!(section, hex("02 00 40 01 01"));
    pair.encode(12, &[("x-long-custom-name", "\u{1}")]);
    assert_eq!(pair.inserts(), hex("80 01 01"));
}

#[test]
fn a_name_is_found_while_any_entry_has_it() {
    let mut pair = Pair::new(220, 16);
    for (stream, value) in (0..).step_by(8).zip(["1", "2", "3", "4", "5"]) {
        pair.exchange(stream, &[("x-long-custom-name", value)]);
        pair.exchange(stream + 4, &[("x-long-custom-name", value)]);
    }
    assert_eq!(pair.encoder.table.evicted(), 1);
    assert_eq!(
        pair.encode(99, &[("x-long-custom-name", "\u{1}")]),
        hex("06 00 40 01 01")
    );
}

#[test]
fn a_field_that_would_take_half_the_table_is_not_inserted() {
    let mut pair = Pair::new(200, 16);
    for (len, inserted) in [(63, false), (62, true)] {
        pair.encode(0, &[("server", &"x".repeat(len))]);
        assert_eq!(!pair.inserts().is_empty(), inserted, "{len} bytes");
    }
}

#[test]
fn instructions_wait_for_credit() {
    let mut pair = Pair::new(4096, 16);
    pair.encoder.set_output_credit(10);
    assert_eq!(pair.encode(0, &[AGENT])[0], 0);
    assert!(!pair.encoder.has_output());
    pair.encoder.set_output_credit(u64::MAX);
    assert_eq!(pair.encode(0, &[AGENT])[0], 2);
    // Output that nobody takes stops growing, and lines become literals.
    for i in 0..1000 {
        pair.encode(4, &[("server", &i.to_string().repeat(20))]);
    }
    assert!(pair.encoder.output.len() <= MAX_ENCODER_BACKLOG);
    pair.inserts();
    assert_eq!(pair.encoder.table.insert_count(), pair.encoder.sent);
}

#[test]
fn a_peer_that_acknowledges_nothing_costs_a_bounded_amount() {
    let mut pair = Pair::new(4096, 1);
    for stream in 0..2 * super::super::MAX_OUTSTANDING_SECTIONS as u64 {
        pair.encode(0, &[AGENT]);
        pair.encode(stream, &[AGENT]);
    }
    assert!(!pair.encoder.references.has_room());
    assert_eq!(pair.encode(0, &[AGENT])[0], 0);
    pair.inserts();
    pair.encoder.handle_decoder_stream(&hex("40")).unwrap();
    assert_eq!(
        pair.encode(0, &[AGENT])[0],
        2,
        "the cancelled stream makes room"
    );
}

#[test]
fn decoder_stream_errors() {
    use DecoderStreamReason::*;
    for (instructions, reason) in [
        ("84", NothingToAcknowledge),
        ("80 80", NothingToAcknowledge),
        ("00", ZeroIncrement),
        ("02", BeyondSent),
        ("01 01", BeyondSent),
        ("80 01", BeyondSent),
        ("3fffffffffffffffffff7f", IntegerTooLarge),
        ("ffffffffffffffffffff7f", IntegerTooLarge),
    ] {
        let mut pair = Pair::new(4096, 1);
        pair.encode(0, &[AGENT]);
        pair.inserts();
        let result = pair.encoder.handle_decoder_stream(&hex(instructions));
        assert_eq!(
            result,
            Err(QpackError::DecoderStream(reason)),
            "{instructions}"
        );
        assert_eq!(code(result.unwrap_err()), Code::QPACK_DECODER_STREAM_ERROR);
    }
    // Nothing was sent as long as nothing was taken.
    let mut pair = Pair::new(4096, 1);
    pair.encode(0, &[AGENT]);
    assert_eq!(
        pair.encoder.handle_decoder_stream(&hex("01")),
        Err(BeyondSent.into())
    );
    assert_eq!(
        pair.encoder.handle_decoder_stream(&hex("80")),
        Err(BeyondSent.into())
    );
}

// Row A18
#[test]
fn a_remembered_capacity_has_to_be_confirmed() {
    let mut encoder = Encoder::new();
    encoder.set_peer_limits(0, 0, 4096).unwrap();
    encoder.set_peer_limits(4096, 16, 4096).unwrap();
    encoder.set_peer_limits(4096, 32, 2048).unwrap();
    let error = Err(DecoderStreamReason::CapacityChanged.into());
    assert_eq!(encoder.set_peer_limits(8192, 16, 4096), error);
    assert_eq!(encoder.set_peer_limits(0, 16, 4096), error);
}

#[test]
fn a_smaller_capacity_waits_for_entries_in_use() {
    let mut pair = Pair::new(200, 4);
    pair.exchange(0, &[("server", "1")]);
    let section = pair.encode(4, &[("server", "2")]);
    pair.inserts();
    pair.encoder.set_peer_limits(200, 4, 0).unwrap();
    pair.encode(8, &[(":method", "GET")]);
    assert!(
        pair.inserts().is_empty(),
        "entry 1 is referenced by stream 4"
    );
    pair.decode(4, &section);
    pair.acks();
    assert_eq!(pair.encode(8, &[("server", "2")])[0], 0);
    assert_eq!(pair.inserts(), hex("20"));
    assert_eq!(
        (pair.encoder.table.size(), pair.encoder.by_name.len()),
        (0, 0)
    );
    assert!(pair.encoder.by_field.is_empty());
    pair.encoder.set_peer_limits(200, 4, 100).unwrap();
    assert_eq!(pair.encode(12, &[("server", "2")]), hex("04 80 10"));
    assert_eq!(pair.inserts()[..2], hex("3f45"));
}

/// RFC 9204 section 7.1.3: not even by what the static table has of it.
#[test]
fn a_secret_without_a_value_is_spelled_out() {
    let mut pair = Pair::new(4096, 16);
    let section = pair.encode(0, &[("authorization", "")]);
    // The prefix, and a literal that is never indexed, with a static name.
    assert_eq!(section[2] >> 4, 0b0111);
    assert!(pair.decode(0, &section).iter().all(|f| f.never_indexed));
}

#[test]
fn a_cookie_of_nineteen_letters_is_too_short_for_the_table() {
    for (len, secret) in [(19, true), (20, false)] {
        let mut pair = Pair::new(4096, 16);
        let section = pair.encode(0, &[("cookie", &"x".repeat(len))]);
        pair.inserts();
        let field = pair.decode(0, &section);
        assert_eq!(field.iter().next().unwrap().never_indexed, secret, "{len}");
    }
}

#[test]
fn few_fields_are_remembered() {
    let mut pair = Pair::new(4096, 16);
    for n in 0..10 * RECENT_FIELDS {
        pair.encode(0, &[("etag", &n.to_string())]);
        assert_eq!(pair.encoder.recent.len(), (n + 1).min(RECENT_FIELDS));
    }
}

// RFC 9204 section 2.1.1
#[test]
fn a_copy_displaces_nothing_that_is_in_use() {
    let mut pair = Pair::new(220, 4);
    let held = pair.encode(0, &[("server", "1")]);
    pair.inserts();
    pair.acks();
    for (stream, value) in (4..).step_by(4).zip(["2", "3", "4", "5"]) {
        pair.exchange(stream, &[("server", value)]);
    }
    let same = pair.encode(24, &[("server", "1")]);
    assert_eq!(same, hex("02 04 84"), "the original");
    assert!(pair.inserts().is_empty(), "the first section may yet come");
    for (stream, section) in [(0, held), (24, same)] {
        let section = pair.decode(stream, &section);
        assert_eq!(section.get(b"server"), Some(&b"1"[..]));
    }
    pair.acks();
    // Nor is a copy made that the stream has no credit for.
    pair.encoder.set_output_credit(10);
    assert_eq!(pair.encode(28, &[("server", "1")]), hex("02 04 84"));
    assert!(pair.inserts().is_empty());
}

#[test]
fn a_field_whose_hash_is_that_of_another_is_not_taken_for_it() {
    let mut pair = Pair::new(4096, 4);
    // What is seen twice is worth an entry.
    for stream in [0, 4] {
        pair.exchange(stream, &[("x-a", "1")]);
    }
    assert_eq!(pair.encoder.table.insert_count(), 1);
    for field in [("x-a", "2"), ("x-b", "1")] {
        let hashes = Hashes::of(field.into());
        pair.encoder.by_field.insert(hashes.field, 0);
        pair.encoder.by_name.insert(hashes.name, 0);
        pair.exchange(8, &[field]);
    }
}

#[test]
fn the_room_for_lines_is_used_again() {
    let mut pair = Pair::new(0, 0);
    pair.encode(0, &[AGENT]);
    let room = pair.encoder.lines.as_ptr();
    assert!(pair.encoder.lines.capacity() > 0);
    pair.encode(4, &[AGENT]);
    assert_eq!(pair.encoder.lines.as_ptr(), room);
}
