//! What an application does with a connection of raw QUIC, as data.

use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use crate::id::{Dir, StreamKey};
use crate::quic::{
    CloseError, ConfirmError, DatagramError, ReadError, Shutdown, ShutdownError, Start, StartError,
    WriteError,
};
use crate::transport::{Read, Transport};

use super::QuicAccess;

/// One call of [`QuicAccess`]: each variant is the method of the same name.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the methods of `QuicAccess` have them")]
pub enum QuicCall {
    Confirm(Result<(), u8>),
    Start(Dir, Start),
    Write(StreamKey, Vec<Bytes>),
    /// Most bytes, and most chunks.
    Read(StreamKey, usize, usize),
    Shutdown(StreamKey, Shutdown),
    SetPriority(StreamKey, i32),
    SendDatagram(Bytes),
    RecvDatagram,
    Drain(Instant),
    Close(u64, Bytes),
}

/// What a call gave.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum QuicOutcome {
    /// Nothing with a name.
    Done,
    /// A stream.
    Start(Result<StreamKey, StartError>),
    /// Bytes that were taken.
    Write(Result<usize, WriteError>),
    /// Chunks and bytes that were given.
    Read(Result<Read, ReadError>),
    /// Length of the datagram, if there was one.
    RecvDatagram(Option<usize>),
    /// Something else was not done.
    Failed(QuicError),
}

/// Why something without a result of its own was not done.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum QuicError {
    /// Certificates were not confirmed.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// A stream was not ended, or not given a priority.
    #[error(transparent)]
    Shutdown(#[from] ShutdownError),
    /// A datagram was not sent.
    #[error(transparent)]
    Datagram(#[from] DatagramError),
    /// The connection was not closed.
    #[error(transparent)]
    Close(#[from] CloseError),
}

impl QuicCall {
    /// Does it. What is read is dropped: whoever wants the bytes calls the method.
    pub fn apply<T: Transport>(self, to: &mut QuicAccess<'_, T>) -> QuicOutcome {
        match self {
            Self::Confirm(verdict) => QuicOutcome::done(to.confirm(verdict)),
            Self::Start(dir, how) => QuicOutcome::Start(to.start(dir, how)),
            Self::Write(stream, mut chunks) => QuicOutcome::Write(to.write(stream, &mut chunks)),
            Self::Read(stream, max, chunks) => {
                let mut out = vec![Bytes::new(); chunks.min(MAX_CHUNKS)];
                QuicOutcome::Read(to.read(stream, max, &mut out))
            }
            Self::Shutdown(stream, how) => QuicOutcome::done(to.shutdown(stream, how)),
            Self::SetPriority(stream, priority) => {
                QuicOutcome::done(to.set_priority(stream, priority))
            }
            Self::SendDatagram(datagram) => QuicOutcome::done(to.send_datagram(datagram)),
            Self::RecvDatagram => {
                QuicOutcome::RecvDatagram(to.recv_datagram().as_ref().map(Bytes::len))
            }
            Self::Drain(until) => {
                to.drain(until);
                QuicOutcome::Done
            }
            Self::Close(code, reason) => QuicOutcome::done(to.close(code, reason)),
        }
    }
}

/// Chunks that are read at once when what is read is dropped.
const MAX_CHUNKS: usize = 64;

impl QuicOutcome {
    /// Of what gives nothing when it is done.
    pub(super) fn done<E: Into<QuicError>>(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(error.into()),
        }
    }
}
