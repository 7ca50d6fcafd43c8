//! Code written against the `web-transport-trait` crate, on Aqueduct.

use std::error::Error as StdError;

use aqueduct_tokio::error::{DatagramError, OpenStreamError};
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::webtransport::{ConnectRequest, SessionClose};
use aqueduct_tokio::web_transport;
use bytes::Bytes;
use web_transport_trait::{Error, RecvStream, SendStream, Session, Stats};

use crate::harness::{Pair, pattern, within};

type Anything = Box<dyn StdError + Send + Sync>;

// From here on nothing names Aqueduct.

/// Sends everything back: streams both ways, streams one way on new ones,
/// datagrams.
async fn echo<S: Session>(session: S) -> Result<(), Anything> {
    loop {
        tokio::select! {
            stream = session.accept_bi() => {
                let (mut send, mut recv) = stream?;
                while let Some(chunk) = recv.read_chunk(10_000).await? {
                    send.write_chunk(chunk).await?;
                }
                send.finish()?;
            }
            stream = session.accept_uni() => {
                let all = stream?.read_all().await?;
                let mut send = session.open_uni().await?;
                send.set_priority(7);
                send.write_all(&all).await?;
                send.finish()?;
            }
            datagram = session.recv_datagram() => session.send_datagram(datagram?)?,
        }
    }
}

async fn ask_bi<S: Session>(session: &S, data: &[u8]) -> Result<Bytes, Anything> {
    let (mut send, mut recv) = session.open_bi().await?;
    let write = async {
        let mut rest = data;
        while !rest.is_empty() {
            send.write_buf(&mut rest).await?;
        }
        send.finish()?;
        send.closed().await?;
        Ok::<_, Anything>(())
    };
    let read = async { Ok::<_, Anything>(recv.read_all().await?) };
    let ((), answer) = tokio::try_join!(write, read)?;
    recv.closed().await?;
    Ok(answer)
}

async fn ask_uni<S: Session>(session: &S, data: &[u8]) -> Result<Bytes, Anything> {
    let mut send = session.open_uni().await?;
    send.write_all(data).await?;
    send.finish()?;
    Ok(session.accept_uni().await?.read_all().await?)
}

async fn ask_datagram<S: Session>(session: &S, data: &'static [u8]) -> Result<Bytes, Anything> {
    assert!(data.len() <= session.max_datagram_size());
    session.send_datagram(Bytes::from_static(data))?;
    Ok(session.recv_datagram().await?)
}

/// The codes that two ends get to see when streams and a session are given up.
async fn give_up<S: Session>(ours: &S, theirs: &S) -> Result<(), Anything> {
    let (mut send, mut recv) = ours.open_bi().await?;
    send.write_all(b"unread").await?;
    let (mut their_send, mut their_recv) = theirs.accept_bi().await?;
    send.reset(7);
    send.closed().await?;
    let reset = their_recv.closed().await.expect_err("it was reset");
    assert_eq!(reset.stream_error(), Some(7));
    recv.stop(8);
    recv.closed().await?;
    let stopped = their_send.closed().await.expect_err("it was stopped");
    assert_eq!(stopped.stream_error(), Some(8));

    // What was read ahead while waiting for the end is still there.
    let mut send = ours.open_uni().await?;
    send.write_all(b"kept").await?;
    send.finish()?;
    let mut recv = theirs.accept_uni().await?;
    recv.closed().await?;
    assert_eq!(recv.read_chunk(2).await?.as_deref(), Some(&b"ke"[..]));
    assert_eq!(recv.read_all().await?, "pt");

    let (open, mut half) = ours.open_bi().await?;
    ours.close(9, &"x".repeat(2000));
    let expected = Some((9, "x".repeat(1024)));
    assert_eq!(theirs.closed().await.session_error(), expected);
    assert_eq!(ours.closed().await.session_error(), expected);
    let read = half.read_chunk(1).await.expect_err("the session is over");
    assert_eq!(read.session_error(), expected);
    drop(open);
    Ok(())
}

// Here Aqueduct is chosen.

#[tokio::test]
async fn generic_code_runs_on_aqueduct() {
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let echo = tokio::spawn(echo(server));
        let data = pattern(300_000);
        assert!(ask_bi(&client, &data).await.expect("comes back") == data);
        assert!(ask_uni(&client, &data).await.expect("comes back") == data);
        let datagram = ask_datagram(&client, b"ping").await.expect("comes back");
        assert_eq!(datagram, "ping");
        let stats = Session::stats(&client);
        assert!(stats.rtt().is_some() && stats.bytes_sent() > Some(600_000));
        Session::close(&client, 3, "enough");
        let end = echo.await.expect("no panic").expect_err("the client left");
        assert!(end.to_string().contains("enough"), "{end}");
    })
    .await;
}

#[tokio::test]
async fn generic_code_sees_codes_reasons_and_protocols() {
    within(async {
        let pair = Pair::new().await;
        let mut request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
        request.protocols = vec!["b".into(), "a".into()];
        let (client, server) = tokio::join!(pair.client.open_session(request), async {
            let asked = pair.server.accept_session().await.expect("arrives");
            asked.accept_with_protocol("a").expect("still wanted")
        });
        let client = client.expect("is accepted");
        assert_eq!(Session::protocol(&client), Some("a"));
        assert_eq!(Session::protocol(&server), Some("a"));
        give_up(&client, &server).await.expect("as it should be");
    })
    .await;
}

#[tokio::test]
async fn generic_code_can_tell_what_failed() {
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        Session::close(&client, 3, "enough");
        Session::closed(&server).await;
        let close = SessionClose::Closed {
            by: Side::Client,
            code: 3,
            reason: "enough".into(),
        };
        let closed = Session::accept_uni(&server).await.expect_err("over");
        assert_eq!(closed, web_transport::Error::Closed(close.clone()));
        let open = Session::open_uni(&server).await.expect_err("over");
        let expected = OpenStreamError::Session(close.clone());
        assert_eq!(open, web_transport::Error::Open(expected));
        let sent = Session::send_datagram(&server, Bytes::new()).expect_err("over");
        let expected = DatagramError::Session(close);
        assert_eq!(sent, web_transport::Error::Datagram(expected));
    })
    .await;
}
