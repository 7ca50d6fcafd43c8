use super::super::tests::hex;
use super::*;
use crate::code::Code;
use crate::wire::testing::code;

const NO_LIMIT: u64 = u64::MAX;

fn lines(section: Result<Decoded, QpackError>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match section {
        Ok(Decoded::Section(section)) => section
            .iter()
            .map(|field| (text(field.name), text(field.value)))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn pairs<const N: usize>(lines: [(&str, &str); N]) -> Vec<(String, String)> {
    lines
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

fn output(decoder: &mut Decoder) -> Vec<u8> {
    let mut out = BytesMut::new();
    decoder.take_output(&mut out);
    assert!(!decoder.has_output());
    out.to_vec()
}

/// A decoder that has received the given instructions and reported them.
fn decoder_after(capacity: u64, instructions: &str) -> Decoder {
    let mut decoder = Decoder::new(capacity, 1);
    decoder.handle_encoder_stream(&hex(instructions)).unwrap();
    output(&mut decoder);
    decoder
}

// Row A11: RFC 9204 Appendix B, byte for byte.
#[test]
fn appendix_b() {
    let mut decoder = Decoder::new(220, 16);
    let section = decoder.decode(0, &hex("0000510b2f696e6465782e68746d6c"), NO_LIMIT);
    assert_eq!(lines(section), pairs([(":path", "/index.html")]));
    assert!(
        !decoder.has_output(),
        "a section without references is not acknowledged"
    );

    let section = hex("03811011");
    assert_eq!(decoder.decode(4, &section, NO_LIMIT), Ok(Decoded::Blocked));
    let inserts = hex("3fbd01c00f7777772e6578616d706c652e636f6dc10c2f73616d706c652f70617468");
    decoder.handle_encoder_stream(&inserts).unwrap();
    assert_eq!(decoder.table.size(), 106);
    assert_eq!(
        (decoder.poll_unblocked(), decoder.poll_unblocked()),
        (Some(4), None)
    );
    assert_eq!(
        lines(decoder.decode(4, &section, NO_LIMIT)),
        pairs([(":authority", "www.example.com"), (":path", "/sample/path")])
    );
    assert_eq!(
        output(&mut decoder),
        hex("84"),
        "the acknowledgment covers both inserts"
    );

    let insert = hex("4a637573746f6d2d6b65790c637573746f6d2d76616c7565");
    decoder.handle_encoder_stream(&insert).unwrap();
    assert_eq!(decoder.table.size(), 160);
    assert_eq!(output(&mut decoder), hex("01"));

    let section = hex("050080c181");
    assert_eq!(decoder.decode(8, &section, NO_LIMIT), Ok(Decoded::Blocked));
    decoder.handle_encoder_stream(&hex("02")).unwrap();
    assert_eq!(decoder.table.size(), 217);
    let mut other = decoder.clone();
    assert_eq!(
        lines(other.decode(8, &section, NO_LIMIT)),
        pairs([
            (":authority", "www.example.com"),
            (":path", "/"),
            ("custom-key", "custom-value")
        ])
    );
    decoder.cancel_stream(8).unwrap();
    assert_eq!(decoder.poll_unblocked(), None, "cancelled");
    assert_eq!(output(&mut decoder), hex("4801"));

    decoder
        .handle_encoder_stream(&hex("810d637573746f6d2d76616c756532"))
        .unwrap();
    assert_eq!(decoder.table.size(), 215);
    assert!(decoder.table.get(0).is_none());
    assert_eq!(decoder.table.get(4).unwrap().value(), b"custom-value2");
}

#[test]
fn field_section_errors() {
    // Capacity 40: "a: 1" came and went for "b: 2".
    let mut decoder = decoder_after(100, "3f09 41610131 41620132");
    use DecompressionReason::*;
    for (section, reason) in [
        ("", Truncated),
        ("00", Truncated),
        ("0000ff", Truncated),
        ("00005103", Truncated),
        ("0000510161 2361", Truncated),
        ("0000ffffffffffffffffffff7f", IntegerTooLarge),
        ("ffffffffffffffffffff7f", IntegerTooLarge),
        ("00005181 18", InvalidHuffman),
        ("0700", InvalidRequiredInsertCount),
        ("0282", NegativeBase),
        ("0000ff24", StaticIndex),
        ("00005f5400", StaticIndex),
        ("000080", BelowZero),
        ("000010", BeyondRequiredInsertCount),
        ("000280", BeyondRequiredInsertCount),
        ("030110", BeyondRequiredInsertCount),
        ("0300 0000", BeyondRequiredInsertCount),
        ("030081", Evicted),
        ("03004100", Evicted),
        ("030082", BelowZero),
    ] {
        let result = decoder.clone().decode(0, &hex(section), NO_LIMIT);
        assert_eq!(
            result,
            Err(QpackError::DecompressionFailed(reason)),
            "{section}"
        );
        assert_eq!(code(result.unwrap_err()), Code::QPACK_DECOMPRESSION_FAILED);
    }
    // What the errors surround is fine.
    assert_eq!(
        lines(decoder.decode(0, &hex("030080"), NO_LIMIT)),
        pairs([("b", "2")])
    );
    assert_eq!(
        lines(decoder.decode(0, &hex("038010"), NO_LIMIT)),
        pairs([("b", "2")])
    );
}

#[test]
fn encoder_stream_errors() {
    use EncoderStreamReason::*;
    for (instructions, reason) in [
        ("3f46", CapacityAboveMaximum),
        ("3fffffffffffffffffff7f", IntegerTooLarge),
        // Nothing can be inserted before the capacity is set.
        ("c000", EntryTooLarge),
        ("4000", EntryTooLarge),
        ("00", DynamicIndex),
        // Capacity 32 has room for an empty entry only.
        ("3f01 4000 4161", EntryTooLarge),
        ("3f01 4000 4000 01", DynamicIndex),
        ("3f01 c0 01", EntryTooLarge),
        ("3f01 c0 00", EntryTooLarge),
        ("3f01 4000 80 01", EntryTooLarge),
        // Capacity 100.
        ("3f45 80 00", DynamicIndex),
        ("3f45 ff24 00", StaticIndex),
        ("3f45 41 61 81 18", InvalidHuffman),
        ("3f45 61 18 00", InvalidHuffman),
        ("3f45 41 61 44", EntryTooLarge),
    ] {
        let mut decoder = Decoder::new(100, 0);
        let result = decoder.handle_encoder_stream(&hex(instructions));
        assert_eq!(
            result,
            Err(QpackError::EncoderStream(reason)),
            "{instructions}"
        );
        assert_eq!(code(result.unwrap_err()), Code::QPACK_ENCODER_STREAM_ERROR);
    }
}

#[test]
fn a_capacity_reduction_evicts() {
    let mut decoder = decoder_after(100, "3f45 41610131 41620132");
    decoder.handle_encoder_stream(&hex("3f09")).unwrap();
    assert_eq!((decoder.table.size(), decoder.table.evicted()), (34, 1));
    decoder.handle_encoder_stream(&hex("20")).unwrap();
    assert_eq!((decoder.table.size(), decoder.table.evicted()), (0, 2));
}

#[test]
fn an_entry_may_be_made_from_the_one_it_evicts() {
    let mut decoder = decoder_after(40, "3f09 41610131");
    decoder.handle_encoder_stream(&hex("00")).unwrap();
    decoder.handle_encoder_stream(&hex("800132")).unwrap();
    let entry = decoder.table.get(2).unwrap();
    assert_eq!((entry.name(), entry.value()), (&b"a"[..], &b"2"[..]));
    assert_eq!(
        output(&mut decoder),
        hex("02"),
        "two inserts in one increment"
    );
}

// Row A11
#[test]
fn more_blocked_streams_than_promised_are_an_error() {
    let mut decoder = Decoder::new(100, 2);
    assert_eq!(
        decoder.decode(0, &hex("0200"), NO_LIMIT),
        Ok(Decoded::Blocked)
    );
    assert_eq!(
        decoder.decode(4, &hex("0300"), NO_LIMIT),
        Ok(Decoded::Blocked)
    );
    // The same stream again is still the same blocked stream.
    assert_eq!(
        decoder.decode(4, &hex("0300"), NO_LIMIT),
        Ok(Decoded::Blocked)
    );
    assert_eq!(decoder.blocked_streams(), 2);
    let error = Err(DecompressionReason::TooManyBlockedStreams.into());
    assert_eq!(decoder.clone().decode(8, &hex("0200"), NO_LIMIT), error);
    // One entry releases the first stream, which makes room for another.
    decoder
        .handle_encoder_stream(&hex("3f45 41610131"))
        .unwrap();
    assert_eq!(
        decoder.decode(8, &hex("0400"), NO_LIMIT),
        Ok(Decoded::Blocked)
    );
    assert_eq!(
        (decoder.poll_unblocked(), decoder.poll_unblocked()),
        (Some(0), None)
    );
    let error = Err(DecompressionReason::TooManyBlockedStreams.into());
    assert_eq!(
        Decoder::new(100, 0).decode(0, &hex("0200"), NO_LIMIT),
        error
    );
}

// Row A11. With capacity 100 the count is sent modulo 6, so that 1 is sent like 7:
// enough inserts while the section waits would give it another meaning.
#[test]
fn a_section_that_waited_does_not_change_its_meaning() {
    let mut decoder = decoder_after(100, "3f45");
    // Required Insert Count 1, Base 1: the first entry.
    assert_eq!(
        decoder.decode(0, &hex("020080"), NO_LIMIT),
        Ok(Decoded::Blocked)
    );
    // "a: b", and as many duplicates as make 1 mean 7 to a newcomer.
    decoder
        .handle_encoder_stream(&hex("4161 0162 00 00 00 00"))
        .unwrap();
    assert_eq!(decoder.poll_unblocked(), Some(0));
    let evicted = DecompressionReason::Evicted.into();
    assert_eq!(decoder.decode(0, &hex("020080"), NO_LIMIT), Err(evicted));
}

// Row A10
#[test]
fn a_section_that_is_too_large_is_walked_and_acknowledged() {
    let mut decoder = decoder_after(100, "3f45 41610131");
    // "a: 1" twice, then a literal.
    let section = hex("0200 80 80 21620132");
    assert_eq!(lines(decoder.decode(0, &section, 102)).len(), 3);
    assert_eq!(output(&mut decoder), hex("80"));
    for limit in [0, 31, 33, 34, 68, 101] {
        assert_eq!(
            decoder.decode(4, &section, limit),
            Ok(Decoded::TooLarge),
            "{limit}"
        );
        assert_eq!(output(&mut decoder), hex("84"));
    }
    // Errors after the limit are still found.
    for (tail, reason) in [
        ("82", DecompressionReason::BelowZero),
        ("51 81 18", DecompressionReason::InvalidHuffman),
        ("29 18 00", DecompressionReason::InvalidHuffman),
        ("51 05", DecompressionReason::Truncated),
    ] {
        let section = [section.clone(), hex(tail)].concat();
        for limit in [0, 40, 102] {
            let result = decoder.decode(8, &section, limit);
            assert_eq!(result, Err(reason.into()), "{tail} after {limit}");
        }
    }
}

// Row A10
#[test]
fn references_do_not_multiply_memory() {
    let mut decoder = decoder_after(4096, "3fe11f");
    let value = "78".repeat(4000);
    decoder
        .handle_encoder_stream(&hex(&format!("4161 7fa11e {value}")))
        .unwrap();
    let mut section = hex("0200");
    section.extend([0x80; 10_000]);
    assert_eq!(decoder.decode(0, &section, 65_536), Ok(Decoded::TooLarge));
}

#[test]
fn never_indexed_lines_keep_their_flag() {
    let mut decoder = decoder_after(100, "3f45 41610131");
    let section = hex("0280 7100 08 0132 31 62 00 5100 0000 21 62 00");
    let Ok(Decoded::Section(section)) = decoder.decode(0, &section, NO_LIMIT) else {
        panic!("not decoded");
    };
    let flags: Vec<_> = section
        .iter()
        .map(|field| (field.name, field.never_indexed))
        .collect();
    let expected: [(&[u8], bool); 6] = [
        (b":path", true),
        (b"a", true),
        (b"b", true),
        (b":path", false),
        (b"a", false),
        (b"b", false),
    ];
    assert_eq!(flags, expected);
}

// Row A20
#[test]
fn instructions_in_pieces_are_kept_within_bounds() {
    let mut decoder = decoder_after(4096, "3fe11f");
    // Huffman name and value, each declared as long as the table could take.
    let name_len = 15_000u64;
    let mut instruction = BytesMut::new();
    crate::wire::qpack::prefix_int::put_int(&mut instruction, 0x60, 5, name_len);
    instruction.extend_from_slice(&[0xff; 14_999]);
    for piece in instruction.chunks(7) {
        decoder.handle_encoder_stream(piece).unwrap();
    }
    assert!(decoder.partial.len() < 16 * 1024);
    let error = Err(EncoderStreamReason::EntryTooLarge.into());
    let mut one_more = decoder.clone();
    assert_eq!(one_more.handle_encoder_stream(&[0xff, 0x84]), Ok(()));
    assert_eq!(decoder.handle_encoder_stream(&hex("ff ff ff7f")), error);
    // A plain string of the capacity is refused by its length.
    let mut decoder = decoder_after(4096, "3fe11f");
    assert_eq!(decoder.handle_encoder_stream(&hex("c0 7fc21f")), error);
}

// Row A20
#[test]
fn a_peer_that_never_reads_the_decoder_stream_is_refused() {
    let mut decoder = decoder_after(100, "3f45 41610131");
    let mut acknowledged = 0;
    let error = loop {
        match decoder.decode(1 << 40, &hex("020080"), NO_LIMIT) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, QpackError::DecoderBacklog);
    assert_eq!(code(error), Code::H3_EXCESSIVE_LOAD);
    assert!(acknowledged > 1000);
    assert!(decoder.output.len() < MAX_DECODER_BACKLOG + 16);
    assert_eq!(decoder.cancel_stream(0), Err(QpackError::DecoderBacklog));
    output(&mut decoder);
    assert_eq!(decoder.cancel_stream(0), Ok(()));
}

#[test]
fn without_a_table_nothing_is_written() {
    let mut decoder = Decoder::new(0, 0);
    decoder.cancel_stream(0).unwrap();
    assert_eq!(
        lines(decoder.decode(4, &hex("0000d1"), NO_LIMIT)),
        pairs([(":method", "GET")])
    );
    decoder.handle_encoder_stream(&hex("20")).unwrap();
    assert!(!decoder.has_output());
    let error = Err(DecompressionReason::InvalidRequiredInsertCount.into());
    assert_eq!(decoder.decode(4, &hex("0100"), NO_LIMIT), error);
}

#[test]
fn what_waits_for_the_decoder_stream_is_bounded_to_the_byte() {
    let mut decoder = decoder_after(220, "3fbd01");
    for _ in 0..MAX_DECODER_BACKLOG {
        assert_eq!(decoder.cancel_stream(0), Ok(()));
    }
    assert_eq!(decoder.cancel_stream(0), Err(QpackError::DecoderBacklog));
    assert_eq!(output(&mut decoder).len(), MAX_DECODER_BACKLOG);
    assert_eq!(decoder.cancel_stream(0), Ok(()));
}

#[test]
fn what_follows_a_section_that_waited_means_what_it_means_now() {
    let mut decoder = decoder_after(100, "3f45");
    let blocked = decoder.decode(0, &hex("020080"), NO_LIMIT);
    assert_eq!(blocked, Ok(Decoded::Blocked));
    decoder.handle_encoder_stream(&hex("4161 0162")).unwrap();
    let section = decoder.decode(0, &hex("020080"), NO_LIMIT);
    assert_eq!(lines(section), pairs([("a", "b")]));
    // Four duplicates later, Required Insert Count 5 is encoded as 6.
    decoder.handle_encoder_stream(&hex("00 00 00 00")).unwrap();
    let trailers = decoder.decode(0, &hex("060080"), NO_LIMIT);
    assert_eq!(lines(trailers), pairs([("a", "b")]));
}

#[test]
fn of_a_section_that_is_too_large_nothing_is_kept() {
    let mut sink = Sink {
        section: FieldSection::new(),
        room: 100,
        lines: 10,
        overflow: false,
    };
    let (small, large) = (Text::Plain(b"a"), [b'x'; 100]);
    sink.push(small, small, false).unwrap();
    assert_eq!(sink.section.len(), 1);
    sink.push(small, Text::Plain(&large), false).unwrap();
    assert!(sink.overflow && sink.section.is_empty());
    // Nor of what would fit by itself.
    sink.push(small, small, false).unwrap();
    assert!(sink.section.is_empty());
}
