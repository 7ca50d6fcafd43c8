//! The calls of an application, made again.

use std::fmt::Debug;

use bytes::Bytes;

use super::zeros::Zeros;
use crate::access::Access;
use crate::record::Call;
use crate::transport::Transport;

/// Makes the call. What it gives is told by the recording that the replay
/// itself makes, not here.
pub(super) fn make<T: Transport>(call: Call, to: &mut Access<'_, T>, zeros: &Zeros) {
    fn done<R: Debug, E: Debug>(_: Result<R, E>) {}
    match call {
        Call::Request(head, end) => done(to.request(&head, end)),
        Call::Respond(stream, head, end) => done(to.respond(stream, &head, end)),
        Call::Trailers(stream, trailers) => done(to.trailers(stream, &trailers)),
        Call::SetPriority(stream, priority) => done(to.set_priority(stream, priority)),
        Call::OpenSession(request) => done(to.open_session(&request)),
        Call::AcceptSession(session, answer) => done(to.accept_session(session, &answer)),
        Call::RejectSession(session, head, len) => {
            done(to.reject_session_with(session, &head, zeros.get(len)));
        }
        Call::DrainSession(session) => done(to.drain_session(session)),
        Call::CloseSession(session, code, reason) => {
            done(to.close_session(session, code, &reason));
        }
        Call::OpenStream(session, way) => done(to.open_stream(session, way)),
        Call::EnableDatagrams(stream) => done(to.enable_datagrams(stream)),
        Call::SendDatagram(stream, len) => done(to.send_datagram(stream, &zeros.get(len))),
        Call::RecvDatagram(stream) => drop(to.recv_datagram(stream)),
        Call::Drain(until) => to.drain(until),
        Call::Close(code) => to.close(code, ""),
        Call::Write(stream, chunks) => {
            let mut chunks: Vec<Bytes> = chunks.into_iter().map(|len| zeros.get(len)).collect();
            done(to.send(stream).map(|mut half| half.write(&mut chunks)));
        }
        Call::Finish(stream) => done(to.send(stream).map(|mut half| half.finish())),
        Call::Reset(stream, code) => done(to.send(stream).map(|mut half| half.reset(code))),
        Call::Reorder(stream, order, group) => {
            if let Ok(mut half) = to.send(stream) {
                half.reorder(order, group);
            }
        }
        Call::Read(stream, max, slots) => {
            let mut out = vec![Bytes::new(); slots];
            done(to.recv(stream).map(|mut half| half.read(max, &mut out)));
        }
        Call::Stop(stream, code) => done(to.recv(stream).map(|mut half| half.stop(code))),
    }
}
