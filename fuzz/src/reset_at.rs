//! Plaintext of packets, with resets in it: what QUIC reads parses where what came did,
//! what goes out parses and fits, and nothing else is changed.

use std::collections::BTreeMap;

use aqueduct_core::id::Side;
use aqueduct_core::testing::reset_at::{Head, Ledger, Verdict, has_resets, receive, send};
use aqueduct_core::wire::varint::take_slice;

use crate::input::Input;

/// The first byte chooses the side and the room; the rest is a packet.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let rest = data.get(1..).unwrap_or_default();
    let side = if choice & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    received(side, rest);
    sent(usize::from(choice >> 1), rest);
}

fn received(side: Side, packet: &[u8]) {
    let mut ledger = Ledger::new(side);
    let mut verdicts = Vec::new();
    let mut after = packet.to_vec();
    receive(&mut after, |reset| {
        let verdict = ledger.judge(reset);
        verdicts.push((reset, verdict));
        verdict
    });
    assert_eq!(after.len(), packet.len());
    assert_eq!(
        has_resets(packet),
        !verdicts.is_empty(),
        "both ways of looking agree"
    );
    let (before, whole) = frames(packet);
    let (after, still) = frames(&after);
    assert_eq!(whole, still, "what parsed parses");
    let mut verdicts = verdicts.into_iter();
    let expected = before.into_iter().map(|frame| {
        if !matches!(frame.ty, 0x04 | 0x24) {
            return frame;
        }
        let (reset, verdict) = verdicts.next().expect("each reset was judged");
        let (stream, size) = (reset.stream, reset.final_size);
        let ty_and_ints = match verdict {
            Verdict::Keep => return frame,
            Verdict::End => (0x0f, vec![stream, size]),
            Verdict::Reset => (0x04, vec![stream, reset.code, size]),
            Verdict::StateError(other) => (0x05, vec![other, 0]),
        };
        Frame::new(ty_and_ints)
    });
    let expected: Vec<_> = expected.filter(|frame| frame.ty != 0).collect();
    let after: Vec<_> = after.into_iter().filter(|frame| frame.ty != 0).collect();
    assert_eq!(after, expected);
    assert_eq!(verdicts.next(), None);
}

fn sent(room: usize, payload: &[u8]) {
    // Every stream but each fourth has a header, of a length by its number.
    let head = |stream: u64| {
        let len = usize::try_from(stream % 4).unwrap_or(0) * 5;
        Head::new([7; 16].get(..len)?)
    };
    let mut packet = payload.to_vec();
    packet.resize(payload.len() + room, 0xee);
    let made = send(&mut packet, payload.len(), head);
    let (before, whole) = frames(payload);
    let (after, still) = frames(&packet);
    assert_eq!(whole, still);
    // Padding is in front.
    let behind = after.iter().position(|frame| frame.ty != 0);
    let mut exchanged = 0;
    let mut after = after
        .into_iter()
        .skip(behind.unwrap_or(usize::MAX))
        .peekable();
    for frame in before.into_iter().skip_while(|frame| frame.ty == 0) {
        let Some(got) = after.next() else {
            panic!("{frame:?} is gone");
        };
        if got == frame {
            continue;
        }
        exchanged += 1;
        assert_eq!((frame.ty, got.ty), (0x04, 0x0a));
        let reset = after.next().expect("a reset behind the header");
        let reliable = got.bytes.len() as u64;
        let mut ints = frame.ints.clone();
        ints.push(reliable);
        assert_eq!(reset, Frame::new((0x24, ints)));
        assert!(got.ints == frame.ints[..1] && reliable <= frame.ints[2]);
        let header = head(frame.ints[0]).expect("a header");
        assert_eq!(
            header.as_slice().get(..got.bytes.len()),
            Some(&got.bytes[..])
        );
    }
    assert_eq!(after.next(), None);
    if let Ok(made) = made {
        assert_eq!(made, exchanged);
    }
}

/// A frame: its integers, and bytes that have no meaning here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Frame {
    ty: u64,
    ints: Vec<u64>,
    bytes: Vec<u8>,
}

impl Frame {
    fn new((ty, ints): (u64, Vec<u64>)) -> Self {
        Self {
            ty,
            ints,
            ..Self::default()
        }
    }
}

/// RFC 9000 section 19 as a table: integers, `b` for bytes behind their length, `r` for
/// the rest, digits for so many bytes.
fn shape(ty: u64) -> Option<&'static str> {
    let shapes = BTreeMap::from([
        (0x00, ""),
        (0x01, ""),
        (0x02, "iia"),
        (0x03, "iiaiii"),
        (0x04, "iii"),
        (0x05, "ii"),
        (0x06, "ib"),
        (0x07, "b"),
        (0x08, "ir"),
        (0x09, "ir"),
        (0x0a, "ib"),
        (0x0b, "ib"),
        (0x0c, "iir"),
        (0x0d, "iir"),
        (0x0e, "iib"),
        (0x0f, "iib"),
        (0x10, "i"),
        (0x11, "ii"),
        (0x12, "i"),
        (0x13, "i"),
        (0x14, "i"),
        (0x15, "ii"),
        (0x16, "i"),
        (0x17, "i"),
        (0x18, "iic"),
        (0x19, "i"),
        (0x1a, "8"),
        (0x1b, "8"),
        (0x1c, "iib"),
        (0x1d, "ib"),
        (0x1e, ""),
        (0x1f, ""),
        (0x24, "iiii"),
        (0x30, "r"),
        (0x31, "b"),
        (0xaf, "iiii"),
    ]);
    shapes.get(&ty).copied()
}

/// The frames of a packet, and whether there is nothing else in it.
fn frames(mut packet: &[u8]) -> (Vec<Frame>, bool) {
    let mut all = Vec::new();
    while !packet.is_empty() {
        let Some(frame) = frame(&mut packet) else {
            return (all, false);
        };
        all.push(frame);
    }
    (all, true)
}

fn frame(packet: &mut &[u8]) -> Option<Frame> {
    let mut frame = Frame {
        ty: take_slice(packet)?,
        ..Frame::default()
    };
    for part in shape(frame.ty)?.chars() {
        let len = match part {
            'i' => {
                frame.ints.push(take_slice(packet)?);
                continue;
            }
            'a' => {
                let ranges = take_slice(packet)?;
                frame.ints.push(take_slice(packet)?);
                for _ in 0..ranges {
                    frame.ints.push(take_slice(packet)?);
                    frame.ints.push(take_slice(packet)?);
                }
                continue;
            }
            'b' => usize::try_from(take_slice(packet)?).ok()?,
            'c' => usize::from(*packet.first()?) + 17,
            '8' => 8,
            _ => packet.len(),
        };
        let (bytes, rest) = packet.split_at_checked(len)?;
        frame.bytes.extend_from_slice(bytes);
        *packet = rest;
    }
    Some(frame)
}
