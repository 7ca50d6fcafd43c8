//! The capsules of a session: headers kept, payloads counted, but for what the
//! session's own state depends on.

use super::frames::{Int, take};
use super::output::Output;
use crate::record::mask::Mask;
use crate::wire::capsule::CapsuleType;

/// Reads the capsules of one CONNECT stream, cut into DATA frames anyhow.
#[derive(Debug)]
pub(super) struct Capsules {
    int: Int,
    at: At,
}

#[derive(Debug)]
enum At {
    Type,
    Length(CapsuleType),
    Keep(u64),
    Fill(u64),
    /// The code of a close, and the length of the message behind it.
    Code {
        left: u64,
        message: u64,
    },
    Message(u64),
}

impl Capsules {
    /// At the start of a capsule.
    pub(super) fn new() -> Self {
        Self {
            int: Int::default(),
            at: At::Type,
        }
    }

    /// Takes content of the stream.
    pub(super) fn read(&mut self, mut input: &[u8], mask: &Mask, out: &mut Output<'_>) {
        let input = &mut input;
        loop {
            match &mut self.at {
                At::Type => match self.int.read(input, out) {
                    Some(ty) => self.at = At::Length(CapsuleType(ty)),
                    None => return,
                },
                At::Length(ty) => {
                    let ty = *ty;
                    let Some(len) = self.int.read(input, out) else {
                        return;
                    };
                    self.at = Self::value(ty, len);
                }
                At::Keep(0) | At::Fill(0) => self.at = At::Type,
                At::Code { left: 0, message } => {
                    self.at = At::Message(*message);
                    out.begin_text();
                }
                At::Message(0) => {
                    out.end_text(mask);
                    // Nothing may follow, so whatever does is no capsule.
                    self.at = At::Fill(u64::MAX);
                }
                _ if input.is_empty() => return,
                At::Keep(left) | At::Code { left, .. } => out.bytes(take(input, left)),
                At::Fill(left) => out.filler(take(input, left).len() as u64),
                At::Message(left) => out.text(take(input, left)),
            }
        }
    }

    fn value(ty: CapsuleType, len: u64) -> At {
        match ty.webtransport_bounds() {
            Some((shortest, longest)) if (shortest..=longest).contains(&len) => {
                if ty == CapsuleType::WT_CLOSE_SESSION {
                    At::Code {
                        left: shortest,
                        message: len - shortest,
                    }
                } else {
                    At::Keep(len)
                }
            }
            // Datagrams, what nobody here defines, and what is refused by its length.
            _ => At::Fill(len),
        }
    }
}
