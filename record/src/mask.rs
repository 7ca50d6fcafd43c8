//! Text that says nothing: each letter and digit becomes an `x`, and each byte of a
//! character outside ASCII. Punctuation stays, and with it whatever a path, a list or
//! a pair of quotes is made of. Masking twice changes nothing.

use std::borrow::Cow;

use aqueduct_core::wire::qpack::{Text, code_bits, encode_huffman};
use bytes::BytesMut;

/// What becomes of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masking {
    /// It is masked.
    On,
    /// It stays.
    Off,
}

/// Fields the core itself reads, and those it refuses. Values of the first have to be
/// what they were; values of the others are no secrets.
const READ_BY_CORE: &str = ":method :protocol :scheme :status capsule-protocol connection \
    content-length keep-alive priority proxy-connection sec-webtransport-http3-draft \
    sec-webtransport-http3-draft02 te transfer-encoding upgrade wt-available-protocols wt-protocol";

impl Masking {
    pub(crate) fn unless(secrets: bool) -> Self {
        if secrets { Self::Off } else { Self::On }
    }

    /// The value of a field.
    pub(crate) fn field<'a>(self, name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        let (secret, rest) = value.split_at(secret(name, value));
        if self == Self::Off || secret.is_empty() {
            return Cow::Borrowed(value);
        }
        Cow::Owned([&text(secret), rest].concat())
    }

    /// Text for people.
    pub(crate) fn text(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::On => Cow::Owned(text(value)),
            Self::Off => Cow::Borrowed(value),
        }
    }
}

/// How much of a value, from its front, is masked.
fn secret(name: &[u8], value: &[u8]) -> usize {
    match name {
        // What is before the host is no part of it, and refused.
        b":authority" | b"host" => {
            let at = value.iter().rposition(|byte| *byte == b'@');
            at.unwrap_or(0)
        }
        // A page's host is no more of a secret than the server's; the core compares them.
        b"origin" if is_origin(value) => 0,
        _ if READ_BY_CORE.split(' ').any(|own| own.as_bytes() == name) => 0,
        _ => value.len(),
    }
}

/// Whether a value is a scheme and a host with a port, or `null`, and nothing else.
fn is_origin(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]/".contains(byte);
    let slashes = value.iter().filter(|byte| **byte == b'/').count();
    value == b"null"
        || slashes == 2 && value.windows(3).any(|part| part == b"://") && value.iter().all(plain)
}

/// The mask of a text. What is no UTF-8 stays none.
fn text(value: &[u8]) -> Vec<u8> {
    let mut mask = Vec::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        mask.extend(chunk.valid().bytes().map(byte));
        mask.extend(chunk.invalid().iter().map(|_| 0xff));
    }
    mask
}

/// The mask of one byte of valid text.
pub(crate) fn byte(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => b'x',
        _ => byte,
    }
}

/// What stands for a value on the wire, in as many bytes: once decoded and masked it
/// is the mask of the value. One that cannot be decoded stays so.
pub(crate) fn on_wire(name: Text<'_>, value: Text<'_>) -> Vec<u8> {
    let len = value.wire().len();
    let coded = name.plain().zip(value.plain()).map(|(name, plain)| {
        let (secret, rest) = plain.split_at(secret(&name, &plain));
        let Text::Huffman(_) = value else {
            return [&text(secret), rest].concat();
        };
        let mut coded = BytesMut::new();
        encode_huffman(&fitted(secret, rest, len), &mut coded);
        coded.to_vec()
    });
    //= https://www.rfc-editor.org/rfc/rfc7541#section-5.2
    // Ones without end are no valid string.
    coded
        .filter(|coded| coded.len() == len)
        .unwrap_or_else(|| vec![0xff; len])
}

/// A mask of `secret` that takes, with `rest`, `len` bytes once Huffman-coded. An `x`
/// takes 7 bits; the first so many become `a`, which takes 5, or `X`, which takes 8,
/// so that a mask tells nothing but its length.
fn fitted(secret: &[u8], rest: &[u8], len: usize) -> Vec<u8> {
    let mut mask: Vec<u8> = secret.iter().scan(0, foreign).collect();
    let bits = mask.iter().chain(rest);
    let now: usize = bits.map(|byte| usize::from(code_bits(*byte))).sum();
    let most = 8 * len;
    let (letter, count) = if now > most {
        (b'a', (now - most).div_ceil(2))
    } else {
        (b'X', (most - now).saturating_sub(7))
    };
    let places = mask.iter_mut().zip(secret);
    let places = places.filter(|(_, byte)| byte.is_ascii_alphanumeric());
    for (place, _) in places.take(count) {
        *place = letter;
    }
    mask.extend(rest);
    mask
}

/// The mask of a byte whose Huffman code keeps its length if it is no letter or digit.
/// Outside ASCII these are the continuation bytes of UTF-8 alone: codes of such bytes
/// are so long that no other stands for them. `before` is the byte before it.
#[expect(clippy::unnecessary_wraps, reason = "`scan` wants it")]
fn foreign(before: &mut u8, byte: &u8) -> Option<u8> {
    let lead = std::mem::replace(before, *byte);
    Some(match byte {
        //= https://www.rfc-editor.org/rfc/rfc3629#section-4
        // Behind some bytes not every continuation byte makes a character.
        0x80..=0xbf if !matches!(lead, 0xe0 | 0xed | 0xf0 | 0xf4) => {
            let alike = |other: &u8| code_bits(*other) == code_bits(*byte);
            (0x80..=0xbf).find(alike).unwrap_or(*byte)
        }
        byte if byte.is_ascii_alphanumeric() => b'x',
        byte => *byte,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, value: &str) -> String {
        let masked = Masking::On.field(name.as_bytes(), value.as_bytes());
        String::from_utf8(masked.into_owned()).expect("UTF-8")
    }

    #[test]
    fn shapes_stay_and_words_go() {
        assert_eq!(field("cookie", "id=31; theme=dark"), "xx=xx; xxxxx=xxxx");
        assert_eq!(field(":path", "/a/b?c=d%20e"), "/x/x?x=x%xxx");
        assert_eq!(field("x-name", "Zoë"), "xxxx");
        assert_eq!(field("priority", "u=1, i"), "u=1, i");
        assert_eq!(field(":authority", "me:pw@host:1"), "xx:xx@host:1");
        assert_eq!(field("host", "host"), "host");
        assert_eq!(field("origin", "https://page:1"), "https://page:1");
        assert_eq!(field("origin", "https://page/x"), "xxxxx://xxxx/x");
        assert_eq!(Masking::On.text(b"a\xffb\xc3"), &b"x\xffx\xff"[..]);
        assert_eq!(Masking::Off.text(b"a"), &b"a"[..]);
    }

    /// Values that differ only in what they say have the same mask on the wire.
    #[test]
    fn a_mask_tells_nothing_but_its_length() {
        let masks: Vec<_> = ["hunter22", "aaaabbbb", "Passw0rd"]
            .iter()
            .map(|value| fitted(value.as_bytes(), b"", 6))
            .collect();
        assert_eq!(
            masks,
            [masks[0].clone(), masks[0].clone(), masks[0].clone()]
        );
    }

    proptest! {
        #[test]
        fn a_mask_costs_on_the_wire_what_the_value_costs(value: Vec<u8>, text in ".{0,40}") {
            for plain in [&value[..], text.as_bytes()] {
                let mut coded = BytesMut::new();
                encode_huffman(plain, &mut coded);
                for wire in [Text::Plain(plain), Text::Huffman(&coded)] {
                    let masked = on_wire(Text::Plain(b"x-any"), wire);
                    prop_assert_eq!(masked.len(), wire.wire().len());
                    let again = match wire {
                        Text::Plain(_) => Text::Plain(&masked),
                        Text::Huffman(_) => Text::Huffman(&masked),
                    };
                    let back = again.plain().expect("decodes");
                    prop_assert_eq!(back.len(), plain.len());
                    prop_assert_eq!(Masking::On.text(&back), Masking::On.text(plain));
                    let utf8 = std::str::from_utf8(&back).is_ok();
                    prop_assert_eq!(utf8, std::str::from_utf8(plain).is_ok());
                }
            }
        }

        #[test]
        fn masking_twice_changes_nothing(value: Vec<u8>) {
            let once = Masking::On.text(&value).into_owned();
            prop_assert_eq!(&Masking::On.text(&once)[..], &once[..]);
        }
    }
}
