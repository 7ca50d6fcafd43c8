//! Frames that a peer may send and may not, and what becomes of them.

use super::*;

/// QUIC's codes (RFC 9000 section 20.1).
const STREAM_LIMIT: u64 = 0x04;
const STREAM_STATE: u64 = 0x05;
const FLOW_CONTROL: u64 = 0x03;
const FINAL_SIZE: u64 = 0x06;
const FRAME_ENCODING: u64 = 0x07;

/// A stream of the client's with a session's header and five bytes, and frames that the
/// client is made to send beside it. What the server heard of it, or why it closed.
fn forged(frames: &[&str]) -> Result<Heard, u64> {
    let mut net = Net::new(Options::default());
    let stream = net.open(Side::Client, Dir::Uni).expect("room");
    assert_eq!(stream.id().wire(), 0x12);
    net.write(Side::Client, stream, b"hello");
    // In front of those bytes, in the same packet.
    let bytes = hex(&frames.concat());
    let shared = net.shared(Side::Client);
    shared.with(|ledger| ledger.forged = bytes);
    shared.note();
    net.at(Side::Client);
    net.settle_quietly();
    let events = net.pair.server.events.iter();
    let mut closed = events.filter_map(|(_, event)| match event {
        Event::Closed(reason) => Some(reason.as_ref().clone()),
        _ => None,
    });
    let closed = closed.next();
    if let Some(reason) = closed {
        let CloseReason::Transport(TransportFailure::Error { code, .. }) = reason else {
            panic!("{reason:?}");
        };
        return Err(code);
    }
    net.listen();
    Ok(net.heard[1].remove(&0x12).unwrap_or_default())
}

impl Net {
    fn settle_quietly(&mut self) {
        self.pair.advance(Duration::from_millis(200));
    }
}

/// Code 0x52e4_a40f_a8db is 0 for the application.
const AT: &str = "24 12 c00052e4a40fa8db 4064 03";

// Row B37. The header has 3 bytes and the body 5, of which all arrived.
#[test]
fn legal_frames() {
    let zero = "c00052e4a40fa8db";
    for (frames, body) in [
        (vec![AT.to_owned()], ""),
        (vec![format!("24 12 {zero} 4064 05")], "he"),
        (vec![format!("24 12 {zero} 08 08")], "hello"),
        // More is to come that does not.
        (
            vec![
                format!("24 12 {zero} 4064 04"),
                format!("24 12 {zero} 4064 03"),
            ],
            "",
        ),
        // Raised: the first counts.
        (
            vec![
                format!("24 12 {zero} 4064 04"),
                format!("24 12 {zero} 4064 06"),
            ],
            "h",
        ),
        (vec![AT.to_owned(), AT.to_owned()], ""),
        // A frame that is longer than it need be.
        (vec![format!("24 4012 {zero} 80000064 4003")], ""),
    ] {
        let frames: Vec<_> = frames.iter().map(String::as_str).collect();
        let heard = forged(&frames);
        assert_eq!(heard, Ok((body.into(), Some(Err(0)))), "{frames:?}");
    }
}

// Row B37: with the header, so nobody knows whose it was.
#[test]
fn a_plain_reset_takes_away_what_was_reliable() {
    let plain = "04 12 c00052e4a40fa8db 4064";
    for frames in [
        &[AT, plain][..],
        &[plain, AT],
        &["24 12 c00052e4a40fa8db 4064 00"],
    ] {
        assert_eq!(forged(frames), Ok((Vec::new(), None)), "{frames:?}");
    }
}

// Row B37: what has not arrived is waited for.
#[test]
fn what_is_reliable_is_waited_for() {
    let (body, end) = forged(&["24 12 c00052e4a40fa8db 4064 0a"]).expect("legal");
    assert_eq!((&body[..], end), (&b"hello"[..], None));
}

// Row B37.
#[test]
fn illegal_frames() {
    for (frames, code) in [
        (&["24 12 07 02 03"][..], FRAME_ENCODING),
        (&[AT, "24 12 08 4064 03"], STREAM_STATE),
        (&[AT, "04 12 08 4064"], STREAM_STATE),
        (&[AT, "24 12 c00052e4a40fa8db 4065 03"], FINAL_SIZE),
        (&[AT, "04 12 c00052e4a40fa8db 4065"], FINAL_SIZE),
        // Less than what has arrived.
        (&["24 12 c00052e4a40fa8db 04 03"], FINAL_SIZE),
        (&["24 12 c00052e4a40fa8db bfffffff 03"], FLOW_CONTROL),
        // A stream of the server's own, one that it has not opened, one beyond the limit.
        (&["24 03 07 4064 03"], STREAM_STATE),
        (&["24 01 07 4064 03"], STREAM_STATE),
        (&["24 7ffe 07 4064 03"], STREAM_LIMIT),
    ] {
        assert_eq!(forged(frames), Err(code), "{frames:?}");
    }
}

// Row B37: one peer's streams without end are held by the budget for useless things.
#[test]
fn ever_new_streams_are_held_by_the_budget() {
    let mut net = Net::new(Options::default());
    let mut closed = None;
    for number in 3..5_000_u64 {
        let id = number << 2 | 2;
        let mut frame = hex("24");
        for value in [id, 7, 0x64, 3] {
            crate::wire::varint::put(&mut frame, value).expect("in range");
        }
        let shared = net.shared(Side::Client);
        shared.with(|ledger| ledger.forged = frame);
        shared.note();
        net.state(Side::Client).quic.ping();
        net.at(Side::Client);
        net.pair.advance(Duration::from_millis(2));
        net.shared(Side::Client).note();
        closed = net.closed();
        if closed.is_some() {
            break;
        }
    }
    // The header never comes, so the streams stay and the limit of streams is reached.
    let reason = closed.expect("is held");
    let limit = matches!(
        reason,
        CloseReason::Transport(TransportFailure::Error {
            code: STREAM_LIMIT,
            ..
        })
    );
    assert!(limit, "{reason:?}");
}
