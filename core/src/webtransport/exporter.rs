//! Keying material per WebTransport session (draft-ietf-webtrans-http3-16 §4.9):
//! what to ask the TLS exporter for.

use crate::id::StreamId;

/// The label for the TLS exporter.
pub const LABEL: &[u8] = b"EXPORTER-WebTransport";

/// The context for the TLS exporter: the session, and the application's label and
/// context. `None` when either is longer than 255 bytes.
#[must_use]
pub fn context(session: StreamId, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.9
    // 64 bits of session id, in network order, not a variable-length integer.
    let mut out = session.wire().to_be_bytes().to_vec();
    for part in [label, context] {
        out.push(u8::try_from(part.len()).ok()?);
        out.extend_from_slice(part);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row B31, test-vectors 6.2.
    #[test]
    fn the_context_names_the_session() {
        let session = |id| StreamId::from_wire(id).expect("in range");
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let first = context(session(4), b"test", b"").map(hex);
        assert_eq!(first.as_deref(), Some("0000000000000004047465737400"));
        let second = context(session(0), b"my-label", b"ctx").map(hex);
        assert_eq!(
            second.as_deref(),
            Some("0000000000000000086d792d6c6162656c03637478")
        );
        assert_eq!(context(session(0), &[0; 256], b""), None);
    }
}
