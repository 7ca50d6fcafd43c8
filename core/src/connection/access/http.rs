//! Requests and answers.

use http::HeaderMap;

use super::super::command::Command;
use super::Access;
use crate::error::{Gone, RequestError, SendError};
use crate::head::{End, RequestHead, ResponseHead};
use crate::id::StreamKey;
use crate::session::Sessions;
use crate::transport::Transport;
use crate::wire::priority::Priority;

impl<T: Transport> Access<'_, T> {
    /// Sends a request (client). With [`End::More`], content follows through
    /// [`Self::send`]. CONNECT, plain or extended, is never ended by its head.
    ///
    /// A request is over when its response was read to the end, or stopped, and
    /// its own content was finished, or reset.
    ///
    /// Before the handshake is complete a request goes out as early data, where there can be
    /// any ([`Self::may_send_early`]) and [it may be](crate::head::Early); a server that does
    /// not take it has not seen it, which
    /// [`EarlyDataRejected`](crate::event::StreamEvent::EarlyDataRejected) tells of each. Any
    /// other waits for [`Event::Connected { .. }`](crate::event::Event::Connected).
    ///
    /// # Errors
    /// [`RequestError`]; nothing was sent.
    pub fn request(&mut self, head: &RequestHead, end: End) -> Result<StreamKey, RequestError> {
        self.shell.state.may_request(head)?;
        let call = self
            .shell
            .noted(|| Command::Request(Box::new(head.clone()), end));
        self.run_http(call, |h3, t| h3.request(t, head, end))
    }

    /// Answers a request (server). Content that nobody has begun to read when all of the
    /// answer has arrived stays for a late reader while no more than sixteen such
    /// requests have ended after it, or while the request is [held](Self::hold); then it
    /// is not asked for any more. A status of 100 to 199 (not 101) sends an interim
    /// response and leaves the final one to be sent.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn respond(
        &mut self,
        stream: StreamKey,
        head: &ResponseHead,
        end: End,
    ) -> Result<(), SendError> {
        if Sessions::is_session(self.h3(), stream) {
            return Err(SendError::WrongState);
        }
        let call = self
            .shell
            .noted(|| Command::Respond(stream, Box::new(head.clone()), end));
        self.run_http(call, |h3, t| h3.respond(t, stream, head, end))
    }

    /// Goes on counting a request of the peer's, or a session's, until [`Self::release`],
    /// also when its stream is over by then (server). The peer can end a stream whenever
    /// it likes, and QUIC then lets it open another; whoever still works for the first
    /// one calls this when it begins, and
    /// [`Limits::open_requests`](crate::config::Limits::open_requests) bounds its work.
    /// Without it a request counts until its stream is over and its event was taken,
    /// which suits who ends the work when an event tells that the stream ends. No effect
    /// on the client.
    pub fn hold(&mut self, stream: StreamKey) {
        let call = self.shell.noted(|| Command::Hold(stream));
        self.run_http(call, |h3, _| h3.hold(stream));
    }

    /// The work on a request, or in a session, is done: it no longer counts once its
    /// stream is over. Does not end the stream, but as with one that was never held,
    /// content that nobody has begun to read once all of the answer has arrived.
    pub fn release(&mut self, stream: StreamKey) {
        let call = self.shell.noted(|| Command::Release(stream));
        self.run_http(call, |h3, t| h3.release(t, stream));
    }

    /// Whether the content of a request has to keep the pace of
    /// [`Limits::min_rate`](crate::config::Limits::min_rate) (server). It does, until its
    /// answer has begun: a request and an answer that converse from the start say so.
    pub fn set_paced(&mut self, stream: StreamKey, paced: bool) {
        let call = self.shell.noted(|| Command::SetPaced(stream, paced));
        self.run_http(call, |h3, _| h3.set_paced(stream, paced));
    }

    /// Requests of the peer's that count against
    /// [`Limits::open_requests`](crate::config::Limits::open_requests) at present; 0 on
    /// the client.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.h3().open_requests()
    }

    /// Sends trailers and ends the message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn trailers(&mut self, stream: StreamKey, trailers: &HeaderMap) -> Result<(), SendError> {
        if Sessions::is_session(self.h3(), stream) {
            return Err(SendError::WrongState);
        }
        let call = self
            .shell
            .noted(|| Command::Trailers(stream, Box::new(trailers.clone())));
        self.run_http(call, |h3, t| h3.send_trailers(t, stream, trailers))
    }

    /// Announces the request's priority to the server (client, PRIORITY_UPDATE of
    /// RFC 9218), or overrides it locally (server).
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over, never was, or is no request's.
    pub fn set_priority(&mut self, stream: StreamKey, priority: Priority) -> Result<(), Gone> {
        self.slot(stream)?.exchange_ref().ok_or(Gone::NoSuchHalf)?;
        let call = self.shell.noted(|| Command::SetPriority(stream, priority));
        self.run_http(call, |h3, t| h3.set_priority(t, stream, priority));
        Ok(())
    }
}
