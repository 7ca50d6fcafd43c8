//! Replaces text by text that costs the same: as many bytes, as many bits once
//! Huffman-coded, and the same kind of byte at each place.
//!
//! Letters and digits are replaced, and the continuation bytes of UTF-8, so that
//! other scripts are not left readable. Punctuation stays, and with it whatever
//! a path, a list or a pair of quotes is made of.

use std::hash::{DefaultHasher, Hasher};

use crate::wire::qpack::{code_bits, is_static_entry};

/// Values with up to this many replaced bytes get masks that are all different.
///
/// Short values would often share a mask if it were drawn, and a replay's encoder
/// would find one where it found none before. Two longer ones share it with a
/// probability below one in ten million, unless they are all X and Z.
const SHORT: usize = 6;

/// Masks tried until one differs from the value and is no entry of the static
/// table. One is nearly always enough.
const TRIES: u64 = 16;

/// Fields the core itself reads, and those it refuses, sorted. Values of the first
/// have to be what they were; values of the others are no secrets.
const READ_BY_CORE: &[&[u8]] = &[
    b":authority",
    b":method",
    b":protocol",
    b":scheme",
    b":status",
    b"capsule-protocol",
    b"connection",
    b"content-length",
    b"host",
    b"keep-alive",
    b"priority",
    b"proxy-connection",
    b"sec-webtransport-http3-draft",
    b"sec-webtransport-http3-draft02",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"wt-available-protocols",
    b"wt-protocol",
];

/// A keyed way of replacing text: the same text gives the same mask.
///
/// A mask tells the length of its text, the bytes that are not replaced, and how
/// many letters and digits have codes of each length; for texts of six replaced
/// bytes or fewer also which, and whether two of them begin alike.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    key: [u64; 2],
}

impl Mask {
    /// Masks with this key. Without it nobody can test a guess of what was masked.
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Self { key }
    }

    /// Text to stand for `value`. Linear in its length.
    pub(crate) fn text(&self, value: &[u8]) -> Vec<u8> {
        self.unlike(value, |_| false)
    }

    /// Text to stand for the value of a field; `None` if it is kept: because the
    /// core reads it, because it is public as an entry of the static table, or
    /// because nothing in it is replaced.
    pub(crate) fn field(&self, name: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        match name {
            Some(b"cookie") => return self.crumbs(value),
            Some(b":authority" | b"host") => return self.user_information(value),
            _ => {}
        }
        let public = |value: &[u8]| name.is_some_and(|name| is_static_entry(name, value));
        let read = name.is_some_and(|name| READ_BY_CORE.binary_search(&name).is_ok());
        if read || public(value) || !replaced(value).any(|class| class.is_some()) {
            return None;
        }
        // A mask that is an entry would be encoded as one, in fewer bytes.
        Some(self.unlike(value, public))
    }

    /// A mask of each part of a cookie, because they are joined for applications: the
    /// mask of the whole has to be the masks of the parts, joined.
    fn crumbs(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut mask = Vec::with_capacity(value.len());
        let mut rest = value;
        while let Some(len) = rest.windows(2).position(|pair| pair == b"; ") {
            let (crumb, tail) = rest.split_at(len);
            let (joint, tail) = tail.split_at(2);
            mask.extend(self.text(crumb));
            mask.extend(joint);
            rest = tail;
        }
        mask.extend(self.text(rest));
        (mask != value).then_some(mask)
    }

    /// A mask of what is before the host in an authority: nothing may be, so that
    /// what it is does not matter to the core.
    fn user_information(&self, value: &[u8]) -> Option<Vec<u8>> {
        let at = value.iter().rposition(|byte| *byte == b'@')?;
        let (user, host) = value.split_at_checked(at)?;
        Some([&self.text(user), host].concat())
    }

    fn unlike(&self, value: &[u8], refused: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let short = replaced(value).flatten().count() <= SHORT;
        let mut mask = value.to_vec();
        for attempt in 0..TRIES {
            mask = if short {
                // Going on from a refused mask keeps different values apart.
                self.permute(&mask)
            } else {
                self.draw(value, attempt)
            };
            if mask != value && !refused(&mask) {
                break;
            }
        }
        mask
    }

    /// A mask drawn at random, from all that cost the same.
    fn draw(&self, value: &[u8], attempt: u64) -> Vec<u8> {
        let mut dice = self.dice(value, attempt);
        let mut classes: Vec<Class> = replaced(value).flatten().filter(Class::is_ascii).collect();
        dice.shuffle(&mut classes);
        let mut classes = classes.into_iter();
        let draw = |(byte, class): (&u8, Option<Class>)| match class {
            None => *byte,
            Some(class) if class.is_ascii() => {
                let members = classes.next().unwrap_or(class).members();
                dice.pick(members).unwrap_or(*byte)
            }
            Some(class) => dice.pick(class.members()).unwrap_or(*byte),
        };
        value.iter().zip(replaced(value)).map(draw).collect()
    }

    /// A mask that no other value of the same key has: each byte moves along a
    /// cycle through its class, chosen by what the mask is so far.
    fn permute(&self, value: &[u8]) -> Vec<u8> {
        let mut mask = Vec::with_capacity(value.len());
        for (byte, class) in value.iter().zip(replaced(value)) {
            let moved = class.and_then(|class| {
                let mut cycle = class.members().to_vec();
                self.dice(&mask, value.len() as u64).shuffle(&mut cycle);
                let at = cycle.iter().position(|member| member == byte)?;
                cycle.get((at + 1) % cycle.len()).copied()
            });
            mask.push(moved.unwrap_or(*byte));
        }
        mask
    }

    fn dice(&self, text: &[u8], number: u64) -> Dice {
        let [first, last] = self.key;
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(first);
        hasher.write_u64(number);
        hasher.write_u64(text.len() as u64);
        hasher.write(text);
        hasher.write_u64(last);
        Dice(hasher.finish())
    }
}

/// Bytes that may stand for one another: of one kind, with codes of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class(u8);

/// Set in the classes of UTF-8 continuation bytes; the rest is the code's length.
const CONTINUATION: u8 = 0x20;

impl Class {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Some(Self(code_bits(byte))),
            0x80..=0xbf => Some(Self(CONTINUATION | code_bits(byte))),
            _ => None,
        }
    }

    fn is_ascii(&self) -> bool {
        self.0 & CONTINUATION == 0
    }

    fn members(self) -> &'static [u8] {
        let (bytes, len) = &MEMBERS[usize::from(self.0 % 64)];
        bytes.get(..*len).unwrap_or_default()
    }
}

/// The members of each class, ahead of unused places.
static MEMBERS: [([u8; 64], usize); 64] = {
    let mut members = [([0; 64], 0); 64];
    let mut byte = u8::MAX;
    while byte > 0 {
        if let Some(Class(class)) = Class::of(byte) {
            let (bytes, len) = &mut members[class as usize];
            bytes[*len] = byte;
            *len += 1;
        }
        byte -= 1;
    }
    members
};

/// The class of each byte that is replaced.
fn replaced(value: &[u8]) -> impl Iterator<Item = Option<Class>> {
    let before = std::iter::once(0).chain(value.iter().copied());
    value.iter().zip(before).map(|(byte, before)| {
        //= https://www.rfc-editor.org/rfc/rfc3629#section-4
        // Behind these, not every continuation byte makes a character.
        if *byte >= 0x80 && matches!(before, 0xe0 | 0xed | 0xf0 | 0xf4) {
            return None;
        }
        Class::of(*byte)
    })
}

/// SplitMix64: a different number each time, from one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.roll()) * end as u128) >> 64) as usize
    }

    fn pick(&mut self, from: &[u8]) -> Option<u8> {
        from.get(self.below(from.len())).copied()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::fields::FieldSection;
    use crate::wire::qpack::{Encoder, is_static_entry};

    const KEY: [u64; 2] = [7, 11];

    fn bits(text: &[u8]) -> u64 {
        text.iter().map(|byte| u64::from(code_bits(*byte))).sum()
    }

    #[test]
    fn a_mask_looks_like_its_text_and_says_nothing_of_it() {
        let mask = Mask::new(KEY);
        let value = b"/users/anna?token=s3cr3t-Zebra&x=%2F";
        let masked = mask.text(value);
        assert_eq!(masked.len(), value.len());
        assert_eq!(bits(&masked), bits(value));
        for (before, after) in value.iter().zip(&masked) {
            assert_eq!(
                before.is_ascii_alphanumeric(),
                after.is_ascii_alphanumeric()
            );
            assert!(before == after || before.is_ascii_alphanumeric());
        }
        for secret in [&b"users"[..], b"anna", b"s3cr3t", b"Zebra"] {
            assert!(!masked.windows(secret.len()).any(|part| part == secret));
        }
        assert_eq!(masked, mask.text(value), "the same value, the same mask");
        assert_ne!(masked, Mask::new([7, 12]).text(value), "another key");
    }

    #[test]
    fn short_values_have_masks_of_their_own() {
        let mask = Mask::new(KEY);
        let values: Vec<_> = (0..1000).map(|number: u32| number.to_string()).collect();
        let masks: BTreeSet<_> = values.iter().map(|v| mask.text(v.as_bytes())).collect();
        assert_eq!(masks.len(), values.len());
        for value in &values {
            assert_ne!(mask.text(value.as_bytes()), value.as_bytes());
        }
    }

    #[test]
    fn what_the_core_reads_and_what_is_public_is_kept() {
        let mask = Mask::new(KEY);
        let field = |name: &str, value: &str| mask.field(Some(name.as_bytes()), value.as_bytes());
        assert!(READ_BY_CORE.is_sorted());
        for name in READ_BY_CORE {
            assert_eq!(mask.field(Some(name), b"secret"), None);
        }
        assert_eq!(field("accept-encoding", "gzip, deflate, br"), None);
        assert_eq!(field("cookie", ""), None);
        assert_eq!(field("x-mark", "--"), None);
        assert!(field("accept-encoding", "gzip, deflate, bx").is_some());
        assert!(field("cookie", "a").is_some());
        assert!(field("Host", "a").is_some(), "names are lower-case");
        assert!(mask.field(None, b"a").is_some());
    }

    #[test]
    fn parts_of_a_cookie_are_masked_as_they_are_alone() {
        let mask = Mask::new(KEY);
        let cookie = |value: &[u8]| mask.field(Some(b"cookie"), value);
        let crumbs: [&[u8]; 3] = [b"id=PASSWORD", b"a=1", b"theme=--;x"];
        let masks = crumbs.map(|crumb| cookie(crumb).unwrap());
        assert_eq!(
            cookie(&crumbs.join(&b"; "[..])),
            Some(masks.join(&b"; "[..]))
        );
        assert_eq!(cookie(b"; ;; "), None);
    }

    #[test]
    fn user_information_is_masked_and_the_host_is_kept() {
        let mask = Mask::new(KEY);
        for name in [&b":authority"[..], b"host"] {
            let masked = mask.field(Some(name), b"anna@work:pass@example.com");
            let masked = masked.unwrap();
            assert!(masked.ends_with(b"@example.com"));
            assert!(!masked.starts_with(b"anna") && !masked.windows(4).any(|w| w == b"pass"));
            assert_eq!(mask.field(Some(name), b"example.com:443"), None);
        }
    }

    #[test]
    fn no_mask_is_an_entry_of_the_static_table() {
        for key in 0..200 {
            let mask = Mask::new([key, 0]);
            let masks: BTreeSet<_> = "3456789"
                .bytes()
                .filter_map(|digit| mask.field(Some(b"age"), &[digit]))
                .chain((b'1'..=b'2').filter_map(|digit| mask.field(Some(b"age"), &[digit])))
                .collect();
            assert_eq!(masks.len(), 9);
            assert!(masks.iter().all(|value| !is_static_entry(b"age", value)));
        }
    }

    #[test]
    fn other_scripts_are_not_left_readable() {
        let mask = Mask::new(KEY);
        for text in ["до свидания", "さようなら", "ลาก่อน", "ß"] {
            let masked = mask.text(text.as_bytes());
            assert_ne!(masked, text.as_bytes());
            assert_eq!(bits(&masked), bits(text.as_bytes()));
            assert!(std::str::from_utf8(&masked).is_ok(), "{masked:x?}");
        }
    }

    proptest! {
        #[test]
        fn a_mask_costs_what_its_text_costs(
            key in any::<[u64; 2]>(),
            value in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let masked = Mask::new(key).text(&value);
            prop_assert_eq!(masked.len(), value.len());
            prop_assert_eq!(bits(&masked), bits(&value));
            prop_assert_eq!(
                std::str::from_utf8(&masked).is_ok(),
                std::str::from_utf8(&value).is_ok()
            );
            let hides = value.iter().any(u8::is_ascii_alphanumeric);
            prop_assert!(!hides || masked != value);
        }

        #[test]
        fn text_stays_text(key in any::<[u64; 2]>(), value in "\\PC{0,40}") {
            let masked = Mask::new(key).text(value.as_bytes());
            prop_assert!(std::str::from_utf8(&masked).is_ok());
        }

        #[test]
        fn a_replays_encoder_makes_as_many_bytes(
            messages in prop::collection::vec(
                prop::collection::vec((0..6_usize, "[a-z0-9]{0,3}|[ -~]{0,30}"), 0..8),
                0..8,
            ),
        ) {
            const NAMES: [&str; 6] = ["age", "cookie", ":path", "x-a", "user-agent", "authorization"];
            let mask = Mask::new(KEY);
            let (mut encoder, mut replay) = (Encoder::new(), Encoder::new());
            encoder.set_peer_limits(300, 8, 300).unwrap();
            replay.set_peer_limits(300, 8, 300).unwrap();
            for (stream, lines) in messages.iter().enumerate() {
                let (mut section, mut masked) = (FieldSection::new(), FieldSection::new());
                for (name, value) in lines {
                    let (name, value) = (NAMES[*name].as_bytes(), value.as_bytes());
                    section.push(name, value);
                    masked.push(name, mask.field(Some(name), value).as_deref().unwrap_or(value));
                }
                let bytes = |encoder: &mut Encoder, section| {
                    let (mut encoded, mut inserts) = (BytesMut::new(), BytesMut::new());
                    encoder.encode(stream as u64, section, &mut encoded);
                    encoder.take_output(&mut inserts);
                    (encoded.len(), inserts.len())
                };
                prop_assert_eq!(bytes(&mut replay, &masked), bytes(&mut encoder, &section));
            }
        }

        #[test]
        fn different_values_have_different_masks(one in "[a-z0-9]{1,12}", other in "[a-z0-9]{1,12}") {
            let mask = Mask::new(KEY);
            prop_assert_eq!(
                one == other,
                mask.text(one.as_bytes()) == mask.text(other.as_bytes())
            );
        }
    }
}
