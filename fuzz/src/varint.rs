//! QUIC integers: what is read can be written and read again, in any chunking.

use aqueduct_core::wire::cursor::Prefix;
use aqueduct_core::wire::varint::{MAX, VarInt, decode, encoded_len, put};
use bytes::Bytes;

use crate::input::Input;

/// Reads the input as integers one after the other.
pub fn target(data: &[u8]) {
    let (whole, chunks) = Input::new(data).chunks();
    let mut rest = &whole[..];
    let mut values = Vec::new();
    while let Some((value, used)) = decode(rest) {
        assert!(value <= MAX && used == encoded_len(rest[0]));
        let mut shortest = Vec::new();
        put(&mut shortest, value).expect("a value that was encoded");
        let len = VarInt::new(value).expect("the same").len();
        assert!(shortest.len() == len && len <= used);
        assert_eq!(decode(&shortest), Some((value, len)));
        values.push(value);
        rest = &rest[used..];
    }
    assert!(
        rest.first()
            .is_none_or(|first| rest.len() < encoded_len(*first))
    );
    assert_eq!(
        read(std::slice::from_ref(&whole)),
        (values.clone(), rest.is_empty())
    );
    assert_eq!(read(&chunks), (values, rest.is_empty()));
}

fn read(chunks: &[Bytes]) -> (Vec<u64>, bool) {
    let mut prefix = Prefix::new();
    let mut values = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.clone();
        values.extend(std::iter::from_fn(|| prefix.read(&mut chunk)));
        assert!(chunk.is_empty());
    }
    (values, prefix.is_empty())
}
