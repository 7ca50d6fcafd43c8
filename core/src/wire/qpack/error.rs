//! Why QPACK fails, as types.

use std::fmt;

/// Declares an enum of reasons with the sentence each prints.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $text] $variant,)+
        }

        impl $name {
            /// The reason as a sentence fragment, fit for a close frame.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a field section cannot be decoded (RFC 9204 sections 2.2 and 4.5).
    DecompressionReason {
        Truncated => "field section ends inside a field line",
        IntegerTooLarge => "integer in a field section exceeds 62 bits",
        InvalidHuffman => "invalid Huffman string in a field section",
        InvalidRequiredInsertCount => "encoded Required Insert Count is impossible",
        NegativeBase => "Base of a field section is negative",
        StaticIndex => "field line names a static entry that does not exist",
        BeyondRequiredInsertCount => "field line names an entry at or beyond the Required Insert Count",
        BelowZero => "field line names an entry before the first one",
        Evicted => "field line names an evicted entry",
        TooManyBlockedStreams => "more streams are blocked than SETTINGS_QPACK_BLOCKED_STREAMS allows",
    }
}

reasons! {
    /// Why the peer's encoder stream cannot be followed (RFC 9204 section 4.3).
    EncoderStreamReason {
        IntegerTooLarge => "integer on the encoder stream exceeds 62 bits",
        InvalidHuffman => "invalid Huffman string on the encoder stream",
        CapacityAboveMaximum => "capacity exceeds SETTINGS_QPACK_MAX_TABLE_CAPACITY",
        EntryTooLarge => "inserted entry exceeds the dynamic table capacity",
        StaticIndex => "instruction names a static entry that does not exist",
        DynamicIndex => "instruction names a dynamic entry that is evicted or was never inserted",
    }
}

reasons! {
    /// Why the peer's decoder stream cannot be followed (RFC 9204 section 4.4).
    DecoderStreamReason {
        IntegerTooLarge => "integer on the decoder stream exceeds 62 bits",
        NothingToAcknowledge => "Section Acknowledgment for a stream without outstanding sections",
        ZeroIncrement => "Insert Count Increment of zero",
        BeyondSent => "acknowledgment of entries that were not sent",
        CapacityChanged => "SETTINGS_QPACK_MAX_TABLE_CAPACITY differs from the value used in 0-RTT",
    }
}

/// A failure that ends the connection, with the code that
/// [`Violation`](crate::fault::Violation) has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QpackError {
    /// QPACK_DECOMPRESSION_FAILED.
    DecompressionFailed(DecompressionReason),
    /// QPACK_ENCODER_STREAM_ERROR.
    EncoderStream(EncoderStreamReason),
    /// QPACK_DECODER_STREAM_ERROR.
    DecoderStream(DecoderStreamReason),
    /// H3_EXCESSIVE_LOAD: the peer causes acknowledgments but does not take
    /// them.
    DecoderBacklog,
}

impl QpackError {
    /// The reason in words.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DecompressionFailed(reason) => reason.as_str(),
            Self::EncoderStream(reason) => reason.as_str(),
            Self::DecoderStream(reason) => reason.as_str(),
            Self::DecoderBacklog => "peer does not read the decoder stream",
        }
    }
}

impl fmt::Display for QpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for QpackError {}

impl From<DecompressionReason> for QpackError {
    fn from(reason: DecompressionReason) -> Self {
        Self::DecompressionFailed(reason)
    }
}

impl From<EncoderStreamReason> for QpackError {
    fn from(reason: EncoderStreamReason) -> Self {
        Self::EncoderStream(reason)
    }
}

impl From<DecoderStreamReason> for QpackError {
    fn from(reason: DecoderStreamReason) -> Self {
        Self::DecoderStream(reason)
    }
}
