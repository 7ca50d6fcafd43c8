//! HTTP datagrams: the prefix that was read can be written again.

use aqueduct_core::wire::datagram::{ContextId, MAX_QUARTER_ID, decode, prefix};
use aqueduct_core::wire::varint;
use bytes::Bytes;

/// Reads the input as a QUIC DATAGRAM.
pub fn target(data: &[u8]) {
    let whole = Bytes::copy_from_slice(data);
    let Ok((stream, payload)) = decode(whole.clone()) else {
        assert!(varint::decode(data).is_none_or(|(quarter, _)| quarter > MAX_QUARTER_ID));
        return;
    };
    assert!(stream.is_request());
    assert!(data.ends_with(&payload) && data.len() - payload.len() <= 8);
    let again = [&prefix(stream)[..], &payload].concat();
    assert_eq!(decode(again.into()), Ok((stream, payload.clone())));

    if let Ok((context, inner)) = ContextId::split(payload) {
        let again = [&prefix(stream)[..], &context.encode(), &inner].concat();
        let (same, rest) = decode(again.into()).expect("a prefix");
        assert_eq!(same, stream);
        assert_eq!(ContextId::split(rest), Ok((context, inner)));
    }
}
