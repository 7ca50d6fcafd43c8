//! Bytes of HTTP/3, QPACK and WebTransport, written by hand: whatever is asked for,
//! right or wrong.

/// A QUIC variable-length integer in its shortest form (RFC 9000 section 16).
#[must_use]
pub fn varint(value: u64) -> Vec<u8> {
    let (len, tag) = match value {
        0..=0x3f => (1, 0),
        0x40..=0x3fff => (2, 1 << 14),
        0x4000..=0x3fff_ffff => (4, 2 << 30),
        _ => (8, 3 << 62),
    };
    (value | tag).to_be_bytes()[8 - len..].to_vec()
}

/// A frame or a capsule: type, length, payload.
#[must_use]
pub fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    [varint(ty), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// The beginning of a frame or a capsule: type and length.
#[must_use]
pub fn header(ty: u64, len: u64) -> Vec<u8> {
    [varint(ty), varint(len)].concat()
}

/// A DATA frame.
#[must_use]
pub fn data(payload: &[u8]) -> Vec<u8> {
    frame(0x00, payload)
}

/// A SETTINGS frame.
#[must_use]
pub fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
    let pairs = pairs
        .iter()
        .flat_map(|(id, value)| [varint(*id), varint(*value)]);
    frame(0x04, &pairs.collect::<Vec<_>>().concat())
}

/// What a browser sends as SETTINGS: QPACK's dynamic table, datagrams, extended CONNECT and
/// WebTransport of drafts 02 and 07.
pub const BROWSER: &[(u64, u64)] = &[
    (0x01, 4096),
    (0x07, 16),
    (0x08, 1),
    (0x33, 1),
    (0x2b60_3742, 1),
    (0xc671_706a, 1),
];

/// An integer of RFC 7541 section 5.1: `first` holds what stands above its `bits`.
fn prefix_int(out: &mut Vec<u8>, first: u8, bits: u32, value: u64) {
    let max = (1 << bits) - 1;
    if value < max {
        return out.push(first | value as u8);
    }
    out.push(first | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// An instruction that is one integer.
#[must_use]
pub fn instruction(first: u8, bits: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prefix_int(&mut out, first, bits, value);
    out
}

/// Set Dynamic Table Capacity, for the encoder stream (RFC 9204 section 4.3.1).
#[must_use]
pub fn capacity(bytes: u64) -> Vec<u8> {
    instruction(0x20, 5, bytes)
}

/// Insert with Literal Name (RFC 9204 section 4.3.3).
#[must_use]
pub fn insert(name: &str, value: &str) -> Vec<u8> {
    let mut out = instruction(0x40, 5, name.len() as u64);
    out.extend_from_slice(name.as_bytes());
    prefix_int(&mut out, 0, 7, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
    out
}

/// Duplicate (RFC 9204 section 4.3.4) of the entry inserted `back` before the latest.
#[must_use]
pub fn duplicate(back: u64) -> Vec<u8> {
    instruction(0x00, 5, back)
}

/// Stream Cancellation, for the decoder stream (RFC 9204 section 4.4.2).
#[must_use]
pub fn cancellation(stream: u64) -> Vec<u8> {
    instruction(0x40, 6, stream)
}

/// A field section under construction.
#[derive(Clone, Debug)]
pub struct Section(Vec<u8>);

impl Section {
    /// One that needs nothing of the dynamic table.
    #[must_use]
    pub fn plain() -> Self {
        Self(vec![0, 0])
    }

    /// One that needs the first `inserts` entries, at least one, of a table of 4,096 bytes,
    /// and counts back from the last of them (RFC 9204 section 4.5.1).
    #[must_use]
    pub fn after(inserts: u64) -> Self {
        // 128 entries at most: the count is taken modulo twice that.
        let mut out = Vec::new();
        prefix_int(&mut out, 0, 8, inserts % 256 + 1);
        out.push(0);
        Self(out)
    }

    /// An entry of the static table.
    #[must_use]
    pub fn fixed(mut self, index: u64) -> Self {
        prefix_int(&mut self.0, 0xc0, 6, index);
        self
    }

    /// An entry of the dynamic table, `back` before the last that is needed, `times` over.
    #[must_use]
    pub fn entry(mut self, back: u64, times: usize) -> Self {
        for _ in 0..times {
            prefix_int(&mut self.0, 0x80, 6, back);
        }
        self
    }

    /// A name of the static table with a value.
    #[must_use]
    pub fn named(mut self, index: u64, value: &str) -> Self {
        prefix_int(&mut self.0, 0x50, 4, index);
        prefix_int(&mut self.0, 0, 7, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// A literal field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        prefix_int(&mut self.0, 0x20, 3, name.len() as u64);
        self.0.extend_from_slice(name.as_bytes());
        prefix_int(&mut self.0, 0, 7, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// A literal field whose value is said to be Huffman-coded.
    #[must_use]
    pub fn huffman(mut self, name: &str, coded: &[u8]) -> Self {
        prefix_int(&mut self.0, 0x20, 3, name.len() as u64);
        self.0.extend_from_slice(name.as_bytes());
        prefix_int(&mut self.0, 0x80, 7, coded.len() as u64);
        self.0.extend_from_slice(coded);
        self
    }

    /// The pseudo-header fields of a GET.
    #[must_use]
    pub fn get(self, path: &str) -> Self {
        self.fixed(17)
            .fixed(23)
            .named(0, "localhost")
            .named(1, path)
    }

    /// The HEADERS frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        frame(0x01, &self.0)
    }
}

/// The HEADERS frame of a GET: about 24 bytes.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    Section::plain().get(path).frame()
}

/// The HEADERS frame of a POST.
#[must_use]
pub fn post(path: &str) -> Vec<u8> {
    let section = Section::plain().fixed(20).fixed(23);
    section.named(0, "localhost").named(1, path).frame()
}

/// The HEADERS frame of an extended CONNECT (RFC 9220).
#[must_use]
pub fn extended(protocol: &str, path: &str) -> Vec<u8> {
    let section = Section::plain().fixed(15).fixed(23);
    let section = section.named(0, "localhost").named(1, path);
    section.field(":protocol", protocol).frame()
}

/// The HEADERS frame of a CONNECT for a WebTransport session.
#[must_use]
pub fn session(path: &str) -> Vec<u8> {
    extended("webtransport", path)
}

/// The HEADERS frame of a plain CONNECT.
#[must_use]
pub fn connect() -> Vec<u8> {
    Section::plain().fixed(15).named(0, "localhost:1").frame()
}

/// The first bytes of a bidirectional stream of a session.
#[must_use]
pub fn bidi_of(session: u64) -> Vec<u8> {
    [varint(0x41), varint(session)].concat()
}

/// The first bytes of a unidirectional stream of a session.
#[must_use]
pub fn uni_of(session: u64) -> Vec<u8> {
    [varint(0x54), varint(session)].concat()
}

/// The payload of a QUIC datagram for a session or request (RFC 9297 section 2.1).
#[must_use]
pub fn datagram_of(stream: u64, payload: &[u8]) -> Vec<u8> {
    [varint(stream / 4), payload.to_vec()].concat()
}
