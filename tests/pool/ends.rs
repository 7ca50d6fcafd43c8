//! What a connection is to the pool's world: both of its ends, and what lies between.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::connection::Access;
use aqueduct_core::error::{ReadError, RequestError, TransportFailure};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::{ReadState, Transport};
use bytes::Bytes;
use http::StatusCode;

/// Begins a connection; where things go wrong, as this luck has it.
pub(crate) type Connect = fn(Option<u64>) -> Box<dyn Ends>;

/// Both ends of a connection.
pub(crate) trait Ends {
    /// Lets time pass, and so many things happen in it where they are few.
    fn pass(&mut self, time: Duration, steps: u64);
    /// What lies between is gone, and nothing passes any more.
    fn vanish(&mut self);
    /// The next event of an end.
    fn take(&mut self, side: Side) -> Option<Event>;
    /// The next of the client's requests that its connection knows not to be processed.
    fn take_unprocessed(&mut self) -> Option<StreamKey>;
    /// Streams that the server has ever granted, where that is known.
    fn granted(&mut self) -> Option<u64>;
    /// The client asks for something.
    fn request(&mut self, head: &RequestHead) -> Result<StreamKey, RequestError>;
    /// The client reads what there is of an answer, unless the stream is gone.
    fn read(&mut self, stream: StreamKey) -> Option<Result<ReadState, ReadError>>;
    /// The client wants no answer.
    fn cancel(&mut self, stream: StreamKey);
    /// The server answers, if that is wanted still.
    fn answer(&mut self, stream: StreamKey);
    /// The server begins to go away.
    fn drain(&mut self, within: Duration);
    /// The client closes.
    fn close(&mut self);
    /// Streams at the client's end.
    fn live_streams(&mut self) -> usize;
}

/// Over streams without QUIC.
pub(crate) fn loopback(luck: Option<u64>) -> Box<dyn Ends> {
    let knobs = luck.map(|luck| {
        let mut rng = Rng::new(luck);
        Knobs {
            bi_streams: 1 + rng.below(6),
            ..Knobs::adversarial(rng.bits())
        }
    });
    let config = Config::default;
    let pair = LoopbackPair::new(config(), config(), knobs.unwrap_or_default());
    Box::new(Loopback { pair, gone: false })
}

struct Loopback {
    pair: LoopbackPair,
    gone: bool,
}

impl Ends for Loopback {
    fn pass(&mut self, time: Duration, steps: u64) {
        for _ in 0..steps {
            if self.gone {
                return;
            }
            if !self.pair.step() {
                return self.pair.advance(time);
            }
        }
    }

    fn vanish(&mut self) {
        self.pair.fail(&TransportFailure::TimedOut);
        self.gone = true;
    }

    fn take(&mut self, side: Side) -> Option<Event> {
        self.pair.take(side, Ok)
    }

    fn take_unprocessed(&mut self) -> Option<StreamKey> {
        self.pair.take(Side::Client, |event| match event {
            Event::Stream(stream, StreamEvent::Unprocessed) => Ok(stream),
            other => Err(other),
        })
    }

    fn granted(&mut self) -> Option<u64> {
        Some(self.pair.net.end(Side::Client).granted(Dir::Bi))
    }

    fn request(&mut self, head: &RequestHead) -> Result<StreamKey, RequestError> {
        self.pair.client().request(head, End::Fin)
    }

    fn read(&mut self, stream: StreamKey) -> Option<Result<ReadState, ReadError>> {
        read(&mut self.pair.client(), stream)
    }

    fn cancel(&mut self, stream: StreamKey) {
        cancel(&mut self.pair.client(), stream);
    }

    fn answer(&mut self, stream: StreamKey) {
        answer(&mut self.pair.server(), stream);
    }

    fn drain(&mut self, within: Duration) {
        let until = self.pair.now() + within;
        self.pair.server().drain(until);
    }

    fn close(&mut self) {
        self.pair.client().close(Code::H3_NO_ERROR, "");
    }

    fn live_streams(&mut self) -> usize {
        self.pair.client().live_streams()
    }
}

/// Reads what there is, over any transport.
pub(crate) fn read<T: Transport>(
    client: &mut Access<'_, T>,
    stream: StreamKey,
) -> Option<Result<ReadState, ReadError>> {
    let mut recv = client.recv(stream).ok()?;
    let read = recv.read(usize::MAX, &mut [Bytes::new()]);
    Some(read.map(|read| read.state))
}

pub(crate) fn cancel<T: Transport>(client: &mut Access<'_, T>, stream: StreamKey) {
    if let Ok(mut recv) = client.recv(stream) {
        _ = recv.stop(Code::H3_REQUEST_CANCELLED.value());
    }
}

pub(crate) fn answer<T: Transport>(server: &mut Access<'_, T>, stream: StreamKey) {
    if let Ok(mut recv) = server.recv(stream) {
        _ = recv.read(usize::MAX, &mut [Bytes::new()]);
    }
    // It may have been cancelled.
    _ = server.respond(stream, &ResponseHead::new(StatusCode::OK), End::Fin);
}
