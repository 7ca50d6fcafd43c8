//! A command done: each by the method of the same name.

use super::access::Access;
use super::command::{Command, CommandError, Reply};
use crate::transport::Transport;

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// [`CommandError`], with the error of the method the command stands for.
    pub fn apply<T: Transport>(self, to: &mut Access<'_, T>) -> Result<Reply, CommandError> {
        match self {
            Self::Request(head, end) => return Ok(Reply::Stream(to.request(&head, end)?)),
            Self::OpenSession(request) => return Ok(Reply::Session(to.open_session(&request)?)),
            Self::OpenStream(session, dir) => {
                return Ok(Reply::Stream(to.webtransport(session).open_stream(dir)?));
            }
            Self::OpenClaimed(dir, ty) => return Ok(Reply::Stream(to.open_claimed(dir, ty)?)),
            Self::Respond(stream, head, end) => to.respond(stream, &head, end)?,
            Self::Trailers(stream, trailers) => to.trailers(stream, &trailers)?,
            Self::SetPriority(stream, priority) => to.set_priority(stream, priority)?,
            Self::AcceptSession(session, answer) => to.webtransport(session).accept(&answer)?,
            Self::RejectSession(session, head, content) => {
                to.webtransport(session).reject_with(&head, content)?;
            }
            Self::DrainSession(session) => to.webtransport(session).drain()?,
            Self::CloseSession(session, code, reason) => {
                to.webtransport(session).close(code, &reason)?;
            }
            Self::EnableDatagrams(stream) => to.enable_datagrams(stream)?,
            Self::Hold(stream) => to.hold(stream),
            Self::Release(stream) => to.release(stream),
            Self::SetPaced(stream, paced) => to.set_paced(stream, paced),
            Self::Finish(stream) => to.send(stream)?.finish()?,
            Self::Reset(stream, code) => to.send(stream)?.reset(code)?,
            Self::Stop(stream, code) => to.recv(stream)?.stop(code)?,
            Self::SetSendOrder(stream, order) => to.send(stream)?.set_send_order(order),
            Self::SetSendGroup(stream, group) => to.send(stream)?.set_send_group(group),
            Self::Drain(until) => to.drain(until),
            Self::Close(code, reason) => to.close(code, reason),
            // Not for a connection of HTTP/3's.
            Self::Quic(_) => return Err(CommandError::NoConnection),
        }
        Ok(Reply::Done)
    }
}
