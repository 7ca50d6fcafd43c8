//! Raw QUIC by commands, as data: each does what the method of its name does.

use aqueduct_core::code::Code;
use aqueduct_core::connection::quic::{QuicCall, QuicError, QuicOutcome};
use aqueduct_core::connection::{Command, CommandError, Reply};
use aqueduct_core::id::{Dir, StreamId, StreamKey};
use aqueduct_core::quic::{
    CloseError, ConfirmError, DatagramError, ReadError, Shutdown, ShutdownError, Start,
};
use aqueduct_core::testing::pair::Pair;
use bytes::Bytes;

use super::chat;

#[test]
fn commands_do_what_methods_do() {
    let (mut pair, client, _) = Pair::connected(chat());
    let mut call = |call| {
        let reply = pair.client_command(client, Command::Quic(Box::new(call)));
        match reply.expect("a connection of raw QUIC") {
            Reply::Quic(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    };
    let QuicOutcome::Start(Ok(stream)) = call(QuicCall::Start(Dir::Bi, Start::new())) else {
        panic!("no stream");
    };
    let write = QuicCall::Write(stream, vec![Bytes::from_static(b"hello")]);
    assert_eq!(call(write), QuicOutcome::Write(Ok(5)));
    let end = call(QuicCall::Shutdown(stream, Shutdown::Graceful));
    assert_eq!(end, QuicOutcome::Done);
    assert_eq!(
        call(QuicCall::RecvDatagram),
        QuicOutcome::RecvDatagram(None)
    );

    let failed = |error: QuicError| QuicOutcome::Failed(error);
    let confirm = call(QuicCall::Confirm(Ok(())));
    assert_eq!(confirm, failed(QuicError::Confirm(ConfirmError::NotAsked)));
    let again = call(QuicCall::Shutdown(stream, Shutdown::Graceful));
    assert_eq!(again, failed(QuicError::Shutdown(ShutdownError::Gone)));
    let large = call(QuicCall::SendDatagram(vec![0; 100_000].into()));
    assert_eq!(large, failed(QuicError::Datagram(DatagramError::TooLarge)));
    let close = call(QuicCall::Close(1 << 62, Bytes::new()));
    let out_of_range = QuicError::Close(CloseError::CodeOutOfRange);
    assert_eq!(close, failed(out_of_range));
    let nobody = StreamKey::new(StreamId::from_wire(400).expect("an id"), 7);
    let read = call(QuicCall::Read(nobody, usize::MAX, usize::MAX));
    assert_eq!(read, QuicOutcome::Read(Err(ReadError::Gone)));
    assert_eq!(call(QuicCall::Close(7, Bytes::new())), QuicOutcome::Done);
}

#[test]
fn commands_of_the_other_protocol_find_no_connection() {
    let (mut pair, client, _) = Pair::connected(chat());
    let close = Command::Close(Code::H3_NO_ERROR, Bytes::new());
    let refused = pair.client_command(client, close);
    assert_eq!(refused, Err(CommandError::NoConnection));
    let (mut pair, client, _) = Pair::connected(aqueduct_core::testing::pair::Options::default());
    let raw = Command::Quic(Box::new(QuicCall::RecvDatagram));
    let refused = pair.client_command(client, raw);
    assert_eq!(refused, Err(CommandError::NoConnection));
}
