//! How values of the core are written as words, and read back: one trait for each
//! direction, and tables for what has many variants.

use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::{OsError, PeerCode};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use bytes::Bytes;

use crate::mask::Masking;
use crate::words::{Line, Malformed, Words, utf8};

/// A variant without a word, which is newer than its table.
pub(crate) const OTHER: &str = "other";

/// What writing and reading depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cx {
    /// Times are counted from here, where there are any.
    pub(crate) epoch: Option<Instant>,
    pub(crate) mask: Masking,
    /// Whether keys of streams have their table slots.
    pub(crate) slots: bool,
}

impl Cx {
    /// For values without times.
    pub(crate) const PLAIN: Self = Self {
        epoch: None,
        mask: Masking::Off,
        slots: true,
    };
}

/// What is written as words.
pub(crate) trait Put {
    fn put(&self, line: &mut Line, cx: Cx);
}

/// What is read from words.
pub(crate) trait Get: Sized {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed>;
}

/// Stable words for variants: a variant may get another name, its word stays. With
/// the values that are written behind it.
macro_rules! put {
    ($(#[$doc:meta])* $put:ident($value:ty) $(as $trait:ident)? { $($word:literal $pattern:pat => [$($part:expr),*];)* }) => {
        $(#[$doc])*
        #[allow(unreachable_patterns, reason = "not all of them may grow")]
        pub(crate) fn $put(line: &mut $crate::words::Line, value: &$value, cx: $crate::value::Cx) {
            let _ = cx;
            match value {
                $($pattern => {
                    line.word($word);
                    $($part.put(line, cx);)*
                })*
                _ => {
                    line.word($crate::value::OTHER);
                }
            }
        }

        $(impl $trait for $value {
            fn put(&self, line: &mut $crate::words::Line, cx: $crate::value::Cx) {
                $put(line, self, cx);
            }
        })?
    };
}

/// The same for what is read back, too: a variant is its word and its fields.
macro_rules! both {
    ($put:ident $get:ident $ty:ident $(as $trait:ident)? {
        $($word:literal $variant:ident $(($($field:ident),+))? $({ $($name:ident),+ })?;)*
    }) => {
        put! {
            $put($ty) $(as $trait)? {
                $($word $ty::$variant $(($($field),+))? $({ $($name),+ })?
                    => [$($($field),+)? $($($name),+)?];)*
            }
        }

        pub(crate) fn $get(
            word: &str,
            words: &mut $crate::words::Words<'_>,
            cx: $crate::value::Cx,
        ) -> Result<$ty, $crate::words::Malformed> {
            let _ = (&words, cx);
            Ok(match word {
                $($word => {
                    $($(let $field = $crate::value::Get::get(words, cx)?;)+)?
                    $($(let $name = $crate::value::Get::get(words, cx)?;)+)?
                    $ty::$variant $(($($field),+))? $({ $($name),+ })?
                })*
                _ => return Err($crate::words::Malformed(format!("unknown word {word:?}"))),
            })
        }

        impl $crate::value::Get for $ty {
            fn get(
                words: &mut $crate::words::Words<'_>,
                cx: $crate::value::Cx,
            ) -> Result<Self, $crate::words::Malformed> {
                $get(words.word()?, words, cx)
            }
        }
    };
}

pub(crate) use {both, put};

macro_rules! shown {
    ($($ty:ty)*) => {$(
        impl Put for $ty {
            fn put(&self, line: &mut Line, _: Cx) {
                line.show(self);
            }
        }
    )*};
}

shown! { u8 u32 u64 i32 usize bool StreamId }

macro_rules! read_by {
    ($($method:ident: $($ty:ty)*;)*) => {$($(
        impl Get for $ty {
            fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
                words.$method()
            }
        }
    )*)*};
}

read_by! {
    number: u8 u32 u64 i32 usize;
    boolean: bool;
    stream: StreamId;
}

/// Values that are others by another name.
macro_rules! via {
    ($($ty:ty as $inner:ty: $to:expr, $from:expr;)*) => {$(
        impl Put for $ty {
            fn put(&self, line: &mut Line, cx: Cx) {
                let inner: $inner = $to(*self);
                inner.put(line, cx);
            }
        }

        impl Get for $ty {
            fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
                <$inner>::get(words, cx).map($from)
            }
        }
    )*};
}

via! {
    Code as u64: Self::value, Self::new;
    SessionKey as StreamKey: Self::stream, Self::new;
    Duration as u64: in_nanos, Self::from_nanos;
    OsError as i32: |error: OsError| error.code.unwrap_or(0), Self::new;
}

fn in_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Values with a word each.
macro_rules! named {
    ($($ty:ident { $($word:literal $variant:ident)* })*) => {$(
        impl $crate::value::Put for $ty {
            #[allow(unreachable_patterns, reason = "not all of them may grow")]
            fn put(&self, line: &mut $crate::words::Line, _: $crate::value::Cx) {
                line.word(match self {
                    $($ty::$variant => $word,)*
                    _ => $crate::value::OTHER,
                });
            }
        }

        impl $crate::value::Get for $ty {
            fn get(
                words: &mut $crate::words::Words<'_>,
                _: $crate::value::Cx,
            ) -> Result<Self, $crate::words::Malformed> {
                match words.word()? {
                    $($word => Ok($ty::$variant),)*
                    word => Err($crate::words::Malformed(format!("unknown word {word:?}"))),
                }
            }
        }
    )*};
}

pub(crate) use named;

named! {
    Dir { "bi" Bi "uni" Uni }
    Side { "client" Client "server" Server }
}

impl<T: Put> Put for Box<T> {
    fn put(&self, line: &mut Line, cx: Cx) {
        (**self).put(line, cx);
    }
}

impl<T: Get> Get for Box<T> {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        T::get(words, cx).map(Self::new)
    }
}

/// How many, and each.
impl<T: Put> Put for Vec<T> {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.show(self.len());
        self.iter().for_each(|value| value.put(line, cx));
    }
}

impl<T: Get> Get for Vec<T> {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let count = 0..words.number::<usize>()?;
        count.map(|_| T::get(words, cx)).collect()
    }
}

impl Put for (u64, u64) {
    fn put(&self, line: &mut Line, _: Cx) {
        line.show(self.0).show(self.1);
    }
}

impl Get for (u64, u64) {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        Ok((words.number()?, words.number()?))
    }
}

impl Put for Option<u64> {
    fn put(&self, line: &mut Line, _: Cx) {
        line.option(*self);
    }
}

impl Get for Option<u64> {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        words.option()
    }
}

impl Put for PeerCode {
    fn put(&self, line: &mut Line, cx: Cx) {
        self.wire.put(line, cx);
    }
}

impl Put for StreamKey {
    fn put(&self, line: &mut Line, cx: Cx) {
        match cx.slots {
            true => line.show(format_args!("{}/{}", self.id(), self.slot())),
            false => line.show(self.id()),
        };
    }
}

impl Get for StreamKey {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        let wrong = || Malformed::new("not the key of a stream");
        let (id, slot) = words.word()?.split_once('/').ok_or_else(wrong)?;
        let id = StreamId::from_wire(id.parse()?).ok_or_else(wrong)?;
        Ok(Self::new(id, slot.parse()?))
    }
}

/// Text for people.
impl Put for Bytes {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.text(&cx.mask.text(self));
    }
}

impl Get for Bytes {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        words.text().map(Self::from)
    }
}

impl Put for String {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.text(&cx.mask.text(self.as_bytes()));
    }
}

impl Get for String {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        utf8(words.text()?)
    }
}

/// Nanoseconds since the recording began.
pub(crate) fn nanos(epoch: Instant, at: Instant) -> u64 {
    in_nanos(at.saturating_duration_since(epoch))
}

/// The time that [`nanos`] gave a number for; times beyond a century count as one.
impl Get for Instant {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let nanos = words.number::<u64>()?.min(3_155_760_000_000_000_000);
        let epoch = cx.epoch.ok_or_else(|| Malformed::new("a time"))?;
        Ok(epoch + Duration::from_nanos(nanos))
    }
}

impl Put for Instant {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.option(cx.epoch.map(|epoch| nanos(epoch, *self)));
    }
}
