//! Whether there is a reset in a packet, and what it says of stream limits. Every packet that arrives is looked through, so this
//! takes few steps where frames are the usual ones. What it does not know, [`Walk`] does.

use super::Walk;
use super::limits::{Limits, MAX_STREAMS};
use crate::wire::varint;

const ACK: u8 = 0x02;

/// What an acknowledgement of one range takes at most, its type and four integers, one of
/// which is a byte; and the type of another frame.
const WINDOW: usize = 27;

/// Integers of the frames that have nothing else, by their type; [`OTHER`] of others.
static INTS: [u8; 256] = {
    let mut ints = [OTHER; 256];
    let (mut ty, mut of) = (0, INTS_BELOW);
    while let [first, rest @ ..] = of {
        ints[ty] = *first;
        (ty, of) = (ty + 1, rest);
    }
    ints
};
const INTS_BELOW: &[u8] = &[
    0, 0, OTHER, OTHER, OTHER, 2, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER,
    OTHER, 1, 2, 1, 1, 1, 2, 1, 1, OTHER, 1, OTHER, OTHER, OTHER, OTHER, 0, 0,
];
const OTHER: u8 = u8::MAX;

/// Bytes of an integer. Its largest is known to the compiler, which need not check what lies
/// within a window then.
#[derive(Copy, Clone)]
#[repr(u8)]
enum Len {
    One = 1,
    Two = 2,
    Four = 4,
    Eight = 8,
}

/// By the first byte.
static LENS: [Len; 256] = {
    let mut lens = [Len::One; 256];
    let mut first = 0;
    while first < 256 {
        lens[first] = match varint::encoded_len(first as u8) {
            1 => Len::One,
            2 => Len::Two,
            4 => Len::Four,
            _ => Len::Eight,
        };
        first += 1;
    }
    lens
};

#[inline]
fn ints(ty: u8) -> u8 {
    INTS.get(usize::from(ty)).copied().unwrap_or(OTHER)
}

/// Where the integer at `at` ends.
#[inline]
fn pass(payload: &[u8], at: usize) -> Option<usize> {
    let first = *payload.get(at)?;
    Some(at + *LENS.get(usize::from(first))? as usize)
}

/// Whether there is a reset in a packet.
#[cfg(any(test, feature = "testing"))]
#[must_use]
pub fn has_resets(payload: &[u8]) -> bool {
    first_look(payload).is_some_and(|at| has_resets_behind(payload, at, &Limits::default()))
}

/// Looks at what is usual, as long as nothing can reach beyond the end: at whole packets, or
/// at small frames that a packet begins with. Where there is more to look at
/// ([`has_resets_behind`]), if there is.
#[inline]
pub(in crate::endpoint::reset_at) fn first_look(payload: &[u8]) -> Option<usize> {
    let mut rest = payload;
    if let Some(window) = rest.first_chunk::<WINDOW>() {
        // Perhaps an acknowledgement, and a stream without a length, which is the last.
        let at = match window {
            [ACK, ..] => pass_ack(window)?,
            _ => 0,
        };
        if *window.get(at)? & 0xfa == 0x08 {
            return None;
        }
        rest = rest.get(at..)?;
    }
    while let Some(window) = rest.first_chunk::<WINDOW>()
        && let [ty, ..] = *window
        && ints(ty) == 2
    {
        rest = rest.get(pass(window, pass(window, 1)?)?..)?;
    }
    Some(payload.len() - rest.len())
}

/// Where an acknowledgement of one range ends; 0, where it begins, if it has more.
#[inline]
fn pass_ack(window: &[u8; WINDOW]) -> Option<usize> {
    let ranges = pass(window, pass(window, 1)?)?;
    match *window.get(ranges)? {
        0 => pass(window, ranges + 1),
        _ => Some(0),
    }
}

/// Whether there is a reset in what begins at `at`; stream limits before that are noted.
pub(in crate::endpoint::reset_at) fn has_resets_behind(
    payload: &[u8],
    at: usize,
    limits: &Limits,
) -> bool {
    find(payload, at, limits).is_some()
}

fn find(payload: &[u8], mut at: usize, limits: &Limits) -> Option<()> {
    loop {
        let ty = *payload.get(at)?;
        let ints = ints(ty);
        if ints == 2 {
            at = pass(payload, pass(payload, at + 1)?)?;
        } else if ty == ACK {
            let ranges = pass(payload, pass(payload, at + 1)?)?;
            let more = *payload.get(ranges)?;
            if varint::encoded_len(more) > 1 {
                break;
            }
            at = pass(payload, ranges + 1)?;
            for _ in 0..more {
                at = pass(payload, pass(payload, at)?)?;
            }
        } else if ty & 0xf8 == 0x08 {
            // STREAM, with an offset and a length or without.
            at = pass(payload, at + 1)?;
            if ty & 0x04 != 0 {
                at = pass(payload, at)?;
            }
            if ty & 0x02 == 0 {
                return None;
            }
            let (len, used) = varint::decode(payload.get(at..)?)?;
            at = at.checked_add(used + usize::try_from(len).ok()?)?;
        } else if ints == 1 {
            let int = at + 1;
            at = pass(payload, int)?;
            if u64::from(ty & 0xfe) == MAX_STREAMS {
                limits.note(u64::from(ty), payload.get(int..)?);
            }
        } else if ints == 0 {
            at += 1;
        } else {
            break;
        }
    }
    Walk {
        payload,
        at,
        limits: Some(limits),
    }
    .next()
    .map(drop)
}
