//! The WebTransport sessions of the demonstration.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::error::{DatagramError, ReadError, WriteError};
use aqueduct_tokio::protocol::webtransport::ConnectAnswer;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::{Connection, RecvStream, SendStream, Session, SessionRequest};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::task::JoinSet;

use super::Site;
use super::answer::{Unanswered, response};
use super::events::Events;
use crate::demo::pattern::CHUNK;
use crate::demo::webtransport::{WtAction, route};

/// Chromium drops a datagram that overtakes the answer to its CONNECT; this lets the answer pass.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(100);
/// Chromium tells a page the code of a STOP_SENDING only while the other half is open.
const BETWEEN_HALVES: Duration = Duration::from_millis(50);
/// A client that gives up a stream resets one half and stops the other, in either order: this is how
/// long the second is waited for, to tell it too.
const OTHER_HALF: Duration = Duration::from_secs(1);

/// What sessions are told that end with the server.
const SHUTDOWN: &str = "the server is shutting down";

/// Answers the request for a session, and does what its path asks for until it ends.
pub(super) async fn run(request: SessionRequest, connection: Connection, site: Arc<Site>) {
    let uri = request.uri().clone();
    tracing::info!(
        path = uri.path(),
        origin = request.origin(),
        "session request"
    );
    let action = match &site.demo {
        None => WtAction::Reject(StatusCode::NOT_FOUND),
        Some(_) => route(uri.path(), uri.query()),
    };
    if let Err(error) = act(action, request, &connection, &site).await {
        tracing::info!(path = uri.path(), %error, "a session was not to be");
    }
}

async fn act(
    action: WtAction,
    request: SessionRequest,
    connection: &Connection,
    site: &Site,
) -> Result<(), Unanswered> {
    if let WtAction::Reject(status) = action {
        let (uri, origin) = (request.uri(), request.origin());
        site.events.session_rejected(uri, origin, status);
        let answer = response(status, HeaderMap::new()).map(|()| Bytes::new());
        return Ok(request.reject_with(answer)?);
    }
    let ours = |name: &&String| request.protocols().contains(name);
    let fields = response(StatusCode::OK, HeaderMap::new())
        .into_parts()
        .0
        .headers;
    let mut answer = ConnectAnswer::new().headers(fields);
    answer.protocol = site.protocols.iter().find(ours).cloned();
    let session = request.accept_with(answer)?;
    site.events.session_opened(&session);
    let close = tokio::select! {
        close = live(&session, action, connection, site) => {
            close.inspect_err(|why| site.events.session_failed(why))?
        }
        () = site.shutdown.came() => {
            // It may have ended just now.
            let _ = session.close(0, SHUTDOWN);
            session.closed().await
        }
    };
    site.events.session_over(&close);
    Ok(())
}

/// What the session is for, until it ends.
async fn live(
    session: &Session,
    action: WtAction,
    connection: &Connection,
    site: &Site,
) -> Result<SessionClose, Unanswered> {
    match action {
        WtAction::Echo | WtAction::Reject(_) => {}
        WtAction::Push => push(session).await,
        WtAction::Close { code, reason } => session.close(code, &reason)?,
        WtAction::Drain => session.drain()?,
        WtAction::Goaway => connection.drain(site.drain),
        WtAction::Reset(code) => return Ok(reset(session, code).await),
    }
    // Whatever else a session shows, it echoes.
    Ok(echo(session, site.events).await)
}

/// Opens one stream of each kind with some bytes, and sends a datagram.
async fn push(session: &Session) {
    const HELLO: [Bytes; 2] = [
        Bytes::from_static(b"a bidirectional stream from the server\n"),
        Bytes::from_static(b"a unidirectional stream from the server\n"),
    ];
    let [bidi, uni] = HELLO;
    let opened = async {
        let (send, recv) = session.open_bi().await.ok()?;
        say(send, bidi).await;
        // What the client answers is read and forgotten.
        tokio::spawn(async move { recv_all(recv).await });
        say(session.open_uni().await.ok()?, uni).await;
        tokio::time::sleep(AFTER_THE_ANSWER).await;
        session
            .send_datagram_wait(b"a datagram from the server")
            .await
            .ok()
    };
    if opened.await.is_none() {
        tracing::info!("a session ended before everything was pushed");
    }
}

async fn say(mut send: SendStream, text: Bytes) {
    // The client may not want it, or be gone.
    if let Err(error) = send.write_chunk(text).await.and_then(|()| send.finish()) {
        tracing::debug!(%error, "a stream of ours was not taken");
    }
}

async fn recv_all(mut recv: RecvStream) {
    while let Ok(Some(_)) = recv.read_chunk(CHUNK).await {}
}

/// Stops and resets every bidirectional stream of the client.
async fn reset(session: &Session, code: u32) -> SessionClose {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = session.accept_bi() => match accepted {
                Ok((mut send, mut recv)) => drop(streams.spawn(async move {
                    // A half that the client ended meanwhile needs no end from us.
                    let _ = recv.stop(code);
                    tokio::time::sleep(BETWEEN_HALVES).await;
                    let _ = send.reset(code);
                })),
                Err(close) => return close,
            },
            // Forgets tasks that are done.
            Some(_) = streams.join_next() => {}
        }
    }
}

/// Sends everything back until the session ends.
async fn echo(session: &Session, events: Events) -> SessionClose {
    let datagrams = tokio::spawn(echo_datagrams(session.clone()));
    let mut streams = JoinSet::new();
    let close = loop {
        tokio::select! {
            accepted = session.accept_bi() => match accepted {
                Ok((send, recv)) => drop(streams.spawn(echo_bidi(send, recv, events))),
                Err(close) => break close,
            },
            accepted = session.accept_uni() => match accepted {
                Ok(recv) => drop(streams.spawn(echo_uni(session.clone(), recv, events))),
                Err(close) => break close,
            },
            // Forgets tasks that are done.
            Some(_) = streams.join_next() => {}
        }
    };
    datagrams.abort();
    // Streams end with their session; what they still have to tell is waited for.
    while streams.join_next().await.is_some() {}
    close
}

async fn echo_datagrams(session: Session) {
    while let Ok(datagram) = session.recv_datagram().await {
        match session.send_datagram_wait(&datagram).await {
            Ok(()) => {}
            Err(DatagramError::TooLarge | DatagramError::TooLargeForPath) => {
                tracing::debug!(len = datagram.len(), "a datagram is too large to send back");
            }
            Err(_) => break,
        }
    }
}

async fn echo_bidi(mut send: SendStream, recv: RecvStream, events: Events) {
    let stopped = send.stopped();
    let watch = tokio::spawn(async move {
        if let Ok(Some(code)) = stopped.await {
            events.stream_stopped(code);
        }
    });
    if copy(recv, &mut send, events).await.is_err() {
        // The client gave the stream up. Its other half follows, if it wants neither.
        let _ = tokio::time::timeout(OTHER_HALF, watch).await;
        let _ = send.reset(0);
    }
}

async fn echo_uni(session: Session, recv: RecvStream, events: Events) {
    match session.open_uni().await {
        Ok(mut send) => {
            if copy(recv, &mut send, events).await.is_err() {
                let _ = send.reset(0);
            }
        }
        Err(error) => tracing::debug!(%error, "a unidirectional stream was not echoed"),
    }
}

/// The client ended a stream before its time.
struct CutShort;

/// Copies to the end, no faster than the client reads.
async fn copy(mut recv: RecvStream, send: &mut SendStream, events: Events) -> Result<(), CutShort> {
    loop {
        match recv.read_chunk(CHUNK).await {
            Ok(Some(chunk)) => match send.write_chunk(chunk).await {
                Ok(()) => {}
                Err(WriteError::Stopped(code)) => {
                    // Nobody reads the echo: no more of it need be sent.
                    let app = code.app.unwrap_or_default();
                    let _ = recv.stop(app);
                    return Err(CutShort);
                }
                Err(_) => return Err(CutShort),
            },
            Ok(None) => return send.finish().map_err(|_| CutShort),
            Err(ReadError::Reset(code)) => {
                events.stream_reset(code);
                return Err(CutShort);
            }
            Err(_) => return Err(CutShort),
        }
    }
}
