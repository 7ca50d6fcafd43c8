use super::*;
use crate::id::Dir;
use crate::mix::Mix;
use crate::wire::testing::hex;

/// A packet with frames of every kind that QUIC knows, and a place for one more.
fn around(frame: &str) -> Vec<u8> {
    let mut packet = hex(concat!(
        "00 01",                            // PADDING, PING
        "02 0a 00 01 02 00 03",             // ACK with one range more
        "03 0a 00 00 02 01 02 03",          // ACK with ECN
        "05 01 02",                         // STOP_SENDING
        "06 00 02 0404",                    // CRYPTO
        "07 02 2424",                       // NEW_TOKEN
        "0e 00 04 03 240404",               // STREAM
        "10 24 11 04 24 12 04 13 24 14 04", // MAX_DATA to DATA_BLOCKED
        "15 04 24 16 04 17 24",             // _BLOCKED
        "18 01 00 04 24242424 00112233445566778899aabbccddeeff",
        "19 04 1a 2424242424242424 1b 0404040404040404",
        "31 02 0424 1e 1f 40af 04 24 04 24", // DATAGRAM, ACK_FREQUENCY
    ));
    packet.extend(hex(frame));
    packet.extend(hex("08 00 2404"));
    packet
}

fn found(packet: &[u8]) -> Vec<Reset> {
    let has = has_resets(packet);
    let mut all = Vec::new();
    let mut packet = packet.to_vec();
    receive(&mut packet, |reset| {
        all.push(reset);
        Verdict::Keep
    });
    assert_eq!(has, !all.is_empty());
    all
}

// Row B37.
#[test]
fn a_reset_is_found_among_all_other_frames() {
    let expected = Reset {
        stream: 2,
        code: 0x52e4_a40f_a8db,
        final_size: 100,
        reliable: Some(3),
    };
    assert_eq!(found(&around("24 02 c00052e4a40fa8db 4064 03")), [expected]);
    let plain = Reset {
        reliable: None,
        ..expected
    };
    assert_eq!(found(&around("04 02 c00052e4a40fa8db 4064")), [plain]);
    assert_eq!(found(&around("")), []);
    // What is closed for is not looked into any further.
    assert_eq!(found(&around("1c 00 00 01 20")), []);
    assert_eq!(found(&around("21 24 02 01 04 03")), []);
    assert_eq!(found(&hex("24 02 01 04")), []);
}

#[test]
fn what_is_received_becomes_no_longer() {
    for (frame, verdict, becomes) in [
        ("24 02 07 4064 03", Verdict::Keep, "24 02 07 4064 03"),
        ("24 02 07 4064 03", Verdict::End, "0f 02 4064 00 00"),
        ("24 02 07 4064 03", Verdict::Reset, "04 02 07 4064 00"),
        (
            "24 02 07 4064 03",
            Verdict::StateError(3),
            "05 03 00 000000",
        ),
        ("24 02 07 00 00", Verdict::End, "0f 02 00 00 00"),
        ("04 02 07 00", Verdict::StateError(2), "05 02 00 00"),
        // Written at greater length than needed.
        (
            "24 c000000000000002 07 80000004 4003",
            Verdict::End,
            "0f 02 04 00 0000000000 000000 000000 00",
        ),
    ] {
        let mut packet = around(frame);
        receive(&mut packet, |_| verdict);
        let expected = around(becomes);
        assert_eq!(packet, expected, "{frame} {verdict:?}");
    }
}

fn sent(payload: &[u8], room: usize) -> (Vec<u8>, Result<u64, NoRoom>) {
    let mut packet = payload.to_vec();
    packet.resize(payload.len() + room, 0xee);
    let head = |stream| (stream != 6).then(|| Head::new(&[0x40, 0x54, 0]).expect("short"));
    let made = send(&mut packet, payload.len(), head);
    (packet, made)
}

#[test]
fn a_reset_takes_its_header_along() {
    let (packet, made) = sent(&around("04 02 07 4064"), 10);
    assert_eq!(made, Ok(1));
    let mut expected = vec![0; 3];
    expected.extend(around("0a 02 03 405400 24 02 07 4064 03"));
    assert_eq!(packet, expected);
    // Of a stream that needs none.
    let (packet, made) = sent(&around("04 06 07 4064"), 2);
    assert_eq!(made, Ok(0));
    assert_eq!(packet[2..], around("04 06 07 4064"));
    assert_eq!(packet[..2], [0, 0]);
}

#[test]
fn several_resets_are_exchanged_in_one_packet() {
    let (packet, made) = sent(&around("04 02 07 04 04 06 07 04 01 04 0a 07 04"), 14);
    assert_eq!(made, Ok(2));
    let expected = around(concat!(
        "0a 02 03 405400 24 02 07 04 03",
        "04 06 07 04 01",
        "0a 0a 03 405400 24 0a 07 04 03",
    ));
    assert_eq!(packet, expected);
}

// Row B37: no more is said to arrive than was sent.
#[test]
fn of_a_header_that_is_not_all_out_arrives_what_is() {
    let (packet, _) = sent(&around("04 02 07 02"), 6);
    assert_eq!(packet, around("0a 02 02 4054 24 02 07 02 02"));
    let (packet, made) = sent(&around("04 02 07 00"), 0);
    assert_eq!((packet, made), (around("04 02 07 00"), Ok(0)));
}

#[test]
fn what_has_no_room_stays_what_it_is() {
    let (packet, made) = sent(&around("04 02 07 04 04 0a 07 04"), 8);
    assert_eq!(made, Err(NoRoom));
    let mut expected = vec![0];
    expected.extend(around("0a 02 03 405400 24 02 07 04 03 04 0a 07 04"));
    assert_eq!(packet, expected);
}

#[test]
fn a_header_has_its_growth() {
    let head = Head::new(&[1; MAX_HEAD]).expect("the longest");
    assert_eq!(head.growth(2), 1 + 1 + 1 + 16 + 1);
    assert_eq!(head.growth(1 << 40), 1 + 8 + 1 + 16 + 1);
    assert_eq!(Head::new(&[0; MAX_HEAD + 1]), None);
    assert_eq!(Head::new(&[]), None);
}

/// Frames of any kind, whose integers have any length; where they end is any place.
fn any_packet(luck: &mut Mix) -> Vec<u8> {
    let mut packet = Vec::new();
    for _ in 0..luck.next() % 12 {
        let ty = luck.next() % 0x33;
        // Resets are rare, or nothing is looked at beyond the first.
        packet.push(match ty {
            RESET_STREAM | RESET_STREAM_AT if !luck.next().is_multiple_of(8) => 0x11,
            0x20..0x30 => 0x02,
            _ => ty as u8,
        });
        for _ in 0..luck.next() % 5 {
            let first = luck.next() as u8 & [0x03, 0xc3, 0x7f][(luck.next() % 3) as usize];
            packet.push(first);
            packet.resize(packet.len() + varint::encoded_len(first) - 1, ty as u8);
        }
    }
    packet.truncate((luck.next() % 90) as usize);
    packet
}

// Row B37: the quick look and the thorough one see the same.
#[test]
fn both_ways_of_looking_agree() {
    let mut luck = Mix(5);
    let resets = (0..100_000).filter(|_| !found(&any_packet(&mut luck)).is_empty());
    let resets = resets.count();
    assert!(resets > 300, "{resets}");
}

// Row E5.
#[test]
fn stream_limits_are_noted_wherever_they_are() {
    let ahead = [
        "",                                   // MAX_STREAMS alone
        "02 0a 00 00 01",                     // behind an ACK,
        "02 0a 00 02 01 02 03 02 03",         // one with more ranges,
        "03 0a 00 00 02 01 02 03",            // one with ECN,
        "11 04 24",                           // MAX_STREAM_DATA,
        "0e 00 04 03 240404",                 // STREAM with a length,
        "31 02 0424",                         // DATAGRAM,
        "02 0a 00 00 01 10 24 0a 00 02 6f6b", // and several.
    ];
    for ahead in ahead {
        let packet = hex(&format!("{ahead} 12 4064 13 05 13 04"));
        let limits = Limits::default();
        if let Some(at) = first_look(&packet) {
            assert!(!has_resets_behind(&packet, at, &limits));
        }
        // The larger one counts.
        assert_eq!(
            [Dir::Bi, Dir::Uni].map(|dir| limits.get(dir)),
            [Some(100), Some(5)],
            "{ahead}"
        );
        let limits = Limits::default();
        note_limits(&hex(&format!("{ahead} 04 02 07 00 12 4064")), &limits);
        assert_eq!(
            [Dir::Bi, Dir::Uni].map(|dir| limits.get(dir)),
            [Some(100), None],
            "{ahead}"
        );
    }
    let limits = Limits::default();
    has_resets_behind(&hex("08 00 12 05"), 0, &limits);
    has_resets_behind(&hex("12"), 0, &limits);
    assert_eq!(
        limits.get(Dir::Bi),
        None,
        "bytes of a stream, and half a frame"
    );
    limits.raise(Dir::Bi, 0);
    assert_eq!(limits.get(Dir::Bi), Some(0), "none is a number as well");
}

// Row E14.
#[test]
fn a_close_is_said_in_the_name_of_quic() {
    for (room, padding) in [(1, ""), (3, "0000")] {
        let ahead = "02 0a 00 00 01";
        let mut packet = hex(&format!("{ahead} 1d 412a 02 6f6b 0000"));
        let len = packet.len();
        packet.resize(len + room, 0x55);
        send_close(&mut packet, len);
        let said = hex(&format!("{padding} {ahead} 1c 412a 00 02 6f6b 0000"));
        assert_eq!(packet, said);
    }
    for other in ["02 0a 00 00 01", "1c 412a 00 00", "1d", "1d 41"] {
        let mut packet = hex(&format!("{other} 55"));
        let before = packet.clone();
        let len = packet.len() - 1;
        send_close(&mut packet, len);
        assert_eq!(packet, before, "{other}");
    }
}
